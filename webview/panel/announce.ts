/** What a screen reader hears of a running cycle: how candidates ended, and how the cycle did. Not every tick. */
import { decisionAccuracy } from "../../src/study/admission.ts";
import type { Candidate, CycleSummary } from "../../src/study/types.ts";
import { roundPercent } from "../shared/format.ts";
import { OUTCOME_MARKS } from "../shared/outcomes.ts";

/** More endings than this at once are only counted. */
const NAMED = 3;

export function endings(before: ReadonlyMap<number, Candidate | null>, now: ReadonlyMap<number, Candidate>): string {
  const ended: Candidate[] = [];
  for (const [id, old] of before) {
    const candidate = now.get(id);
    if (candidate?.outcome && !old?.outcome) ended.push(candidate);
  }
  if (ended.length > NAMED) return `${ended.length} candidates ended.`;
  return ended.map(ending).join(" ");
}

function ending(candidate: Candidate): string {
  const accuracy = decisionAccuracy(candidate.accuracy);
  const label = candidate.outcome ? OUTCOME_MARKS[candidate.outcome].label.toLowerCase() : "";
  const figure = candidate.outcome === "valid" && accuracy !== null ? `, accuracy ${roundPercent(accuracy)}` : "";
  return `${candidate.name}: ${label}${figure}.`;
}

export function cycleEnds(before: readonly CycleSummary[], now: readonly CycleSummary[]): string {
  const running = new Set(before.filter(({ ended }) => ended === null).map(({ cycle }) => cycle));
  return now
    .filter(({ cycle, ended }) => ended !== null && running.has(cycle))
    .map(({ cycle, candidates, valid, bestAccuracy }) => {
      const best = bestAccuracy === null ? "" : `, best accuracy ${roundPercent(bestAccuracy)}`;
      return `Cycle ${cycle} ended: ${valid} of ${candidates} valid${best}.`;
    })
    .join(" ");
}
