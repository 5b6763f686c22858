import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { openStore, type StudyStore } from "../../src/store/store.ts";
import type { Attempt, Failure, OperatorGraph, Protocol } from "../../src/study/types.ts";

/** A folder of this test's own, gone when it ends. */
export function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), "netwright-store-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export function freshStore(file = join(scratch(), "study.db")): StudyStore {
  const store = openStore(file);
  onTestFinished(() => store.close());
  return store;
}

export const GRAPH: OperatorGraph = {
  nodes: [
    { op: "input", attributes: "", shape: [2, 3, 32, 32], inputs: [] },
    { op: "conv2d", attributes: "kernel=3x3 padding=1x1", shape: [2, 16, 32, 32], inputs: [0] },
    { op: "linear", attributes: "bias", shape: [2, 10], inputs: [1] },
  ],
  output: 2,
};

export const PROTOCOL: Protocol = {
  name: "validation",
  dataset: "cifar10",
  epochs: 1,
  batch: 64,
  lr: 0.01,
  momentum: 0.9,
  dropout: 0.2,
  transform: "norm_flip",
  seed: 0,
  trainImages: null,
  validationImages: 5000,
};

export const FAILURE: Failure = {
  outcome: "forward",
  message: "RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x512 and 256x10)",
  line: 12,
  source: "        return self.fc(x)",
};

export function attempt(number: 1 | 2, changes: Partial<Attempt> = {}): Attempt {
  return {
    number,
    prompt: {
      messages: [
        { role: "system", content: "You design networks.\n“Größe” 🧠" },
        { role: "user", content: "Design one." },
      ],
      prefill: "```python\n",
      stop: ["```"],
    },
    sampling: { temperature: 0.8, topP: 0.95, minP: 0.05, seed: 2 ** 31 - number, maxTokens: 1024 },
    model: "qwen2.5-coder-1.5b",
    reply: { text: `reply ${number} – ok`, promptTokens: 900, tokens: 300, seconds: 12.5 * number, finish: "stop" },
    code: `class Net:\n    number = ${number}\n`,
    failure: null,
    checked: false,
    checkSeconds: 0,
    ...changes,
  };
}

/** Adds a candidate of cycle `cycle` that is under way. */
export function addCandidate(store: StudyStore, cycle: number, name: string): number {
  return store.addCandidate({ cycle, name, mode: "full", parent: null, seed: 7, idea: "wide", code: null });
}

/** Adds a candidate and takes it to the end: valid with these accuracies. */
export function addValid(store: StudyStore, cycle: number, name: string, validation: number, structure = 0.5): number {
  const id = addCandidate(store, cycle, name);
  store.addAttempt(id, attempt(1));
  store.recordCheck(id, 1, { ok: true, checked: { parameters: 1000, graph: GRAPH }, seconds: 2 });
  store.recordNovelty(id, { novelty: { text: 0.25, structure }, nearest: { text: null, structure: null } });
  const accuracy = { validation, test: validation - 0.01 };
  store.recordTraining(id, PROTOCOL, { ok: true, accuracy, seconds: 45.5, peakMemoryMiB: 812 }, true);
  store.finish(id, { outcome: "valid", error: null, proposed: validation >= 0.4 });
  return id;
}
