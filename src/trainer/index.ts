/** The trainer: checks and trains candidates in a worker process, and scores their predictions here. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import { type CheckResult, type Trainer, type TrainResult, UserError } from "../study/ports.ts";
import type { Accuracy, Failure, Protocol } from "../study/types.ts";
import { chooseDevice, gpuFiles } from "./devices.ts";
import type { RunProtocol } from "./protocol.ts";
import { bubblewrapArguments, bubblewrapWorks, locateInterpreter } from "./sandbox.ts";
import { accuracyOf, chanceLevel, decodePredictions } from "./scoring.ts";
import { type Command, TrainerWorker } from "./worker.ts";

export { type Devices, probeDevices } from "./devices.ts";

export interface TrainerOptions {
  /** An interpreter with PyTorch. */
  python: string;
  /** The folder that holds the `netwright` Python package. */
  packageDir: string;
  /** Prepared data, see `prepareData`. */
  cache: string;
  /** "auto", "cpu", "cuda" or "cuda:N". */
  device: string;
  /** Processor threads of one candidate; null: all. */
  threads: number | null;
  limits: { parameters: number; checkSeconds: number; trainSeconds: number; memoryMiB: number };
  /** bubblewrap: where it works, always, or never. What a process does to itself (see `TrainerInfo.sandbox`) holds in any case. */
  sandbox: "auto" | "required" | "off";
}

/** What training took, beside the whole. */
export interface Phases {
  trainSeconds: number;
  evaluateSeconds: number;
}
export type TimedTrainResult = Exclude<TrainResult, { ok: true }> | (Extract<TrainResult, { ok: true }> & Phases);

export interface TimedTrainer extends Trainer {
  train(...args: Parameters<Trainer["train"]>): Promise<TimedTrainResult>;
}

const metaSchema = z.object({
  dataset: z.string(),
  channels: z.number().int().positive(),
  height: z.number().int().positive(),
  width: z.number().int().positive(),
  classes: z.array(z.string()).min(2).max(256),
  train: z.number().int().positive(),
  validation: z.number().int().nonnegative(),
  test: z.number().int().positive(),
});

/** A check trains a step or two: what matters is that it runs, under settings that suit most nets. */
const CHECK: RunProtocol = {
  epochs: 1,
  batch: 16,
  lr: 0.01,
  momentum: 0.9,
  dropout: 0.2,
  transform: "norm",
  seed: 0,
  trainImages: null,
};

/** @throws UserError "platform-unsupported" where the worker cannot run: it forks. */
export function requirePlatform(platform: NodeJS.Platform): void {
  if (platform !== "win32") return;
  throw new UserError(
    "platform-unsupported",
    "Netwright runs on Linux and macOS. On Windows, install it in WSL 2 and open the folder there.",
  );
}

/**
 * Starts the worker on prepared data. Several calls may be in flight; each runs in a process of its own.
 * @throws UserError "platform-unsupported", "data-unreadable", "no-such-device", "python-unsuitable", "sandbox-missing",
 * "trainer-failed"; AbortError.
 */
export async function openTrainer(options: TrainerOptions, signal: AbortSignal): Promise<TimedTrainer> {
  requirePlatform(process.platform);
  const { cache, limits } = options;
  const { meta, validationLabels, testLabels } = await readPrepared(cache);
  const device = await chooseDevice(options.python, options.device, signal);
  const { command, sandbox } = await workerCommand(options, device, signal);
  const { worker, ready } = await TrainerWorker.start(command, signal);
  const layers = [...sandbox, ...ready.sandbox];
  if (options.sandbox === "required" && !layers.includes("seccomp")) {
    await worker.close();
    throw new UserError(
      "sandbox-missing",
      'System calls cannot be filtered here; set the sandbox to "auto" to go without.',
    );
  }
  const classes = meta.classes.length;

  return {
    info: {
      device: ready.device,
      deviceName: ready.deviceName,
      torch: ready.torch,
      sandbox: layers,
      shape: { channels: meta.channels, height: meta.height, width: meta.width, classes },
      trainImages: meta.train,
      validationImages: meta.validation,
      testImages: meta.test,
    },

    async check(code, signal): Promise<CheckResult> {
      const { parameters, checkSeconds } = limits;
      const result = await worker.run(
        { type: "check", code, protocol: CHECK, parameters, seconds: checkSeconds },
        signal,
      );
      const { seconds } = result;
      if (result.status === "not-started") throw notStarted(result.message);
      if (result.status === "failed") {
        return { ok: false, failure: result.failure, parameters: result.parameters, seconds };
      }
      if (result.status !== "checked") {
        return { ok: false, failure: blameless("forward", OTHER_RESULT), parameters: null, seconds };
      }
      return { ok: true, checked: { parameters: result.parameters, graph: result.graph }, seconds };
    },

    async train(code, protocol, signal, onProgress): Promise<TimedTrainResult> {
      requireSameData(protocol, meta);
      const { parameters, trainSeconds } = limits;
      const request = { type: "train", code, protocol: forRun(protocol), parameters, seconds: trainSeconds } as const;
      const result = await worker.run(request, signal, (p) => {
        onProgress?.({ epoch: p.epoch, batch: p.batch, batches: p.batches, secondsLeft: p.secondsLeft });
      });
      const { seconds } = result;
      const refused = (failure: Failure, accuracy: Accuracy): TimedTrainResult => ({
        ok: false,
        failure,
        accuracy,
        seconds,
      });
      const unknown = { validation: null, test: null };
      if (result.status === "not-started") throw notStarted(result.message);
      if (result.status === "failed") return refused(result.failure, unknown);
      if (result.status !== "trained") return refused(blameless("train", OTHER_RESULT), unknown);
      const score = (predictions: string | null, labels: Uint8Array) => {
        const decoded = decodePredictions(predictions ?? "", labels.length, classes);
        return decoded && labels.length > 0 ? accuracyOf(decoded, labels) : null;
      };
      const accuracy = {
        validation: score(result.predictions.validation, validationLabels),
        test: score(result.predictions.test, testLabels),
      };
      if (accuracy.test === null || (meta.validation > 0 && accuracy.validation === null)) {
        return refused(blameless("shape", "The process did not return one class per image"), unknown);
      }
      const [decisive, labels] =
        accuracy.validation === null ? [accuracy.test, testLabels] : [accuracy.validation, validationLabels];
      const level = chanceLevel(labels, classes);
      if (decisive <= level) {
        const text = `Accuracy ${decisive.toFixed(3)} is not above chance (${level.toFixed(3)})`;
        return refused(blameless("chance", text), accuracy);
      }
      const { peakMemoryMiB, trainSeconds: train, evaluateSeconds } = result;
      return { ok: true, accuracy, seconds, peakMemoryMiB, trainSeconds: train, evaluateSeconds };
    },

    close: () => worker.close(),
  };
}

async function readPrepared(cache: string) {
  try {
    const meta = metaSchema.parse(JSON.parse(await readFile(join(cache, "meta.json"), "utf8")));
    const labels = async (split: "validation" | "test") => {
      if (meta[split] === 0) return new Uint8Array();
      const bytes = await readFile(join(cache, "private", `${split}_labels.bin`));
      if (bytes.length !== meta[split]) throw new Error(`${split}_labels.bin does not hold ${meta[split]} labels`);
      return bytes;
    };
    return { meta, validationLabels: await labels("validation"), testLabels: await labels("test") };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UserError(
      "data-unreadable",
      `The prepared data in ${cache} cannot be read: ${why}. Delete that folder; it is made anew.`,
      { cause: error },
    );
  }
}

/** The worker's command line, inside bubblewrap where that works and is wanted. */
async function workerCommand(
  options: TrainerOptions,
  device: string,
  signal: AbortSignal,
): Promise<{ command: Command; sandbox: string[] }> {
  const { python, packageDir, cache, threads, limits } = options;
  const env = environment(packageDir, threads);
  const devices = device === "cpu" ? [] : gpuFiles();
  const data = join(cache, "public");
  const settings = { data, device, deviceFiles: devices, threads, memoryMiB: limits.memoryMiB };
  const args = ["-s", "-m", "netwright.worker", JSON.stringify(settings)];
  if (options.sandbox === "off") return { command: { file: python, args, env }, sandbox: [] };
  const interpreter = await locateInterpreter(python, env, signal);
  const wrapper = bubblewrapArguments([...interpreter.paths, packageDir, data], devices, interpreter.answers);
  const probe = await bubblewrapWorks(wrapper, interpreter, env, signal);
  if (probe.works) {
    const command = { file: "bwrap", args: [...wrapper, interpreter.executable, ...args], env };
    return { command, sandbox: ["bubblewrap"] };
  }
  if (options.sandbox === "required") {
    throw new UserError(
      "sandbox-missing",
      `The sandbox cannot be set up: ${probe.why}. Install bubblewrap, or set the sandbox to "auto" to go without it.`,
    );
  }
  return { command: { file: python, args, env }, sandbox: [] };
}

/** The layers that confine a candidate here. */
export interface SandboxReport {
  /** As in `TrainerInfo.sandbox`. */
  layers: string[];
  /** Why bubblewrap is not among them; null when it is. */
  why: string | null;
}

/**
 * Has a process confine itself as a candidate's does, inside bubblewrap where that works, and tell what holds.
 * @throws UserError "python-unsuitable"
 */
export async function sandboxReport(python: string, packageDir: string, signal: AbortSignal): Promise<SandboxReport> {
  const env = environment(packageDir, null);
  const interpreter = await locateInterpreter(python, env, signal);
  const wrapper = bubblewrapArguments([...interpreter.paths, packageDir], [], interpreter.answers);
  const probe = await bubblewrapWorks(wrapper, interpreter, env, signal);
  const [file, before] = probe.works ? ["bwrap", [...wrapper, interpreter.executable]] : [python, []];
  const args = [...before, "-s", "-m", "netwright.sandbox"];
  try {
    const { stdout } = await promisify(execFile)(file, args, { env, signal, killSignal: "SIGKILL" });
    const own = z.array(z.string()).parse(JSON.parse(stdout));
    return probe.works ? { layers: ["bubblewrap", ...own], why: null } : { layers: own, why: probe.why };
  } catch (error) {
    signal.throwIfAborted();
    const why = (error as Error).message.trim().split("\n").at(-1);
    throw new UserError("python-unsuitable", `${python} cannot confine a process: ${why}`, { cause: error });
  }
}

/** All that the worker sees of this process's environment; nothing of it is the user's own. */
function environment(packageDir: string, threads: number | null): NodeJS.ProcessEnv {
  const kept = ["LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"];
  return {
    ...Object.fromEntries(kept.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []))),
    PATH: "/usr/bin:/bin",
    HOME: "/tmp",
    USER: "netwright",
    LOGNAME: "netwright",
    LANG: "C.UTF-8",
    PYTHONPATH: packageDir,
    PYTHONSAFEPATH: "1",
    PYTHONNOUSERSITE: "1",
    PYTHONDONTWRITEBYTECODE: "1",
    // The order of sets is part of what a seed has to fix.
    PYTHONHASHSEED: "0",
    // Spinning threads make everything else on the machine ten times slower.
    OMP_WAIT_POLICY: "PASSIVE",
    ...(threads === null ? {} : { OMP_NUM_THREADS: String(threads) }),
    // Freed activations stay with the process instead of being faulted in anew each step: a sixth of a step's time (glibc).
    MALLOC_MMAP_THRESHOLD_: String(32 << 20),
    MALLOC_TRIM_THRESHOLD_: String(2 ** 32),
    MALLOC_TOP_PAD_: String(64 << 20),
    // numpy's own pool must not exist when the worker forks; on this processor PyTorch does not use that library.
    ...(process.arch === "x64" ? { OPENBLAS_NUM_THREADS: "1" } : {}),
    // Asking whether there is a GPU must not initialise it, for the same reason.
    PYTORCH_NVML_BASED_CUDA_CHECK: "1",
    // A candidate cannot start a compiler; what asks for one runs as it is.
    TORCHDYNAMO_DISABLE: "1",
  };
}

function forRun(protocol: Protocol): RunProtocol {
  const { epochs, batch, lr, momentum, dropout, transform, seed, trainImages } = protocol;
  return { epochs, batch, lr, momentum, dropout, transform, seed, trainImages };
}

/** Figures carry their protocol's name: data prepared for another one must not be behind them. */
function requireSameData(protocol: Protocol, meta: z.infer<typeof metaSchema>): void {
  if (protocol.dataset !== meta.dataset || protocol.validationImages > 0 !== meta.validation > 0) {
    const has = `${meta.dataset} with ${meta.validation} validation images`;
    const wants = `${protocol.dataset} with ${protocol.validationImages}`;
    throw new Error(`the trainer was opened on ${has}, the protocol wants ${wants}`);
  }
}

function blameless(outcome: Failure["outcome"], message: string): Failure {
  return { outcome, message, line: null, source: null };
}

const OTHER_RESULT = "The process reported something else than its result";

/** A fault of the machine: no candidate is to blame for it. */
function notStarted(why: string): UserError {
  return new UserError(
    "trainer-failed",
    `${why}. Close what else takes memory here or on the GPU, then go on; what is recorded is kept. See also: netwright doctor`,
  );
}
