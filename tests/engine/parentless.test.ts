import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runCycle } from "../../src/engine/cycle.ts";
import type { EngineEvent } from "../../src/engine/events.ts";
import type { Loop } from "../../src/engine/loop.ts";
import { openStore, type StudyStore } from "../../src/store/store.ts";
import { parseStudyConfig } from "../../src/study/config.ts";
import type { Designer } from "../../src/study/ports.ts";
import { never } from "./study.ts";

let dir: string;
let store: StudyStore;
let events: EngineEvent[];
let loop: Loop;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "netwright-parentless-"));
  store = openStore(join(dir, "study.sqlite"));
  events = [];
  const config = parseStudyConfig(JSON.stringify({ name: "test", data: { dataset: "digits" } }), "test");
  const trainer = { info: { device: "cpu", shape: { channels: 1, height: 8, width: 8, classes: 10 } } };
  loop = { config, store, trainer, emit: events.push.bind(events), generation: 0 } as unknown as Loop;
  // As under limits that no seed keeps.
  const id = store.addCandidate({ cycle: 0, name: "seed", mode: "seed", parent: null, seed: 0, idea: null, code: "" });
  const error = { message: "Net has 30,000 parameters; the limit is 20,000", line: null, source: null };
  store.finish(id, { outcome: "too-large", error, proposed: false });
});
afterEach(() => {
  store.close();
  rmSync(dir, { recursive: true });
});

const designer = {
  info: { provider: "ollama", model: "m", parallel: 1, device: "CPU" },
  generate: async () => ({ text: "I cannot.", promptTokens: 1, tokens: 1, seconds: 1, finish: "stop" }),
} as unknown as Designer;
const options = { candidates: 2, mode: "delta", seed: 1, resume: false } as const;

test("without a parent a cycle of diffs asks for whole files, and says so", async () => {
  const { candidates } = await runCycle(loop, designer, options, never);
  expect(candidates.map(({ mode, parent, outcome }) => ({ mode, parent, outcome }))).toEqual([
    { mode: "full", parent: null, outcome: "no-code" },
    { mode: "full", parent: null, outcome: "no-code" },
  ]);
  expect(events).toContainEqual({ type: "note", message: expect.stringContaining("there is no parent") });
  expect(events).toContainEqual({ type: "cycle-started", cycle: 1, mode: "full", planned: 2, resumed: false });
});

test("a cycle that was begun for diffs goes on with whole files", async () => {
  store.beginCycle({ mode: "delta", planned: 2, seed: 1, generation: 0 });
  const { candidates } = await runCycle(loop, designer, { ...options, resume: true }, never);
  expect(candidates.map(({ mode }) => mode)).toEqual(["full", "full"]);
});

test("a cycle that cannot be planned has not begun", async () => {
  store.addCandidate = () => {
    throw new Error("no");
  };
  await expect(runCycle(loop, designer, options, never)).rejects.toThrow("no");
  expect(store.openCycle()).toBeNull();
});
