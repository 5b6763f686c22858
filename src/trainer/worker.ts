/** The worker process seen from this side: requests with promises, cancelling, restarts, and an end without remains. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { UserError } from "../study/ports.ts";
import {
  type Event,
  eventSchema,
  type Ready,
  type Request,
  type RunProgress,
  type RunRequest,
  type RunResult,
  resultId,
} from "./protocol.ts";

/** How the worker is started. It reads requests on descriptor 3 and writes events on descriptor 4. */
export interface Command {
  file: string;
  args: string[];
  env: NodeJS.ProcessEnv;
}

const READY_MS = 300_000;
/** A request waits for a process; three may fail to start, two minutes each. */
const WAIT_MS = 400_000;
/** The worker ends a candidate at its limit; this long after it, the worker itself is taken for hung. */
const OVERDUE_MS = 10_000;
const CLOSE_MS = 3_000;
const LOG_BYTES = 8_192;
/** The worker passes on no message above 4 MiB, and a result has at most two such parts. */
const LINE_BYTES = 16 << 20;
const RESTARTS_IN_A_ROW = 3;

interface Pending {
  request: RunRequest;
  resolve(result: RunResult): void;
  reject(error: unknown): void;
  onProgress: ((progress: RunProgress) => void) | undefined;
  /** Times the worker died while this candidate ran. */
  deaths: number;
  running: boolean;
  timer: NodeJS.Timeout | null;
}

export class TrainerWorker {
  readonly #command: Command;
  readonly #pending = new Map<number, Pending>();
  #process: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();
  #nextId = 1;
  #restarts = 0;
  #closed = false;
  #broken: UserError | null = null;
  #log = "";
  #onReady: ((ready: Ready) => void) | null = null;
  #wasReady = false;

  private constructor(command: Command) {
    this.#command = command;
  }

  /**
   * Starts the process and waits until a candidate could run at once.
   * @throws UserError "trainer-failed" with the end of the worker's log; AbortError.
   */
  static async start(command: Command, signal: AbortSignal): Promise<{ worker: TrainerWorker; ready: Ready }> {
    signal.throwIfAborted();
    const worker = new TrainerWorker(command);
    try {
      const ready = await new Promise<Ready>((resolve, reject) => {
        const timer = setTimeout(() => reject(worker.#failure("it did not get ready in 5 minutes")), READY_MS);
        const abort = () => settle(() => reject(abortError(signal)));
        const settle = (then: () => void) => {
          clearTimeout(timer);
          signal.removeEventListener("abort", abort);
          then();
        };
        signal.addEventListener("abort", abort);
        worker.#onReady = (event) => settle(() => resolve(event));
        worker.#spawn();
        worker.#exited.then(() => settle(() => reject(worker.#broken ?? worker.#failure("it ended"))));
      });
      return { worker, ready };
    } catch (error) {
      await worker.close();
      throw error;
    }
  }

  /**
   * Runs one candidate. Rejects with an AbortError as soon as `signal` fires, the candidate's process being killed, and with
   * a UserError when the worker cannot be kept alive.
   */
  run(request: RunRequest, signal: AbortSignal, onProgress?: (progress: RunProgress) => void): Promise<RunResult> {
    return new Promise<RunResult>((resolve, reject) => {
      if (signal.aborted) return reject(abortError(signal));
      if (this.#broken || this.#closed) return reject(this.#broken ?? new Error("the trainer is closed"));
      const id = this.#nextId++;
      const done = () => {
        const pending = this.#pending.get(id);
        if (pending?.timer) clearTimeout(pending.timer);
        this.#pending.delete(id);
        signal.removeEventListener("abort", abort);
      };
      const abort = () => {
        done();
        this.#send({ type: "cancel", id });
        reject(abortError(signal));
      };
      signal.addEventListener("abort", abort);
      this.#pending.set(id, {
        request,
        resolve: (result) => {
          done();
          resolve(result);
        },
        reject: (error) => {
          done();
          reject(error);
        },
        onProgress,
        deaths: 0,
        running: false,
        timer: null,
      });
      this.#submit(id);
    });
  }

  /** Ends the process and all of its candidates; pending runs reject. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const pending of [...this.#pending.values()]) pending.reject(new Error("the trainer was closed"));
    const child = this.#process;
    if (child) {
      requests(child).end();
      const timer = setTimeout(() => child.kill("SIGKILL"), CLOSE_MS);
      await this.#exited;
      clearTimeout(timer);
    }
  }

  #spawn(): void {
    const { file, args, env } = this.#command;
    this.#log = "";
    // A session of its own: Ctrl-C in a terminal is for the program that owns the worker, not for the worker.
    const child = spawn(file, args, {
      env,
      cwd: "/",
      detached: true,
      stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
    });
    this.#process = child;
    this.#exited = new Promise((resolve) => {
      child.once("error", (error) => {
        // Without a process there is no "close".
        this.#log = error.message;
        if (child.pid === undefined) resolve();
      });
      child.once("close", () => resolve());
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#log = (this.#log + text).slice(-LOG_BYTES);
    });
    requests(child).on("error", () => {}); // it has died, which "close" tells
    let line = "";
    (child.stdio[4] as Readable).setEncoding("utf8").on("data", (text: string) => {
      const lines = (line + text).split("\n");
      line = lines.pop() ?? "";
      for (const complete of lines) this.#hear(complete);
      if (line.length > LINE_BYTES) child.kill("SIGKILL");
    });
    this.#exited.then(() => this.#died());
  }

  #send(request: Request): void {
    if (this.#process) requests(this.#process).write(`${JSON.stringify(request)}\n`);
  }

  #submit(id: number): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    pending.running = false;
    this.#expectWithin(pending, WAIT_MS);
    this.#send({ ...pending.request, id });
  }

  /** The backstop: a worker that lets a limit pass is killed, and with it all that it runs. */
  #expectWithin(pending: Pending, ms: number): void {
    if (pending.timer) clearTimeout(pending.timer);
    pending.timer = setTimeout(() => this.#process?.kill("SIGKILL"), ms);
  }

  #hear(line: string): void {
    const value = parseJson(line);
    const { data: event } = eventSchema.safeParse(value);
    if (event) {
      this.#handle(event);
      return;
    }
    const pending = this.#pending.get(resultId(value) ?? -1);
    if (pending) pending.resolve(failed(pending.request, "The process reported something else than its result"));
    else this.#process?.kill("SIGKILL"); // not a candidate's doing: the worker's own words are wrong
  }

  #handle(event: Event): void {
    switch (event.type) {
      case "ready":
        this.#wasReady = true;
        this.#onReady?.(event);
        return;
      case "fatal":
        this.#broken = this.#failure(event.message);
        return;
    }
    // One that was cancelled may still be spoken of.
    const pending = this.#pending.get(event.id);
    if (!pending) return;
    switch (event.type) {
      case "started":
        pending.running = true;
        this.#expectWithin(pending, pending.request.seconds * 1000 + OVERDUE_MS);
        return;
      case "progress":
        pending.onProgress?.(event);
        return;
      case "result":
        this.#restarts = 0;
        pending.resolve(event);
    }
  }

  /**
   * The worker is gone. A candidate may be to blame: what ran is tried once more on a new worker, and blamed if that one dies
   * as well; what only waited is asked again.
   */
  #died(): void {
    this.#process = null;
    if (this.#closed || !this.#wasReady) return; // `start` tells why
    for (const pending of [...this.#pending.values()]) {
      if (pending.running && ++pending.deaths === 2) {
        pending.resolve(failed(pending.request, "The worker died twice while this candidate ran"));
      }
    }
    if (this.#broken === null && ++this.#restarts > RESTARTS_IN_A_ROW) {
      this.#broken = this.#failure(`it died ${this.#restarts} times in a row`);
    }
    if (this.#broken) {
      for (const pending of [...this.#pending.values()]) pending.reject(this.#broken);
      return;
    }
    this.#spawn();
    for (const id of this.#pending.keys()) this.#submit(id);
  }

  #failure(why: string): UserError {
    const log = this.#log.trim();
    const tail = log ? `\nThe end of its log:\n${log.split("\n").slice(-8).join("\n")}` : "";
    return new UserError("trainer-failed", `The trainer's worker failed: ${why}. See: netwright doctor${tail}`);
  }
}

function failed(request: RunRequest, message: string): RunResult {
  const outcome = request.type === "check" ? "forward" : "train";
  return {
    type: "result",
    id: 0,
    seconds: 0,
    status: "failed",
    failure: { outcome, message, line: null, source: null },
    parameters: null,
  };
}

function requests(child: ChildProcess): Writable {
  return child.stdio[3] as Writable;
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

function abortError(signal: AbortSignal): unknown {
  const { reason } = signal;
  return reason instanceof Error && reason.name === "AbortError"
    ? reason
    : new DOMException("The run was cancelled", "AbortError");
}
