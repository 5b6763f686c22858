/** Fine-tuning in the editor: a real LoRA run on a tiny model, for an Ollama that answers from a script. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createStudy } from "../../src/engine/study.ts";
import { netReply, type Scripted, scriptedOllama } from "../engine/scripted-ollama.ts";
import { python, useEditor } from "./support/editor.ts";

const LONG = { timeout: 600_000 };
const base = mkdtempSync(join(tmpdir(), "netwright-base-"));

describe.skipIf(!python)("fine-tuning", () => {
  const editor = useEditor();
  let ollama: Scripted;
  let answering = true;

  beforeAll(async () => {
    const packageDir = join(import.meta.dirname, "..", "..", "python");
    const env = { ...process.env, PYTHONPATH: `${packageDir}:${join(packageDir, "tests")}` };
    const code = "import sys; from tiny_models import save_folder; save_folder(sys.argv[1])";
    await promisify(execFile)(python ?? "", ["-c", code, base], { env });
    let width = 8;
    ollama = await scriptedOllama(() => (answering ? netReply(width++) : null));
  });
  afterAll(() => {
    ollama?.close();
    rmSync(base, { recursive: true, force: true });
  });

  it("says what it will do, shows its losses, can be stopped and continued, and is used, rolled back and deleted", async () => {
    const work = editor.folder("tuning");
    const study = join(work, "tuned");
    mkdirSync(study, { recursive: true });
    createStudy(study, {
      ...{ name: "tuned", data: { dataset: "digits" } },
      protocol: { batch: 16, validationImages: 300, lr: 0.05, epochs: 3, trainImages: 600 },
      designer: { provider: "ollama", model: "scripted-coder:1b", host: ollama.host, parallel: 1, mode: "full" },
      trainer: { device: "cpu", threads: 1 },
      admission: { accuracy: 0.11, policy: "automatic" },
      tuner: { base, epochs: 12, learningRate: 0.01, probe: 2, newAccepted: 2, maxTokens: 20_000 },
    });
    const window = await editor.open(work);
    await window.panel.show();
    await (await window.panel.button("Step Cycle")).waitFor();
    expect(await window.palette.has("Netwright: Fine-Tune Designer")).toBe(false);
    await window.panel.step(3);
    await (await window.panel.button("Step Cycle")).waitFor(LONG);

    // Its probe gets no answer: it is stopped there, however fast the run before was.
    answering = false;
    await (await window.panel.button("Fine-Tune…")).click();
    await window.dialog.waitFor();
    expect(await window.dialog.textContent()).toMatch(/3 accepted nets/);
    await window.dialog.getByRole("button", { name: "Fine-Tune" }).click();
    await (await window.panel.find(".tuning")).filter({ hasText: "Probing" }).waitFor(LONG);
    await (await window.panel.find(".curve svg")).waitFor();
    await (await window.panel.button("Stop")).click();
    await (await window.panel.button("Continue…")).waitFor();
    answering = true;
    await (await window.panel.button("Continue…")).click();
    await window.dialog.getByRole("button", { name: "Continue" }).click();
    await window.notifications.toast("designs now").waitFor(LONG);
    await window.notifications.press("designs now", "Show");
    await (await window.dashboard.find("#generations table")).waitFor();
    await expect.poll(async () => (await window.panel.find(".facts")).textContent()).toContain("generation 1");
    expect(ollama.models.has("tuned:g1")).toBe(true);

    await window.palette.run("Netwright: Use Generation...");
    await window.palette.pick("Generation 0");
    await expect.poll(async () => (await window.panel.find(".facts")).textContent()).not.toContain("generation 1");
    await window.palette.run("Netwright: Delete Generation...");
    await window.palette.pick("Generation 1");
    await window.dialog.getByRole("button", { name: "Delete" }).click();
    await expect.poll(() => ollama.models.has("tuned:g1")).toBe(false);
    await expect.poll(() => existsSync(join(study, ".netwright/generations/1/adapter.gguf"))).toBe(false);
  });
});
