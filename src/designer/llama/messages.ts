/** What the engine's process and the embedded model's say to each other. */
import type { Prompt, Reply, Sampling } from "../../study/types.ts";

export interface LoadOptions {
  model: string;
  /** A LoRA adapter in GGUF. */
  adapter: string | null;
  /** Of each answer, with its prompt. */
  contextTokens: number;
  parallel: number;
  /** Null: the processor's cores. */
  threads: number | null;
}

export type ToChild =
  | { type: "load"; options: LoadOptions }
  | { type: "ask"; id: number; prompt: Prompt; sampling: Sampling }
  | { type: "cancel"; id: number };

export type FromChild =
  | { type: "loading"; percent: number }
  | { type: "ready"; device: string }
  | { type: "text"; id: number; piece: string }
  /** `text` is what follows the prefill. */
  | { type: "reply"; id: number; reply: Reply }
  /** `id` null: loading failed. `code` is a UserError's. */
  | { type: "failed"; id: number | null; code: string; message: string };
