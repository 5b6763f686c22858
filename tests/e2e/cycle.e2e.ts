/** The loop in the editor, with a real model and a real worker. The tests of this file share a study and its candidates. */
import { beforeAll, describe, expect, it } from "vitest";
import { model, python, useEditor } from "./support/editor.ts";
import { enginePid } from "./support/server.ts";
import { makeStudy } from "./support/study.ts";

describe.skipIf(!model || !python)("a cycle", () => {
  const editor = useEditor({ settings: { "netwright.candidatesPerCycle": 2 } });
  let work: string;
  let study: string;

  beforeAll(() => {
    work = editor.folder("cycle");
    study = makeStudy(`${work}/digits`, model);
  });

  it("is stepped by one click, and its rows arrive one by one", async () => {
    const window = await editor.open(work);
    await window.panel.show();
    const count = (await window.panel.find("vscode-textfield.count")).locator("input");
    await count.fill("2");
    await count.press("Tab");
    await (await window.panel.button("Step Cycle")).click();
    await (await window.panel.button("Stop")).waitFor();
    await window.statusItem("Netwright:").waitFor();
    // The five seeds are measured first, then two nets are designed.
    await (await window.panel.row("PlainConv")).waitFor();
    await (await window.panel.find(".underway")).first().waitFor();
    await window.screenshot("panel in mid-cycle");
    await (await window.panel.button("Step Cycle")).waitFor({ timeout: 400_000 });
    const rows = await window.panel.rows();
    expect(await rows.count()).toBe(7);
    expect(await rows.filter({ hasText: /%/ }).count()).toBeGreaterThanOrEqual(5);
    await expect.poll(() => window.statusItem("Netwright:").count()).toBe(0);
    expect(window.errors).toEqual([]);
    await window.screenshot("panel after a cycle");
    console.log(editor.server().log(), enginePid(study));
  });
});
