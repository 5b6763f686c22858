/** A study whose designer is a real Ollama, found by the editor's setting. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type OllamaServer, startOllama } from "../support/ollama.ts";
import { ollamaForTests } from "../support/parts.ts";
import { model, parts, python, useEditor } from "./support/editor.ts";
import { enginePid } from "./support/server.ts";
import { makeStudy } from "./support/study.ts";

const executable = parts && ollamaForTests();

describe.skipIf(!model || !python || !executable)("with Ollama", () => {
  const editor = useEditor();
  let ollama: OllamaServer;

  beforeAll(async () => {
    ollama = await startOllama(executable as string, model as string, "e2e-coder:latest", 1);
  });
  afterAll(() => ollama?.close());

  it("a server on another address is found by a setting, and designs", async () => {
    const work = editor.folder("ollama");
    const study = makeStudy(join(work, "digits"), "e2e-coder:latest", {
      designer: { provider: "ollama", model: "e2e-coder:latest", parallel: 1, maxTokens: 600, repair: false },
    });
    // Where nothing listens first: the panel and Check Setup say so.
    set(editor.server().home, "127.0.0.1:9");
    const window = await editor.open(work);
    await window.panel.show();
    await (await window.panel.button("Step Cycle")).click();
    await (await window.panel.find(".failure"))
      .getByText(/Ollama/)
      .first()
      .waitFor();
    await (await window.panel.button("Check Setup")).click();
    await window.palette.rows.filter({ hasText: "no Ollama" }).waitFor();
    await window.page.keyboard.press("Escape");

    const before = enginePid(study);
    set(editor.server().home, ollama.host);
    // An engine that is idle ends; the next one is started with the new address.
    await expect.poll(() => enginePid(study)).not.toBe(before);
    await window.panel.step(1);
    await (await window.panel.row("_c1_01")).waitFor({ timeout: 600_000 });
    await (await window.panel.button("Step Cycle")).waitFor({ timeout: 600_000 });
    expect(await window.panel.text()).toContain("e2e-coder:latest (Ollama)");
    const row = await window.panel.row("_c1_01");
    await row.click();
    await window.palette.run("Netwright: Show Prompt and Reply");
    await window.tab(/_c1_01 prompt\.md/).waitFor();
  });
});

/** The setting of the machine that the extension runs on, as saving it there does it. */
function set(home: string, host: string): void {
  mkdirSync(join(home, "user", "Machine"), { recursive: true });
  writeFileSync(join(home, "user", "Machine", "settings.json"), JSON.stringify({ "netwright.ollamaHost": host }));
}
