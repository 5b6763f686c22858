/** The connection to the current study's engine, and the copy of its state that views and commands read. */
import * as vscode from "vscode";
import type { Blocked } from "../../webview/shared/contract.ts";
import { applyChanges, fromSnapshot, type Model } from "../../webview/shared/model.ts";
import { EngineClient } from "../engine/client.ts";
import { type Call, type Changes, DidChange, DidWrite, GetSnapshot } from "../engine/protocol.ts";
import { UserError } from "../study/ports.ts";
import type { Studies } from "./studies.ts";

/** An engine that ends again and again has a reason that the user must see. */
const RECONNECTS = 3;
const RECONNECT_WINDOW_MILLISECONDS = 60_000;

export class Session implements vscode.Disposable {
  readonly #studies: Studies;
  readonly #program: string;
  readonly #log: vscode.LogOutputChannel;
  readonly #reset = new vscode.EventEmitter<void>();
  readonly #changes = new vscode.EventEmitter<Changes>();
  readonly #writes = new vscode.EventEmitter<{ id: number; piece: string }>();
  #opening: Promise<EngineClient> | null = null;
  #client: EngineClient | null = null;
  #dir: string | null = null;
  #model: Model | null = null;
  #failure: Blocked | null = null;
  #lost: number[] = [];
  #disposed = new AbortController();

  /** The state was replaced, or is gone. */
  readonly onDidReset = this.#reset.event;
  readonly onDidChange = this.#changes.event;
  readonly onDidWrite = this.#writes.event;

  constructor(studies: Studies, program: string, log: vscode.LogOutputChannel) {
    this.#studies = studies;
    this.#program = program;
    this.#log = log;
    studies.onDidChange(() => {
      if (studies.current !== this.#dir || studies.blocked) this.#drop();
      this.#reset.fire();
    });
  }

  /** The state, when an engine is connected. */
  get model(): Model | null {
    return this.#model;
  }

  /** Why there is no state to show. */
  get blocked(): Blocked | null {
    const why = this.#studies.blocked ?? this.#failure;
    return why ?? (this.#model ? null : { kind: "connecting" });
  }

  /** Connects to an engine that runs already, without starting one. */
  async attach(): Promise<void> {
    const dir = this.#studies.current;
    if (this.#client || this.#opening || !dir || this.#studies.blocked) return;
    const client = await EngineClient.connect(dir);
    if (client) {
      client.close();
      await this.show();
    }
  }

  /** Connects, starting the engine if need be; a failure is shown by the views. */
  async show(): Promise<void> {
    try {
      await this.client();
    } catch (error) {
      this.#log.warn(String(error));
    }
  }

  /** The engine of the current study, started if need be. @throws UserError */
  client(): Promise<EngineClient> {
    if (this.#client) return Promise.resolve(this.#client);
    this.#opening ??= this.#open().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async request<P, R>(call: Call<P, R>, parameters: P, token?: vscode.CancellationToken): Promise<R> {
    const client = await this.client();
    const cancellation = new AbortController();
    if (token?.isCancellationRequested) cancellation.abort();
    const listening = token?.onCancellationRequested(() => cancellation.abort());
    try {
      return await client.request(call, parameters, cancellation.signal);
    } finally {
      listening?.dispose();
    }
  }

  dispose(): void {
    this.#disposed.abort();
    this.#drop();
    for (const emitter of [this.#reset, this.#changes, this.#writes]) emitter.dispose();
  }

  async #open(): Promise<EngineClient> {
    const dir = this.#studies.current;
    if (this.#studies.blocked || !dir) {
      throw new UserError("no-study", "No study is open. Make one with Netwright: New Study.");
    }
    this.#dir = dir;
    try {
      const client = await EngineClient.open({ dir, program: this.#program }, this.#disposed.signal);
      client.on(DidChange, (changes) => void this.#apply(client, changes));
      client.on(DidWrite, (piece) => this.#writes.fire(piece));
      client.onClose(() => void this.#closed(client));
      this.#model = fromSnapshot(await client.request(GetSnapshot, null));
      this.#client = client;
      this.#failure = null;
      this.#log.info(`Connected to the engine of ${dir}${client.started ? ", started for it" : ""}`);
      this.#reset.fire();
      return client;
    } catch (error) {
      const code = error instanceof UserError ? error.code : "internal";
      this.#failure = { kind: "failed", code, message: (error as Error).message };
      this.#reset.fire();
      throw error;
    }
  }

  async #apply(client: EngineClient, changes: Changes): Promise<void> {
    if (!this.#model || client !== this.#client) return;
    const applied = applyChanges(this.#model, changes);
    if (applied === "stale") return;
    if (applied !== "gap") {
      this.#changes.fire(changes);
      return;
    }
    this.#model = fromSnapshot(await client.request(GetSnapshot, null));
    this.#reset.fire();
  }

  /** The engine ended. One that was killed is started again, and resumes its cycle by itself. */
  async #closed(client: EngineClient): Promise<void> {
    if (client !== this.#client) return;
    const wasRunning = this.#model?.activity.state !== "idle";
    this.#client = null;
    this.#model = null;
    this.#log.info("The engine ended");
    this.#reset.fire();
    const now = Date.now();
    this.#lost = [...this.#lost.filter((at) => now - at < RECONNECT_WINDOW_MILLISECONDS), now];
    if (this.#disposed.signal.aborted) return;
    if (this.#lost.length > RECONNECTS) {
      this.#failure = {
        kind: "failed",
        code: "engine-gone",
        message: "The engine keeps ending. Its log is engine.log in the study's .netwright folder.",
      };
      this.#reset.fire();
    } else if (wasRunning) await this.show();
  }

  #drop(): void {
    const client = this.#client;
    this.#client = null;
    this.#model = null;
    this.#failure = null;
    this.#dir = null;
    client?.close();
  }
}
