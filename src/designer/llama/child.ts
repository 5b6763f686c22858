/**
 * The embedded model's process: llama.cpp loads the model once and answers several questions in one batch. It speaks the messages of
 * messages.ts with the process that forked it, and dies with it.
 *
 * A question asked alone has the same answer each time under the same seed. Questions that are answered at once share a batch, whose
 * size changes the rounding of sums: their answers are as good, but under the same seed they may part from those given alone.
 */
import { mkdir } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import {
  type ChatHistoryItem,
  type ChatWrapper,
  type GgufFileInfo,
  GgufInsights,
  getLlama,
  InsufficientMemoryError,
  type Llama,
  type LlamaContext,
  type LlamaContextSequence,
  LlamaLogLevel,
  type LlamaModel,
  LlamaText,
  NoBinaryFoundError,
  readGgufFileInfo,
  resolveChatWrapper,
  type Token,
} from "node-llama-cpp";
import type { Prompt, Reply, Sampling } from "../../study/types.ts";
import { memorySize } from "../../study/units.ts";
import { TOP_K, usableSeed } from "../sampling.ts";
import type { FromChild, LoadOptions, ToChild } from "./messages.ts";
import { removeScratch, scratchFolder } from "./scratch.ts";
import { StopFilter } from "./stop.ts";
import { nextThreads } from "./threads.ts";

/** Tokens evaluated at once. */
const BATCH = 512;
/**
 * A prompt is evaluated in pieces of this many tokens, counted from its beginning, and what was evaluated before is kept in whole pieces
 * alone. So the same prompt is computed the same way whether or not its beginning was there already: rounding depends on the pieces.
 */
const PIECE = 64;
/** How often the number of threads is thought over. */
const WATCH_MS = 1000;

/** A failure with a code of its own, for people. */
class Failure extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

interface Slot {
  sequence: LlamaContextSequence;
  busy: boolean;
}

class Runner {
  readonly #llama: Llama;
  readonly #model: LlamaModel;
  readonly #wrapper: ChatWrapper;
  readonly #contextTokens: number;
  readonly #slots: Slot[];
  readonly #waiting: (() => void)[] = [];
  /** Prompts are evaluated one after the other, so that the next finds the beginning it shares with the one before. */
  #prompts: Promise<unknown> = Promise.resolve();
  #answering = 0;

  private constructor(
    llama: Llama,
    context: LlamaContext,
    wrapper: ChatWrapper,
    options: LoadOptions,
    threads: number,
  ) {
    this.#llama = llama;
    this.#model = context.model;
    this.#wrapper = wrapper;
    this.#contextTokens = options.contextTokens;
    this.#slots = Array.from({ length: options.parallel }, () => ({ sequence: context.getSequence(), busy: false }));
    if (threads > 1) this.#watchLoad(threads);
  }

  static async load(
    options: LoadOptions,
    onPercent: (percent: number) => void,
  ): Promise<{ runner: Runner; device: string }> {
    const llama = await getLlama({
      gpu: "auto",
      build: "never",
      skipDownload: true,
      logLevel: LlamaLogLevel.warn,
      logger: (_level, message) => process.stderr.write(`${message.trimEnd()}\n`),
    });
    // Its own default is four threads on two cores as well.
    const threads = options.threads ?? Math.max(1, Math.min(availableParallelism(), llama.cpuMathCores));
    llama.maxThreads = threads;
    await checkMemory(llama, options);
    const model = await llama.loadModel({
      modelPath: options.model,
      gpuLayers: { fitContext: { contextSize: options.contextTokens * options.parallel } },
      onLoadProgress: (share) => onPercent(Math.floor(share * 100)),
    });
    const context = await model.createContext({
      sequences: options.parallel,
      contextSize: options.contextTokens,
      batchSize: BATCH,
      threads,
      ...(options.adapter === null ? {} : { lora: { adapters: [{ filePath: options.adapter }] } }),
    });
    const wrapper = resolveChatWrapper(model, { warningLogs: false });
    const gpus = llama.gpu === false || model.gpuLayers === 0 ? [] : await llama.getGpuDeviceNames();
    const device = gpus.length > 0 ? gpus.join(", ") : `CPU, ${threads} ${threads === 1 ? "thread" : "threads"}`;
    return { runner: new Runner(llama, context, wrapper, options, threads), device };
  }

  async answer(
    prompt: Prompt,
    sampling: Sampling,
    signal: AbortSignal,
    onText: (piece: string) => void,
  ): Promise<Reply> {
    const started = performance.now();
    const { tokens, stops, stopTokens } = this.#read(prompt);
    if (tokens.length >= this.#contextTokens) {
      throw new Failure(
        "prompt-too-long",
        `The question takes ${tokens.length} tokens of the ${this.#contextTokens} that question and answer have. Raise ` +
          `"designer.contextTokens", or lower "designer.exemplars".`,
      );
    }
    const slot = await this.#takeSlot(tokens, signal);
    this.#answering++;
    try {
      await this.#inTurn(() => this.#evaluatePrompt(slot, tokens, signal));
      const limit = Math.min(sampling.maxTokens, this.#contextTokens - tokens.length);
      const written = await this.#write(slot, tokens, stops, stopTokens, sampling, limit, signal, onText);
      return { ...written, promptTokens: tokens.length, seconds: (performance.now() - started) / 1000 };
    } finally {
      this.#answering--;
      slot.busy = false;
      this.#waiting.shift()?.();
    }
  }

  /** The prompt in the model's own chat format, its last answer left open after the prefill. */
  #read(prompt: Prompt): { tokens: Token[]; stops: string[]; stopTokens: Set<Token> } {
    const history: ChatHistoryItem[] = prompt.messages.map(({ role, content }) => {
      if (role === "system") return { type: "system", text: content };
      return role === "user" ? { type: "user", text: content } : { type: "model", response: [content] };
    });
    history.push({ type: "model", response: prompt.prefill === "" ? [] : [prompt.prefill] });
    const { contextText, stopGenerationTriggers } = this.#wrapper.generateContextState({ chatHistory: history });
    // Text of the messages stays text: only the format's own marks become special tokens.
    const tokens = contextText.tokenize(this.#model.tokenizer);
    const { bos, shouldPrependBosToken } = this.#model.tokens;
    if (shouldPrependBosToken && bos !== null && tokens[0] !== bos) tokens.unshift(bos);

    const stops = [...prompt.stop];
    const stopTokens = new Set<Token>();
    for (const trigger of stopGenerationTriggers) {
      const [first, ...others] = LlamaText(trigger).tokenize(this.#model.tokenizer);
      if (first !== undefined && others.length === 0) stopTokens.add(first);
      else stops.push(LlamaText(trigger).toString());
    }
    return { tokens, stops, stopTokens };
  }

  /** The free sequence that has most of these tokens already. */
  async #takeSlot(tokens: Token[], signal: AbortSignal): Promise<Slot> {
    while (true) {
      signal.throwIfAborted();
      const free = this.#slots.filter(({ busy }) => !busy);
      const best = mostShared(free, tokens);
      if (best !== null) {
        best.busy = true;
        return best;
      }
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        // One that gave up must not be called in another's place.
        const leave = () => {
          const index = this.#waiting.indexOf(resolve);
          if (index >= 0) this.#waiting.splice(index, 1);
          resolve();
        };
        signal.addEventListener("abort", leave, { once: true });
      });
    }
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#prompts.then(work, work);
    this.#prompts = turn.catch(() => {});
    return turn;
  }

  /** Brings the sequence to all of the tokens but the last, from the sequence that has most of them. */
  async #evaluatePrompt({ sequence }: Slot, tokens: Token[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const prompt = tokens.slice(0, -1);
    const richest = mostShared(this.#slots, prompt);
    if (richest && inPieces(richest.sequence, prompt) > inPieces(sequence, prompt)) {
      // Where there is no room for the file, the tokens are evaluated again.
      await copyState(richest.sequence, sequence).catch(() => undefined);
    }
    await sequence.adaptStateToTokens(prompt.slice(0, inPieces(sequence, prompt)), false);
    for (let at = sequence.nextTokenIndex; at < prompt.length; at += PIECE) {
      signal.throwIfAborted();
      await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(at, at + PIECE));
    }
  }

  async #write(
    { sequence }: Slot,
    tokens: Token[],
    stops: string[],
    stopTokens: Set<Token>,
    sampling: Sampling,
    limit: number,
    signal: AbortSignal,
    onText: (piece: string) => void,
  ): Promise<Pick<Reply, "text" | "tokens" | "finish">> {
    signal.throwIfAborted();
    const filter = new StopFilter(stops);
    let text = "";
    let count = 0;
    let finish: Reply["finish"] = "stop";
    /** Tokens whose text is not whole yet: a character may take several. */
    let pending: Token[] = [];
    const before: Token[] = tokens.slice(-8);
    const give = (piece: string) => {
      if (piece === "") return;
      text += piece;
      onText(piece);
    };
    const answer = sequence.evaluate(tokens.slice(-1), {
      temperature: sampling.temperature,
      topP: sampling.topP,
      minP: sampling.minP,
      topK: TOP_K,
      seed: usableSeed(sampling.seed),
    });
    for await (const token of answer) {
      signal.throwIfAborted();
      count++;
      if (stopTokens.has(token)) break;
      pending.push(token);
      const piece = this.#model.detokenize(pending, false, before);
      if (!piece.endsWith("\ufffd") || pending.length > 4) {
        before.push(...pending);
        before.splice(0, before.length - 8);
        pending = [];
        const { text: free, stopped } = filter.push(piece);
        give(free);
        if (stopped) return { text, tokens: count, finish };
      }
      if (count >= limit) {
        finish = "length";
        break;
      }
    }
    give(filter.flush());
    return { text, tokens: count, finish };
  }

  /** Gives up threads while other programs want the cores, and takes them back after. */
  #watchLoad(most: number): void {
    let since = performance.now();
    let cpu = process.cpuUsage();
    let machine = idleSeconds();
    let worked = false;
    setInterval(() => {
      const wall = (performance.now() - since) / 1000;
      const used = process.cpuUsage(cpu);
      const had = (used.user + used.system) / 1e6 / wall;
      const idle = (idleSeconds() - machine) / wall;
      // What was only in part an answer's time says nothing.
      if (worked && this.#answering > 0) {
        this.#llama.maxThreads = nextThreads(this.#llama.maxThreads, most, { had, idle });
      }
      worked = this.#answering > 0;
      since = performance.now();
      cpu = process.cpuUsage();
      machine = idleSeconds();
    }, WATCH_MS).unref();
  }
}

/** Of these, the sequence that begins with most of the tokens; null when there are none. */
function mostShared(slots: Slot[], tokens: Token[]): Slot | null {
  let best: Slot | null = null;
  let most = -1;
  for (const slot of slots) {
    const shared = slot.sequence.compareContextTokens(tokens).firstDifferentIndex;
    if (shared > most) [best, most] = [slot, shared];
  }
  return best;
}

/** How many of the tokens the sequence begins with, in whole pieces. */
const inPieces = (sequence: LlamaContextSequence, tokens: Token[]) =>
  Math.floor(sequence.compareContextTokens(tokens).firstDifferentIndex / PIECE) * PIECE;

/** By way of a file, the one way the library offers: some 30 KB a token, for some 10 ms of evaluating it again. */
async function copyState(from: LlamaContextSequence, to: LlamaContextSequence): Promise<void> {
  removeScratch(process.pid);
  try {
    await mkdir(scratchFolder(process.pid), { mode: 0o700 });
    const file = join(scratchFolder(process.pid), "state");
    await from.saveStateToFile(file);
    // First: what fails to load would leave the old state where the library believes that there is none.
    await to.clearHistory();
    await to.loadStateFromFile(file, { acceptRisk: true });
  } finally {
    removeScratch(process.pid);
  }
}

function idleSeconds(): number {
  return cpus().reduce((sum, { times }) => sum + times.idle, 0) / 1000;
}

/** On a machine without a usable GPU all of it must fit into free memory; on others the library decides what goes where. */
async function checkMemory(llama: Llama, options: LoadOptions): Promise<void> {
  const file = await readGgufFileInfo(options.model).catch((error: Error) => {
    throw new Failure("model-unreadable", `${options.model} is no model that can be read: ${error.message}`);
  });
  if (llama.gpu !== false) return;
  const needed =
    (await GgufInsights.from(file, llama)).modelSize + contextBytes(file, options.contextTokens * options.parallel);
  const available = process.availableMemory();
  if (needed > available) throw new Failure("designer-memory", memoryMessage(needed, available));
}

/** Keys and values in half precision of all tokens, in every layer, and the scores of one batch over the vocabulary. */
function contextBytes(
  { architectureMetadata: { block_count, embedding_length, attention }, metadata }: GgufFileInfo,
  tokens: number,
) {
  const layers = block_count ?? 0;
  const heads = attention?.head_count ?? 1;
  const perHead = (embedding_length ?? 0) / heads;
  const kept = [attention?.head_count_kv ?? heads].flat();
  const keptHeads = kept.length === 1 ? (kept[0] ?? 0) * layers : kept.reduce((sum, count) => sum + count, 0);
  const values = keptHeads * ((attention?.key_length ?? perHead) + (attention?.value_length ?? perHead));
  return tokens * values * 2 + BATCH * metadata.tokenizer.ggml.tokens.length * 4;
}

function memoryMessage(needed?: number, available?: number): string {
  const figures =
    needed && available ? ` It takes about ${memorySize(needed)}; ${memorySize(available)} are free.` : "";
  return (
    `The model does not fit into memory.${figures} Close other programs, choose a smaller "designer.model", or lower ` +
    `"designer.contextTokens" or "designer.parallel".`
  );
}

function failureOf(error: unknown, fallback: string): { code: string; message: string } {
  if (error instanceof Failure) return { code: error.code, message: error.message };
  if (error instanceof InsufficientMemoryError) return { code: "designer-memory", message: memoryMessage() };
  if (error instanceof NoBinaryFoundError) {
    const message = `There is no embedded llama.cpp for this machine (${process.platform} ${process.arch}). Use Ollama instead.`;
    return { code: "designer-platform", message };
  }
  const said = error instanceof Error ? error.message : String(error);
  return { code: fallback, message: `The embedded model failed: ${said}` };
}

const send = (message: FromChild) => process.send?.(message);
const cancels = new Map<number, AbortController>();
let runner: Runner | null = null;

async function load(options: LoadOptions): Promise<void> {
  try {
    const loaded = await Runner.load(options, (percent) => send({ type: "loading", percent }));
    runner = loaded.runner;
    send({ type: "ready", device: loaded.device });
  } catch (error) {
    send({ type: "failed", id: null, ...failureOf(error, "designer-load") });
  }
}

async function ask(id: number, prompt: Prompt, sampling: Sampling): Promise<void> {
  const cancel = new AbortController();
  cancels.set(id, cancel);
  try {
    if (runner === null) throw new Failure("designer-load", "The embedded model is not loaded.");
    const reply = await runner.answer(prompt, sampling, cancel.signal, (piece) => send({ type: "text", id, piece }));
    send({ type: "reply", id, reply });
  } catch (error) {
    send({ type: "failed", id, ...failureOf(error, "designer-error") });
  } finally {
    cancels.delete(id);
  }
}

process.on("message", (message: ToChild) => {
  if (message.type === "load") void load(message.options);
  else if (message.type === "ask") void ask(message.id, message.prompt, message.sampling);
  else cancels.get(message.id)?.abort();
});
// At once: nothing here needs saving, and native threads must not hold up the end.
process.on("disconnect", () => {
  removeScratch(process.pid);
  process.kill(process.pid, "SIGKILL");
});
