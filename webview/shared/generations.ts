/** What is known of the designer's generations, and what can be done with them. Pure. */
import type { DesignerInfo } from "../../src/study/ports.ts";
import type { Candidate, Generation, GenerationState, LossPoint, ProbeScore } from "../../src/study/types.ts";
import { plural } from "./format.ts";
import type { Mark } from "./outcomes.ts";

/** The generation that designs now; null: the model itself. */
export const currentGeneration = (generations: readonly Generation[]): Generation | null =>
  generations.find(({ current }) => current) ?? null;

/** A run that was stopped, or whose probe was: fine-tuning goes on with it. */
export const unfinishedGeneration = (generations: readonly Generation[]): Generation | null =>
  generations.findLast(({ state }) => state === "tuning" || state === "probing") ?? null;

/** Whether the designer wrote it and it is accepted. Seeds and imports are accepted too, but nobody asked for them. */
const isLesson = ({ accepted, mode }: Candidate): boolean => accepted === true && (mode === "full" || mode === "delta");

/** Accepted designs, and those of them that no generation was tuned on yet: what the engine counts before a LoRA run. */
export function lessonCounts(
  candidates: Iterable<Candidate>,
  generations: readonly Generation[],
): { accepted: number; newAccepted: number } {
  let accepted = 0;
  for (const candidate of candidates) if (isLesson(candidate)) accepted++;
  const before = generations.findLast(({ state }) => state === "published" || state === "kept")?.accepted ?? 0;
  return { accepted, newAccepted: Math.max(0, accepted - before) };
}

/** Whether there is anything to tune on, or a run to go on with. */
export function canFineTune(candidates: Iterable<Candidate>, generations: readonly Generation[]): boolean {
  if (unfinishedGeneration(generations)) return true;
  for (const candidate of candidates) if (isLesson(candidate)) return true;
  return false;
}

/** What Fine-Tune would do, or why it can do nothing now. */
export function tuningOffer({
  candidates,
  generations,
}: {
  candidates: ReadonlyMap<number, Candidate>;
  generations: readonly Generation[];
}): {
  label: string;
  text: string;
  why: string;
  enabled: boolean;
} {
  const unfinished = unfinishedGeneration(generations);
  if (unfinished) {
    const why = `${unfinished.state === "probing" ? "Its probe" : "Its tuning"} was stopped, and can go on`;
    return { label: "Continue…", text: `Generation ${unfinished.generation} stopped`, why, enabled: true };
  }
  const label = "Fine-Tune…";
  const { accepted, newAccepted } = lessonCounts(candidates.values(), generations);
  if (accepted === 0) {
    return { label, text: "No accepted net yet", why: "Accept nets that the designer wrote first", enabled: false };
  }
  if (newAccepted === 0) {
    const why = `A generation was tuned on all ${plural(accepted, "accepted net")} already`;
    return { label, text: "No new accepted net", why, enabled: false };
  }
  const why = "Tune the model on the accepted nets; you see first what it takes";
  return { label, text: plural(newAccepted, "new accepted net"), why, enabled: true };
}

/** Whether it has an adapter that was probed, and does not design now: it can be used, or deleted. */
export const isSpare = ({ state, current }: Generation): boolean =>
  !current && (state === "published" || state === "kept");

/** What designs again when the current generation is given up: its nearest ancestor that still can; null when none designs. */
export function rollBackTarget(generations: readonly Generation[]): number | null {
  const current = currentGeneration(generations);
  if (!current) return null;
  let { parent } = current;
  while (parent !== 0) {
    const ancestor = generations.find(({ generation }) => generation === parent);
    if (!ancestor) return 0;
    if (isSpare(ancestor)) return parent;
    parent = ancestor.parent;
  }
  return 0;
}

/** "qwen2.5-coder:1.5b, generation 3", "qwen2.5-coder:1.5b (Ollama)" before there are generations; null while neither is known. */
export function designerName(generations: readonly Generation[], designer: DesignerInfo | null): string | null {
  const current = currentGeneration(generations);
  if (current) return `${current.base}, generation ${current.generation}`;
  const model = designer?.model ?? generations.at(-1)?.base;
  if (model && generations.length > 0) return `${model}, generation 0`;
  if (!designer) return null;
  return `${designer.model} (${designer.provider === "ollama" ? "Ollama" : "llama.cpp"})`;
}

/** "the model itself", "generation 3". */
export const generationName = (generation: number): string =>
  generation === 0 ? "the model itself" : `generation ${generation}`;

/** "9 of 16 answers valid and new, its parent 7". */
export function probeText({ own, parent }: { own: ProbeScore; parent: ProbeScore }): string {
  return `${own.newAndValid} of ${own.questions} answers valid and new, its parent ${parent.newAndValid}`;
}

interface StateMark extends Mark {
  detail: string;
}

/** Of the generation, or the model itself, that designs. */
export const IN_USE: StateMark = { label: "In use", icon: "check", tone: "good", detail: "It designs the next cycle" };

const STATE_MARKS: Record<GenerationState, StateMark> = {
  tuning: { label: "Stopped", icon: "debug-pause", tone: "warning", detail: "Fine-Tune Designer goes on with it" },
  probing: { label: "Stopped", icon: "debug-pause", tone: "warning", detail: "Tuned, but its probe was stopped" },
  published: {
    label: "Published",
    icon: "pass",
    tone: "good",
    detail: "Its probe was as good as its parent's, or better",
  },
  kept: { label: "Kept", icon: "archive", tone: "warning", detail: "Its probe was worse than its parent's" },
  failed: { label: "Failed", icon: "error", tone: "bad", detail: "Its run cannot go on" },
  deleted: { label: "Deleted", icon: "trash", tone: "quiet", detail: "Its adapter is gone, its figures stay" },
};

/** `making`: whether it is being made now. */
export function generationMark({ state, current }: Generation, making: boolean): StateMark {
  if (current) return IN_USE;
  if (!making) return STATE_MARKS[state];
  const label = state === "probing" ? "Being probed" : "Being tuned";
  return { label, icon: "loading", tone: "busy", detail: label };
}

/** The last measurement of each kind, and the first; null where there is none. */
export function lossEnds(losses: readonly LossPoint[]): {
  training: { first: number; last: number } | null;
  heldOut: { first: number; last: number } | null;
} {
  const ends = (values: number[]) => {
    const [first, last] = [values[0], values.at(-1)];
    return first === undefined || last === undefined ? null : { first, last };
  };
  return {
    training: ends(losses.map(({ training }) => training)),
    heldOut: ends(losses.map(({ heldOut }) => heldOut).filter((value) => value !== null)),
  };
}
