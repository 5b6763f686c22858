/** The loop without a mouse: every step is a key. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { model, python, useEditor } from "./support/editor.ts";
import { makeStudy } from "./support/study.ts";

describe.skipIf(!model || !python)("by keyboard alone", () => {
  const editor = useEditor();

  it("a cycle is stepped, and a net is found, accepted, opened and compared", async () => {
    const work = editor.folder("keyboard");
    makeStudy(join(work, "digits"), model);
    const window = await editor.open(work);
    const { panel, page } = window;
    const { keyboard } = page;

    await panel.focus("Netwright: Focus on Study View");
    await panel.tabTo("vscode-textfield.count");
    await keyboard.press("Control+A");
    await keyboard.type("1");
    // A page that is still being drawn may keep the focus where it was.
    await expect
      .poll(async () => {
        if (await panel.hasKeyboard("vscode-textfield.count")) await keyboard.press("Shift+Tab");
        return panel.hasKeyboard(".controls vscode-button");
      })
      .toBe(true);
    await keyboard.press("Enter");
    await (await panel.button("Stop")).waitFor();
    // Its button gave way to Stop, which has the keyboard now.
    await expect.poll(() => panel.hasKeyboard(".controls vscode-button")).toBe(true);
    await (await panel.button("Step Cycle")).waitFor({ timeout: 600_000 });
    await expect.poll(() => panel.hasKeyboard(".controls vscode-button")).toBe(true);

    await panel.tabTo("vscode-textfield:not(.count)");
    await keyboard.type("Separable");
    await panel.tabTo("netwright-candidates");
    const row = await panel.row("SeparableNet");
    await keyboard.press("a");
    await row.locator("[title^=Accepted]").waitFor();
    await panel.tabTo("[data-action=compare]");
    await keyboard.press("Enter");
    await window.diff.waitFor();
    await window.tab(/SeparableNet \(novelty/).waitFor();

    await panel.focus("Netwright: Focus on Study View");
    if (!(await panel.hasKeyboard("netwright-candidates"))) await panel.tabTo("netwright-candidates");
    await keyboard.press("Enter");
    await window.editorFocused("SeparableNet.py");
    // The document has the keyboard: the same keys as in the panel, with modifiers.
    await keyboard.press("Control+Alt+X");
    await row.locator("[title^=Rejected]").waitFor();
  });
});
