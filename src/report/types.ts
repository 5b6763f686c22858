/** What a report is made of, and what it says. Plain data: the record goes in, the account of it comes out. */
import type { StudyConfig } from "../study/config.ts";
import type {
  Accuracy,
  Candidate,
  CycleSummary,
  Generation,
  Origin,
  Outcome,
  Protocol,
  Sampling,
} from "../study/types.ts";

/** One net, with all that the record has of it and a report needs. */
export interface NetRecord {
  candidate: Candidate;
  code: string | null;
  /** Equal for nets whose operator graphs are equal; null where none was traced. */
  structure: string | null;
  /** The questions to the designer: which model answered, how it was sampled, and the tokens of its answer. */
  answers: { model: string; sampling: Sampling; tokens: number }[];
  /** What its figure was measured under; null where it has none. */
  protocol: Protocol | null;
  /** Whose word its review was. */
  reviewer: "user" | "policy" | null;
}

/** One study's record. */
export interface StudyRecord {
  config: StudyConfig;
  cycles: CycleSummary[];
  generations: Generation[];
  /** In the order they were added. */
  nets: NetRecord[];
}

/** One cycle's figures; shares follow from the counts. */
export interface CycleRow {
  cycle: number;
  started: string;
  /** Null: under way, or interrupted. */
  ended: string | null;
  candidates: number;
  valid: number;
  newAndValid: number;
  /** Valid nets with an accuracy: one whose structure was known is not trained again. */
  measured: number;
  meanAccuracy: number | null;
  bestAccuracy: number | null;
  /** Of the measured ones, those at or above the study's threshold. */
  atLeastThreshold: number;
  /** Distinct operator graphs of valid nets that no net of an earlier cycle had. */
  newStructures: number;
  accepted: number;
  generation: number;
  /** Of all answers, repairs included. */
  tokens: number;
  /** Sums over its candidates, several of which may be under way at once. */
  seconds: { design: number; train: number };
}

/** Several cycles as one. */
export type Totals = Omit<CycleRow, "cycle" | "started" | "ended" | "generation"> & { cycles: number };

/** Who designed, and how it was asked. Models, modes and sampling are the record's; the rest is the study's configuration. */
export interface DesignerAccount {
  models: string[];
  modes: Origin[];
  sampling: Omit<Sampling, "seed">[];
  exemplars: number;
  repair: boolean;
}

/** A net that designed another, directly or not. */
export interface Ancestor {
  id: number;
  name: string;
  mode: Origin;
  accuracy: number | null;
}

/** One net as a report shows it. */
export interface ReportedNet {
  id: number;
  name: string;
  cycle: number;
  generation: number;
  mode: Origin;
  model: string | null;
  repaired: boolean;
  accuracy: Accuracy;
  parameters: number | null;
  novelty: { text: number | null; structure: number | null };
  /** Its parent, that one's parent, and so on; empty where it was written whole. */
  lineage: Ancestor[];
  reviewer: "user" | "policy" | null;
  code: string | null;
}

export interface OutcomeCount {
  outcome: Outcome;
  count: number;
  /** Their most frequent message, and the first that gave it; null where nothing went wrong. */
  example: { name: string; message: string; count: number } | null;
}

export interface RejectedNet {
  id: number;
  name: string;
  outcome: Outcome;
  accuracy: number | null;
  reason: string | null;
  reviewer: "user" | "policy" | null;
}

/** When the study ran; null before its first cycle. Seconds are sums. */
export interface Span {
  first: string;
  /** Null while its last cycle is under way or interrupted. */
  last: string | null;
  seconds: { design: number; check: number; train: number; tune: number };
}

/** The same figures of a study whose designer was never tuned. */
export interface Comparison {
  name: string;
  cycles: CycleRow[];
  /** Both over the cycles that both studies have. */
  totals: { tuned: Totals; untuned: Totals };
  /** How its protocol differs, in words; empty when the figures are comparable. */
  differences: string[];
}

export interface Report {
  name: string;
  protocol: Protocol;
  /** How the protocol differs from the paper's, in words; empty when figures are comparable with the published ones. */
  unlikePaper: string[];
  /** Figures in this report that were measured under another protocol than the study has now. */
  measuredOtherwise: number;
  admission: StudyConfig["admission"];
  gates: StudyConfig["novelty"];
  parameterLimit: number;
  designer: DesignerAccount;
  span: Span | null;
  /** From 1 on: the nets of cycle 0 are nobody's designs. */
  cycles: CycleRow[];
  totals: Totals;
  untuned: Comparison | null;
  generations: Generation[];
  /** Best first. */
  accepted: ReportedNet[];
  /** Nets in the lineages of the accepted ones that are not accepted themselves, oldest first. */
  ancestors: ReportedNet[];
  /** Of the candidates of all cycles, in the order of the loop. */
  outcomes: OutcomeCount[];
  /** Candidates that a second question was asked for, and those of them that became valid. */
  repairs: { asked: number; valid: number };
  rejected: RejectedNet[];
  /** Nets that are proposed and wait for a review. */
  waiting: number;
}
