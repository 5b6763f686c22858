/** The connection to the current study's engine, and the copy of its state that views and commands read. */
import * as vscode from "vscode";
import type { Blocked } from "../../webview/shared/contract.ts";
import type { Model } from "../../webview/shared/model.ts";
import type { EngineClient } from "../engine/client.ts";
import {
  type Call,
  type Changes,
  DidChange,
  DidWrite,
  GetSnapshot,
  Shutdown,
  type Snapshot,
} from "../engine/protocol.ts";
import { UserError } from "../study/ports.ts";
import { childEnvironment, ENVIRONMENT_SETTINGS } from "./environment.ts";
import { Replica } from "./replica.ts";
import type { Studies } from "./studies.ts";

/** An engine that ends again and again has a reason that the user must see. */
const RECONNECTS = 3;
const RECONNECT_WINDOW_MILLISECONDS = 60_000;

/** Loaded by the first study: most of the extension's code is what talks with the engine. */
const engines = async () => (await import("../engine/client.ts")).EngineClient;

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
  #replica: Replica | null = null;
  #failure: Blocked | null = null;
  #lost: number[] = [];
  readonly #disposed = new AbortController();
  readonly #subscriptions: vscode.Disposable[];

  /** The state was replaced, or is gone. */
  readonly onDidReset = this.#reset.event;
  readonly onDidChange = this.#changes.event;
  readonly onDidWrite = this.#writes.event;

  constructor(studies: Studies, program: string, log: vscode.LogOutputChannel) {
    this.#studies = studies;
    this.#program = program;
    this.#log = log;
    this.#subscriptions = [
      this.#reset,
      this.#changes,
      this.#writes,
      studies.onDidChange(() => {
        if (studies.current !== this.#dir || studies.blocked) this.#drop();
        this.#reset.fire();
        void this.attach();
      }),
      studies.onDidEdit((dir) => {
        if (dir === this.#dir) this.retry();
      }),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (ENVIRONMENT_SETTINGS.some((setting) => event.affectsConfiguration(setting))) void this.#restart();
      }),
    ];
  }

  /** The state, when an engine is connected. */
  get model(): Model | null {
    return this.#replica?.model ?? null;
  }

  /** Why there is no state to show. */
  get blocked(): Blocked | null {
    const why = this.#studies.blocked ?? this.#failure;
    return why ?? (this.#replica ? null : { kind: "connecting" });
  }

  /** The study's folder, while its state is there. */
  get dir(): string | null {
    return this.#replica && this.#dir;
  }

  /** Connects to an engine that runs already, without starting one. */
  async attach(): Promise<void> {
    const dir = this.#studies.current;
    if (this.#client || this.#opening || !dir || this.#studies.blocked) return;
    const client = await engines()
      .then((engine) => engine.connect(dir))
      .catch(() => null);
    if (client) {
      client.close();
      await this.show();
    }
  }

  /** Forgets a failure: whoever shows the state asks for it anew. */
  retry(): void {
    if (!this.#failure) return;
    this.#failure = null;
    this.#lost = [];
    this.#reset.fire();
  }

  /** Connects, starting the engine if need be; a failure is shown by the views. */
  async show(): Promise<void> {
    await this.#studies.ready;
    if (this.#studies.blocked) return;
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

  /** Connects like {@link client}, and answers the study's folder. */
  async open(): Promise<string> {
    await this.client();
    if (!this.#dir) throw new UserError("no-study", "Another study was chosen meanwhile. Repeat the command.");
    return this.#dir;
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
    for (const subscription of this.#subscriptions) subscription.dispose();
  }

  async #open(): Promise<EngineClient> {
    await this.#studies.ready;
    const dir = this.#studies.current;
    if (this.#studies.blocked || !dir) {
      throw new UserError("no-study", "No study is open. Make one with Netwright: New Study.");
    }
    this.#dir = dir;
    try {
      const client = await (await engines()).open(
        { dir, program: this.#program, env: childEnvironment(vscode.workspace) },
        this.#disposed.signal,
      );
      client.on(DidChange, (changes) => {
        if (client === this.#client) this.#replica?.take(changes);
      });
      client.on(DidWrite, (piece) => this.#writes.fire(piece));
      const snapshot = await client.request(GetSnapshot, null);
      if (dir !== this.#studies.current || this.#studies.blocked) {
        // Another one was chosen meanwhile.
        client.close();
        return this.#open();
      }
      client.onClose(() => void this.#closed(client));
      this.#replica = this.#replicaOf(client, snapshot);
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

  #replicaOf(client: EngineClient, snapshot: Snapshot): Replica {
    // Once another study was chosen, nothing of this one is told.
    const current = () => client === this.#client;
    return new Replica(snapshot, () => client.request(GetSnapshot, null), {
      changed: (changes) => current() && this.#changes.fire(changes),
      replaced: () => current() && this.#reset.fire(),
      failed: (error) => this.#log.warn(String(error)),
    });
  }

  /** The engine ended. One that was killed is started again, and resumes its cycle by itself. */
  async #closed(client: EngineClient): Promise<void> {
    if (client !== this.#client) return;
    const wasRunning = this.model?.activity.state !== "idle";
    this.#client = null;
    this.#replica = null;
    this.#log.info("The engine ended");
    const now = Date.now();
    this.#lost = [...this.#lost.filter((at) => now - at < RECONNECT_WINDOW_MILLISECONDS), now];
    if (this.#lost.length > RECONNECTS) {
      this.#failure = {
        kind: "failed",
        code: "engine-gone",
        message: "The engine keeps ending. Its log is engine.log in the study's .netwright folder.",
      };
    }
    this.#reset.fire();
    if (wasRunning && !this.#failure) await this.show();
  }

  /** An engine keeps the environment it was started with. One that is at work keeps it until it ends. */
  async #restart(): Promise<void> {
    const client = this.#client;
    if (client && this.model?.activity.state === "idle") {
      await client.request(Shutdown, { force: false }).catch((error) => this.#log.warn(String(error)));
    }
    this.retry();
  }

  #drop(): void {
    const client = this.#client;
    this.#client = null;
    this.#replica = null;
    this.#failure = null;
    this.#dir = null;
    client?.close();
  }
}
