/**
 * The engine's RPC surface: JSON-RPC 2.0 over a local pipe. Types that both sides share, and nothing else.
 *
 * State reaches a client as one snapshot and then numbered changes: `changes.number` is one more than the last number seen. A client
 * that sees a gap asks for a new snapshot.
 */
import type { DesignerInfo, TrainerInfo } from "../study/ports.ts";
import type {
  Accuracy,
  Attempt,
  Candidate,
  CycleSummary,
  DesignMode,
  Failure,
  Generation,
  Outcome,
  Protocol,
} from "../study/types.ts";
import type { CycleProgress, EngineEvent, Stage, Tuning } from "./events.ts";

/** Raised with every change that an older peer would not understand. A client asks an engine of another version to end itself. */
export const PROTOCOL_VERSION = 3;

/** What a study is, for headings and rules of display. */
export interface StudyView {
  dir: string;
  name: string;
  protocol: Protocol;
  mode: DesignMode;
  /** Least accuracy of a proposed net. */
  threshold: number;
  policy: "review" | "automatic";
  gates: { text: number | null; structure: number | null };
}

/** A candidate under way. */
export interface Underway {
  id: number;
  name: string;
  stage: Stage;
  /** Why it is being repaired. */
  because: Failure | null;
  training: { batch: number; batches: number; secondsLeft: number | null } | null;
}

/** What the engine is doing now. Small: sent whole. */
export interface Activity {
  state: "idle" | "starting" | "running" | "stopping";
  /** Something is being installed, downloaded, decoded or loaded. */
  setup: { what: string; done: number; total: number | null; unit: string } | null;
  /** The running cycle; null when idle, or while the seeds are measured. */
  cycle: number | null;
  mode: DesignMode | null;
  progress: CycleProgress | null;
  underway: Underway[];
  designer: DesignerInfo | null;
  trainer: TrainerInfo | null;
  /** The generation that is being made; null when none is. */
  tuning: Tuning | null;
  /** The run of cycles under way; null when cycles are stepped one by one. */
  run: RunState | null;
  /** How the last run failed; null after it is started again. */
  error: { code: string; message: string } | null;
  /** A cycle that was interrupted and can be continued. */
  interrupted: number | null;
}

/** A run of several cycles: how far it is, within the budgets it was given (null: none). */
export interface RunState {
  started: string;
  cyclesDone: number;
  candidatesDone: number;
  budget: Budget;
  /** It ends after the cycle under way. */
  pausing: boolean;
}

export interface Budget {
  cycles: number | null;
  hours: number | null;
  candidates: number | null;
}

export interface Snapshot {
  number: number;
  study: StudyView;
  activity: Activity;
  cycles: CycleSummary[];
  generations: Generation[];
  candidates: Candidate[];
}

export type Change =
  | { kind: "activity"; activity: Activity }
  | { kind: "candidate"; candidate: Candidate }
  | { kind: "cycles"; cycles: CycleSummary[] }
  | { kind: "generations"; generations: Generation[] }
  | { kind: "study"; study: StudyView };

export interface Changes {
  number: number;
  changes: Change[];
}

export interface StepParameters {
  candidates: number;
  mode: DesignMode | null;
  seed: number | null;
  resume: boolean;
}

export interface StepResult {
  cycle: number;
  candidates: Candidate[];
  summary: CycleSummary;
}

export interface EvaluationParameters {
  code: string;
  /** Null: the study's. */
  data: { dataset: Protocol["dataset"]; source: string | null } | null;
  protocol: Protocol["name"] | null;
}

export interface Evaluation {
  outcome: Outcome;
  error: { message: string; line: number | null; source: string | null } | null;
  parameters: number | null;
  accuracy: Accuracy;
  seconds: { check: number; train: number };
  protocol: Protocol;
}

export interface ImportResult {
  candidates: Candidate[];
  skipped: { file: string; why: string }[];
}

export interface RunParameters extends Omit<StepParameters, "resume"> {
  budget: Budget;
  /** Tune the designer between cycles, once enough is new. */
  tune: boolean;
}

export interface RunResult {
  cycles: CycleSummary[];
  generations: Generation[];
  /** Which end it came to. */
  ended: "budget" | "paused";
}

/** What a LoRA run would do now, before anything is loaded. */
export interface TuningPlan {
  /** A run that was stopped and goes on with its own corpus; null: a new one begins. */
  resumes: number | null;
  accepted: number;
  /** Of them, accepted since the last generation's corpus. */
  newAccepted: number;
  examples: number;
  /** Too long for `tuner.maxTokens` (estimated), or the same structure again. */
  leftOut: { tooLong: number; repeated: number };
  base: string;
  device: string;
  memoryMiB: number;
  freeMemoryMiB: number;
  /** Null until a run on this machine tells. */
  seconds: number | null;
  /** Why it cannot begin, with what to do; null when it can. */
  obstacle: { code: string; message: string } | null;
}

/** Everything about one candidate. */
export interface Detail {
  candidate: Candidate;
  code: string | null;
  attempts: Attempt[];
}

/** Carried in `data` of an error response: the machine-readable cause, so that a client can offer the fix. */
export interface ErrorData {
  code: string;
}

/** A request's name, with the types of its parameters and its answer. */
export interface Call<P, R> {
  method: string;
  /** Never there: carries the types. */
  types?: [P, R];
}
const call = <P, R>(method: string): Call<P, R> => ({ method });

/** A notification's name, with the type of what it carries. */
export interface Notice<P> {
  method: string;
  types?: P;
}
const notice = <P>(method: string): Notice<P> => ({ method });

/** Codes of error responses: `FAILED` carries {@link ErrorData}; `CANCELLED` is the one that the Language Server Protocol gave a number. */
export const FAILED = 1;
export const CANCELLED = -32800;

export const Hello = call<{ protocolVersion: number }, { protocolVersion: number; version: string; pid: number }>(
  "hello",
);
export const GetSnapshot = call<null, Snapshot>("snapshot");
/** Runs one cycle; answers when it ended. Cancelling the request stops the cycle, as `Stop` does. */
export const Step = call<StepParameters, StepResult>("step");
/** Stops whatever runs; answers when it has stopped. Recorded steps are kept, the cycle can be resumed. */
export const Stop = call<null, void>("stop");
export const Accept = call<{ ids: number[] }, Candidate[]>("accept");
export const Reject = call<{ ids: number[]; reason: string | null }, Candidate[]>("reject");
export const GetDetail = call<{ id: number }, Detail>("detail");
export const Evaluate = call<EvaluationParameters, Evaluation>("evaluate");
/** Trains a candidate again under the study's protocol; the new figure counts. */
export const EvaluateAgain = call<{ id: number }, Candidate>("evaluateAgain");
/** Steps cycle after cycle within a budget, tunes between them when asked to; answers when it ended. */
export const Run = call<RunParameters, RunResult>("run");
/** Lets a run end after the cycle under way; false takes that back. */
export const Pause = call<{ pausing: boolean }, void>("pause");
/** Takes a pause back; else goes on with the run that was paused, stopped or failed, with what is left of its budget ("no-run": none). */
export const ResumeRun = call<null, RunResult>("resumeRun");
export const PlanTuning = call<null, TuningPlan>("planTuning");
/** Tunes the designer on what is accepted, probes it, and uses it when it is worth it. `restart`: give up a run that was stopped. */
export const FineTune = call<{ restart: boolean }, Generation>("fineTune");
/** Makes a generation the designer; 0: the base model alone. */
export const UseGeneration = call<{ generation: number }, Generation[]>("useGeneration");
/** Deletes a generation's adapter, in Ollama too; its figures stay. */
export const DeleteGeneration = call<{ generation: number }, Generation[]>("deleteGeneration");
/** Writes the study's report, one HTML page, `report.md` and `report.json`, into a folder. */
export const WriteReport = call<{ dir: string }, { files: string[] }>("writeReport");
export const ExportLemur = call<{ dir: string }, { nets: number; files: number }>("exportLemur");
/** Reads the nets of a LEMUR folder into cycle 0 and measures them. */
export const ImportLemur = call<{ dir: string }, ImportResult>("importLemur");
/** Subscribes to the text of one candidate as it is written (null: to none); answers with what is written so far. */
export const WatchText = call<{ id: number | null }, { text: string }>("watchText");
/** Ends the engine when nothing runs and no other client is there ("busy", "shared"), or at once with `force`. */
export const Shutdown = call<{ force: boolean }, void>("shutdown");

export const DidChange = notice<Changes>("changes");
export const DidWrite = notice<{ id: number; piece: string }>("text");
/** The same events as a loop in this process would emit, for clients that show a running log. */
export const DidHappen = notice<EngineEvent>("event");
