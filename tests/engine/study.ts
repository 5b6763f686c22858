/** A study on the digits, small enough for tests: the real worker, the real record. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { EngineClient } from "../../src/engine/client.ts";
import { createStudy } from "../../src/engine/study.ts";
import type { StudyConfigInput } from "../../src/study/config.ts";

export const program = resolve("src", "engine.ts");

/** The seeds are above that: they are checked, and take no time for training. Tests that need parents set other limits. */
export const WITHOUT_SEEDS = { parameters: 5000 };

/** Makes the study; its designer is the server at `host`. */
export function makeStudy(host: string, part: Partial<StudyConfigInput> = {}): string {
  const dir = mkdtempSync(join(tmpdir(), "netwright-study-"));
  createStudy(dir, {
    name: "test",
    data: { dataset: "digits" },
    // Three epochs of small batches: enough for a tiny net to be above chance.
    protocol: { batch: 16, validationImages: 300, lr: 0.05, epochs: 3, trainImages: 600 },
    designer: { provider: "ollama", model: "scripted-coder:1b", host, parallel: 2, mode: "full" },
    trainer: { device: "cpu", threads: 1 },
    admission: { accuracy: 0.11 },
    limits: WITHOUT_SEEDS,
    ...part,
  });
  return dir;
}

export const never = new AbortController().signal;

export function openEngine(dir: string): Promise<EngineClient> {
  return EngineClient.open({ dir, program }, never);
}
