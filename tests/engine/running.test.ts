import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Budget, RunParameters } from "../../src/engine/protocol.ts";
import {
  beginRun,
  candidatesLeft,
  clearRunning,
  keepRest,
  type Mark,
  markRunning,
  readRest,
  readRunning,
  restOf,
} from "../../src/engine/running.ts";

const parameters = (budget: Partial<Budget>): RunParameters => ({
  ...{ candidates: 8, mode: null, seed: null, tune: true },
  budget: { cycles: null, hours: null, candidates: null, ...budget },
});

describe("candidatesLeft", () => {
  const left = (budget: Partial<Budget>, done: { cycles?: number; candidates?: number; hours?: number }) => {
    const state = {
      ...beginRun(parameters(budget)),
      cyclesDone: done.cycles ?? 0,
      candidatesDone: done.candidates ?? 0,
    };
    return candidatesLeft(parameters(budget), state, Date.parse(state.started) + 3_600_000 * (done.hours ?? 0));
  };

  it("ends with whichever budget is used up first", () => {
    expect(left({ cycles: 2 }, { cycles: 1 })).toBe(8);
    expect(left({ cycles: 2 }, { cycles: 2 })).toBe(0);
    expect(left({ hours: 1.5 }, { hours: 1.4 })).toBe(8);
    expect(left({ hours: 1.5 }, { hours: 1.5 })).toBe(0);
    expect(left({ hours: 9, cycles: 1 }, { cycles: 1 })).toBe(0);
  });

  it("makes the last cycle as small as the candidates that are left", () => {
    expect(left({ candidates: 20 }, { candidates: 8 })).toBe(8);
    expect(left({ candidates: 20 }, { candidates: 16 })).toBe(4);
    expect(left({ candidates: 20 }, { candidates: 20 })).toBe(0);
    expect(left({ candidates: 20 }, { candidates: 24 })).toBe(0);
  });
});

describe("the mark of what runs", () => {
  const dir = () => mkdtempSync(join(tmpdir(), "netwright-mark-"));

  it("comes back as it was, for a step and for a run", () => {
    const folder = dir();
    const run = parameters({ cycles: 3 });
    const marks: Mark[] = [
      { step: { candidates: 4, mode: "delta", seed: 1, resume: true } },
      { run, state: { ...beginRun(run), cyclesDone: 2 } },
    ];
    for (const mark of marks) {
      markRunning(folder, mark);
      expect(readRunning(folder)).toEqual(mark);
    }
    clearRunning(folder);
    expect(readRunning(folder)).toBeNull();
  });

  it("is none where it cannot be read", () => {
    const folder = dir();
    writeFileSync(join(folder, "running.json"), '{"run": {"candidates": -1}}');
    expect(readRunning(folder)).toBeNull();
  });
});

describe("what is left of a run", () => {
  const left = (budget: Partial<Budget>, done: { cycles: number; candidates: number; hours: number }) => {
    const run = parameters(budget);
    const state = { ...beginRun(run), cyclesDone: done.cycles, candidatesDone: done.candidates };
    return restOf({ run, state }, Date.parse(state.started) + 3_600_000 * done.hours);
  };

  it("is its budget less what was done, and nothing once one budget is used up", () => {
    const done = { cycles: 1, candidates: 8, hours: 0.5 };
    expect(left({ cycles: 3, hours: 2, candidates: 20 }, done)).toEqual(
      parameters({ cycles: 2, hours: 1.5, candidates: 12 }),
    );
    expect(left({ cycles: 3 }, done)).toEqual(parameters({ cycles: 2 }));
    expect(left({ cycles: 1 }, done)).toBeNull();
    expect(left({ cycles: 3, hours: 0.5 }, done)).toBeNull();
    expect(left({ candidates: 8 }, done)).toBeNull();
  });

  it("is kept until the next run has ended", () => {
    const folder = mkdtempSync(join(tmpdir(), "netwright-rest-"));
    expect(readRest(folder)).toBeNull();
    keepRest(folder, parameters({ hours: 1.25 }));
    expect(readRest(folder)).toEqual(parameters({ hours: 1.25 }));
    keepRest(folder, null);
    expect(readRest(folder)).toBeNull();
  });
});
