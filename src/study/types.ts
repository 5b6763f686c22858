/** The domain's data. Everything here is plain, serialisable data: it crosses process boundaries and is stored as it is. */

/** Why a candidate ended as it did. `valid`, or the one reason why not. */
export const OUTCOMES = [
  "valid",
  "no-code",
  "syntax",
  "contract",
  "init",
  "forward",
  "shape",
  "too-large",
  "train",
  "timeout",
  "out-of-memory",
  "chance",
] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** How a candidate came to be: written whole, as a diff on a parent, shipped as a seed, or read from a LEMUR folder. */
export type Origin = "full" | "delta" | "seed" | "import";
export type DesignMode = Extract<Origin, "full" | "delta">;

/** What went wrong, in the candidate's own terms. */
export interface Failure {
  outcome: Exclude<Outcome, "valid">;
  /** One line for people, e.g. "RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x512 and 256x10)". */
  message: string;
  /** 1-based line of the candidate's code where it broke, and that line's text; null when no line is to blame. */
  line: number | null;
  source: string | null;
}

/**
 * The operator graph of one forward pass, already canonical in its operators (see python/netwright/trace.py).
 * Nodes are in topological order; `inputs` are indices of earlier nodes, in argument order (sorted for commutative ops by the reader).
 */
export interface OperatorGraph {
  nodes: { op: string; attributes: string; shape: number[]; inputs: number[] }[];
  output: number;
}

/** (channels, height, width) of one image and the number of classes. */
export interface TaskShape {
  channels: number;
  height: number;
  width: number;
  classes: number;
}

/** All that a figure needs to be comparable. */
export interface Protocol {
  name: "validation" | "paper";
  dataset: "cifar10" | "fashion-mnist" | "digits";
  epochs: number;
  batch: number;
  lr: number;
  momentum: number;
  dropout: number;
  transform: "norm" | "norm_flip";
  seed: number;
  /** Images used for training, drawn with `seed`; null: all of the training split. */
  trainImages: number | null;
  /** Images of the training set held out for decisions; 0 under the `paper` protocol, which decides on test accuracy. */
  validationImages: number;
}

export interface Similarity {
  text: number;
  structure: number;
}

/** One turn of a chat with the designer. */
export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface Sampling {
  temperature: number;
  topP: number;
  minP: number;
  seed: number;
  maxTokens: number;
}

/** What the designer is asked: `prefill` is the start of its answer, already written. */
export interface Prompt {
  messages: Message[];
  prefill: string;
  /** Strings that end the answer (not part of it). */
  stop: string[];
}

export interface Reply {
  /** The answer with its prefill in front. */
  text: string;
  promptTokens: number;
  tokens: number;
  seconds: number;
  finish: "stop" | "length";
}

/** One question to the designer and its answer: the first of a candidate is the design, the second its repair. */
export interface Attempt {
  number: 1 | 2;
  prompt: Prompt;
  sampling: Sampling;
  model: string;
  reply: Reply;
  /** The module that the reply amounts to; null when it holds none. */
  code: string | null;
  /** Why the reply amounts to no module, or why the check refused it; null when the check passed or has not run. */
  failure: Failure | null;
  checked: boolean;
  checkSeconds: number;
}

/** A net as it passed the check. */
export interface Checked {
  parameters: number;
  graph: OperatorGraph;
}

export interface Accuracy {
  /** On the validation split: what decisions use. Null under the `paper` protocol. */
  validation: number | null;
  /** On the test set: shown, never decided on (except under the `paper` protocol, which says so). */
  test: number | null;
}

/** The public account of a candidate: what lists show and `--json` prints. */
export interface Candidate {
  id: number;
  cycle: number;
  /** Class-style name, unique in the study, used for files and exports, e.g. `Demo_c3_07`. */
  name: string;
  mode: Origin;
  parent: number | null;
  /** Null while the candidate is under way. */
  outcome: Outcome | null;
  error: { message: string; line: number | null; source: string | null } | null;
  repaired: boolean;
  parameters: number | null;
  /** 1 - highest similarity to anything seen before; null until compared. */
  novelty: { text: number | null; structure: number | null };
  /** Ids of the most similar nets seen before. */
  nearest: { text: number | null; structure: number | null };
  accuracy: Accuracy;
  seconds: { design: number; check: number; train: number };
  proposed: boolean;
  /** Null until reviewed. */
  accepted: boolean | null;
  reason: string | null;
}

export interface CycleSummary {
  cycle: number;
  started: string;
  ended: string | null;
  planned: number;
  candidates: number;
  valid: number;
  /** Valid, and structurally new against archive and cycle. */
  newAndValid: number;
  meanAccuracy: number | null;
  bestAccuracy: number | null;
  proposed: number;
  accepted: number;
  /** Of the designer that wrote its candidates. */
  generation: number;
}

/** What a LoRA run trains with. */
export interface TunerSettings {
  /** Of the two factors of each weight's change (Hu et al. 2021, arXiv 2106.09685). */
  rank: number;
  /** The change is scaled by alpha / rank. */
  alpha: number;
  dropout: number;
  learningRate: number;
  /** At most: a held-out loss that rises ends it earlier. */
  epochs: number;
  /** Examples whose gradients make one step. */
  accumulation: number;
  /** "all": through question and answer. "answer": through the answer's tokens alone, in two fifths of the time. */
  gradient: "all" | "answer";
}

/**
 * Where a generation stands. tuning: its LoRA run has not ended. probing: its adapter is there, its worth is not known. published: it may
 * design. kept: its probe was worse than its parent's. failed: its run cannot go on. deleted: its adapter is gone.
 */
export const GENERATION_STATES = ["tuning", "probing", "published", "kept", "failed", "deleted"] as const;
export type GenerationState = (typeof GENERATION_STATES)[number];

/** Mean loss per token of answer, of the examples trained on since the point before, and of the held-out ones where measured. */
export interface LossPoint {
  step: number;
  epoch: number;
  training: number;
  heldOut: number | null;
}

/** What a designer makes of the probe's questions. */
export interface ProbeScore {
  questions: number;
  valid: number;
  /** Valid, and structurally new against the archive and the probe's other answers. */
  newAndValid: number;
}

/** A designer made of the base model and an adapter that was tuned on accepted nets. Generation 0 is the base model alone. */
export interface Generation {
  generation: number;
  /** The generation that designed when this one was tuned, and that its probe is measured against. */
  parent: number;
  /** Its corpus holds what was accepted up to this cycle. */
  cycle: number;
  /** Accepted nets in its corpus. */
  accepted: number;
  state: GenerationState;
  /** Whether it designs now. */
  current: boolean;
  /** The model whose adapter it is. */
  base: string;
  settings: TunerSettings;
  started: string;
  ended: string | null;
  /** Null until the run has ended. */
  run: TuningRun | null;
  probe: { parent: ProbeScore; own: ProbeScore } | null;
  /** The model's name in Ollama; null where the embedded designer loads the adapter. */
  ollama: string | null;
  error: string | null;
}

/** The figures of a LoRA run that has ended. */
export interface TuningRun {
  device: string;
  examples: { training: number; heldOut: number };
  losses: LossPoint[];
  steps: number;
  /** Tokens of questions and answers, over all epochs. */
  tokens: number;
  seconds: number;
  peakMemoryMiB: number;
  adapterBytes: number;
}
