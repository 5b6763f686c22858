/** The embedded provider: a Designer whose model runs in a process of its own, whose crash costs no more than itself. */
import { type ChildProcess, fork } from "node:child_process";
import { stat } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Designer, type DesignerInfo, UserError } from "../../study/ports.ts";
import type { Prompt, Reply, Sampling } from "../../study/types.ts";
import { joinPrefill } from "../prefill.ts";
import { abortError, type OnProgress } from "../progress.ts";
import type { FromChild, LoadOptions, ToChild } from "./messages.ts";
import { removeScratch } from "./scratch.ts";

/** The child's entry beside this one: a source file where this is one, else the bundle. */
const ENTRY = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "./child.ts" : "./llama.js", import.meta.url));
/** Lines of the child's log kept for the error that tells of its crash. */
const LOG_LINES = 20;

export interface LlamaOptions extends LoadOptions {
  /** What people call the model. */
  name: string;
}

interface Question {
  onText: (piece: string) => void;
  resolve: (reply: Reply) => void;
  reject: (error: Error) => void;
}

/**
 * Loads the model.
 * @throws UserError "designer-memory", "designer-platform", "designer-load", "designer-crashed", "model-unreadable",
 * "adapter-unreadable"; AbortError.
 */
export async function openLlama(
  options: LlamaOptions,
  onProgress: OnProgress,
  log: (line: string) => void,
  signal: AbortSignal,
): Promise<Designer> {
  if (options.adapter !== null && !(await stat(options.adapter).catch(() => null))?.isFile()) {
    throw new UserError("adapter-unreadable", `There is no adapter ${options.adapter}. Correct "designer.adapter".`);
  }
  let running = await Running.start(options, onProgress, log, signal);
  let restarting: Promise<Running> | null = null;
  let closed = false;
  const info: DesignerInfo = {
    provider: "llama.cpp",
    model: options.name,
    parallel: options.parallel,
    device: running.device,
  };

  /** The process that answers: the one there is, or after a crash a new one, which all who ask wait for together. */
  async function current(): Promise<Running> {
    if (!running.dead) return running;
    restarting ??= Running.start(options, onProgress, log, new AbortController().signal).finally(() => {
      restarting = null;
    });
    running = await restarting;
    if (closed) running.stop();
    return running;
  }

  return {
    info,
    async generate(prompt, sampling, signal, onText) {
      if (signal.aborted) throw abortError(signal);
      if (closed) throw closedError();
      const asked = (async () => (await current()).ask(prompt, sampling, signal, onText ?? (() => {})))();
      const cancelled = aborted(signal);
      try {
        return await Promise.race([asked, cancelled.promise]);
      } finally {
        asked.catch(() => {});
        cancelled.forget();
      }
    },
    release: () => running.stop(),
    async close() {
      closed = true;
      await running.stop();
    },
  };
}

const closedError = () => new DOMException("The designer was closed", "AbortError");

/** A promise that rejects as soon as the signal fires. */
function aborted(signal: AbortSignal): { promise: Promise<never>; forget: () => void } {
  let forget = () => {};
  const promise = new Promise<never>((_resolve, reject) => {
    const fire = () => reject(abortError(signal));
    signal.addEventListener("abort", fire, { once: true });
    forget = () => signal.removeEventListener("abort", fire);
  });
  return { promise, forget };
}

/** One life of the child process. */
class Running {
  readonly #child: ChildProcess;
  readonly #questions = new Map<number, Question>();
  readonly #log: string[] = [];
  #nextId = 1;
  #ended: Error | null = null;
  #stopped = false;
  device = "";

  private constructor(child: ChildProcess, log: (line: string) => void) {
    this.#child = child;
    child.once("exit", () => removeScratch(child.pid as number));
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on("line", (line) => {
        this.#log.push(line);
        if (this.#log.length > LOG_LINES) this.#log.shift();
        log(line);
      });
    }
  }

  static async start(
    options: LlamaOptions,
    onProgress: OnProgress,
    log: (line: string) => void,
    signal: AbortSignal,
  ): Promise<Running> {
    if (signal.aborted) throw abortError(signal);
    const child = fork(ENTRY, [], {
      execArgv: [],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      serialization: "advanced",
    });
    const running = new Running(child, log);
    const ready = running.#load(options, onProgress);
    const cancelled = aborted(signal);
    try {
      await Promise.race([ready, cancelled.promise]);
      return running;
    } catch (error) {
      ready.catch(() => {});
      await running.stop();
      throw error;
    } finally {
      cancelled.forget();
    }
  }

  get dead(): boolean {
    return this.#stopped || this.#ended !== null;
  }

  #load({ name, ...options }: LlamaOptions, onProgress: OnProgress): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#child.on("message", (message: FromChild) => {
        if (message.type === "loading") {
          onProgress({ what: `loading ${name}`, done: message.percent, total: 100, unit: "percent" });
        } else if (message.type === "ready") {
          this.device = message.device;
          resolve();
        } else if (message.type === "failed" && message.id === null) {
          reject(new UserError(message.code, message.message));
        } else this.#hear(message);
      });
      this.#child.on("error", (error) => this.#end(error.message, reject));
      // After "exit" and the end of its output, so that its last words are there.
      this.#child.on("close", (code, signal) => this.#end(signal ?? `exit code ${code}`, reject));
      this.#send({ type: "load", options });
    });
  }

  #hear(message: FromChild): void {
    if (message.type !== "text" && message.type !== "reply" && message.type !== "failed") return;
    const question = message.id === null ? undefined : this.#questions.get(message.id);
    if (question === undefined || message.id === null) return; // cancelled meanwhile
    if (message.type === "text") question.onText(message.piece);
    else {
      this.#questions.delete(message.id);
      if (message.type === "reply") question.resolve(message.reply);
      else question.reject(new UserError(message.code, message.message));
    }
  }

  #end(how: string, whileLoading: (error: Error) => void): void {
    if (this.#ended !== null) return;
    if (this.#log.some((line) => line.includes("Cannot find package 'node-llama-cpp'"))) {
      this.#ended = new UserError(
        "designer-platform",
        `This copy of Netwright comes without llama.cpp, which the embedded model needs. Run a model with Ollama, or install the ` +
          `Netwright package for ${process.platform}-${process.arch}.`,
      );
      whileLoading(this.#ended);
      return;
    }
    const tail = this.#log.slice(-5).join("\n");
    const hint =
      how === "SIGKILL" ? " Memory may have run out: a smaller model, context or number at once takes less." : "";
    this.#ended = new UserError(
      "designer-crashed",
      `The embedded model's process ended (${how}).${hint} It starts again with the next question.${tail ? `\nIts last words:\n${tail}` : ""}`,
    );
    whileLoading(this.#ended);
    this.#rejectAll(this.#ended);
  }

  #rejectAll(error: Error): void {
    for (const question of this.#questions.values()) question.reject(error);
    this.#questions.clear();
  }

  #send(message: ToChild): void {
    // An error here means a dead child, of which "close" tells.
    this.#child.send(message, () => {});
  }

  async ask(prompt: Prompt, sampling: Sampling, signal: AbortSignal, onText: (piece: string) => void): Promise<Reply> {
    if (signal.aborted) throw abortError(signal);
    if (this.#stopped) throw closedError();
    if (this.#ended !== null) throw this.#ended;
    const id = this.#nextId++;
    const cancel = () => {
      if (this.#questions.delete(id)) this.#send({ type: "cancel", id });
    };
    signal.addEventListener("abort", cancel, { once: true });
    try {
      const reply = await new Promise<Reply>((resolve, reject) => {
        this.#questions.set(id, { onText, resolve, reject });
        this.#send({ type: "ask", id, prompt, sampling });
        if (prompt.prefill !== "") onText(prompt.prefill);
      });
      return { ...reply, text: joinPrefill(prompt.prefill, reply.text) };
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  /** Ends the process, and with an AbortError what it was asked, and waits until it is gone. */
  async stop(): Promise<void> {
    // From here on it takes no question: the next one has a process of its own.
    this.#stopped = true;
    this.#rejectAll(closedError());
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined) return;
    const gone = new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
    this.#child.kill("SIGKILL");
    await gone;
  }
}
