/** A cycle that outlives its window and its engine. Its designer holds its answers until the test lets them go: no speed is relied on. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { netReply, SCRIPTED_MODEL, type Scripted, scriptedOllama } from "../engine/scripted-ollama.ts";
import { python, useEditor } from "./support/editor.ts";
import { enginePid } from "./support/server.ts";
import { makeStudy } from "./support/study.ts";

const LONG = { timeout: 600_000 };
const NETS = 6;
/** Answered at once; the others are held. */
const FIRST = 2;

describe.skipIf(!python)("an interrupted cycle", () => {
  const editor = useEditor();
  const released = Promise.withResolvers<void>();
  let ollama: Scripted;

  beforeAll(async () => {
    ollama = await scriptedOllama(async (_text, question) => {
      if (question >= FIRST) await released.promise;
      return netReply(8 + question);
    });
  });
  afterAll(() => ollama?.close());

  it("goes on through a reload and a killed engine, stops and is resumed, and ends with no window open", async () => {
    const work = editor.folder("interrupted");
    const { host } = ollama;
    const study = makeStudy(join(work, "digits"), null, {
      designer: { provider: "ollama", model: SCRIPTED_MODEL, host, parallel: 1, repair: false, mode: "full" },
    });
    const asked = (questions: number) => expect.poll(() => ollama.asked.length, LONG).toBe(questions);
    const window = await editor.open(work);
    await window.panel.show();
    await window.panel.step(NETS);
    await asked(FIRST + 1);

    await window.reload();
    await window.panel.show();
    await (await window.panel.button("Stop")).waitFor();
    await (await window.panel.find(".underway")).waitFor();

    const killed = enginePid(study) as number;
    process.kill(killed, "SIGKILL");
    await expect.poll(() => enginePid(study) ?? killed).not.toBe(killed);
    // The next engine asks again what got no answer.
    await asked(FIRST + 2);
    await (await window.panel.button("Stop")).click();
    await (await window.panel.button(/Resume Cycle/)).waitFor();
    expect(await window.palette.has("Netwright: Step Cycle")).toBe(false);

    await window.palette.run("Netwright: Resume Cycle");
    await asked(FIRST + 3);
    await window.close();
    released.resolve();
    // The engine is idle once nobody needs it, and then ends itself.
    await expect.poll(() => enginePid(study), LONG).toBe(null);

    const again = await editor.open(work);
    await again.panel.show();
    await (await again.panel.button("Step Cycle")).waitFor();
    const written = (await again.panel.rows()).filter({ hasText: "_c1_" });
    expect(await written.count()).toBe(NETS);
    // What so small a net learns does not matter: each was trained.
    expect(await written.filter({ hasText: /Valid|At chance/ }).count()).toBe(NETS);
  });
});
