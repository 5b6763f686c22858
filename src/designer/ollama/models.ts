/** The models that an Ollama server has: listed, pulled, made of an adapter, unloaded, deleted. */
import { createReadStream } from "node:fs";
import { access, stat } from "node:fs/promises";
import { totalmem } from "node:os";
import { basename, isAbsolute } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { ModelResponse } from "ollama";
import { UserError } from "../../study/ports.ts";
import { httpFetch } from "../http.ts";
import { sha256 } from "../models.ts";
import type { OnProgress } from "../progress.ts";
import { ANSWER_MS, ask, CONNECT_MS, errorOf, explain, missing, ollamaAddress, ServerError } from "./client.ts";

export interface LocalModel {
  name: string;
  bytes: number;
  /** e.g. "1.5B", "Q4_K_M"; empty where the server does not say. */
  parameters: string;
  quantization: string;
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
export const tagged = (name: string) => (/:[^/]*$/.test(name) ? name : `${name}:latest`);

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

/** The name of the suitable model. @throws UserError "ollama-no-model" when there is none. */
export function suitableName(address: string, models: LocalModel[]): string {
  const suitable = suitableModel(models);
  if (suitable) return suitable.name;
  throw new UserError(
    "ollama-no-model",
    `Ollama at ${address} has no coding model of a fitting size. Pull one ("ollama pull qwen2.5-coder:7b"), or name one in "designer.model".`,
  );
}

/** What a server says of itself where it says nothing of the adapter. */
const HICCUP = /no space|quota|busy|overload|memory|input\/output|too many open|permission denied|deadline|timeout/i;

/**
 * Makes a model of another, which keeps its template and parameters, and a LoRA adapter in GGUF.
 * @throws UserError as listOllama, "model-unreadable"; "ollama-model-missing", "adapter-refused" when the server cannot use the adapter.
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
    await ask(address, from, signal, null, async (ollama) => {
      const adapters = { [basename(adapter)]: digest };
      for await (const { status } of await ollama.create({ model: name, from, adapters, stream: true })) {
        onProgress({ what: `${name}: ${status}`, done: 0, total: null, unit: "steps" });
      }
    });
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
