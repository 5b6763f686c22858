/** Candidates as read-only documents: `netwright:/<id>/<Name>.py`, and what the designer was asked and answered beside it. */
import * as vscode from "vscode";
import { GetDetail } from "../engine/protocol.ts";
import type { Candidate } from "../study/types.ts";
import type { Session } from "./session.ts";

export const SCHEME = "netwright";

export function candidateUri({ id, name }: Pick<Candidate, "id" | "name">, file = `${name}.py`): vscode.Uri {
  return vscode.Uri.from({ scheme: SCHEME, path: `/${id}/${file}` });
}

/** The candidate that a document shows; null for other documents. */
export function candidateId(uri: vscode.Uri | undefined): number | null {
  const id = uri?.scheme === SCHEME ? Number(uri.path.split("/")[1]) : Number.NaN;
  return Number.isInteger(id) ? id : null;
}

export class CandidateFiles implements vscode.FileSystemProvider, vscode.Disposable {
  readonly #session: Session;
  readonly #changed = new vscode.EventEmitter<vscode.FileChangeEvent[]>();
  readonly #subscriptions: vscode.Disposable[];
  readonly #changedAt = new Map<number, number>();
  readonly onDidChangeFile = this.#changed.event;

  constructor(session: Session) {
    this.#session = session;
    this.#subscriptions = [
      this.#changed,
      session.onDidChange(({ changes }) => {
        const events: vscode.FileChangeEvent[] = [];
        for (const change of changes) {
          if (change.kind !== "candidate") continue;
          this.#changedAt.set(change.candidate.id, Date.now());
          events.push({ type: vscode.FileChangeType.Changed, uri: candidateUri(change.candidate) });
        }
        if (events.length > 0) this.#changed.fire(events);
      }),
    ];
  }

  async readFile(uri: vscode.Uri): Promise<Uint8Array> {
    const id = candidateId(uri);
    if (id === null) throw vscode.FileSystemError.FileNotFound(uri);
    let text: string | null;
    try {
      const { code, attempts } = await this.#session.request(GetDetail, { id });
      if (uri.path.endsWith(".py")) text = code ?? "# The designer has written no code for this candidate.\n";
      else {
        text = attempts
          .map(({ number, prompt, reply, model, sampling }) => {
            const asked = prompt.messages.map((m) => `### ${m.role}\n\n${m.content}`).join("\n\n");
            const settings = `${model}, seed ${sampling.seed}, temperature ${sampling.temperature}, ${reply.tokens} tokens in ${reply.seconds.toFixed(1)} s`;
            return `# ${number === 1 ? "Design" : "Repair"} (${settings})\n\n${asked}\n\n### answer\n\n${reply.text}`;
          })
          .join("\n\n");
        text ||= "The designer was not asked for this net.\n";
      }
    } catch (error) {
      throw vscode.FileSystemError.Unavailable((error as Error).message);
    }
    return Buffer.from(text);
  }

  async stat(uri: vscode.Uri): Promise<vscode.FileStat> {
    const id = candidateId(uri);
    if (id === null) throw vscode.FileSystemError.FileNotFound(uri);
    const { byteLength } = await this.readFile(uri);
    return {
      type: vscode.FileType.File,
      ctime: 0,
      mtime: this.#changedAt.get(id) ?? 0,
      size: byteLength,
      permissions: vscode.FilePermission.Readonly,
    };
  }

  watch(): vscode.Disposable {
    // Changes of all candidates are told anyway.
    return { dispose: () => undefined };
  }

  readDirectory(): [string, vscode.FileType][] {
    return [];
  }

  createDirectory(uri: vscode.Uri): never {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  writeFile(uri: vscode.Uri): never {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  delete(uri: vscode.Uri): never {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  rename(uri: vscode.Uri): never {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  dispose(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
  }
}
