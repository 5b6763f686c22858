/** How outcomes, reviews and stages look and read. */
import type { Stage } from "../../src/engine/events.ts";
import { decisionAccuracy } from "../../src/study/admission.ts";
import type { Candidate, Outcome } from "../../src/study/types.ts";

export interface Mark {
  label: string;
  /** A codicon's name. */
  icon: string;
  tone: "good" | "bad" | "warning" | "busy" | "quiet" | "special";
}

/** Valid, without a figure of its own. */
const KNOWN: Mark = { label: "Known", icon: "copy", tone: "quiet" };
const KNOWN_DETAIL = "Valid, but seen before: a known net is not trained again";

export const OUTCOME_MARKS: Record<Outcome, Mark> = {
  valid: { label: "Valid", icon: "pass", tone: "good" },
  "no-code": { label: "No code", icon: "circle-slash", tone: "bad" },
  syntax: { label: "Syntax error", icon: "error", tone: "bad" },
  contract: { label: "Contract", icon: "error", tone: "bad" },
  init: { label: "Init failed", icon: "error", tone: "bad" },
  forward: { label: "Forward failed", icon: "error", tone: "bad" },
  shape: { label: "Wrong shape", icon: "error", tone: "bad" },
  "too-large": { label: "Too large", icon: "warning", tone: "warning" },
  train: { label: "Training failed", icon: "error", tone: "bad" },
  timeout: { label: "Timed out", icon: "warning", tone: "warning" },
  "out-of-memory": { label: "Out of memory", icon: "warning", tone: "warning" },
  chance: { label: "At chance", icon: "warning", tone: "warning" },
};

export const STAGE_LABELS: Record<Stage, string> = {
  designing: "Designing",
  waiting: "Waiting",
  repairing: "Repairing",
  checking: "Checking",
  comparing: "Comparing",
  training: "Training",
};

/** A candidate's outcome; while it has none, its stage. */
export function outcomeMark(candidate: Candidate, stage: Stage | null): Mark {
  // Trained again: the stage of the moment is what matters.
  if (stage === "waiting") return { label: STAGE_LABELS.waiting, icon: "circle-outline", tone: "quiet" };
  if (stage) return { label: STAGE_LABELS[stage], icon: "loading", tone: "busy" };
  if (isKnown(candidate)) return KNOWN;
  if (candidate.outcome) return OUTCOME_MARKS[candidate.outcome];
  return { label: "Waiting", icon: "circle-outline", tone: "quiet" };
}

/** A duplicate of a net that was seen before: it passed the check, and was not trained. */
const isKnown = ({ outcome, accuracy }: Candidate): boolean =>
  outcome === "valid" && decisionAccuracy(accuracy) === null;

/** The outcome in a sentence: the error, or what the label means where it does not say it all. */
export const outcomeTitle = (candidate: Candidate, { label }: Mark): string =>
  candidate.error?.message ?? (isKnown(candidate) ? KNOWN_DETAIL : label);

/** What became of a candidate's review; null while nothing is to be said. */
export function reviewMark(candidate: Candidate): Mark | null {
  if (candidate.accepted === true) return { label: "Accepted", icon: "thumbsup-filled", tone: "good" };
  if (candidate.accepted === false) return { label: "Rejected", icon: "thumbsdown", tone: "quiet" };
  return candidate.proposed ? { label: "Proposed", icon: "star-full", tone: "special" } : null;
}
