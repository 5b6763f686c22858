/** What a screen reader hears of running work: how candidates, cycles and generations ended. Not every tick. */
import { decisionAccuracy } from "../../src/study/admission.ts";
import type { Candidate, CycleSummary, Generation } from "../../src/study/types.ts";
import { roundPercent } from "../shared/format.ts";
import { currentGeneration, generationName, probeText } from "../shared/generations.ts";
import { outcomeMark } from "../shared/outcomes.ts";

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
  const label = outcomeMark(candidate, null).label.toLowerCase();
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

/** How a generation's making went on: what it does next, and what came of it. */
export function generationNews(before: readonly Generation[], now: readonly Generation[]): string {
  const states = new Map(before.map(({ generation, state }) => [generation, state]));
  const current = (all: readonly Generation[]) => currentGeneration(all)?.generation ?? 0;
  const news = now
    .filter(({ generation, state }) => state !== states.get(generation))
    .map(({ generation, state, probe }) => {
      const what = `Generation ${generation}`;
      if (state === "tuning") return `${what} is being tuned.`;
      if (state === "probing") return `${what} is tuned, and being probed.`;
      if (state === "failed") return `${what} failed.`;
      if (state === "deleted") return `${what} is deleted.`;
      return `${what} is ${state}${probe ? `: ${probeText(probe)}` : ""}.`;
    });
  if (current(before) !== current(now)) news.push(`Designs now: ${generationName(current(now))}.`);
  return news.join(" ");
}
