/** What is left of a run's budget. Pure. */
import type { Budget, RunState } from "./protocol.ts";

/** At `now` (milliseconds since the epoch), after so many cycles and candidates; null: nothing. */
export function budgetAfter(
  { budget, started }: Pick<RunState, "budget" | "started">,
  done: { cycles: number; candidates: number },
  now: number,
): Budget | null {
  const less = (amount: number | null, used: number) => (amount === null ? null : amount - used);
  const left: Budget = {
    cycles: less(budget.cycles, done.cycles),
    hours: less(budget.hours, (now - Date.parse(started)) / 3_600_000),
    candidates: less(budget.candidates, done.candidates),
  };
  return Object.values(left).some((amount) => amount !== null && amount <= 0) ? null : left;
}
