/**
 * The engine's RPC surface: JSON-RPC 2.0 over a local pipe. Types that both sides share, and nothing else.
 *
 * State reaches a client as one snapshot and then numbered changes: `changes.number` is one more than the last number seen. A client
 * that sees a gap asks for a new snapshot.
 */
import { NotificationType, RequestType, RequestType0 } from "vscode-jsonrpc";
import type { DesignerInfo, TrainerInfo } from "../study/ports.ts";
import type {
  Accuracy,
  Attempt,
  Candidate,
  CycleSummary,
  DesignMode,
  Failure,
  Outcome,
  Protocol,
} from "../study/types.ts";
import type { CycleProgress, EngineEvent, Stage } from "./events.ts";

/** Raised with every change that an older peer would not understand. A client asks an engine of another version to end itself. */
export const PROTOCOL_VERSION = 1;

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
  /** How the last run failed; null after it is started again. */
  error: { code: string; message: string } | null;
  /** A cycle that was interrupted and can be continued. */
  interrupted: number | null;
}

export interface Snapshot {
  number: number;
  study: StudyView;
  activity: Activity;
  cycles: CycleSummary[];
  candidates: Candidate[];
}

export type Change =
  | { kind: "activity"; activity: Activity }
  | { kind: "candidate"; candidate: Candidate }
  | { kind: "cycles"; cycles: CycleSummary[] }
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

export const Hello = new RequestType<{ protocolVersion: number }, { protocolVersion: number; pid: number }, ErrorData>(
  "hello",
);
export const GetSnapshot = new RequestType0<Snapshot, ErrorData>("snapshot");
/** Runs one cycle; answers when it ended. Cancelling the request stops the cycle, as `Stop` does. */
export const Step = new RequestType<StepParameters, StepResult, ErrorData>("step");
/** Stops whatever runs; answers when it has stopped. Recorded steps are kept, the cycle can be resumed. */
export const Stop = new RequestType0<void, ErrorData>("stop");
export const Accept = new RequestType<{ ids: number[] }, Candidate[], ErrorData>("accept");
export const Reject = new RequestType<{ ids: number[]; reason: string | null }, Candidate[], ErrorData>("reject");
export const GetDetail = new RequestType<{ id: number }, Detail, ErrorData>("detail");
export const Evaluate = new RequestType<EvaluationParameters, Evaluation, ErrorData>("evaluate");
/** Trains a candidate again under the study's protocol; the new figure counts. */
export const EvaluateAgain = new RequestType<{ id: number }, Candidate, ErrorData>("evaluateAgain");
export const ExportLemur = new RequestType<{ dir: string }, { nets: number; files: number }, ErrorData>("exportLemur");
/** Subscribes to the text of one candidate as it is written (null: to none); answers with what is written so far. */
export const WatchText = new RequestType<{ id: number | null }, { text: string }, ErrorData>("watchText");
/** Ends the engine when nothing runs, or at once with `force`. */
export const Shutdown = new RequestType<{ force: boolean }, void, ErrorData>("shutdown");

export const DidChange = new NotificationType<Changes>("changes");
export const DidWrite = new NotificationType<{ id: number; piece: string }>("text");
/** The same events as a loop in this process would emit, for clients that show a running log. */
export const DidHappen = new NotificationType<EngineEvent>("event");
