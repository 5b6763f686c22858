/**
 * Candidates as read-only documents: `netwright:/<id>/<Name>.py?<study's folder>`, and what the designer was asked and answered beside it.
 */
import * as vscode from "vscode";
import { GetDetail } from "../engine/protocol.ts";
import { UserError } from "../study/ports.ts";
import type { Candidate } from "../study/types.ts";
import type { Session } from "./session.ts";

export const SCHEME = "netwright";

type Named = Pick<Candidate, "id" | "name">;

export function candidateUri(study: string, { id, name }: Named, file = `${name}.py`): vscode.Uri {
  return vscode.Uri.from({ scheme: SCHEME, path: `/${id}/${file}`, query: study });
}

export function promptUri(study: string, candidate: Named): vscode.Uri {
  return candidateUri(study, candidate, `${candidate.name} prompt.md`);
}

/** The candidate that a document shows; null for other documents. */
export function candidateOf(uri: vscode.Uri | undefined): { study: string; id: number } | null {
  const id = uri?.scheme === SCHEME ? Number(uri.path.split("/")[1]) : Number.NaN;
  return uri && Number.isInteger(id) ? { study: uri.query, id } : null;
}

/** The candidate whose code a document shows; null for other documents, such as what the designer was asked. */
export const codeOf = (uri: vscode.Uri | undefined) => (uri?.path.endsWith(".py") ? candidateOf(uri) : null);

/** Numbers are a study's own: those of another one mean other nets. @throws UserError "other-study". */
export function requireStudy(study: string, session: Session): void {
  if (session.dir === study) return;
  throw new UserError(
    "other-study",
    `This net belongs to the study in ${study}. Choose that one with Netwright: Choose Study.`,
  );
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
          const { dir } = session;
          if (dir) events.push({ type: vscode.FileChangeType.Changed, uri: candidateUri(dir, change.candidate) });
        }
        if (events.length > 0) this.#changed.fire(events);
      }),
    ];
  }

  async readFile(uri: vscode.Uri): Promise<Uint8Array> {
    const candidate = candidateOf(uri);
    if (candidate === null) throw vscode.FileSystemError.FileNotFound(uri);
    const { study, id } = candidate;
    let text: string | null;
    try {
      await this.#session.client();
      requireStudy(study, this.#session);
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
    const { byteLength } = await this.readFile(uri);
    return {
      type: vscode.FileType.File,
      ctime: 0,
      mtime: this.#changedAt.get(candidateOf(uri)?.id ?? 0) ?? 0,
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
