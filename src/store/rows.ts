/** What queries answer, and what it is to the study. */
import type { TrainResult } from "../study/ports.ts";
import type { Attempt, Candidate, Failure, Origin, Outcome, Prompt, Protocol, Sampling } from "../study/types.ts";
import { fromJson, unpack } from "./packing.ts";

export interface WorkRow {
  id: number;
  cycle: number;
  name: string;
  mode: Origin;
  parent: number | null;
  seed: number;
  idea: string | null;
  code: string | null;
  outcome: Outcome | null;
  compared: number;
  novelty_text: number | null;
  novelty_structure: number | null;
}

export interface AttemptRow {
  number: Attempt["number"];
  model: string;
  sampling: string;
  prompt_tokens: number;
  tokens: number;
  seconds: number;
  finish: Attempt["reply"]["finish"];
  failure: string | null;
  code: string | null;
  reply: string;
  prompt: Uint8Array;
  checked: number | null;
  check_seconds: number | null;
  check_failure: string | null;
}

export function toAttempt(row: AttemptRow): Attempt {
  return {
    number: row.number,
    prompt: unpack<Prompt>(row.prompt),
    sampling: JSON.parse(row.sampling) as Sampling,
    model: row.model,
    reply: {
      text: row.reply,
      promptTokens: row.prompt_tokens,
      tokens: row.tokens,
      seconds: row.seconds,
      finish: row.finish,
    },
    code: row.code,
    failure: fromJson<Failure>(row.failure ?? row.check_failure),
    checked: row.checked !== null,
    checkSeconds: row.check_seconds ?? 0,
  };
}

export interface Training {
  at: string;
  protocol: Protocol;
  result: TrainResult;
  /** Whether this is the figure that lists show. */
  figure: boolean;
}

export interface TrainingRow {
  at: string;
  protocol: string;
  validation: number | null;
  test: number | null;
  seconds: number;
  peak_memory_mib: number | null;
  failure: string | null;
  figure: number | null;
}

export function toTraining(row: TrainingRow): Training {
  const accuracy = { validation: row.validation, test: row.test };
  const failure = fromJson<Failure>(row.failure);
  return {
    at: row.at,
    protocol: JSON.parse(row.protocol) as Protocol,
    result: failure
      ? { ok: false, failure, accuracy, seconds: row.seconds }
      : { ok: true, accuracy, seconds: row.seconds, peakMemoryMiB: row.peak_memory_mib ?? 0 },
    figure: row.figure === 1,
  };
}

export interface CandidateRow {
  id: number;
  cycle: number;
  name: string;
  mode: Origin;
  parent: number | null;
  outcome: Outcome | null;
  error_message: string | null;
  error_line: number | null;
  error_source: string | null;
  novelty_text: number | null;
  novelty_structure: number | null;
  nearest_text: number | null;
  nearest_structure: number | null;
  proposed: number;
  validation: number | null;
  test: number | null;
  train_seconds: number | null;
  accepted: number | null;
  reason: string | null;
  attempts: number;
  design_seconds: number;
  check_seconds: number;
  parameters: number | null;
}

export function toCandidate(row: CandidateRow): Candidate {
  return {
    id: row.id,
    cycle: row.cycle,
    name: row.name,
    mode: row.mode,
    parent: row.parent,
    outcome: row.outcome,
    error:
      row.error_message === null
        ? null
        : { message: row.error_message, line: row.error_line, source: row.error_source },
    repaired: row.attempts > 1,
    parameters: row.parameters,
    novelty: { text: row.novelty_text, structure: row.novelty_structure },
    nearest: { text: row.nearest_text, structure: row.nearest_structure },
    accuracy: { validation: row.validation, test: row.test },
    seconds: { design: row.design_seconds, check: row.check_seconds, train: row.train_seconds ?? 0 },
    proposed: row.proposed === 1,
    accepted: row.accepted === null ? null : row.accepted === 1,
    reason: row.reason,
  };
}
