/** Where a study is made, and what the command line is run with: a real child that says what it was given. */
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Setup } from "../../src/editor/setup.ts";
import * as editor from "./vscode.ts";

vi.mock("vscode", () => import("./vscode.ts"));

let home: string;
let setup: Setup;
const studies = { current: null as string | null, choose: vi.fn() };

beforeEach(() => {
  vi.clearAllMocks();
  vi.stubEnv("NETWRIGHT_PYTHON", undefined);
  home = realpathSync(mkdtempSync(join(tmpdir(), "netwright-editor-")));
  for (const folder of ["first", "second"]) mkdirSync(join(home, folder));
  const program = join(home, "said.mjs");
  const said =
    "{ args: process.argv.slice(2), cwd: process.cwd(), python: process.env.NETWRIGHT_PREFERRED_PYTHON ?? null }";
  writeFileSync(
    program,
    `import { writeFileSync } from "node:fs";
    writeFileSync(${JSON.stringify(join(home, "said.json"))}, JSON.stringify(${said}));
    console.log(JSON.stringify({ parts: [], file: "netwright.json" }));`,
  );
  studies.current = null;
  setup = new Setup(studies as never, program, { info: () => undefined } as never);
  editor.window.showInputBox.mockResolvedValue("study");
  editor.window.showQuickPick.mockImplementation(async (items) => items[0]);
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(home, { recursive: true });
});

const folder = (name: string, scheme = "file") => ({ name, uri: editor.Uri.from({ scheme, path: join(home, name) }) });
const said = () => JSON.parse(readFileSync(join(home, "said.json"), "utf8"));

it("a new study goes into the only folder on disk, past those that are not", async () => {
  editor.workspace.workspaceFolders = [folder("remote", "memfs"), folder("second")];
  await setup.newStudy();
  expect(editor.window.showWorkspaceFolderPick).not.toHaveBeenCalled();
  expect(said()).toMatchObject({ args: ["init", join(home, "second", "study"), "--data", "cifar10", "--json"] });
  expect(said().cwd).toBe(join(home, "second"));
});

it("of several folders the user picks the one for a new study; one that is not on disk is refused", async () => {
  editor.workspace.workspaceFolders = [folder("first"), folder("second"), folder("remote", "memfs")];
  editor.window.showWorkspaceFolderPick.mockResolvedValueOnce(folder("second"));
  await setup.newStudy();
  expect(said().args[1]).toBe(join(home, "second", "study"));
  expect(studies.choose).toHaveBeenCalledExactlyOnceWith(join(home, "second", "study"));
  editor.window.showWorkspaceFolderPick.mockResolvedValueOnce(folder("remote", "memfs"));
  await expect(setup.newStudy()).rejects.toMatchObject({ code: "not-on-disk" });
  await setup.newStudy();
  expect(studies.choose).toHaveBeenCalledOnce();
});

it("prefers the interpreter that is selected for the study's folder, unless one is named", async () => {
  const scopes: unknown[] = [];
  const getEnvironment = async ({ fsPath }: { fsPath: string }) => {
    scopes.push(fsPath);
    return { execInfo: { run: { executable: "/its/python" } } };
  };
  editor.extensions.getExtension.mockReturnValue({ activate: async () => ({ getEnvironment }) });
  editor.workspace.workspaceFolders = [folder("first"), folder("second")];
  studies.current = join(home, "second");
  expect(await setup.ensure()).toBe(true);
  // Starting the command line takes a while: the panel and the status bar say so.
  expect(editor.window.withProgress.mock.calls.map(([options]) => options)).toEqual([
    { location: { viewId: "netwright.panel" } },
    { location: editor.ProgressLocation.Window, title: expect.stringContaining("everything is there") },
  ]);
  expect(scopes).toEqual([join(home, "second")]);
  expect(said()).toMatchObject({ python: "/its/python", cwd: join(home, "second") });
  vi.stubEnv("NETWRIGHT_PYTHON", "/mine/python");
  await setup.ensure();
  expect(said()).toMatchObject({ python: null });
});
