/** A Designer that asks an Ollama server. */
import type { ChatResponse, ModelResponse, Ollama } from "ollama";
import { type Designer, UserError } from "../../study/ports.ts";
import type { Message, Prompt, Reply, Sampling } from "../../study/types.ts";
import { sha256 } from "../models.ts";
import { joinPrefill } from "../prefill.ts";
import { abortError, type OnProgress } from "../progress.ts";
import { TOP_K, usableSeed } from "../sampling.ts";
import { ANSWER_MS, ask, missing, ollamaAddress, SILENT_MS } from "./client.ts";
import {
  createWithAdapter,
  hasModel,
  type LocalModel,
  listOllama,
  suitableName,
  tagged,
  unloadOllama,
} from "./models.ts";

/** How long the server keeps the model after a question: a cycle's training may take this long. */
const KEEP_ALIVE = "30m";

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
