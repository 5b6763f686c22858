/** The cycle as a state machine: from what is recorded of a candidate follows its next step, so a killed engine resumes where it stood. */
import { isDuplicate } from "./admission.ts";
import type { StudyConfig } from "./config.ts";
import type { TrainResult } from "./ports.ts";
import type { Attempt, Candidate, Checked, Failure, Origin, Outcome } from "./types.ts";

/** What is recorded of a candidate's way through the loop. */
export interface Work {
  id: number;
  cycle: number;
  name: string;
  mode: Origin;
  parent: number | null;
  seed: number;
  idea: string | null;
  attempts: Attempt[];
  /** The latest module: of the last attempt that held one, or of a seed or import. */
  code: string | null;
  checked: Checked | null;
  /** Why a seed or import failed its check (a designed candidate's failures are its attempts'). */
  failure: Failure | null;
  novelty: Candidate["novelty"] | null;
  /** Latest training under the study's protocol. */
  trained: TrainResult | null;
  outcome: Outcome | null;
}

export type Step =
  | { do: "design" }
  | { do: "repair"; failure: Failure }
  | { do: "check"; code: string; attempt: Attempt["number"] | null }
  | { do: "compare"; code: string; checked: Checked }
  | { do: "train"; code: string }
  | { do: "finish"; outcome: Outcome; failure: Failure | null };

/** The next step of an unfinished candidate. */
export function nextStep(work: Work, config: StudyConfig): Step {
  if (work.checked && work.code !== null) {
    if (!work.novelty) return { do: "compare", code: work.code, checked: work.checked };
    if (work.trained) {
      return work.trained.ok
        ? { do: "finish", outcome: "valid", failure: null }
        : { do: "finish", outcome: work.trained.failure.outcome, failure: work.trained.failure };
    }
    // A known net teaches nothing: it is not trained again. Seeds always are, since prompts quote their accuracy.
    const designed = work.mode === "full" || work.mode === "delta";
    if (designed && isDuplicate(work.novelty, config.novelty)) return { do: "finish", outcome: "valid", failure: null };
    return { do: "train", code: work.code };
  }
  if (work.mode === "seed" || work.mode === "import") {
    if (work.failure) return { do: "finish", outcome: work.failure.outcome, failure: work.failure };
    return { do: "check", code: work.code ?? "", attempt: null };
  }
  const last = work.attempts.at(-1);
  if (!last) return { do: "design" };
  if (last.failure) {
    const repairable = config.designer.repair && last.number === 1;
    return repairable
      ? { do: "repair", failure: last.failure }
      : { do: "finish", outcome: last.failure.outcome, failure: last.failure };
  }
  return { do: "check", code: last.code ?? "", attempt: last.number };
}
