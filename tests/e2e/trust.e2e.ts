/** A folder that is not trusted: nothing runs and nothing is read. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parts, useEditor } from "./support/editor.ts";
import { enginePid } from "./support/server.ts";
import { makeStudy } from "./support/study.ts";

describe.skipIf(!parts)("an untrusted folder", () => {
  const editor = useEditor({ trust: true });

  it("runs nothing, says why, and shows its study once it is trusted", async () => {
    const work = editor.folder("untrusted");
    const study = makeStudy(join(work, "study"), null);
    const window = await editor.open(work);
    await window.panel.show();
    await (await window.panel.button("Manage Workspace Trust")).waitFor();
    expect(await window.panel.text()).toContain("Restricted Mode");
    for (const command of ["New Study", "Step Cycle", "Accept Candidates...", "Check Setup", "Open Dashboard"]) {
      expect(await window.palette.has(`Netwright: ${command}`), command).toBe(false);
    }
    expect(enginePid(study)).toBe(null);
    expect(await window.panel.violations()).toEqual([]);
    await window.screenshot("untrusted");

    // A link reaches commands that the palette does not offer.
    await window.palette.run("Welcome: Open Walkthrough...");
    await window.palette.choose("Get Started with Netwright");
    await window.walkthrough.press("Check what is there", "Check Setup");
    await window.notifications.toast(/Restricted Mode/).waitFor();
    expect(await window.palette.widget.isVisible()).toBe(false);
    expect(enginePid(study)).toBe(null);

    await (await window.panel.button("Manage Workspace Trust")).click();
    await window.page.locator(".workspace-trust-editor").getByRole("button", { name: "Trust", exact: true }).click();
    await (await window.panel.button("Step Cycle")).waitFor();
    expect(enginePid(study)).not.toBe(null);
  });
});
