/** How long a run of cycles goes on: what people type, and what is left of it. Pure. */
import { budgetAfter } from "../engine/budget.ts";
import type { Budget, RunResult, RunState } from "../engine/protocol.ts";
import type { CycleSummary } from "../study/types.ts";

export type BudgetKind = keyof Budget;

const LIMITS: Record<BudgetKind, { most: number; whole: boolean; value: string; wrong: string }> = {
  cycles: { most: 9999, whole: true, value: "4", wrong: "A whole number from 1 to 9999" },
  hours: { most: 1000, whole: false, value: "8", wrong: "A number above 0, up to 1000, such as 8 or 0.5" },
  candidates: { most: 1_000_000, whole: true, value: "100", wrong: "A whole number from 1 to 1,000,000" },
};

export const suggestedAmount = (kind: BudgetKind): string => LIMITS[kind].value;

/** The amount that was typed; null where it is none. */
export function readAmount(kind: BudgetKind, text: string): number | null {
  const { most, whole } = LIMITS[kind];
  const amount = /^\s*\d+([.,]\d+)?\s*$/.test(text) ? Number(text.replace(",", ".")) : Number.NaN;
  return amount > 0 && amount <= most && (!whole || Number.isInteger(amount)) ? amount : null;
}

export const amountProblem = (kind: BudgetKind, text: string): string | null =>
  readAmount(kind, text) === null ? LIMITS[kind].wrong : null;

export const budgetOf = (kind: BudgetKind, amount: number): Budget => ({
  ...{ cycles: null, hours: null, candidates: null },
  [kind]: amount,
});

/** The cycles that ended in a run. Its last state may come before its last cycle: the record has them all. */
export const cyclesOf = ({ started }: RunState, cycles: readonly CycleSummary[]): CycleSummary[] =>
  cycles.filter(({ ended }) => ended !== null && Date.parse(ended) >= Date.parse(started));

/** What is left of a run's budget at `now` (milliseconds since the epoch), after `done`; null: nothing. */
export function budgetLeft(run: RunState, done: readonly CycleSummary[], now: number): Budget | null {
  const candidates = done.reduce((sum, cycle) => sum + cycle.candidates, 0);
  return budgetAfter(run, { cycles: done.length, candidates }, now);
}

/** "5 cycles: 40 candidates, 12 accepted. Generation 3 designs now." */
export function runEndText({ cycles, generations }: RunResult): string {
  const sum = (count: (cycle: RunResult["cycles"][number]) => number) =>
    cycles.reduce((total, cycle) => total + count(cycle), 0);
  const made = `${cycles.length} ${cycles.length === 1 ? "cycle" : "cycles"}: ${sum((c) => c.candidates)} candidates, ${sum((c) => c.valid)} valid, ${sum((c) => c.accepted)} accepted.`;
  const current = generations.find((generation) => generation.current);
  return current ? `${made} Generation ${current.generation} designs now.` : made;
}
