/** What a cycle tells of itself while it runs. */
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { prepareArchive, runCycle } from "../../src/engine/cycle.ts";
import type { CycleProgress } from "../../src/engine/events.ts";
import { FAILURE } from "../store/fixtures.ts";
import { parts } from "./parts.ts";
import { never } from "./study.ts";

test("a net that waits for its repair is in no other stage, and what was designed stays so", async () => {
  const { designer, loop } = parts({ designer: "CPU, 2 threads", trainer: "cpu" });
  await prepareArchive(loop, designer, never);
  const stages = new Map<number, string>();
  const checking: number[] = [];
  const told: CycleProgress[] = [];
  loop.emit = (event) => {
    if (event.type === "progress") told.push(event);
    if (event.type === "stage") stages.set(event.id, event.stage);
  };
  const { check } = loop.trainer;
  let checks = 0;
  loop.trainer.check = async (code, signal) => {
    checks++;
    const fails = checks <= 3;
    // By now all that follows from the check before has been told.
    await setImmediate();
    checking.push([...stages.values()].filter((stage) => stage === "checking").length);
    return fails ? { ok: false, failure: FAILURE, parameters: null, seconds: 1 } : check(code, signal);
  };
  const one: typeof designer = {
    ...designer,
    info: { ...designer.info, parallel: 1 },
    // Longer than a check: repairs wait for the designs before them.
    async generate(...question) {
      for (let turn = 0; turn < 5; turn++) await setImmediate();
      return designer.generate(...question);
    },
  };
  const { candidates } = await runCycle(loop, one, { candidates: 3, mode: "full", seed: 1, resume: false }, never);
  expect(candidates.map(({ outcome, repaired }) => [outcome, repaired])).toEqual(Array(3).fill(["valid", true]));
  expect(checking).toEqual(Array(6).fill(1));
  const designed = told.map((progress) => progress.designed);
  expect(designed).toEqual(designed.toSorted((a, b) => a - b));
  expect(designed.at(-1)).toBe(3);
});
