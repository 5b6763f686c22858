/** What an engine tells its clients while it works. Plain data, so that it can cross a process boundary. */
import type { DesignerInfo, TrainerInfo, TrainProgress } from "../study/ports.ts";
import type { Candidate, DesignMode, Failure, Generation, LossPoint } from "../study/types.ts";

export type Stage = "designing" | "waiting" | "repairing" | "checking" | "comparing" | "training";

export type EngineEvent =
  /** Something is being installed, downloaded, decoded or loaded. `total` null: unknown. */
  | { type: "setup"; what: string; done: number; total: number | null; unit: string }
  /** Worth saying, needs no answer. */
  | { type: "note"; message: string }
  | { type: "cycle-started"; cycle: number; mode: DesignMode; planned: number; resumed: boolean }
  | { type: "ready"; designer: DesignerInfo | null; trainer: TrainerInfo }
  | { type: "stage"; id: number; name: string; stage: Stage; because: Failure | null }
  /** A piece of an answer as it is written. */
  | { type: "text"; id: number; piece: string }
  | ({ type: "training"; id: number } & TrainProgress)
  | { type: "candidate"; candidate: Candidate }
  | ({ type: "progress" } & CycleProgress)
  | ({ type: "tuning" } & Tuning)
  | { type: "generation"; generation: Generation };

export interface CycleProgress {
  planned: number;
  designed: number;
  checked: number;
  trained: number;
  finished: number;
  /** Estimate; null until there is something to go by. */
  secondsLeft: number | null;
}

/** A generation in the making: its LoRA run, then its probe. */
export interface Tuning {
  generation: number;
  stage: "loading" | "training" | "converting" | "probing";
  /** Of `steps`; while probing, answers of those that the probe asks for. */
  step: number;
  steps: number;
  losses: LossPoint[];
  tokensPerSecond: number | null;
  secondsLeft: number | null;
}

export type Emit = (event: EngineEvent) => void;
