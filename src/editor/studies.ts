/** The studies in the open folders, and the one that is shown. */
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
  readonly #watcher: vscode.FileSystemWatcher;
  readonly #subscriptions: vscode.Disposable[];
  #found: FoundStudy[] = [];
  readonly onDidChange = this.#changed.event;

  constructor(memory: vscode.Memento) {
    this.#memory = memory;
    this.#watcher = vscode.workspace.createFileSystemWatcher(`**/${FILE}`, false, true, false);
    this.#subscriptions = [
      this.#changed,
      this.#watcher,
      this.#watcher.onDidCreate(() => this.refresh()),
      this.#watcher.onDidDelete(() => this.refresh()),
      vscode.workspace.onDidChangeWorkspaceFolders(() => this.refresh()),
    ];
  }

  async refresh(): Promise<void> {
    const files = await vscode.workspace.findFiles(`**/${FILE}`, "**/{node_modules,.venv,dist}/**", 100);
    this.#found = files
      // Studies are folders of this machine's file system: the engine is a process here.
      .filter((file) => file.scheme === "file")
      .map((file) => vscode.Uri.joinPath(file, "..").fsPath)
      .sort()
      .map((dir) => ({ dir, name: vscode.workspace.asRelativePath(dir) }));
    await vscode.commands.executeCommand("setContext", "netwright.hasStudy", this.current !== null);
    this.#changed.fire();
  }

  get all(): readonly FoundStudy[] {
    return this.#found;
  }

  /** The chosen study, or the only one. */
  get current(): string | null {
    const chosen = this.#memory.get<string>(CHOSEN);
    if (this.#found.some((study) => study.dir === chosen)) return chosen ?? null;
    return this.#found.length === 1 ? (this.#found[0]?.dir ?? null) : null;
  }

  async choose(dir: string): Promise<void> {
    await this.#memory.update(CHOSEN, dir);
    await this.refresh();
  }

  /** Why there is none to show; null when there is one. */
  get blocked(): Blocked | null {
    if (!vscode.workspace.isTrusted) return { kind: "untrusted" };
    if (!vscode.workspace.workspaceFolders?.length) return { kind: "no-folder" };
    if (this.current) return null;
    return this.#found.length === 0 ? { kind: "no-study" } : { kind: "several-studies", studies: [...this.#found] };
  }

  dispose(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
  }
}
