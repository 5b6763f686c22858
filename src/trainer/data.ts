/** The data sets: decoded once by `python -m netwright.data` into a cache (its layout: python/netwright/data/__init__.py), found again by its key. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { type Dirent, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";
import { UserError } from "../study/ports.ts";
import type { Protocol } from "../study/types.ts";

export interface DataOptions {
  /** An interpreter with NumPy, Pillow and scikit-learn. */
  python: string;
  /** The folder that holds the `netwright` Python package. */
  packageDir: string;
  dataset: Protocol["dataset"];
  /** A folder or an archive in place of the data set's own source. */
  source: string | null;
  /** Where caches and downloads are kept, e.g. ~/.local/share/netwright/data. */
  dataDir: string;
  /** Images of the training set held out for decisions; 0: none. */
  validationImages: number;
  /** Of the split and the order of training. */
  seed: number;
  /** Whether the data set may be downloaded from its own source. */
  download: boolean;
}

const metaSchema = z.object({
  dataset: z.string(),
  channels: z.number(),
  height: z.number(),
  width: z.number(),
  classes: z.array(z.string()),
  /** Per channel, of training pixels scaled to 0..1; so is `std`. */
  mean: z.array(z.number()),
  std: z.array(z.number()),
  /** Images in each split. */
  train: z.number(),
  validation: z.number(),
  test: z.number(),
  /** Where the images came from: a path, an address, or a library. */
  source: z.string(),
  /** Of all images and labels in their order: equal data, equal figures. */
  fingerprint: z.string(),
});
export type DataMeta = z.infer<typeof metaSchema>;

export interface DataProgress {
  what: string;
  done: number;
  total: number | null;
  unit: string;
}

const messageSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("progress"),
    what: z.enum(["download", "read", "decode", "write"]),
    done: z.number(),
    total: z.number(),
  }),
  z.object({ type: z.literal("ready"), path: z.string(), meta: metaSchema }),
  z.object({ type: z.literal("error"), code: z.string(), message: z.string() }),
]);

const PROGRESS = {
  download: { what: "downloading the data set", unit: "bytes" },
  read: { what: "reading the data set", unit: "files" },
  decode: { what: "decoding images", unit: "images" },
  write: { what: "writing the data set", unit: "files" },
};

/** Changes when the layout of the cache does. */
const LAYOUT = 1;
/** What a cancelled preparation gets to remove what it has half written. */
const GRACE_MS = 2000;

/**
 * Makes sure that the data is in the cache, and says where. Python runs only when it is not there yet.
 * @throws UserError whose code starts with "data-" and whose message names the file and the next step; AbortError.
 */
export async function prepareData(
  options: DataOptions,
  onProgress: (progress: DataProgress) => void,
  signal: AbortSignal,
): Promise<{ path: string; meta: DataMeta }> {
  signal.throwIfAborted();
  const path = cachePath(options);
  const meta = readMeta(path) ?? (await runPreparation(options, path, onProgress, signal));
  return { path, meta };
}

type Identity = Pick<DataOptions, "dataset" | "source" | "validationImages" | "seed">;

/** Whether the data is there: preparing it again takes no time. */
export function isPrepared(options: Identity & Pick<DataOptions, "dataDir">): boolean {
  return readMeta(cachePath(options)) !== null;
}

function cachePath(options: Identity & Pick<DataOptions, "dataDir">): string {
  return join(resolve(options.dataDir), `${options.dataset}-${cacheKey(options)}`);
}

/** Twelve hexadecimal digits that change with the source (names, sizes, times of change), the split and the layout. */
export function cacheKey(options: Identity): string {
  const { dataset, source, validationImages, seed } = options;
  const identity = source === null ? null : identityOf(source);
  const key = JSON.stringify([LAYOUT, dataset, identity, validationImages, seed]);
  return createHash("sha256").update(key).digest("hex").slice(0, 12);
}

/** A folder of images is known by its files at the top and its folders two levels down: the images themselves are too many to ask. */
function identityOf(source: string): unknown {
  try {
    const path = realpathSync(source);
    return [path, describe(path, 2)];
  } catch {
    return [resolve(source), null]; // the preparation says what is wrong with it
  }
}

function describe(path: string, depth: number): unknown {
  const stats = statSync(path);
  if (!stats.isDirectory()) return [stats.size, stats.mtimeMs];
  if (depth === 0) return stats.mtimeMs;
  const wanted = (entry: Dirent) => depth === 2 || !/\.(jpe?g|png)$/i.test(entry.name);
  const names = readdirSync(path, { withFileTypes: true })
    .filter(wanted)
    .map((entry) => entry.name);
  return [stats.mtimeMs, names.sort().map((name) => [name, describe(join(path, name), depth - 1)])];
}

/** A cache appears whole, so that its description is enough. */
function readMeta(path: string): DataMeta | null {
  try {
    return metaSchema.parse(JSON.parse(readFileSync(join(path, "meta.json"), "utf8")));
  } catch {
    return null;
  }
}

async function runPreparation(
  options: DataOptions,
  path: string,
  onProgress: (progress: DataProgress) => void,
  signal: AbortSignal,
): Promise<DataMeta> {
  const args = ["-s", "-m", "netwright.data", "prepare", "--dataset", options.dataset, "--cache", path];
  args.push("--validation", String(options.validationImages), "--seed", String(options.seed));
  if (options.source !== null) args.push("--source", resolve(options.source));
  if (!options.download) args.push("--no-download");
  const pythonPath = [options.packageDir, process.env.PYTHONPATH].filter(Boolean).join(delimiter);
  const child = spawn(options.python, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PYTHONPATH: pythonPath, PYTHONUTF8: "1" },
  });
  let killer: NodeJS.Timeout | undefined;
  const stop = () => {
    child.kill("SIGTERM");
    killer = setTimeout(() => child.kill("SIGKILL"), GRACE_MS);
  };
  signal.addEventListener("abort", stop);
  let meta: DataMeta | null = null;
  let failure: { code: string; message: string } | null = null;
  let complaint = "";
  createInterface({ input: child.stdout }).on("line", (line) => {
    const message = parseMessage(line);
    if (message?.type === "progress") {
      onProgress({ ...PROGRESS[message.what], done: message.done, total: message.total });
    } else if (message?.type === "ready") meta = message.meta;
    else if (message?.type === "error") failure = message;
  });
  createInterface({ input: child.stderr }).on("line", (line) => {
    if (line.trim()) complaint = line.trim();
  });
  try {
    await new Promise<void>((done, fail) => {
      child.on("error", fail);
      child.on("close", () => done());
    });
  } catch (error) {
    complaint = (error as Error).message;
  } finally {
    signal.removeEventListener("abort", stop);
    clearTimeout(killer);
  }
  signal.throwIfAborted();
  if (meta) return meta;
  // Filled in by the reader above, which the compiler does not follow.
  const told = failure as { code: string; message: string } | null;
  throw told
    ? new UserError(told.code, told.message)
    : new UserError(
        "data-failed",
        `The data set could not be prepared by ${options.python}: ${complaint || "it was killed"}. See: netwright doctor`,
      );
}

function parseMessage(line: string): z.infer<typeof messageSchema> | null {
  try {
    return messageSchema.parse(JSON.parse(line));
  } catch {
    return null; // a library's own word
  }
}
