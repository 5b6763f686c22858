/** The little of the editor's API that the editor's own modules touch in these tests; the tests in a real editor have all of it. */
import { vi } from "vitest";

type Listener<T> = (value: T) => void;

export class EventEmitter<T> {
  readonly #listeners = new Set<Listener<T>>();
  readonly event = (listener: Listener<T>): Disposable => {
    this.#listeners.add(listener);
    return new Disposable(() => this.#listeners.delete(listener));
  };
  fire(value: T): void {
    for (const listener of this.#listeners) listener(value);
  }
  dispose(): void {
    this.#listeners.clear();
  }
}

export class Disposable {
  readonly dispose: () => void;
  constructor(dispose: () => void) {
    this.dispose = dispose;
  }
  static from(...parts: { dispose(): void }[]): Disposable {
    return new Disposable(() => {
      for (const part of parts) part.dispose();
    });
  }
}

export class CancellationError extends Error {}

export class Uri {
  readonly scheme: string;
  readonly path: string;
  readonly query: string;
  private constructor({ scheme, path, query = "" }: { scheme: string; path: string; query?: string }) {
    this.scheme = scheme;
    this.path = path;
    this.query = query;
  }
  static from(parts: { scheme: string; path: string; query?: string }): Uri {
    return new Uri(parts);
  }
  static file(path: string): Uri {
    return new Uri({ scheme: "file", path });
  }
  get fsPath(): string {
    return this.path;
  }
}

export class FileSystemError extends Error {}
export const ProgressLocation = { Window: 10, Notification: 15 };

export interface TextEditor {
  document: { uri: Uri };
}
const activeEditor = new EventEmitter<TextEditor | undefined>();
const editorSelection = new EventEmitter<{ textEditor: TextEditor }>();
type Pickable = { label: string };
const message = () => vi.fn(async (_text: string, ..._rest: unknown[]): Promise<string | undefined> => undefined);

export const window = {
  activeTextEditor: undefined as TextEditor | undefined,
  onDidChangeActiveTextEditor: activeEditor.event,
  onDidChangeTextEditorSelection: editorSelection.event,
  showErrorMessage: message(),
  showInformationMessage: message(),
  showWarningMessage: message(),
  setStatusBarMessage: vi.fn(),
  showTextDocument: vi.fn(),
  showInputBox: vi.fn(async (): Promise<string | undefined> => undefined),
  showWorkspaceFolderPick: vi.fn(async (): Promise<WorkspaceFolder | undefined> => undefined),
  showQuickPick: vi.fn(async (_items: Pickable[]): Promise<Pickable | Pickable[] | undefined> => undefined),
  withProgress: vi.fn((_: object, work: (progress: unknown, token: unknown) => unknown) =>
    work({ report: () => undefined }, { onCancellationRequested: cancelling.event }),
  ),
};

const cancelling = new EventEmitter<void>();
/** Presses the Cancel of whatever shows its progress. */
export const cancelProgress = (): void => cancelling.fire();

/** Brings an editor to the front. */
export function show(uri: Uri | undefined): void {
  window.activeTextEditor = uri && { document: { uri } };
  activeEditor.fire(window.activeTextEditor);
}

/** A click into the text of the active editor. */
export function clickIntoText(): void {
  if (window.activeTextEditor) editorSelection.fire({ textEditor: window.activeTextEditor });
}

export interface WorkspaceFolder {
  name: string;
  uri: Uri;
}

export const workspace = {
  isTrusted: true,
  workspaceFolders: undefined as WorkspaceFolder[] | undefined,
  /** Nothing is set. */
  getConfiguration: () => ({ get: (_: string, fallback: unknown) => fallback }),
};

export const extensions = { getExtension: vi.fn((_id: string): unknown => undefined) };

const registered = new Map<string, (target?: unknown) => unknown>();
export const commands = {
  registerCommand(name: string, run: (target?: unknown) => unknown): Disposable {
    registered.set(name, run);
    return new Disposable(() => registered.delete(name));
  },
  /** Those of the workbench do nothing. */
  executeCommand: vi.fn(async (name: string, target?: unknown): Promise<unknown> => registered.get(name)?.(target)),
};
export const registeredCommands = () => [...registered.keys()];
