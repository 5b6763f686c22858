/** Studies before anything runs: making one, choosing one, and what goes wrong on the way. No model is needed. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openStore } from "../../src/store/store.ts";
import { parts, useEditor } from "./support/editor.ts";
import { startOldEngine } from "./support/old-engine.ts";
import { enginePid } from "./support/server.ts";
import { makeStudy } from "./support/study.ts";

describe.skipIf(!parts)("studies", () => {
  const editor = useEditor();

  it("need a folder", async () => {
    const window = await editor.open(null);
    await window.panel.show();
    await (await window.panel.button("Open Folder")).waitFor();
    expect(await window.palette.has("Netwright: Step Cycle")).toBe(false);
  });

  it("are made through the palette", async () => {
    const work = editor.folder("new");
    const window = await editor.open(work);
    await window.panel.show();
    await (await window.panel.button("New Study")).waitFor();
    await window.screenshot("no study yet");

    await window.palette.run("Netwright: New Study");
    await window.palette.type("9lives");
    await window.page.getByText("A letter, then letters, digits").first().waitFor();
    await window.palette.type("first");
    await window.palette.pick("Digits");

    await window.tab(/netwright\.json/).waitFor();
    await (await window.panel.button("Step Cycle")).waitFor();
    expect(await window.panel.text()).toContain("first");
    const study = JSON.parse(readFileSync(join(work, "first", "netwright.json"), "utf8"));
    expect(study).toMatchObject({ name: "first", data: { dataset: "digits" } });
    await expect.poll(() => window.palette.has("Netwright: Step Cycle")).toBe(true);
    expect(await window.palette.has("Netwright: Resume Cycle")).toBe(false);
    expect(await window.palette.has("Netwright: Stop")).toBe(false);
  });

  it("start no engine before somebody looks", async () => {
    const work = editor.folder("unseen");
    const study = makeStudy(join(work, "study"), null);
    const window = await editor.open(work);
    // Offered once the extension is active and has found the study.
    await expect.poll(() => window.palette.has("Netwright: Step Cycle")).toBe(true);
    expect(existsSync(join(study, ".netwright"))).toBe(false);

    await window.panel.show();
    await (await window.panel.button("Step Cycle")).waitFor();
    expect(enginePid(study)).not.toBe(null);
  });

  it("with a broken netwright.json name the key, open the file, and recover when it is corrected", async () => {
    const work = editor.folder("broken");
    const study = makeStudy(join(work, "study"), null, { limits: { parameters: "many" } });
    const window = await editor.open(work);
    await window.panel.show();
    await (await window.panel.button("Open netwright.json")).waitFor();
    expect(await window.panel.text()).toContain("limits.parameters");
    await window.screenshot("broken configuration");

    await (await window.panel.button("Open netwright.json")).click();
    // The schema finds it too.
    await window.editor("netwright.json").locator(".squiggly-warning").first().waitFor();
    expect(enginePid(study)).toBe(null);

    makeStudy(study, null);
    await (await window.panel.button("Step Cycle")).waitFor();
  });

  it("have keys that complete, with their meaning", async () => {
    const work = editor.folder("schema");
    const file = join(makeStudy(join(work, "study"), null), "netwright.json");
    writeFileSync(file, readFileSync(file, "utf8").replace('"name": "digits",', '"name": "digits",\n  \n'));
    const window = await editor.open(work);
    await window.palette.run("Netwright: Open Study Configuration");
    await window.editor("netwright.json").locator(".view-line").nth(2).click();
    await window.suggested("novelty");
  });

  it("that are several wait to be chosen", async () => {
    const work = editor.folder("several");
    makeStudy(join(work, "one"), null, { name: "one" });
    makeStudy(join(work, "two"), null, { name: "two" });
    const window = await editor.open(work);
    await window.panel.show();
    expect(await window.palette.has("Netwright: Step Cycle")).toBe(false);
    await (await window.panel.button("two")).click();
    await (await window.panel.find("h1")).filter({ hasText: "two" }).waitFor();

    await window.palette.run("Netwright: Choose Study...");
    await window.palette.pick("one");
    await (await window.panel.find("h1")).filter({ hasText: "one" }).waitFor();
    await window.reload();
    await window.panel.show();
    await (await window.panel.find("h1")).filter({ hasText: "one" }).waitFor();
  });

  it("wait for an engine of an older version that is at work", async () => {
    const work = editor.folder("older");
    const study = makeStudy(join(work, "study"), null);
    const end = await startOldEngine(study, join(editor.server().home, "run"));
    const window = await editor.open(work);
    await window.panel.show();
    await (await window.panel.button("Try Again")).waitFor();
    expect(await window.panel.text()).toContain("another Netwright version is at work");
    await end();
    await (await window.panel.button("Try Again")).click();
    await (await window.panel.button("Step Cycle")).waitFor();
  });

  it("log a message that is not of the contract, and do not follow it", async () => {
    const work = editor.folder("message");
    makeStudy(join(work, "study"), null);
    const window = await editor.open(work);
    await window.panel.show();
    await (await window.panel.button("Step Cycle")).waitFor();
    // What a page that went wrong would send: a number of candidates that no study takes.
    await window.panel.send({ type: "step", candidates: -1, mode: "full" });
    const server = editor.server();
    if (server.log() !== null) await expect.poll(() => server.log()).toContain("does not follow the contract");
    expect(await (await window.panel.button("Step Cycle")).count()).toBe(1);
  });

  it("are shown by pages whose policy holds, and a breach of it is heard", async () => {
    const work = editor.folder("policy");
    makeStudy(join(work, "study"), null);
    const window = await editor.open(work);
    await window.panel.show();
    const frame = await window.panel.frame();
    await frame.evaluate("document.body.setAttribute('style', 'color: red')");
    await expect.poll(() => window.errors.splice(0).join()).toContain("style-src");
  });
});

describe.skipIf(!parts)("a folder that cannot be written", () => {
  const editor = useEditor({ unprivileged: true });
  const locked: string[] = [];
  /** The folder and what is recorded in it; `netwright.json` itself may be what it is. */
  const change = (dir: string, mode: number) => {
    const record = join(dir, ".netwright");
    if (existsSync(record)) for (const name of readdirSync(record)) chmodSync(join(record, name), mode);
    if (existsSync(record)) chmodSync(record, mode);
    chmodSync(dir, mode);
  };
  const lock = (dir: string) => {
    change(dir, 0o555);
    locked.push(dir);
  };
  // Else they could not be removed.
  afterAll(() => {
    for (const dir of locked) change(dir, 0o755);
  });

  it.each([
    ["with nothing recorded yet", false],
    ["with a record", true],
  ])("shows a study %s as what it is, and opens it when it can be", async (_what, recorded) => {
    const work = editor.folder(`read-only-${recorded}`);
    const study = makeStudy(join(work, "study"), null);
    if (recorded) {
      mkdirSync(join(study, ".netwright"));
      openStore(join(study, ".netwright", "study.db")).close();
    }
    lock(study);
    const window = await editor.open(work);
    await window.panel.show();
    await (await window.panel.button("Try Again")).waitFor();
    expect(await window.panel.text()).toMatch(/Permission is refused\. Use a folder of your own/);
    expect(await (await window.panel.button("Open Folder")).count()).toBe(1);
    expect(enginePid(study)).toBe(null);
    expect(await window.panel.violations()).toEqual([]);
    await window.screenshot(`read-only ${recorded}`);

    change(study, 0o755);
    await (await window.panel.button("Try Again")).click();
    await (await window.panel.button("Step Cycle")).waitFor();
  });

  it("takes no new study, and says why", async () => {
    const work = editor.folder("locked");
    lock(work);
    const window = await editor.open(work);
    await window.palette.run("Netwright: New Study");
    await window.palette.type("first");
    await window.palette.pick("Digits");
    await window.notifications.toast(/Cannot write .*Permission is refused\. Use a folder of your own/).waitFor();
  });
});

describe.skipIf(!parts)("without Python", () => {
  // No programs, and nothing that Netwright installed.
  const EMPTY = mkdtempSync(join(tmpdir(), "netwright-nothing-"));
  afterAll(() => rmSync(EMPTY, { recursive: true }));
  const editor = useEditor({ env: { NETWRIGHT_WORKER_PYTHON: "", NETWRIGHT_HOME: EMPTY, PATH: EMPTY } });

  it("a step says what is missing and offers Check Setup", async () => {
    const work = editor.folder("work");
    makeStudy(join(work, "study"), "/nonexistent.gguf");
    const window = await editor.open(work);
    await window.panel.show();
    await (await window.panel.button("Step Cycle")).click();
    await window.dialog.getByText("A Python environment with PyTorch").waitFor();
    await window.screenshot("missing parts");
    await window.dialog.getByRole("button", { name: "Install" }).click();
    await window.notifications.toast(/Python 3\.10 or newer was not found/).waitFor();
    await window.screenshot("python missing");
    await window.notifications.press(/Python 3\.10/, "Check Setup");
    await window.palette.rows.filter({ hasText: "Python" }).first().waitFor();
    await window.screenshot("check setup");
  });

  it("the walkthrough leads from nothing to the first cycle, each step by its button", async () => {
    const work = editor.folder("walkthrough");
    const window = await editor.open(work);
    const { walkthrough } = window;
    await window.palette.run("Welcome: Open Walkthrough...");
    await window.palette.choose("Get Started with Netwright");
    await walkthrough.root.getByText("From nothing to a first cycle").waitFor();

    await walkthrough.press("Check what is there", "Check Setup");
    await window.palette.rows.filter({ hasText: "Python" }).first().waitFor();
    await window.page.keyboard.press("Escape");
    await walkthrough.done("Check what is there");

    await walkthrough.press("Make a study", "New Study");
    await window.palette.type("first");
    await window.palette.pick("Digits");
    await window.tab(/netwright\.json/).waitFor();
    await window
      .tab("Welcome")
      .or(window.tab(/Walkthrough/))
      .first()
      .click();
    await walkthrough.done("Make a study");

    await walkthrough.press("Step the first cycle", "Step Cycle");
    // Nothing is here to run it with: it says so, and asks before it installs.
    await window.dialog.getByText("A Python environment with PyTorch").waitFor();
    await window.dialog.getByRole("button", { name: "Cancel" }).click();

    await walkthrough.press("Review and accept", "Accept Candidates...");
    await window.notifications.toast("no candidate fits. Run a cycle first.").waitFor();
    await walkthrough.done("Review and accept");
  });
});
