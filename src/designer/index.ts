/** The designer: a local model behind one interface, whoever serves it. */
import { basename, isAbsolute } from "node:path";
import { type Designer, UserError } from "../study/ports.ts";
import { openLlama } from "./llama/parent.ts";
import { DEFAULT_EMBEDDED_MODEL, EMBEDDED_MODELS, ensureModel, installedModels } from "./models.ts";
import { ollamaAddress } from "./ollama/client.ts";
import { openOllama } from "./ollama/designer.ts";
import {
  hasModel,
  type LocalModel,
  listOllama,
  ollamaWeights,
  suitableModel,
  suitableName,
  unloadOllama,
} from "./ollama/models.ts";
import type { OnProgress } from "./progress.ts";

export {
  createWithAdapter,
  deleteOllama,
  hasModel,
  pullModel,
  suitableName,
  unloadOllama,
} from "./ollama/models.ts";
export type { OnProgress, Progress } from "./progress.ts";

export interface DesignerConfig {
  /** auto: a reachable Ollama with a suitable model (suitableModel in ollama/models.ts), else the embedded model. */
  provider: "auto" | "ollama" | "llama.cpp";
  /**
   * An Ollama model, an embedded model's name, or a GGUF file by its whole path or its name in the data home; null: the suitable one,
   * or the embedded default.
   */
  model: string | null;
  /** Ollama's address; null: OLLAMA_HOST, or this machine. */
  host: string | null;
  /** Of a question with its answer. */
  contextTokens: number;
  /** Questions answered at once. */
  parallel: number;
  /** A LoRA adapter in GGUF. */
  adapter: string | null;
  /** Null: all cores. */
  threads: number | null;
  /** What the record calls it; null: its own name. */
  title?: string | null;
}

export interface DesignerContext {
  /** The user's data home; models lie in its `models/`. */
  home: string;
  onProgress: OnProgress;
  /** Hears the embedded model's log. */
  log?: (line: string) => void;
}

/**
 * Opens the designer that the configuration names.
 * @throws UserError of openOllama, ensureModel or openLlama; an AbortError as soon as `signal` fires.
 */
export async function openDesigner(
  config: DesignerConfig,
  { home, onProgress, log = () => {} }: DesignerContext,
  signal: AbortSignal,
): Promise<Designer> {
  const chosen = await chooseDesigner(config, signal);
  if (chosen.provider === "ollama") return openOllama({ ...config, model: chosen.model }, onProgress, signal);
  const model = await ensureModel(chosen.model, home, onProgress, signal);
  const { contextTokens, parallel, adapter, threads } = config;
  const name = config.title ?? basename(model).replace(/\.gguf$/, "");
  return openLlama({ name, model, contextTokens, parallel, adapter, threads }, onProgress, log, signal);
}

/** A model as it is without adapters. */
export interface BaseModel {
  provider: "ollama" | "llama.cpp";
  name: string;
  /** Its GGUF, where it can be read from here. */
  weights(signal: AbortSignal): Promise<string>;
  /** Frees what it takes in memory, where it lives in a server that outlasts its questions. */
  unload(signal: AbortSignal): Promise<void>;
}

/** The model that the configuration comes to, to be tuned. @throws UserError as chooseDesigner, listOllama; "ollama-no-model". */
export async function baseModel(
  config: Pick<DesignerConfig, "provider" | "model" | "host">,
  { home, onProgress }: DesignerContext,
  signal: AbortSignal,
): Promise<BaseModel> {
  const chosen = await chooseDesigner(config, signal);
  if (chosen.provider === "llama.cpp") {
    return {
      provider: "llama.cpp",
      name: basename(chosen.model).replace(/\.gguf$/i, ""),
      weights: (signal) => ensureModel(chosen.model, home, onProgress, signal),
      unload: async () => {},
    };
  }
  const { host } = config;
  const name = chosen.model ?? suitableName(ollamaAddress(host), await listOllama(host, signal));
  return {
    provider: "ollama",
    name,
    weights: (signal) => ollamaWeights(host, name, signal),
    unload: (signal) => unloadOllama(host, name, signal),
  };
}

export type Choice = { provider: "ollama"; model: string | null } | { provider: "llama.cpp"; model: string };

/** Which designer the configuration comes to, as things stand. @throws UserError "ollama-host-invalid" */
export async function chooseDesigner(
  { provider, model, host }: Pick<DesignerConfig, "provider" | "model" | "host">,
  signal: AbortSignal,
): Promise<Choice> {
  if (provider === "ollama") return { provider, model };
  const embedded: Choice = { provider: "llama.cpp", model: model ?? DEFAULT_EMBEDDED_MODEL };
  if (provider === "llama.cpp" || isEmbedded(embedded.model, model)) return embedded;
  const models = await reachable(host, signal);
  if (models === null) return embedded;
  if (model === null) return suitableModel(models) === null ? embedded : { provider: "ollama", model: null };
  return hasModel(models, model) ? { provider: "ollama", model } : embedded;
}

/** Whether a model that is named can only be an embedded one. */
const isEmbedded = (name: string, given: string | null) =>
  given !== null && (Object.hasOwn(EMBEDDED_MODELS, name) || /\.gguf$/i.test(name) || isAbsolute(name));

/** The models of an Ollama that answers; null where none does. What stands there instead is its host's business, not an error here. */
async function reachable(host: string | null, signal: AbortSignal): Promise<LocalModel[] | null> {
  try {
    return await listOllama(host, signal);
  } catch (error) {
    if (error instanceof UserError && error.code !== "ollama-host-invalid") return null;
    throw error;
  }
}

export interface DesignerReport {
  ollama: {
    address: string;
    /** Null when it answered. */
    error: { code: string; message: string } | null;
    models: LocalModel[];
    /** The model that `auto` takes. */
    suitable: string | null;
  };
  embedded: { name: string; title: string; bytes: number; installed: boolean }[];
}

/** What is there to design with. Never fails for what is not there. */
export async function listDesigners(host: string | null, home: string, signal: AbortSignal): Promise<DesignerReport> {
  const installed = await installedModels(home);
  const embedded = Object.values(EMBEDDED_MODELS).map(({ name, title, bytes }) => {
    return { name, title, bytes, installed: installed.includes(name) };
  });
  try {
    const models = await listOllama(host, signal);
    const suitable = suitableModel(models)?.name ?? null;
    return { ollama: { address: ollamaAddress(host), error: null, models, suitable }, embedded };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const address =
      error.code === "ollama-host-invalid" ? (host ?? process.env.OLLAMA_HOST ?? "") : ollamaAddress(host);
    const { code, message } = error;
    return { ollama: { address, error: { code, message }, models: [], suitable: null }, embedded };
  }
}
