/** Serves an engine to its clients over the study's pipe, numbers what changes, and ends when nobody needs it. */
import { rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { type CancellationToken, ErrorCodes, type MessageConnection, ResponseError } from "vscode-jsonrpc";
import { createMessageConnection, SocketMessageReader, SocketMessageWriter } from "vscode-jsonrpc/node";
import { isCancellation, UserError } from "../study/ports.ts";
import { engineAddress } from "./address.ts";
import type { EngineEvent } from "./events.ts";
import { EngineHost } from "./host.ts";
import * as rpc from "./protocol.ts";
import type { Study } from "./study.ts";
import { VERSION } from "./version.ts";

/** Changes within this time travel together. */
const FLUSH_MILLISECONDS = 80;
/** How often the record is looked at for what other clients (a review from the command line) wrote. */
const POLL_MILLISECONDS = 1000;

/** A client that reads nothing (its terminal sleeps) is let go with this many bytes unread; it connects again and asks anew. */
const UNREAD_BYTES = 16 * 2 ** 20;

const GOES_ON = "The work goes on: another window follows it. Stop it there.";

interface Client {
  connection: MessageConnection;
  socket: Socket;
  /** The candidate whose text it follows. */
  watched: number | null;
}

export class EngineServer {
  readonly #study: Study;
  readonly #host: EngineHost;
  readonly #idleMilliseconds: number;
  readonly #ended: () => void;
  readonly #server: Server;
  readonly #clients = new Set<Client>();
  readonly #pending = new Map<string, rpc.Change>();
  #number = 0;
  #flushing: NodeJS.Timeout | null = null;
  #closing = false;
  #idle: NodeJS.Timeout | undefined;
  #polling: NodeJS.Timeout | undefined;
  /** What other processes had recorded when it was last looked at. */
  #others: { version: number; review: number };

  /** `ended` is called once the engine has closed. */
  constructor(study: Study, options: { idleSeconds: number }, ended: () => void) {
    this.#study = study;
    this.#idleMilliseconds = 1000 * options.idleSeconds;
    this.#ended = ended;
    this.#host = new EngineHost(study, {
      changes: (changes) => this.#changed(changes),
      event: (event) => this.#happened(event),
    });
    this.#others = { version: study.store.othersVersion(), review: study.store.lastReview() };
    this.#server = createServer((socket) => this.#connect(socket));
  }

  /** Listens. The caller holds the study's lock, so that a pipe found there is a dead engine's. */
  async listen(): Promise<void> {
    const address = engineAddress(this.#study.dir);
    if (process.platform !== "win32") rmSync(address, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject).listen(address, resolve);
    });
    this.#polling = setInterval(() => this.#poll(), POLL_MILLISECONDS);
    this.#host.resumeIfKilled();
    this.#watchIdle();
  }

  /** Ends the engine. `goesOn`: the system ends it, not its user; the next engine continues what ran. */
  async close(options = { goesOn: false }): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    clearInterval(this.#polling);
    clearTimeout(this.#idle);
    this.#server.close();
    await this.#host.close(options);
    for (const { connection } of this.#clients) connection.end();
    this.#ended();
  }

  #connect(socket: Socket): void {
    const connection = createMessageConnection(new SocketMessageReader(socket), new SocketMessageWriter(socket));
    const client: Client = { connection, socket, watched: null };
    const host = this.#host;
    const on = <P, R>(type: rpc.Call<P, R>, answer: (parameters: P, token: CancellationToken) => R | Promise<R>) => {
      connection.onRequest(type.method, async (parameters: P, token: CancellationToken): Promise<unknown> => {
        try {
          return await answer(parameters, token);
        } catch (error) {
          throw responseError(error);
        }
      });
    };
    /** Cancelling stops the work, unless it ran already and others follow it too: then it goes on, and the answer says so. */
    const followed = <T>(token: CancellationToken, work: () => Promise<T>): Promise<T> => {
      const ranAlready = host.busy;
      return new Promise((resolve, reject) => {
        token.onCancellationRequested(() => {
          if (ranAlready && this.#clients.size > 1) reject(new UserError("goes-on", GOES_ON));
          else void host.stop();
        });
        work().then(resolve, reject);
      });
    };
    on(rpc.Hello, () => ({ protocolVersion: rpc.PROTOCOL_VERSION, version: VERSION, pid: process.pid }));
    on(rpc.GetSnapshot, () => {
      this.#flush();
      return { number: this.#number, ...host.snapshot() };
    });
    on(rpc.Step, (parameters, token) => followed(token, () => host.step(parameters)));
    on(rpc.Run, (parameters, token) => followed(token, () => host.run(parameters)));
    on(rpc.ResumeRun, (_, token) => followed(token, () => host.resumeRun()));
    on(rpc.Pause, ({ pausing }) => host.pause(pausing));
    on(rpc.PlanTuning, (_, token) => {
      const cancelling = new AbortController();
      token.onCancellationRequested(() => cancelling.abort());
      return host.planTuning(cancelling.signal);
    });
    on(rpc.FineTune, (parameters, token) => {
      token.onCancellationRequested(() => void host.stop());
      return host.fineTune(parameters);
    });
    on(rpc.UseGeneration, ({ generation }) => host.useGeneration(generation));
    on(rpc.DeleteGeneration, ({ generation }) => host.deleteGeneration(generation));
    on(rpc.Stop, () => host.stop());
    on(rpc.Accept, ({ ids }) => host.accept(ids));
    on(rpc.Reject, ({ ids, reason }) => host.reject(ids, reason));
    on(rpc.GetDetail, ({ id }) => host.detail(id));
    on(rpc.Evaluate, (parameters, token) => {
      token.onCancellationRequested(() => void host.stop());
      return host.evaluate(parameters);
    });
    on(rpc.EvaluateAgain, ({ id }, token) => {
      token.onCancellationRequested(() => void host.stop());
      return host.evaluateAgain(id);
    });
    on(rpc.ExportLemur, ({ dir }) => host.exportLemur(dir));
    on(rpc.WriteReport, ({ dir }) => host.writeReport(dir));
    on(rpc.ImportLemur, ({ dir }, token) => {
      token.onCancellationRequested(() => void host.stop());
      return host.importLemur(dir);
    });
    on(rpc.WatchText, ({ id }) => {
      client.watched = id;
      return { text: id === null ? "" : host.text(id) };
    });
    on(rpc.Shutdown, async ({ force }) => {
      if (!force && host.busy) throw new UserError("busy", "The engine is at work on this study.");
      if (!force && this.#clients.size > 1)
        throw new UserError("shared", "Another window uses the engine of this study.");
      setImmediate(() => void this.close());
    });
    this.#clients.add(client);
    this.#watchIdle();
    // One that cannot be read or written to is gone, as one that closed.
    connection.onError(() => socket.destroy());
    socket.once("close", () => {
      connection.dispose();
      this.#clients.delete(client);
      this.#watchIdle();
    });
    connection.listen();
  }

  #changed(changes: rpc.Change[]): void {
    for (const change of changes) {
      const key = change.kind === "candidate" ? `candidate ${change.candidate.id}` : change.kind;
      // The latest of each replaces what has not been sent yet.
      this.#pending.delete(key);
      this.#pending.set(key, change);
    }
    this.#flushing ??= setTimeout(() => this.#flush(), FLUSH_MILLISECONDS);
    this.#watchIdle();
  }

  #flush(): void {
    if (this.#flushing) clearTimeout(this.#flushing);
    this.#flushing = null;
    if (this.#pending.size === 0) return;
    this.#number++;
    const message: rpc.Changes = { number: this.#number, changes: [...this.#pending.values()] };
    this.#pending.clear();
    this.#notify(rpc.DidChange.method, message);
  }

  #happened(event: EngineEvent): void {
    if (event.type !== "text") {
      this.#notify(rpc.DidHappen.method, event);
      return;
    }
    const { id, piece } = event;
    for (const client of this.#clients) if (client.watched === id) send(client, rpc.DidWrite.method, { id, piece });
  }

  #notify(method: string, message: rpc.Changes | EngineEvent): void {
    for (const client of this.#clients) send(client, method, message);
  }

  /** Sends what other processes recorded: reviews, for all else goes through an engine. */
  #poll(): void {
    const { store } = this.#study;
    const version = store.othersVersion();
    if (version === this.#others.version) return;
    const reviewed = store.reviewedSince(this.#others.review);
    this.#others = { version, review: store.lastReview() };
    if (reviewed.length > 0) this.#changed(this.#host.reviewed(reviewed));
  }

  #watchIdle(): void {
    clearTimeout(this.#idle);
    if (this.#closing || this.#clients.size > 0 || this.#host.busy) return;
    this.#idle = setTimeout(() => void this.close(), this.#idleMilliseconds);
  }
}

function send({ connection, socket }: Client, method: string, message: unknown): void {
  if (socket.writableLength > UNREAD_BYTES) socket.destroy();
  else void connection.sendNotification(method, message).catch(() => undefined);
}

function responseError(error: unknown): ResponseError<rpc.ErrorData> {
  if (isCancellation(error)) return new ResponseError(rpc.CANCELLED, "Cancelled", { code: "cancelled" });
  if (error instanceof UserError) return new ResponseError(rpc.FAILED, error.message, { code: error.code });
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new ResponseError(ErrorCodes.InternalError, message, { code: "internal" });
}
