/** The studies in the open folders, and the one that is shown. */
import { basename } from "node:path";
import * as vscode from "vscode";
import type { Blocked } from "../../webview/shared/contract.ts";

const CHOSEN = "netwright.study";
const FILE = "netwright.json";

export interface FoundStudy {
  dir: string;
  name: string;
}

export class Studies implements vscode.Disposable {
  readonly #memory: vscode.Memento;
  readonly #changed = new vscode.EventEmitter<void>();
  readonly #edited = new vscode.EventEmitter<string>();
  readonly #subscriptions: vscode.Disposable[];
  /** Null until the folders have been looked through. */
  #found: FoundStudy[] | null = null;
  #refreshing: Promise<void> = Promise.resolve();
  readonly onDidChange = this.#changed.event;
  /** The `netwright.json` of the study in this folder was edited. */
  readonly onDidEdit = this.#edited.event;

  constructor(memory: vscode.Memento) {
    this.#memory = memory;
    const watcher = vscode.workspace.createFileSystemWatcher(`**/${FILE}`);
    this.#subscriptions = [
      this.#changed,
      this.#edited,
      watcher,
      watcher.onDidCreate(() => this.refresh()),
      watcher.onDidDelete(() => this.refresh()),
      watcher.onDidChange((file) => this.#edited.fire(folderOf(file))),
      vscode.workspace.onDidChangeWorkspaceFolders(() => this.refresh()),
      vscode.workspace.onDidGrantWorkspaceTrust(() => this.refresh()),
    ];
  }

  /** Looks through the folders again. */
  refresh(): Promise<void> {
    this.#refreshing = this.#refreshing.then(async () => {
      this.#found = vscode.workspace.isTrusted ? await findStudies() : [];
      const keys = { hasStudy: this.current !== null, severalStudies: this.#found.length > 1 };
      for (const [key, value] of Object.entries(keys)) {
        await vscode.commands.executeCommand("setContext", `netwright.${key}`, value);
      }
      this.#changed.fire();
    });
    return this.#refreshing;
  }

  /** Resolves when the folders have been looked through. */
  get ready(): Promise<void> {
    return this.#refreshing;
  }

  get all(): readonly FoundStudy[] {
    return this.#found ?? [];
  }

  /** The chosen study, or the only one. */
  get current(): string | null {
    const chosen = this.#memory.get<string>(CHOSEN);
    if (this.all.some((study) => study.dir === chosen)) return chosen ?? null;
    return this.all.length === 1 ? (this.all[0]?.dir ?? null) : null;
  }

  async choose(dir: string): Promise<void> {
    await this.#memory.update(CHOSEN, dir);
    await this.refresh();
  }

  /** Why there is none to show; null when there is one. */
  get blocked(): Blocked | null {
    if (!vscode.workspace.isTrusted) return { kind: "untrusted" };
    if (!vscode.workspace.workspaceFolders?.length) return { kind: "no-folder" };
    if (this.#found === null) return { kind: "connecting" };
    if (this.current) return null;
    return this.#found.length === 0 ? { kind: "no-study" } : { kind: "several-studies", studies: [...this.#found] };
  }

  dispose(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
  }
}

async function findStudies(): Promise<FoundStudy[]> {
  const files = await vscode.workspace.findFiles(`**/${FILE}`, "**/{node_modules,.venv,dist}/**", 100);
  return (
    files
      // Studies are folders of this machine's file system: the engine is a process here.
      .filter((file) => file.scheme === "file")
      .map(folderOf)
      .sort()
      .map((dir) => {
        const name = vscode.workspace.asRelativePath(dir);
        // A folder that is open itself has no path within one.
        return { dir, name: name === dir ? basename(dir) : name };
      })
  );
}

const folderOf = (file: vscode.Uri) => vscode.Uri.joinPath(file, "..").fsPath;
