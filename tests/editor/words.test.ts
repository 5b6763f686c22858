/** What the editor's dialogs say of a LoRA run and of a run of cycles, and what the walkthrough shows. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { amountProblem, budgetLeft, budgetOf, cyclesOf, readAmount, runEndText } from "../../src/editor/budget.ts";
import { planText, planTitle } from "../../src/editor/plan-text.ts";
import type { RunState, TuningPlan } from "../../src/engine/protocol.ts";
import { parseStudyConfig } from "../../src/study/config.ts";
import type { CycleSummary } from "../../src/study/types.ts";
import { GENERATIONS, generationsSnapshot } from "../fixtures/snapshots.ts";

const PLAN: TuningPlan = {
  resumes: null,
  accepted: 24,
  newAccepted: 6,
  examples: 21,
  leftOut: { tooLong: 1, repeated: 2 },
  base: "qwen2.5-coder:1.5b",
  device: "cuda:0",
  memoryMiB: 6349,
  freeMemoryMiB: 72_704,
  seconds: 790,
  obstacle: null,
};

describe("the plan of a LoRA run", () => {
  it("says what it trains on, what is left out, and what it takes", () => {
    const text = planText(PLAN);
    for (const part of [
      "Trains on 21 examples of 24 accepted nets, 6 of them new.",
      "Left out: 2 with the structure of another, 1 too long.",
      "Model: qwen2.5-coder:1.5b, on cuda:0.",
      "Memory: 6.2 GiB, 71.0 GiB are free.",
      "Time: about 13 min, then the probe.",
    ]) {
      expect(text.split("\n")).toContain(part);
    }
    expect(planTitle(PLAN)).toBe("Fine-tune the designer on the accepted nets?");
  });

  it("says that little memory makes it slower, and that a first run tells its time itself", () => {
    const text = planText({
      ...PLAN,
      memoryMiB: 8192,
      freeMemoryMiB: 5120,
      seconds: null,
      leftOut: { tooLong: 0, repeated: 0 },
    });
    expect(text).toContain("Memory: 8.0 GiB, 5.0 GiB are free; it will be slower.");
    expect(text).toContain("Time: known once it trains");
    expect(text).not.toContain("Left out");
  });

  it("of a run that was stopped says what Start Over gives up", () => {
    const plan = { ...PLAN, resumes: 4, newAccepted: 0 };
    expect(planTitle(plan)).toBe("Continue the fine-tuning of generation 4?");
    expect(planText(plan)).toContain("Goes on with its own 21 examples. Start Over gives it up");
    expect(planText(plan)).toContain("24 nets, none of them new");
  });
});

describe("a budget", () => {
  it.each([
    ["cycles", "4", 4],
    ["cycles", "0", null],
    ["cycles", "2.5", null],
    ["cycles", "10000", null],
    ["hours", "0,5", 0.5],
    ["hours", " 8 ", 8],
    ["hours", "-1", null],
    ["hours", "1e3", null],
    ["candidates", "100", 100],
    ["candidates", "", null],
    ["candidates", "ten", null],
  ] as const)("of %s typed as %j is %j", (kind, text, amount) => {
    expect(readAmount(kind, text)).toBe(amount);
    expect(amountProblem(kind, text) === null).toBe(amount !== null);
  });

  it("has one limit at a time", () => {
    expect(budgetOf("hours", 3)).toEqual({ cycles: null, hours: 3, candidates: null });
  });

  const run: RunState = {
    started: "2026-01-05T20:00:00.000Z",
    cyclesDone: 2,
    candidatesDone: 16,
    budget: { cycles: 5, hours: 3, candidates: null },
    pausing: true,
  };
  const at = (hours: number) => Date.parse(run.started) + hours * 3_600_000;

  const cycle = (hours: number, ended: boolean): CycleSummary => ({
    ...(generationsSnapshot().cycles[1] as CycleSummary),
    ended: ended ? new Date(at(hours)).toISOString() : null,
  });
  // One before the run, two in it, one that has not ended.
  const cycles = [cycle(-1, true), cycle(0.4, true), cycle(0.8, true), cycle(1, false)];

  it("leaves a paused run what it has not used", () => {
    const done = cyclesOf(run, cycles);
    expect(done).toEqual(cycles.slice(1, 3));
    expect(budgetLeft(run, done, at(1))).toEqual({ cycles: 3, hours: 2, candidates: null });
    const candidates = { ...run, budget: { cycles: null, hours: null, candidates: 64 } };
    expect(budgetLeft(candidates, done, at(1))).toEqual({ cycles: null, hours: null, candidates: 44 });
  });

  it("that is used up in one part leaves nothing", () => {
    expect(budgetLeft(run, cycles.slice(1, 3), at(3))).toBeNull();
    expect(budgetLeft(run, [...cycles, ...cycles], at(1))).toBeNull();
  });

  it("that ended is summed up, with who designs now", () => {
    const cycles = generationsSnapshot().cycles.slice(1);
    const total = (count: "candidates" | "valid" | "accepted") => cycles.reduce((sum, each) => sum + each[count], 0);
    expect(runEndText({ cycles, generations: GENERATIONS, ended: "budget" })).toBe(
      `4 cycles: ${total("candidates")} candidates, ${total("valid")} valid, ${total("accepted")} accepted. Generation 2 designs now.`,
    );
    expect(runEndText({ cycles: cycles.slice(0, 1), generations: [], ended: "budget" })).toMatch(/^1 cycle: 10 candid/);
  });
});

it("the walkthrough shows a study that is one", () => {
  const page = readFileSync(resolve(import.meta.dirname, "../../media/walkthrough/study.md"), "utf8");
  const [, json = ""] = /```json\n(.*?)```/s.exec(page) ?? [];
  const { name, data, protocol, limits, admission } = parseStudyConfig(json, "study.md");
  expect({ name, data, protocol, limits, admission }).toMatchObject(JSON.parse(json));
});
