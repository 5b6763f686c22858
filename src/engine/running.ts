/** A mark that a cycle runs. It outlives a killed engine, and so tells one that was killed from one that was stopped. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeAtomically } from "./atomic.ts";
import type { StepParameters } from "./protocol.ts";

const schema = z.object({
  candidates: z.int().positive(),
  mode: z.enum(["full", "delta"]).nullable(),
  seed: z.int().nullable(),
  resume: z.boolean(),
});

const markFile = (stateDir: string) => join(stateDir, "running.json");

export function markRunning(stateDir: string, parameters: StepParameters): void {
  writeAtomically(markFile(stateDir), JSON.stringify(parameters));
}

export function clearRunning(stateDir: string): void {
  rmSync(markFile(stateDir), { force: true });
}

/** What ran when the engine was killed; null when nothing did, or the mark cannot be read. */
export function readRunning(stateDir: string): StepParameters | null {
  try {
    return schema.parse(JSON.parse(readFileSync(markFile(stateDir), "utf8")));
  } catch {
    return null;
  }
}
