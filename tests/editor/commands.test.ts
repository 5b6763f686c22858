/** What the commands act on, and that none acts where nothing may run. */
import { beforeEach, describe, expect, it, vi } from "vitest";
import { type CommandContext, pageActions, registerCommands } from "../../src/editor/commands.ts";
import { candidateUri, promptUri } from "../../src/editor/documents.ts";
import { Selection } from "../../src/editor/pages.ts";
import { Accept, ExportLemur } from "../../src/engine/protocol.ts";
import { fromSnapshot } from "../../webview/shared/model.ts";
import { idleSnapshot } from "../fixtures/snapshots.ts";
import * as editor from "./vscode.ts";

vi.mock("vscode", () => import("./vscode.ts"));

const model = fromSnapshot(idleSnapshot());
const all = [...model.candidates.values()];
const open = all.filter(({ outcome, accepted }) => outcome === "valid" && accepted === null);
const failed = all.find(({ outcome, parameters }) => outcome === "syntax" && parameters === null);
const [first, second] = open;
if (!first || !second || !failed) throw new Error("The fixture has changed");

const STUDY = "/nets/a";
const studiesChanged = new editor.EventEmitter<void>();
const studies = { ready: Promise.resolve(), current: STUDY as string | null, onDidChange: studiesChanged.event };
const request = vi.fn(async (_call: unknown, _parameters: unknown): Promise<unknown> => ({ nets: 3 }));
const session = { dir: STUDY, model, client: async () => null, open: async () => STUDY, request };
/** Whatever is done with it is a fault. */
const untouched = new Proxy({}, { get: (_, key) => expect.fail(`${String(key)} was used`) });

let selection: Selection;
let context: CommandContext;

function register(over: object = {}): void {
  const log = { error: () => undefined, show: () => undefined };
  const parts = { session, studies, selection, setup: untouched, runs: untouched, panel: () => untouched };
  context = { ...parts, dashboard: () => untouched, log, ...over } as unknown as CommandContext;
  registerCommands(context);
}

beforeEach(() => {
  vi.clearAllMocks();
  editor.workspace.isTrusted = true;
  studies.current = STUDY;
  editor.show(undefined);
  selection = new Selection(studies as never);
  register();
});

const run = (name: string, target?: unknown) => editor.commands.executeCommand(`netwright.${name}`, target);
const accepted = () => request.mock.calls.filter(([call]) => call === Accept).map(([, parameters]) => parameters);
const said = () => editor.window.showInformationMessage.mock.calls.map(([text]) => text);

describe("in a workspace that is not trusted", () => {
  beforeEach(() => {
    editor.workspace.isTrusted = false;
    register({ session: untouched });
  });

  it("no command does anything but say so, with trust as the way on", async () => {
    const harmless = ["openFolder", "manageTrust", "showLog", "focusPanel"];
    const names = editor.registeredCommands().map((name) => name.replace("netwright.", ""));
    expect(names).toEqual(expect.arrayContaining([...harmless, "newStudy", "stepCycle", "checkSetup", "accept"]));
    for (const name of names.filter((each) => !harmless.includes(each))) {
      editor.window.showErrorMessage.mockClear();
      editor.window.showErrorMessage.mockResolvedValueOnce("Manage Workspace Trust");
      await run(name);
      const [text, button] = editor.window.showErrorMessage.mock.calls[0] ?? [];
      expect([name, text, button]).toEqual([
        name,
        expect.stringContaining("Restricted Mode"),
        "Manage Workspace Trust",
      ]);
      expect(editor.commands.executeCommand).toHaveBeenLastCalledWith("workbench.trust.manage");
    }
    editor.window.showErrorMessage.mockClear();
    for (const name of harmless) await run(name);
    expect(editor.window.showErrorMessage).not.toHaveBeenCalled();
  });

  it("no page is answered", async () => {
    const actions = pageActions(context);
    actions.step(8, "full");
    actions.resume();
    actions.stop();
    actions.run("accept", [first.id]);
    await vi.waitFor(() => expect(editor.window.showErrorMessage).toHaveBeenCalledTimes(4));
    for (const [text] of editor.window.showErrorMessage.mock.calls) expect(text).toContain("Restricted Mode");
  });
});

describe("what a command acts on", () => {
  it("is the latest of the selection and the document in the editor", async () => {
    editor.show(candidateUri(STUDY, first) as never);
    selection.set([second.id], "panel");
    await run("accept");
    editor.clickIntoText();
    await run("accept");
    selection.set([second.id, first.id], "panel");
    editor.show(candidateUri(STUDY, first) as never);
    await run("accept");
    expect(accepted()).toEqual([{ ids: [second.id] }, { ids: [first.id] }, { ids: [first.id] }]);
  });

  it("is not what a page selects again when it is shown again", async () => {
    selection.set([second.id], "panel");
    editor.show(candidateUri(STUDY, first) as never);
    selection.set([second.id], "panel");
    await run("accept");
    expect(accepted()).toEqual([{ ids: [first.id] }]);
  });

  it("is what the editor shows when a key is pressed there", async () => {
    editor.show(candidateUri(STUDY, first) as never);
    selection.set([second.id], "panel");
    await run("accept", { activeDocument: true });
    expect(accepted()).toEqual([{ ids: [first.id] }]);
  });

  it("is nothing of another study: what was selected there is forgotten", async () => {
    const told: number[][] = [];
    selection.set([first.id], "panel");
    selection.onDidChange(({ ids }) => told.push([...ids]));
    studies.current = "/nets/b";
    studiesChanged.fire();
    expect(told).toEqual([[]]);
    await run("accept");
    expect(accepted()).toEqual([]);
    expect(editor.window.showQuickPick).toHaveBeenCalledOnce();
  });

  it("stays selected when the study of a reloaded window is found, and while it is the same one", () => {
    studies.current = null;
    const reloaded = new Selection(studies as never);
    reloaded.set([first.id], "panel");
    for (const study of [STUDY, STUDY]) {
      studies.current = study;
      studiesChanged.fire();
    }
    expect(reloaded.ids).toEqual([first.id]);
  });

  it("is only what it can do anything with; when that is nothing, it says why", async () => {
    await run("accept", { ids: [failed.id, first.id] });
    expect(accepted()).toEqual([{ ids: [first.id] }]);
    for (const target of [{ ids: [failed.id] }, candidateUri(STUDY, failed), promptUri(STUDY, failed)]) {
      await run("accept", target);
    }
    await run("evaluateAgain", { ids: [failed.id] });
    expect(accepted()).toHaveLength(1);
    expect(said()).toEqual([
      ...Array(3).fill("Accept Candidates: Only valid nets that are not accepted yet can be accepted."),
      "Evaluate Again: Only nets whose code passed the check can be evaluated again.",
    ]);
  });

  it("is picked among what fits when what is shown and selected does not", async () => {
    editor.show(candidateUri(STUDY, failed) as never);
    selection.set([failed.id], "panel");
    await run("accept");
    const [items] = editor.window.showQuickPick.mock.calls[0] ?? [];
    expect(items?.map(({ label }) => label).sort()).toEqual(
      all
        .filter((c) => c.outcome === "valid" && c.accepted !== true)
        .map(({ name }) => name)
        .sort(),
    );
  });
});

it("cancelling an export ends the wait, and is no error", async () => {
  const dir = editor.Uri.file("/out");
  Object.assign(editor.window, { showOpenDialog: async () => [dir] });
  request.mockReturnValueOnce(new Promise(() => undefined));
  const exporting = run("exportDataSet");
  await vi.waitFor(() => expect(request).toHaveBeenCalledWith(ExportLemur, { dir: "/out" }));
  editor.cancelProgress();
  await exporting;
  expect(editor.window.showErrorMessage).not.toHaveBeenCalled();
  expect(said()).toEqual([]);
});
