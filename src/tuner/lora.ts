/** A LoRA run in a Python process of its own: what it would take, and running it. See python/netwright/tuning/. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { z } from "zod";
import { UserError } from "../study/ports.ts";
import type { LossPoint, TunerSettings, TuningRun } from "../study/types.ts";
import { corpusText, type Example } from "./corpus.ts";

export interface LoraOptions {
  python: string;
  /** Folder put on PYTHONPATH. */
  packageDir: string;
  /** The run's own: its corpus and settings, checkpoint and adapter. */
  folder: string;
}

/** What a run depends on besides its corpus. */
export interface LoraRun {
  /** A GGUF file, or a folder with safetensors. */
  base: string;
  settings: TunerSettings;
  device: string;
  /** Null: all. */
  threads: number | null;
  /** Longer examples are left out. */
  maxTokens: number;
  seed: number;
}

const pointSchema = z.object({
  step: z.number(),
  epoch: z.number(),
  training: z.number(),
  heldOut: z.number().nullable(),
});

const progressSchema = z.object({
  type: z.literal("progress"),
  stage: z.enum(["loading", "training", "converting"]),
  step: z.number(),
  steps: z.number(),
  /** New since the report before. */
  points: z.array(pointSchema),
  tokensPerSecond: z.number().nullable(),
  secondsLeft: z.number().nullable(),
});

const planSchema = z.object({
  type: z.literal("plan"),
  architecture: z.string(),
  /** At full speed. */
  memoryMiB: z.number(),
  freeMemoryMiB: z.number(),
  /** Examples above the limit of tokens, estimated. */
  tooLong: z.number(),
  /** Why it does not fit, with what to do; null when it does. */
  obstacle: z.string().nullable(),
});

const eventSchema = z.discriminatedUnion("type", [
  progressSchema,
  planSchema,
  z.object({
    type: z.literal("done"),
    run: z.object({
      device: z.string(),
      examples: z.object({ training: z.number(), heldOut: z.number() }),
      losses: z.array(pointSchema),
      steps: z.number(),
      tokens: z.number(),
      seconds: z.number(),
      peakMemoryMiB: z.number(),
      adapterBytes: z.number(),
    }) satisfies z.ZodType<TuningRun>,
  }),
  z.object({ type: z.literal("failed"), code: z.string(), message: z.string() }),
]);

/** `losses`: all so far. */
export type LoraProgress = Omit<z.output<typeof progressSchema>, "type" | "points"> & { losses: LossPoint[] };
export type LoraPlan = Omit<z.output<typeof planSchema>, "type">;

export const adapterFile = (folder: string): string => join(folder, "adapter.gguf");

/** Writes down what a run learns from. @throws UserError "disk-full", "tuner-files" */
export function writeCorpus(folder: string, examples: readonly Example[]): Promise<void> {
  return write(folder, "corpus.jsonl", corpusText(examples));
}

/** What was written down to be learned from; null when nothing was. */
export function readCorpus(folder: string): Example[] | null {
  const lines = read(folder, "corpus.jsonl")?.trim().split("\n");
  return lines?.map((line) => JSON.parse(line) as Example) ?? null;
}

/** Writes down what a run learns with. A checkpoint of other settings, or of another corpus, is not gone on with. */
export function writeRun(folder: string, run: LoraRun): Promise<void> {
  return write(folder, "run.json", `${JSON.stringify(run, null, 2)}\n`);
}

/** What was written down to be learned with; null when nothing was. */
export function readRun(folder: string): LoraRun | null {
  const text = read(folder, "run.json");
  return text === null ? null : (JSON.parse(text) as LoraRun);
}

/** Whether a run that goes on does not begin at its beginning. */
export const hasCheckpoint = (folder: string): boolean => existsSync(join(folder, "checkpoint.pt"));

function read(folder: string, name: string): string | null {
  const file = join(folder, name);
  return existsSync(file) ? readFileSync(file, "utf8") : null;
}

async function write(folder: string, name: string, text: string): Promise<void> {
  const partial = join(folder, `${name}.partial`);
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(partial, text, { flush: true });
    await rename(partial, join(folder, name));
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOSPC" || code === "EDQUOT") {
      throw new UserError(
        "disk-full",
        `The disk is full: ${folder} cannot be written. Free some space, then try again.`,
      );
    }
    throw new UserError("tuner-files", `${folder} cannot be written: ${message}. Correct that, then try again.`);
  }
}

/** Deletes a run's adapter and checkpoint, and what a kill left of them; its corpus and settings stay with its figures. */
export async function deleteAdapter(folder: string): Promise<void> {
  for (const name of ["adapter.gguf", "checkpoint.pt"]) {
    for (const file of [name, `${name}.partial`]) await rm(join(folder, file), { force: true });
  }
}

/**
 * What the run in the folder would take, from sizes alone: no weights are loaded.
 * @throws UserError "tuner-base", "tuner-architecture", "tuner-failed"; AbortError.
 */
export async function planLora(options: LoraOptions, signal: AbortSignal): Promise<LoraPlan> {
  let plan: LoraPlan | null = null;
  await runPython(options, ["--plan"], signal, (event) => {
    if (event.type === "plan") plan = event;
  });
  if (plan === null) throw new UserError("tuner-failed", "The LoRA run's estimate ended without one. Try again.");
  return plan;
}

/**
 * Runs to the end, from where a run that was killed had come, and leaves the adapter in the folder. Cancelling kills the process at once.
 * @throws UserError "tuner-memory", "tuner-base", "tuner-architecture", "tuner-template", "no-examples", "disk-full", "tuner-files",
 * "tuner-failed"; AbortError.
 */
export async function runLora(
  options: LoraOptions,
  onProgress: (progress: LoraProgress) => void,
  signal: AbortSignal,
): Promise<TuningRun> {
  let run: TuningRun | null = null;
  const losses: LossPoint[] = [];
  await runPython(options, [], signal, (event) => {
    if (event.type === "progress") {
      const { type: _, points, ...progress } = event;
      losses.push(...points);
      onProgress({ ...progress, losses: [...losses] });
    } else if (event.type === "done") run = event.run;
  });
  if (run === null) throw new UserError("tuner-failed", "The LoRA run ended without its result. Try again.");
  return run;
}

/** Lines of the log kept for the error that tells of a crash. */
const LOG_LINES = 12;

function runPython(
  { python, packageDir, folder }: LoraOptions,
  options: string[],
  signal: AbortSignal,
  onEvent: (event: z.output<typeof eventSchema>) => void,
): Promise<void> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const child = spawn(python, ["-s", "-m", "netwright.tuning", ...options, folder], {
      env: {
        ...process.env,
        PYTHONPATH: packageDir,
        PYTHONDONTWRITEBYTECODE: "1",
        // Spinning threads beside another busy process slow both down tenfold.
        OMP_WAIT_POLICY: "PASSIVE",
        TOKENIZERS_PARALLELISM: "false",
        // Everything is on this machine.
        HF_HUB_OFFLINE: "1",
      },
      // The open input is what tells the child that this process lives.
      stdio: ["pipe", "ignore", "pipe", "pipe"],
    });
    const kill = () => child.kill("SIGKILL");
    signal.addEventListener("abort", kill, { once: true });
    const log: string[] = [];
    let failure: UserError | null = null;
    createInterface({ input: child.stderr as Readable }).on("line", (line) => {
      log.push(line);
      if (log.length > LOG_LINES) log.shift();
    });
    createInterface({ input: child.stdio[3] as Readable }).on("line", (line) => {
      const event = eventSchema.parse(JSON.parse(line));
      if (event.type === "failed") failure = new UserError(event.code, event.message);
      else onEvent(event);
    });
    child.on("error", (error) => {
      failure ??= new UserError(
        "python-unsuitable",
        `${python} cannot be run: ${error.message}. See: netwright doctor`,
      );
    });
    child.on("close", (code, killed) => {
      signal.removeEventListener("abort", kill);
      if (signal.aborted) return reject(signal.reason);
      if (code === 0) return resolve();
      const how = killed ? `it was killed (${killed}); memory may have run out` : `exit code ${code}`;
      const tail = log.length > 0 ? `\nIts last words:\n${log.join("\n")}` : "";
      reject(
        failure ??
          new UserError(
            "tuner-failed",
            `The LoRA run ended: ${how}. It goes on where it was when started again.${tail}`,
          ),
      );
    });
  });
}
