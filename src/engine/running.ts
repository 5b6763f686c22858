/** What runs: a mark that outlives a killed engine, and so tells one that was killed from one that was stopped; and a run's budget, with what is left of it. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeAtomically } from "./atomic.ts";
import { budgetAfter } from "./budget.ts";
import { fileError } from "./file-error.ts";
import type { RunParameters, RunState, StepParameters } from "./protocol.ts";

const mode = z.enum(["full", "delta"]).nullable();
const budget = z.object({
  cycles: z.int().positive().nullable(),
  hours: z.number().positive().nullable(),
  candidates: z.int().positive().nullable(),
});
const design = { candidates: z.int().positive(), mode, seed: z.int().nullable() };
const stepSchema = z.object({ ...design, resume: z.boolean() }) satisfies z.ZodType<StepParameters>;
const runSchema = z.object({ ...design, budget, tune: z.boolean() }) satisfies z.ZodType<RunParameters>;
const stateSchema = z.object({
  started: z.iso.datetime(),
  cyclesDone: z.int(),
  candidatesDone: z.int(),
  budget,
  pausing: z.boolean(),
}) satisfies z.ZodType<RunState>;
const schema = z.union([z.object({ step: stepSchema }), z.object({ run: runSchema, state: stateSchema })]);
export type Mark = z.output<typeof schema>;
type RunMark = Extract<Mark, { run: RunParameters }>;

const markFile = (stateDir: string) => join(stateDir, "running.json");

/** @throws UserError "disk-full", "file" */
export function markRunning(stateDir: string, mark: Mark): void {
  try {
    writeAtomically(markFile(stateDir), JSON.stringify(mark));
  } catch (error) {
    throw fileError(error, `write ${markFile(stateDir)}`);
  }
}

export function clearRunning(stateDir: string): void {
  rmSync(markFile(stateDir), { force: true });
}

/** What ran when the engine was killed; null when nothing did, or the mark cannot be read. */
export function readRunning(stateDir: string): Mark | null {
  try {
    return schema.parse(JSON.parse(readFileSync(markFile(stateDir), "utf8")));
  } catch {
    return null;
  }
}

const restFile = (stateDir: string) => join(stateDir, "run.json");

/** Keeps what a run that ended early would go on with; null: nothing. @throws UserError "disk-full", "file" */
export function keepRest(stateDir: string, rest: RunParameters | null): void {
  const file = restFile(stateDir);
  try {
    if (rest) writeAtomically(file, JSON.stringify(rest));
    else rmSync(file, { force: true });
  } catch (error) {
    throw fileError(error, `write ${file}`);
  }
}

/** What the last run would go on with; null when it came to its end, or that cannot be read. */
export function readRest(stateDir: string): RunParameters | null {
  try {
    return runSchema.parse(JSON.parse(readFileSync(restFile(stateDir), "utf8")));
  } catch {
    return null;
  }
}

/** The run with what is left of its budget; null: nothing is. */
export function restOf({ run, state }: RunMark, now = Date.now()): RunParameters | null {
  const left = budgetAfter(state, { cycles: state.cyclesDone, candidates: state.candidatesDone }, now);
  return left && { ...run, budget: left };
}

export function beginRun({ budget }: RunParameters): RunState {
  return { started: new Date().toISOString(), cyclesDone: 0, candidatesDone: 0, budget, pausing: false };
}

/** Candidates of the run's next cycle; 0: a budget is used up. */
export function candidatesLeft({ candidates }: RunParameters, state: RunState, now = Date.now()): number {
  const { budget, cyclesDone, candidatesDone, started } = state;
  const hours = (now - Date.parse(started)) / 3_600_000;
  if (budget.cycles !== null && cyclesDone >= budget.cycles) return 0;
  if (budget.hours !== null && hours >= budget.hours) return 0;
  if (budget.candidates === null) return candidates;
  return Math.max(0, Math.min(candidates, budget.candidates - candidatesDone));
}
