/** The Ollama provider: what a server has, and a Designer that asks it. */
import { createReadStream } from "node:fs";
import { access, stat } from "node:fs/promises";
import { totalmem } from "node:os";
import { basename, isAbsolute } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { type ChatResponse, type ModelResponse, Ollama } from "ollama";
import { type Designer, UserError } from "../study/ports.ts";
import type { Message, Prompt, Reply, Sampling } from "../study/types.ts";
import { codeOf, httpFetch } from "./http.ts";
import { sha256 } from "./models.ts";
import { joinPrefill } from "./prefill.ts";
import { abortError, type OnProgress } from "./progress.ts";
import { TOP_K, usableSeed } from "./sampling.ts";

const CONNECT_MS = 5000;
/** How long a server may think about a question that needs no model. */
const ANSWER_MS = 10_000;
/** A server that says nothing for so long is stuck: others' questions, and long ones on a slow processor, come before this. */
const SILENT_MS = 15 * 60_000;
/** How long the server keeps the model after a question: a cycle's training may take this long. */
const KEEP_ALIVE = "30m";

export interface LocalModel {
  name: string;
  bytes: number;
  /** e.g. "1.5B", "Q4_K_M"; empty where the server does not say. */
  parameters: string;
  quantization: string;
}

/**
 * Where Ollama is: `host`, else OLLAMA_HOST, else this machine. Takes what OLLAMA_HOST takes: host, host:port, :port, a URL; 0.0.0.0
 * and ::, which a server listens on, mean this machine to a client.
 * @throws UserError "ollama-host-invalid"
 */
export function ollamaAddress(host: string | null, environment: NodeJS.ProcessEnv = process.env): string {
  const given = (host ?? environment.OLLAMA_HOST ?? "").trim().replace(/^["']|["']$/g, "");
  if (given === "") return "http://127.0.0.1:11434";
  const scheme = /^[a-z]+:\/\//i.exec(given)?.[0].toLowerCase();
  const rest = given.slice(scheme?.length ?? 0);
  const bracketed = /^[0-9a-f:]*::?[0-9a-f:]*$/i.test(rest) && rest.split(":").length > 2 ? `[${rest}]` : rest;
  const text = `${scheme ?? "http://"}${bracketed.startsWith(":") ? `127.0.0.1${bracketed}` : bracketed}`;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new UserError(
      "ollama-host-invalid",
      `"${given}" is no address of an Ollama server; write host:port or http://host:port.`,
    );
  }
  if (url.hostname === "0.0.0.0") url.hostname = "127.0.0.1";
  if (url.hostname === "[::]") url.hostname = "[::1]";
  const port = url.port || (scheme === undefined ? "11434" : url.protocol === "https:" ? "443" : "80");
  const login = url.username === "" ? "" : `${url.username}${url.password === "" ? "" : `:${url.password}`}@`;
  return `${url.protocol}//${login}${url.hostname}:${port}${url.pathname.replace(/\/$/, "")}`;
}

/** What a server answers in place of the thing asked for. */
class ServerError extends Error {
  readonly status: number;
  /** Whether it said so the way Ollama does. */
  readonly ollama: boolean;
  constructor(status: number, message: string, ollama: boolean) {
    super(message);
    this.status = status;
    this.ollama = ollama;
  }
}

/**
 * A client for one request: the library's own abort() reaches a request only after its headers, and is the same for all requests of a
 * client. Answers that are not Ollama's are told apart here, before the library prints them.
 */
function client(address: string, signal: AbortSignal, idleMs: number | null): Ollama {
  const fetch = async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const url = input instanceof Request ? input.url : String(input);
    const response = await httpFetch(url, {
      method: init.method ?? "GET",
      headers: Object.fromEntries(new Headers(init.headers)),
      ...(typeof init.body === "string" ? { body: init.body } : {}),
      // The library's own signal fires when a stream is given up, and so must reach the connection too.
      signal: init.signal ? AbortSignal.any([signal, init.signal]) : signal,
      connectMs: CONNECT_MS,
      idleMs,
    });
    const json = /json/.test(response.headers.get("content-type") ?? "");
    if (response.ok && json) return response;
    const text = response.ok ? "" : await response.text();
    await response.body?.cancel().catch(() => {});
    const error = errorOf(text);
    throw new ServerError(response.status, error ?? `${response.status} ${response.statusText}`, error !== null);
  };
  return new Ollama({ host: address, fetch });
}

function errorOf(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && "error" in value && typeof value.error === "string")
      return value.error;
  } catch {
    // Not JSON: not Ollama's.
  }
  return null;
}

/** The same failure for people. `model` is the one asked for, where one was. */
function explain(error: unknown, address: string, model: string | null, signal: AbortSignal): Error {
  if (signal.aborted) return abortError(signal);
  if (error instanceof UserError) return error;
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  const told = (name: string, text: string) => new UserError(name, text, { cause: error });
  if (code === "ECONNREFUSED") {
    return told(
      "ollama-not-running",
      `No Ollama is running at ${address}. Start it ("ollama serve"), or set "designer.provider" to "llama.cpp".`,
    );
  }
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
    const host = new URL(address).hostname;
    return told("ollama-host-not-found", `There is no host ${host}. Correct "designer.host" or OLLAMA_HOST.`);
  }
  if (["EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT"].includes(code ?? "")) {
    return told(
      "ollama-host-not-found",
      `${address} cannot be reached (${message}). Check "designer.host" and the network.`,
    );
  }
  if (code === "ESTALLED") {
    return told("ollama-refused", `${address} does not answer (${message}). Check that an Ollama listens there.`);
  }
  if (error instanceof ServerError) {
    if (error.ollama && error.status === 404 && model !== null) return missing(address, model, error);
    if (error.ollama && /context length/.test(message)) {
      return told(
        "prompt-too-long",
        `The question alone is longer than question and answer may be. Raise "designer.contextTokens", or lower "designer.exemplars".`,
      );
    }
    if (error.ollama && error.status !== 401 && error.status !== 403) {
      return told("ollama-error", `Ollama at ${address} says: ${message}. Its own log tells more.`);
    }
    return told(
      "ollama-refused",
      `${address} refuses or is no Ollama (${message}). Correct "designer.host" or OLLAMA_HOST, or what stands before it.`,
    );
  }
  // Not what it should have been at all: an HTTP server of another kind, or none.
  if (error instanceof SyntaxError || error instanceof TypeError || code?.startsWith("HPE_")) {
    return told(
      "ollama-refused",
      `${address} does not answer as an Ollama does (${message}). Correct "designer.host".`,
    );
  }
  const lost =
    ["ECONNRESET", "EPIPE", "ERR_STREAM_PREMATURE_CLOSE"].includes(code ?? "") ||
    /^aborted$|^terminated$/.test(message);
  if (lost || /Did not receive done|unexpected EOF|runner process|connection reset|forcibly closed/.test(message)) {
    return told(
      "ollama-stopped",
      `Ollama at ${address} stopped in the middle of its answer (${message}). Start it again and resume; its own log may tell why.`,
    );
  }
  return told("ollama-error", `Ollama at ${address} says: ${message}. Its own log tells more.`);
}

function missing(address: string, model: string, cause?: unknown): UserError {
  return new UserError(
    "ollama-model-missing",
    `Ollama at ${address} has no model ${model}. Name another in "designer.model", or pull it with: netwright setup`,
    { cause },
  );
}

/** One request, with its failures for people. */
async function ask<T>(
  address: string,
  model: string | null,
  signal: AbortSignal,
  idleMs: number | null,
  body: (ollama: Ollama) => Promise<T>,
): Promise<T> {
  if (signal.aborted) throw abortError(signal);
  try {
    return await body(client(address, signal, idleMs));
  } catch (error) {
    throw explain(error, address, model, signal);
  }
}

/**
 * Models that run on this server. Cloud models are left out: the server hands their questions on to another host.
 * @throws UserError "ollama-not-running", "ollama-host-not-found", "ollama-refused", "ollama-error"; AbortError.
 */
export async function listOllama(host: string | null, signal: AbortSignal): Promise<LocalModel[]> {
  const address = ollamaAddress(host);
  const { models } = await ask(address, null, signal, ANSWER_MS, (ollama) => ollama.list());
  if (!Array.isArray(models)) throw explain(new SyntaxError("no list of models"), address, null, signal);
  return models.filter((model) => !isCloud(model)).map(asLocal);
}

function isCloud(model: ModelResponse & { remote_host?: string; remote_model?: string }): boolean {
  return Boolean(model.remote_host || model.remote_model) || /[:-]cloud$/.test(model.name);
}

const asLocal = (model: ModelResponse): LocalModel => ({
  name: model.name,
  bytes: model.size ?? 0,
  parameters: model.details?.parameter_size ?? "",
  quantization: model.details?.quantization_level ?? "",
});

/** Models made for writing code, as instructed. */
const CODING = /cod(?:er|e|estral|egemma|ellama)|devstral/i;
/** Not askable: embeddings, and models that continue text but take no instructions. */
const UNASKABLE = /embed|bge-|minilm|rerank|(?:^|[:/-])(?:base|text)(?:$|[:-])|starcoder|-code(?:$|[:-])fim/i;
/** A model above this is not taken unasked: one answer of it takes minutes without a large GPU. */
const LARGEST_UNASKED = 10e9;

/**
 * The model taken when none is named: one for coding ("coder", "code", "codestral", "devstral" in its name), neither an embedding nor
 * a base model, of at most 10 GB and half of the memory here; of several the largest, then by name. Null when there is none.
 */
export function suitableModel(models: LocalModel[], memory: number = totalmem()): LocalModel | null {
  const limit = Math.min(LARGEST_UNASKED, memory / 2);
  const fitting = models.filter(
    ({ name, bytes }) => CODING.test(name) && !UNASKABLE.test(name) && bytes > 0 && bytes <= limit,
  );
  return fitting.sort((a, b) => b.bytes - a.bytes || a.name.localeCompare(b.name))[0] ?? null;
}

/** "qwen" and "qwen:latest" are one. */
const tagged = (name: string) => (/:[^/]*$/.test(name) ? name : `${name}:latest`);

/** Whether a server that has `models` has the one that is called `wanted`. */
export const hasModel = (models: readonly { name: string }[], wanted: string): boolean =>
  models.some(({ name }) => name === tagged(wanted));

/**
 * Pulls a model onto the server.
 * @throws UserError as listOllama, or "ollama-error" with what the server says; AbortError.
 */
export async function pullModel(
  host: string | null,
  name: string,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<void> {
  const address = ollamaAddress(host);
  await ask(address, name, signal, null, async (ollama) => {
    for await (const { status, completed, total } of await ollama.pull({ model: name, stream: true })) {
      const bytes = total ? { done: completed ?? 0, total, unit: "bytes" as const } : null;
      onProgress({ what: `${name}: ${status}`, ...(bytes ?? { done: 0, total: null, unit: "steps" as const }) });
    }
  });
}

export interface GgufModel {
  /** Go template of the chat. Ollama finds none by itself in many files. */
  template?: string;
  /** Defaults of the model, e.g. { stop: ["<|im_end|>"] }. */
  parameters?: Record<string, unknown>;
}

/** The chat format of Qwen and many others, with the last answer left open where it is the assistant's. */
export const CHATML_TEMPLATE =
  "{{- range $i, $m := .Messages }}{{- $last := eq (len (slice $.Messages $i)) 1 }}<|im_start|>{{ .Role }}\n{{ .Content }}" +
  '{{ if or (not $last) (ne .Role "assistant") }}<|im_end|>\n{{ end }}{{ if and $last (ne .Role "assistant") }}<|im_start|>assistant\n' +
  "{{ end }}{{- end }}";

/**
 * Makes a model of a GGUF file: uploads the file where the server lacks it, then names it.
 * @throws UserError as listOllama, "model-unreadable"; AbortError.
 */
export async function createFromGguf(
  host: string | null,
  name: string,
  file: string,
  model: GgufModel,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<void> {
  const address = ollamaAddress(host);
  const digest = await uploadBlob(address, file, onProgress, signal);
  await create(address, { model: name, files: { [basename(file)]: digest }, ...model }, onProgress, signal);
}

/** What a server says of itself where it says nothing of the adapter. */
const HICCUP = /no space|quota|busy|overload|memory|input\/output|too many open|permission denied|deadline|timeout/i;

/**
 * Makes a model of another, which keeps its template and parameters, and a LoRA adapter in GGUF.
 * @throws UserError as createFromGguf; "ollama-model-missing", "adapter-refused" when the server cannot use the adapter.
 */
export async function createWithAdapter(
  host: string | null,
  name: string,
  from: string,
  adapter: string,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<void> {
  const address = ollamaAddress(host);
  // A server would look for it on the network.
  if (!hasModel(await listOllama(host, signal), from)) throw missing(address, from);
  const digest = await uploadBlob(address, adapter, onProgress, signal);
  try {
    await create(address, { model: name, from, adapters: { [basename(adapter)]: digest } }, onProgress, signal);
  } catch (error) {
    throw refusal(error, address);
  }
}

/** An adapter's refusal as such; any other failure as it is. */
function refusal(error: unknown, address: string): unknown {
  if (!(error instanceof UserError) || error.code !== "ollama-error") return error;
  const { cause } = error;
  if (cause instanceof ServerError && (cause.status === 503 || cause.status === 429)) return error;
  const said = cause instanceof Error ? cause.message : "";
  if (HICCUP.test(said)) return error;
  return new UserError(
    "adapter-refused",
    `Ollama at ${address} refuses the adapter: ${said}. Its own log tells more. A newer Ollama may take it.`,
    { cause },
  );
}

interface CreateBody {
  model: string;
  from?: string;
  files?: Record<string, string>;
  adapters?: Record<string, string>;
  template?: string;
  parameters?: Record<string, unknown>;
}

async function create(address: string, body: CreateBody, onProgress: OnProgress, signal: AbortSignal): Promise<void> {
  await ask(address, body.from ?? null, signal, null, async (ollama) => {
    for await (const { status } of await ollama.create({ ...body, stream: true })) {
      onProgress({ what: `${body.model}: ${status}`, done: 0, total: null, unit: "steps" });
    }
  });
}

/** The digest under which the server then has the file. */
async function uploadBlob(address: string, file: string, onProgress: OnProgress, signal: AbortSignal): Promise<string> {
  const size = await stat(file).then(
    ({ size }) => size,
    (error: Error) => {
      throw new UserError("model-unreadable", `${file} cannot be read: ${error.message}.`, { cause: error });
    },
  );
  const what = (verb: string, done: number) =>
    onProgress({ what: `${verb} ${basename(file)}`, done, total: size, unit: "bytes" });
  try {
    const digest = `sha256:${await sha256(file, signal, (done) => what("reading", done))}`;
    const url = `${address}/api/blobs/${digest}`;
    const there = await httpFetch(url, { method: "HEAD", signal, connectMs: CONNECT_MS, idleMs: ANSWER_MS });
    if (there.ok) return digest;
    let done = 0;
    const body = Readable.from(
      (async function* () {
        for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) {
          done += (chunk as Buffer).length;
          what("uploading", done);
          yield chunk as Buffer;
        }
      })(),
    );
    const headers = { "Content-Length": String(size) };
    const sent = await httpFetch(url, { method: "POST", headers, body, signal, connectMs: CONNECT_MS, idleMs: null });
    const text = await sent.text();
    if (!sent.ok)
      throw new ServerError(sent.status, errorOf(text) ?? `${sent.status} ${sent.statusText}`, errorOf(text) !== null);
    return digest;
  } catch (error) {
    throw explain(error, address, null, signal);
  }
}

export interface OllamaOptions {
  host: string | null;
  /** Null: the suitable one. */
  model: string | null;
  contextTokens: number;
  parallel: number;
  threads: number | null;
  /** A LoRA adapter in GGUF, put on top of the model as a model of its own. */
  adapter: string | null;
}

/** The name of the suitable model. @throws UserError "ollama-no-model" when there is none. */
export function suitableName(address: string, models: LocalModel[]): string {
  const suitable = suitableModel(models);
  if (suitable) return suitable.name;
  throw new UserError(
    "ollama-no-model",
    `Ollama at ${address} has no coding model of a fitting size. Pull one ("ollama pull qwen2.5-coder:7b"), or name one in "designer.model".`,
  );
}

/**
 * Opens the designer: finds the model and has it loaded, so that the first question waits no longer than the others.
 * @throws UserError as listOllama, "ollama-model-missing", "ollama-no-model"; AbortError.
 */
export async function openOllama(
  options: OllamaOptions,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<Designer> {
  const address = ollamaAddress(options.host);
  const models = await listOllama(options.host, signal);
  const base = options.model ?? suitableName(address, models);
  if (!hasModel(models, base)) throw missing(address, base);
  const model =
    options.adapter === null ? base : await adapted(options.host, models, base, options.adapter, onProgress, signal);

  const settings = {
    num_ctx: options.contextTokens,
    ...(options.threads === null ? {} : { num_thread: options.threads }),
  };
  onProgress({ what: `loading ${model}`, done: 0, total: null, unit: "steps" });
  // Without messages the server loads the model, with the settings that the questions will have, and answers.
  await ask(address, model, signal, null, (ollama) =>
    ollama.chat({ model, messages: [], keep_alive: KEEP_ALIVE, options: settings }),
  );
  const running = await ask(address, null, signal, ANSWER_MS, (ollama) => ollama.ps());
  const loaded = running.models?.find(({ name }) => name === tagged(model));

  const open = new AbortController();
  return {
    info: { provider: "ollama", model, parallel: options.parallel, device: deviceOf(loaded) },
    async generate(prompt, sampling, signal, onText) {
      const either = AbortSignal.any([signal, open.signal]);
      return ask(address, model, either, SILENT_MS, (ollama) =>
        chat(ollama, model, settings, prompt, sampling, onText),
      );
    },
    release: () => unloadOllama(options.host, model, new AbortController().signal),
    async close() {
      open.abort();
    },
  };
}

/** The name of base and adapter as one model, made when the server lacks it. Equal bases and adapters have equal names. */
async function adapted(
  host: string | null,
  models: LocalModel[],
  base: string,
  adapter: string,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<string> {
  const digest = await sha256(adapter, signal).catch((error: Error) => {
    if (signal.aborted) throw abortError(signal);
    throw new UserError("adapter-unreadable", `The adapter ${adapter} cannot be read: ${error.message}.`, {
      cause: error,
    });
  });
  const name = `netwright-${base.replace(/[^a-z0-9.-]+/gi, "-")}:${digest.slice(0, 12)}`;
  if (!models.some((model) => model.name === name))
    await createWithAdapter(host, name, base, adapter, onProgress, signal);
  return name;
}

/** How long a server may take to free a model's memory. */
const UNLOAD_MS = 60_000;

/**
 * Has the server unload a model, and waits until it has: its memory is free then. One that is not loaded is no error.
 * @throws UserError as listOllama, "ollama-keeps-model" when it stays; AbortError.
 */
export async function unloadOllama(host: string | null, model: string, signal: AbortSignal): Promise<void> {
  const address = ollamaAddress(host);
  const isLoaded = async () => {
    const { models } = await ask(address, null, signal, ANSWER_MS, (ollama) => ollama.ps());
    return hasModel(models ?? [], model);
  };
  if (!(await isLoaded())) return;
  await ask(address, model, signal, ANSWER_MS, (ollama) => ollama.chat({ model, messages: [], keep_alive: 0 }));
  const until = performance.now() + UNLOAD_MS;
  while (await isLoaded()) {
    if (performance.now() > until) {
      throw new UserError(
        "ollama-keeps-model",
        `Ollama at ${address} keeps ${model} in memory: something else is asking it. Stop that, then try again.`,
      );
    }
    await sleep(250, undefined, { signal });
  }
}

/**
 * The GGUF file of a model, in the server's own store.
 * @throws UserError as listOllama, "ollama-model-missing", or "tuner-base" when the file cannot be read from here; AbortError.
 */
export async function ollamaWeights(host: string | null, model: string, signal: AbortSignal): Promise<string> {
  const address = ollamaAddress(host);
  const { modelfile } = await ask(address, model, signal, ANSWER_MS, (ollama) => ollama.show({ model }));
  const file = /^FROM\s+(\S.*)$/m.exec(modelfile)?.[1]?.trim();
  const readable =
    file !== undefined &&
    isAbsolute(file) &&
    (await access(file).then(
      () => true,
      () => false,
    ));
  if (readable) return file;
  throw new UserError(
    "tuner-base",
    `The weights of ${model} lie with Ollama at ${address}, where they cannot be read from here. Set "tuner.base" to its GGUF file, or to a folder with its safetensors.`,
  );
}

/** Deletes a model from the server. One that is not there is no error. @throws UserError as listOllama; AbortError. */
export async function deleteOllama(host: string | null, model: string, signal: AbortSignal): Promise<void> {
  if (!hasModel(await listOllama(host, signal), model)) return;
  await ask(ollamaAddress(host), model, signal, ANSWER_MS, (ollama) => ollama.delete({ model }));
}

function deviceOf(loaded: ModelResponse | undefined): string {
  if (!loaded?.size) return "unknown";
  const share = Math.round((100 * (loaded.size_vram ?? 0)) / loaded.size);
  if (share === 0) return "CPU";
  return share >= 100 ? "GPU" : `GPU (${share} %) and CPU`;
}

async function chat(
  ollama: Ollama,
  model: string,
  settings: { num_ctx: number; num_thread?: number },
  prompt: Prompt,
  sampling: Sampling,
  onText?: (piece: string) => void,
): Promise<Reply> {
  const started = performance.now();
  const prefilled: Message[] = prompt.prefill === "" ? [] : [{ role: "assistant", content: prompt.prefill }];
  const stream = await ollama.chat({
    model,
    messages: [...prompt.messages, ...prefilled],
    stream: true,
    keep_alive: KEEP_ALIVE,
    // A prompt that is too long is an error, not a prompt without its beginning; and the answer ends where the context does.
    ...{ truncate: false, shift: false },
    options: {
      ...settings,
      seed: usableSeed(sampling.seed),
      temperature: sampling.temperature,
      top_p: sampling.topP,
      min_p: sampling.minP,
      top_k: TOP_K,
      // Code repeats itself rightly.
      repeat_penalty: 1,
      num_predict: sampling.maxTokens,
      stop: prompt.stop,
    },
  });
  if (prompt.prefill !== "") onText?.(prompt.prefill);
  let continuation = "";
  let last: ChatResponse | null = null;
  for await (const part of stream) {
    const piece = part.message?.content ?? "";
    if (piece !== "") onText?.(piece);
    continuation += piece;
    last = part;
  }
  return {
    text: joinPrefill(prompt.prefill, continuation),
    promptTokens: last?.prompt_eval_count ?? 0,
    tokens: last?.eval_count ?? 0,
    seconds: (performance.now() - started) / 1000,
    finish: last?.done_reason === "length" ? "length" : "stop",
  };
}
