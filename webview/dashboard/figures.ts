/** What the charts show, from the same data as the table. Pure. */
import type { Tuning } from "../../src/engine/events.ts";
import { decisionAccuracy, isNew } from "../../src/study/admission.ts";
import {
  type Candidate,
  type CycleSummary,
  type Generation,
  type LossPoint,
  OUTCOMES,
  type Outcome,
} from "../../src/study/types.ts";

/** Shares in [0, 1]; null where there is nothing to divide by. */
export interface CycleFigures {
  cycle: number;
  /** Of the designer that wrote its candidates. */
  generation: number;
  /** Candidates that ended. */
  ended: number;
  validRate: number | null;
  meanAccuracy: number | null;
  bestAccuracy: number | null;
  /** Of the valid ones, those at or above the study's threshold. */
  atThreshold: number | null;
  /** Valid and structurally new. */
  novel: number;
  accepted: number;
  outcomes: Partial<Record<Outcome, number>>;
}

/** One entry a cycle from 1 on: the seeds of cycle 0 are nobody's designs. */
export function cycleFigures(
  cycles: readonly CycleSummary[],
  candidates: Iterable<Candidate>,
  threshold: number,
): CycleFigures[] {
  const byCycle = new Map<number, Candidate[]>();
  for (const candidate of candidates) {
    const others = byCycle.get(candidate.cycle);
    if (others) others.push(candidate);
    else byCycle.set(candidate.cycle, [candidate]);
  }
  return cycles
    .filter(({ cycle }) => cycle > 0)
    .map(({ cycle, generation }) => ({ generation, ...figuresOf(cycle, byCycle.get(cycle) ?? [], threshold) }))
    .sort((a, b) => a.cycle - b.cycle);
}

function figuresOf(
  cycle: number,
  candidates: readonly Candidate[],
  threshold: number,
): Omit<CycleFigures, "generation"> {
  const ended = candidates.filter(({ outcome }) => outcome !== null);
  const valid = ended.filter(({ outcome }) => outcome === "valid");
  const accuracies = valid.map(({ accuracy }) => decisionAccuracy(accuracy)).filter((each) => each !== null);
  const outcomes: CycleFigures["outcomes"] = {};
  for (const { outcome } of ended) if (outcome) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  return {
    cycle,
    ended: ended.length,
    validRate: share(valid.length, ended.length),
    meanAccuracy: share(
      accuracies.reduce((sum, each) => sum + each, 0),
      accuracies.length,
    ),
    bestAccuracy: accuracies.length > 0 ? Math.max(...accuracies) : null,
    atThreshold: share(accuracies.filter((each) => each >= threshold).length, accuracies.length),
    novel: valid.filter(({ novelty }) => isNew(novelty)).length,
    accepted: ended.filter(({ accepted }) => accepted === true).length,
    outcomes,
  };
}

const share = (part: number, whole: number): number | null => (whole > 0 ? part / whole : null);

/** The cycles from which another generation designed than in the one before; none while the model itself designs throughout. */
export function generationMarks(figures: readonly CycleFigures[]): { at: number; generation: number }[] {
  return figures
    .filter(({ generation }, i) => generation !== (figures[i - 1]?.generation ?? 0))
    .map(({ cycle, generation }) => ({ at: cycle, generation }));
}

/** The outcomes that occur, in the order of the loop. */
export const outcomesThatOccur = (figures: readonly CycleFigures[]): Outcome[] =>
  OUTCOMES.filter((outcome) => figures.some(({ outcomes }) => outcomes[outcome]));

export interface Point {
  id: number;
  name: string;
  novelty: number;
  accuracy: number;
  kind: "valid" | "proposed" | "accepted";
}

/** Valid nets with both figures. */
export function points(candidates: Iterable<Candidate>, measure: "text" | "structure"): Point[] {
  const found: Point[] = [];
  for (const { id, name, outcome, novelty, accuracy, accepted, proposed } of candidates) {
    const [x, y] = [novelty[measure], decisionAccuracy(accuracy)];
    if (outcome !== "valid" || x === null || y === null) continue;
    const kind = accepted === true ? "accepted" : proposed && accepted === null ? "proposed" : "valid";
    found.push({ id, name, novelty: x, accuracy: y, kind });
  }
  return found;
}

export interface ShownLosses {
  generation: number;
  losses: readonly LossPoint[];
  /** Of the whole run. */
  steps: number;
}

/** The losses to draw: those of the chosen generation, else of the one in the making, else of the newest that has any. */
export function lossesOf({
  generations,
  tuning,
  chosen,
}: {
  generations: readonly Generation[];
  tuning: Tuning | null;
  chosen: number | null;
}): ShownLosses | null {
  const known = generations.flatMap(({ generation, run }): ShownLosses[] => {
    if (tuning?.generation === generation) {
      const { losses, stage, steps } = tuning;
      return [{ generation, losses, steps: stage === "training" ? steps : (losses.at(-1)?.step ?? 0) }];
    }
    return run ? [{ generation, losses: run.losses, steps: run.steps }] : [];
  });
  const some = known.filter(({ losses }) => losses.length > 0);
  return some.find(({ generation }) => generation === chosen) ?? some.at(-1) ?? null;
}
