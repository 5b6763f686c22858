/** A client's side: finds a study's engine or starts it, and asks it. */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { CancellationTokenSource, ErrorCodes, type MessageConnection, ResponseError } from "vscode-jsonrpc";
import { createMessageConnection, SocketMessageReader, SocketMessageWriter } from "vscode-jsonrpc/node";
import { UserError } from "../study/ports.ts";
import { engineAddress } from "./address.ts";
import { fileError } from "./file-error.ts";
import * as rpc from "./protocol.ts";
import { VERSION } from "./version.ts";

/** A process that loads a few files and opens a database: far below this on any machine. */
const START_MILLISECONDS = 30_000;
const ENDING_ATTEMPTS = 20;
const LOG_BYTES = 2 ** 20;

export interface EngineOptions {
  /** The study's folder. */
  dir: string;
  /** The engine's program: dist/engine.js. */
  program: string;
  /** The environment of an engine that is started; this process's unless given. */
  env?: NodeJS.ProcessEnv;
}

export class EngineClient {
  readonly #socket: Socket;
  readonly #connection: MessageConnection;
  /** True when this client started the engine. */
  readonly started: boolean;

  constructor(socket: Socket, started: boolean) {
    this.#socket = socket;
    this.started = started;
    this.#connection = createMessageConnection(new SocketMessageReader(socket), new SocketMessageWriter(socket));
    // What cannot be read or written to is given up; only then do requests that wait for an answer fail.
    this.#connection.onError(() => socket.destroy());
    socket.once("close", () => this.#connection.dispose());
    this.#connection.listen();
  }

  /**
   * Connects to the study's engine, and starts it first when none runs.
   * @throws UserError as the engine's start says ("study-config", "store-damaged", "read-only", ...), "engine-busy" when one of
   * another version is at work, "engine-start" when it does not come up.
   */
  static async open(options: EngineOptions, signal: AbortSignal): Promise<EngineClient> {
    let replaced = false;
    for (let attempt = 1; ; attempt++) {
      const running = await EngineClient.connect(options.dir);
      const client = running ?? (await start(options, signal));
      const hello = await client
        .request(rpc.Hello, { protocolVersion: rpc.PROTOCOL_VERSION })
        .catch((error: unknown) => {
          // One that is just ending, or was just killed, still accepts connections.
          if (attempt < ENDING_ATTEMPTS && error instanceof UserError && error.code === "engine-gone") return null;
          throw error;
        });
      if (hello === null) {
        client.close();
        await delay(100, undefined, { signal });
        continue;
      }
      const speaksAlike = hello.protocolVersion === rpc.PROTOCOL_VERSION;
      if (speaksAlike && hello.version === VERSION) return client;
      // One of another version is asked to end: its program may be deleted under it. It does not while it works or serves others.
      const refusal = await client.request(rpc.Shutdown, { force: false }, signal).then(
        () => null,
        (error: unknown) => (error instanceof UserError ? error.code : "busy"),
      );
      if (refusal !== null && speaksAlike) return client;
      client.close();
      if (replaced || refusal !== null || !(await isGone(options.dir, signal))) {
        throw new UserError(
          "engine-busy",
          refusal === "shared"
            ? "An engine of another Netwright version serves this study in another window. Reload or close that window, then try again."
            : "An engine of another Netwright version is at work on this study. Wait until its cycle has ended, or stop it there.",
        );
      }
      replaced = true;
    }
  }

  /** Connects to the study's engine; null when none runs. */
  static async connect(dir: string): Promise<EngineClient | null> {
    const socket = await reach(engineAddress(dir));
    return socket ? new EngineClient(socket, false) : null;
  }

  /** Asks; cancelling asks the engine to stop that work. Failures come back as the UserError or AbortError that the engine met. */
  async request<P, R>(call: rpc.Call<P, R>, parameters: P, signal?: AbortSignal): Promise<R> {
    const cancellation = new CancellationTokenSource();
    const cancel = () => cancellation.cancel();
    signal?.throwIfAborted();
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      return await this.#connection.sendRequest<R>(call.method, parameters, cancellation.token);
    } catch (error) {
      throw localError(error);
    } finally {
      signal?.removeEventListener("abort", cancel);
      cancellation.dispose();
    }
  }

  on<P>(notice: rpc.Notice<P>, handle: (message: P) => void): void {
    this.#connection.onNotification(notice.method, handle);
  }

  /** The engine ended, or the connection broke. */
  onClose(handle: () => void): void {
    this.#socket.once("close", handle);
  }

  close(): void {
    this.#connection.dispose();
    this.#socket.end();
  }
}

/** Nobody is there to answer, or even to be asked. */
const GONE: readonly number[] = [ErrorCodes.PendingResponseRejected, ErrorCodes.MessageWriteError];

function localError(error: unknown): unknown {
  if (!(error instanceof ResponseError) || GONE.includes(error.code)) {
    return new UserError(
      "engine-gone",
      "The engine ended. Start it again by repeating the command; nothing recorded is lost.",
      { cause: error },
    );
  }
  if (error.code === rpc.CANCELLED) return new DOMException("Cancelled", "AbortError");
  const code = (error.data as rpc.ErrorData | undefined)?.code;
  return code ? new UserError(code, error.message) : error;
}

/** Resolves with an open socket, or null when nobody listens there. */
function reach(address: string): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect(address);
    socket.once("connect", () => {
      socket.removeAllListeners("error");
      resolve(socket);
    });
    socket.once("error", () => resolve(null));
  });
}

async function isGone(dir: string, signal: AbortSignal): Promise<boolean> {
  const address = engineAddress(dir);
  for (let waited = 0; waited < 5000; waited += 100) {
    const socket = await reach(address);
    if (!socket) return true;
    socket.destroy();
    await delay(100, undefined, { signal });
  }
  return false;
}

/** Starts the engine as a process of its own, which outlives this one, and waits until it answers. */
async function start(options: EngineOptions, signal: AbortSignal): Promise<EngineClient> {
  const address = engineAddress(options.dir);
  let launched = launch(options);
  try {
    for (let waited = 0; waited < START_MILLISECONDS; waited += 50) {
      const socket = await reach(address);
      if (socket) return new EngineClient(socket, true);
      const { gone, failure } = launched;
      if (failure && failure.code !== "study-busy") throw new UserError(failure.code, failure.message);
      if (gone && !failure) {
        throw new UserError("engine-start", `The engine did not start: ${gone}. Its log is ${logFile(options.dir)}`);
      }
      // Another engine has the study: one that is about to answer, or one that is just ending and leaves it to a new one.
      if (gone && waited % 500 === 0) launched = launch(options);
      await delay(50, undefined, { signal });
    }
    throw new UserError("engine-start", `The engine did not answer in time. Its log is ${logFile(options.dir)}`);
  } catch (error) {
    // Nobody waits for it any more.
    launched.end();
    throw error;
  } finally {
    launched.forget();
  }
}

/** An engine that was started, as far as is known of it. */
interface Launched {
  /** How it ended; null while it lives. */
  readonly gone: string | null;
  /** What it said of why it cannot start. */
  readonly failure: { code: string; message: string } | null;
  forget(): void;
  end(): void;
}

function launch({ dir, program, env = process.env }: EngineOptions): Launched {
  const log = openLog(dir);
  // In an editor's process, execPath is the editor: this variable makes it a plain Node.
  const child = spawn(process.execPath, [program, dir], {
    detached: true,
    stdio: ["ignore", log, log, "pipe"],
    env: { ...env, ELECTRON_RUN_AS_NODE: "1" },
    windowsHide: true,
  });
  closeSync(log);
  child.unref();
  const report = child.stdio[3] as Readable;
  let said = "";
  report.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  let gone: string | null = null;
  child.once("error", (error) => {
    gone = error.message;
  });
  // After "close" nothing more is said.
  child.once("close", (code, killedBy) => {
    gone = `it ended with ${killedBy ?? `exit code ${code}`}`;
  });
  return {
    get gone() {
      return gone;
    },
    get failure() {
      return startFailure(said);
    },
    forget: () => report.destroy(),
    end: () => void child.kill(),
  };
}

/** What an engine that cannot start says on descriptor 3: one line of JSON. */
function startFailure(said: string): { code: string; message: string } | null {
  const end = said.indexOf("\n");
  if (end < 0) return null;
  const { code, message } = JSON.parse(said.slice(0, end)) as { code: string; message: string };
  return { code, message };
}

const logFile = (dir: string) => join(dir, ".netwright", "engine.log");

function openLog(dir: string): number {
  const file = logFile(dir);
  try {
    mkdirSync(join(dir, ".netwright"), { recursive: true });
    if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > LOG_BYTES) rmSync(file);
    return openSync(file, "a");
  } catch (error) {
    throw fileError(error, `write to ${dir}`);
  }
}
