/** Set-up without a terminal: what is there, what is missing, and installing it after asking. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import * as vscode from "vscode";
import { withoutCommands } from "../../webview/shared/fixes.ts";
import type { Finding } from "../engine/doctor.ts";
import type { MissingPart } from "../engine/setup.ts";
import { UserError } from "../study/ports.ts";
import { runCommand } from "./child.ts";
import { childEnvironment } from "./environment.ts";
import { busy } from "./progress.ts";
import { findInterpreter } from "./python.ts";
import type { Studies } from "./studies.ts";

export class Setup {
  readonly #studies: Studies;
  /** dist/cli.js */
  readonly #program: string;
  readonly #log: vscode.LogOutputChannel;

  constructor(studies: Studies, program: string, log: vscode.LogOutputChannel) {
    this.#studies = studies;
    this.#program = program;
    this.#log = log;
  }

  /** True when everything is there; what is missing is installed first, when the user agrees. */
  async ensure(): Promise<boolean> {
    const { parts } = await busy("Looking whether everything is there", async () =>
      runCommand<{ parts: MissingPart[] }>(["setup", "--dry-run", ...this.#study()], await this.#options()),
    );
    if (parts.length === 0) return true;
    const detail = parts.map(({ what, bytes }) => `• ${what}${bytes ? `, ${size(bytes)}` : ""}`).join("\n");
    const install = "Install";
    const answer = await vscode.window.showInformationMessage(
      "Netwright needs a few things before it can run.",
      { modal: true, detail: `${detail}\n\nThey go into a folder of their own; nothing else on this machine changes.` },
      install,
    );
    if (answer !== install) return false;
    await this.#install();
    return true;
  }

  /** Lists what was found; what can be mended is mended when it is picked. */
  async check(): Promise<void> {
    const options = await this.#options();
    const findings = await vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title: "Checking the set-up", cancellable: true },
      (_, token) => runCommand<Finding[]>(["doctor", ...this.#study()], { ...options, token }),
    );
    const icons = { ok: "pass", note: "info", missing: "error" };
    const items = findings.map((finding) => ({
      label: `$(${icons[finding.state]}) ${finding.what}`,
      description: finding.found,
      detail: withoutCommands(finding.remedy ?? ""),
      finding,
    }));
    const picked = await vscode.window.showQuickPick(items, {
      title: "Netwright: Check Setup",
      placeHolder: findings.some((f) => f.state === "missing")
        ? "Pick what is missing to mend it"
        : "Everything that is needed is there",
      matchOnDescription: true,
    });
    if (picked) await this.#mend(picked.finding);
  }

  async #mend(finding: Finding): Promise<void> {
    if (finding.state === "ok") return;
    if (finding.fix === "install") {
      await this.ensure();
    } else if (finding.fix === "settings") {
      await vscode.commands.executeCommand("workbench.action.openSettings", "netwright");
    } else if (finding.fix === "study") {
      await vscode.commands.executeCommand("netwright.openConfig");
    } else if (finding.remedy) {
      const copy = "Copy";
      const answer = await vscode.window.showInformationMessage(finding.remedy, copy);
      if (answer === copy) await vscode.env.clipboard.writeText(finding.remedy);
    }
  }

  async #install(): Promise<void> {
    const options = await this.#options();
    await vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title: "Netwright", cancellable: true },
      (progress, token) =>
        runCommand(["setup", ...this.#study()], {
          ...options,
          token,
          onObject: (object) => {
            if (object.type !== "setup" || typeof object.what !== "string") return;
            const total = typeof object.total === "number" && object.total > 0 ? object.total : null;
            const share = total ? ` ${Math.floor((100 * Number(object.done)) / total)} %` : "";
            progress.report({ message: `${object.what}${share}` });
          },
        }),
    );
    vscode.window.setStatusBarMessage("$(check) Netwright is ready", 4000);
  }

  /** Asks for a folder and a data set, and makes the study. */
  async newStudy(): Promise<void> {
    const folders = foldersOnDisk();
    if (folders.length === 0) {
      await vscode.commands.executeCommand("vscode.openFolder");
      return;
    }
    const folder = folders.length === 1 ? folders[0] : await chooseFolder();
    if (!folder) return;
    const name = await vscode.window.showInputBox({
      title: "New Study",
      prompt: `A folder in ${folder.name} for the study; its name is the study's`,
      value: "study",
      // The page that asked, as the walkthrough does, may take the focus back.
      ignoreFocusOut: true,
      validateInput: (text) =>
        /^[A-Za-z][A-Za-z0-9_-]{0,39}$/.test(text) ? null : "A letter, then letters, digits, - or _ (40 at most)",
    });
    if (!name) return;
    const data = await chooseData();
    if (!data) return;
    const dir = join(folder.uri.fsPath, name);
    await mkdir(folder.uri.fsPath, { recursive: true });
    const { file } = await runCommand<{ file: string }>(["init", dir, "--data", data], await this.#options());
    this.#log.info(`Made ${file}`);
    await this.#studies.choose(dir);
    await vscode.window.showTextDocument(vscode.Uri.file(file));
    await vscode.commands.executeCommand("netwright.focusPanel");
  }

  #study(): string[] {
    return this.#studies.current ? ["--study", this.#studies.current] : [];
  }

  /** The Python extension's interpreter is the base of an environment that is made now, where it fits; an engine finds that environment there. */
  async #options() {
    const env = childEnvironment(vscode.workspace);
    const { current } = this.#studies;
    const folder = current ? vscode.Uri.file(current) : foldersOnDisk()[0]?.uri;
    const python = env.NETWRIGHT_PYTHON ? null : await findInterpreter(vscode.extensions, folder);
    return {
      program: this.#program,
      env: python ? { ...env, NETWRIGHT_PREFERRED_PYTHON: python } : env,
      ...(folder ? { cwd: folder.fsPath } : {}),
    };
  }
}

/** A study is a folder of this machine's file system; a workspace may have others besides. */
const foldersOnDisk = () => (vscode.workspace.workspaceFolders ?? []).filter(({ uri }) => uri.scheme === "file");

async function chooseFolder(): Promise<vscode.WorkspaceFolder | undefined> {
  const options = { placeHolder: "In which folder will the study be?", ignoreFocusOut: true };
  const folder = await vscode.window.showWorkspaceFolderPick(options);
  if (!folder || folder.uri.scheme === "file") return folder;
  throw new UserError("not-on-disk", `${folder.name} is not on this machine's disk. Choose a folder that is.`);
}

async function chooseData(): Promise<string | null> {
  const picked = await vscode.window.showQuickPick(
    [
      { label: "CIFAR-10", description: "60,000 photographs, 170 MB, from its own source", data: "cifar10" },
      {
        label: "Fashion-MNIST",
        description: "70,000 pictures of clothes, 31 MB, from its own source",
        data: "fashion-mnist",
      },
      { label: "Digits", description: "1,797 handwritten digits; nothing to download", data: "digits" },
      { label: "CIFAR-10 from a File or Folder...", description: "an archive, or train/<class>/*.jpg", data: null },
    ],
    { title: "New Study", placeHolder: "What do the nets learn from?", ignoreFocusOut: true },
  );
  if (!picked || picked.data) return picked?.data ?? null;
  const file = await vscode.window.showOpenDialog({
    title: "CIFAR-10",
    canSelectFiles: true,
    canSelectFolders: true,
    openLabel: "Use",
  });
  return file?.[0]?.fsPath ?? null;
}

function size(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.ceil(bytes / 1e6)} MB`;
}
