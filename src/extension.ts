/** VS Code entry: composes and registers, nothing else. */
import * as vscode from "vscode";
import { type CommandContext, pageActions, registerCommands } from "./editor/commands.ts";
import { CandidateFiles, SCHEME } from "./editor/documents.ts";
import { Dashboard, type PageContext, Panel, Selection } from "./editor/pages.ts";
import { Runs } from "./editor/runs.ts";
import { Session } from "./editor/session.ts";
import { Setup } from "./editor/setup.ts";
import { Status } from "./editor/status.ts";
import { Studies } from "./editor/studies.ts";

export function activate(extension: vscode.ExtensionContext): void {
  const program = (name: string) => extension.asAbsolutePath(`dist/${name}.js`);
  const log = vscode.window.createOutputChannel("Netwright", { log: true });
  const studies = new Studies(extension.workspaceState);
  const session = new Session(studies, program("engine"), log);
  const setup = new Setup(studies, program("cli"), log);
  const selection = new Selection(studies);
  const runs = new Runs(session, extension.workspaceState);
  const files = new CandidateFiles(session);
  const commands: CommandContext = {
    session,
    studies,
    selection,
    setup,
    runs,
    panel: () => panel,
    dashboard: () => dashboard,
    log,
  };
  const page: PageContext = {
    extension: extension.extensionUri,
    session,
    studies,
    selection,
    actions: pageActions(commands),
    log,
  };
  const panel = new Panel(page);
  const dashboard = new Dashboard(page);
  extension.subscriptions.push(
    log,
    studies,
    session,
    selection,
    runs,
    files,
    dashboard,
    new Status(session, runs),
    registerCommands(commands),
    vscode.workspace.registerFileSystemProvider(SCHEME, files, { isReadonly: true }),
    vscode.window.registerWebviewViewProvider(Panel.view, panel),
    vscode.window.registerWebviewPanelSerializer("netwright.dashboard", {
      deserializeWebviewPanel: async (panel) => dashboard.adopt(panel),
    }),
  );
  // An engine that runs already is then shown; none is started for that.
  void studies.refresh();
}
