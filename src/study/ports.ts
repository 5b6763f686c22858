/** What the loop needs of the world. `designer/`, `trainer/`, `novelty/` and `store/` fill these; nothing here does I/O. */
import type { Accuracy, Checked, Failure, Prompt, Protocol, Reply, Sampling, TaskShape } from "./types.ts";

/** An error whose message is for people: it names the cause and the next step. */
export class UserError extends Error {
  override name = "UserError";
  /** Machine-readable cause, e.g. "ollama-not-running", so that a client can offer the fix as a button. */
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Thrown (as the signal's reason or its like) when the user cancelled. */
export function isCancellation(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

export interface DesignerInfo {
  provider: "ollama" | "llama.cpp";
  model: string;
  /** How many requests it answers at once. */
  parallel: number;
  device: string;
}

export interface Designer {
  readonly info: DesignerInfo;
  /**
   * Asks once. `onText` gets the answer as it grows (pieces, in order). Rejects with an AbortError as soon as `signal` fires,
   * whatever the server does, and with a UserError when the model cannot be reached.
   */
  generate(prompt: Prompt, sampling: Sampling, signal: AbortSignal, onText?: (piece: string) => void): Promise<Reply>;
  /** Gives the model's memory back while nothing is asked; the next question loads it again. */
  release(): Promise<void>;
  close(): Promise<void>;
}

export type CheckResult =
  | { ok: true; checked: Checked; seconds: number }
  | { ok: false; failure: Failure; parameters: number | null; seconds: number };

export type TrainResult =
  | { ok: true; accuracy: Accuracy; seconds: number; peakMemoryMiB: number }
  | { ok: false; failure: Failure; accuracy: Accuracy; seconds: number };

export interface TrainProgress {
  epoch: number;
  batch: number;
  batches: number;
  secondsLeft: number | null;
}

export interface TrainerInfo {
  /** e.g. "cpu" or "cuda:0". */
  device: string;
  /** e.g. "NVIDIA H100 80GB HBM3" or "CPU, 2 threads". */
  deviceName: string;
  torch: string;
  /** e.g. ["bubblewrap", "seccomp", "rlimits"]. */
  sandbox: string[];
  shape: TaskShape;
  trainImages: number;
  validationImages: number;
  testImages: number;
}

/** Checks and trains candidates under one protocol. Every call runs the code in a process of its own inside the sandbox. */
export interface Trainer {
  readonly info: TrainerInfo;
  check(code: string, signal: AbortSignal): Promise<CheckResult>;
  train(
    code: string,
    protocol: Protocol,
    signal: AbortSignal,
    onProgress?: (p: TrainProgress) => void,
  ): Promise<TrainResult>;
  close(): Promise<void>;
}

export interface Neighbour {
  id: number;
  similarity: number;
}

/** Everything seen before, under both measures. */
export interface NoveltyIndex {
  readonly size: number;
  /** Most similar nets; null when nothing has been seen. */
  nearest(net: { code: string; checked: Checked }): { text: Neighbour | null; structure: Neighbour | null };
  add(id: number, net: { code: string; checked: Checked }): void;
}
