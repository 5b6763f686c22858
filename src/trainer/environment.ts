/**
 * The Python the worker runs in: a virtual environment of its own under the data home, installed from pinned and hashed
 * requirements, or an interpreter the user names. Nothing is installed into the user's own Python.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../study/ports.ts";

/** What is under way; `total` null: unknown. The unit is "bytes" while downloading, else "s" (seconds so far). */
export interface SetupProgress {
  what: string;
  done: number;
  total: number | null;
  unit: "bytes" | "s";
}
export type OnProgress = (progress: SetupProgress) => void;

/** A virtual environment and what belongs in it. */
export interface EnvironmentSpec {
  /** For people, e.g. "the Python environment". */
  name: string;
  /** Absolute. */
  folder: string;
  /** Absolute: the folder of the requirement files, and of the installer's own: requirements-installer.txt. */
  packageDir: string;
  /** Fully resolved requirement files with hashes: they are installed without resolving anything. */
  requirements: string[];
  /** Modules that must import for the environment to count as working. */
  imports: string[];
  /** Disk space to ask for before starting. */
  bytes: number;
}

/** A base interpreter and the ways it offers to install packages. */
export interface BasePython {
  /** Absolute path. */
  path: string;
  version: [major: number, minor: number];
  ensurepip: boolean;
  pip: boolean;
}

const OLDEST: [number, number] = [3, 10];
const NAMES = ["python3.13", "python3.12", "python3.11", "python3.10", "python3", "python"];
/** PyTorch's Linux build carries CUDA: 5.4 GB installed, and as much may lie in the installer's cache on another disk. */
const WORKER_BYTES = process.platform === "linux" ? 6e9 : 2e9;
const MARKER = "netwright-environment.json";
const APT = "sudo apt install python3 python3-venv";

/**
 * The worker's interpreter, installed first where needed. With $NETWRIGHT_WORKER_PYTHON set, that interpreter is checked and
 * used as it is; else the environment `home`/python is made from `packageDir`/requirements.txt, anew when those changed. When it
 * is there already, no process is started.
 * @throws UserError "python-missing", "python-unsuitable", "disk-full", "network", "home-unwritable" or "install-failed"; AbortError.
 */
export async function ensurePython(
  home: string,
  packageDir: string,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<{ python: string }> {
  const chosen = process.env.NETWRIGHT_WORKER_PYTHON;
  if (chosen) {
    await verifyChosen(chosen, signal);
    return { python: chosen };
  }
  return { python: await ensureEnvironment(workerEnvironment(home, packageDir), onProgress, signal) };
}

function workerEnvironment(home: string, packageDir: string): EnvironmentSpec {
  return {
    name: "the Python environment (PyTorch)",
    folder: resolve(home, "python"),
    packageDir,
    requirements: ["requirements.txt"],
    // Importing also compiles: the sandboxed worker, which loads all of these, cannot write bytecode.
    imports: ["torch", "torch._dynamo", "numpy", "PIL", "sklearn"],
    bytes: WORKER_BYTES,
  };
}

/** The worker's interpreter when it is there and current, else null and what its environment takes on disk. No process is started. */
export function installedPython(
  home: string,
  packageDir: string,
): { python: string } | { python: null; bytes: number } {
  if (process.env.NETWRIGHT_WORKER_PYTHON) return { python: process.env.NETWRIGHT_WORKER_PYTHON };
  const spec = workerEnvironment(home, packageDir);
  const current = isCurrent(spec.folder, requirementsKey(requirementFiles(spec)));
  return current ? { python: interpreter(spec.folder) } : { python: null, bytes: spec.bytes };
}

/** Makes the environment unless it is there and current. Returns its interpreter. Two processes at once: one makes it, one waits. */
export async function ensureEnvironment(
  spec: EnvironmentSpec,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<string> {
  const key = requirementsKey(requirementFiles(spec));
  if (isCurrent(spec.folder, key)) return interpreter(spec.folder);
  signal.throwIfAborted();
  const progress = new Heartbeat(onProgress);
  const unlock = await lock(
    `${spec.folder}.lock`,
    () => progress.say(`Another process is installing ${spec.name}`),
    signal,
  );
  try {
    if (!isCurrent(spec.folder, key)) await install(spec, key, progress, signal);
    return interpreter(spec.folder);
  } finally {
    progress.stop();
    unlock();
  }
}

/**
 * The first Python >= 3.10 that can make an environment: $NETWRIGHT_PYTHON alone when set, else $NETWRIGHT_PREFERRED_PYTHON, which may
 * be one that does not fit, and the usual names on the path. $NETWRIGHT_PYTHON_SETTING: what people know the former by, where not by that.
 * `hasInstaller`: uv is there, so that the interpreter needs no pip of its own.
 * @throws UserError "python-missing" or "python-unsuitable"; AbortError.
 */
export async function findPython(hasInstaller: boolean, signal: AbortSignal): Promise<BasePython> {
  const chosen = process.env.NETWRIGHT_PYTHON;
  const preferred = process.env.NETWRIGHT_PREFERRED_PYTHON;
  const setting = process.env.NETWRIGHT_PYTHON_SETTING || "NETWRIGHT_PYTHON";
  const refused: string[] = [];
  for (const name of chosen ? [chosen] : [...(preferred ? [preferred] : []), ...NAMES]) {
    const base = await probe(name, signal);
    if (!base) continue;
    const [major, minor] = base.version;
    if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]))
      refused.push(`${base.path} is Python ${major}.${minor}; at least ${OLDEST.join(".")} is needed`);
    else if (!hasInstaller && !base.ensurepip && !base.pip) refused.push(`${base.path} has neither pip nor ensurepip`);
    else return base;
  }
  if (refused.length > 0)
    throw new UserError(
      "python-unsuitable",
      `No Python here can make an environment: ${[...new Set(refused)].join("; ")}. Install one (Debian, Ubuntu: ${APT}), or name another in ${setting}.`,
    );
  throw new UserError(
    "python-missing",
    chosen
      ? `${capital(setting)} names ${chosen}, which does not run as Python with the venv module. Correct it, or unset it.`
      : `Python ${OLDEST.join(".")} or newer was not found. Install it (Debian, Ubuntu: ${APT}), or name one in ${setting}.`,
  );
}

const PROBE = `
import importlib.util as u, json, sys
has = lambda name: u.find_spec(name) is not None
if has("venv"):
    print(json.dumps({"path": sys.executable, "version": sys.version_info[:2], "ensurepip": has("ensurepip"), "pip": has("pip")}))
`;

async function probe(command: string, signal: AbortSignal): Promise<BasePython | null> {
  const { code, output } = await run(command, ["-c", PROBE], signal);
  const line = output.at(-1);
  return code === 0 && line?.startsWith("{") ? (JSON.parse(line) as BasePython) : null;
}

const VERIFY = `
import importlib.metadata as m, json
def version(name):
    try:
        return m.version(name)
    except m.PackageNotFoundError:
        return None
print(json.dumps({name: version(name) for name in ("torch", "numpy", "pillow", "scikit-learn")}))
`;

/** @throws UserError "python-unsuitable" naming what is missing. */
async function verifyChosen(python: string, signal: AbortSignal): Promise<void> {
  const { code, output } = await run(python, ["-c", VERIFY], signal);
  const line = output.at(-1);
  if (code !== 0 || !line?.startsWith("{"))
    throw new UserError(
      "python-unsuitable",
      `NETWRIGHT_WORKER_PYTHON names ${python}, which does not run as Python${line ? `: ${line}` : ""}. Correct it, or unset it to let Netwright install its own.`,
    );
  const found = JSON.parse(line) as Record<string, string | null>;
  const missing = Object.keys(found).filter((name) => found[name] === null);
  const [major = 0, minor = 0] = (found.torch ?? "").split(".").map(Number);
  if (found.torch && (major < 2 || (major === 2 && minor < 4))) missing.push(`torch >= 2.4 (it has ${found.torch})`);
  if (missing.length > 0)
    throw new UserError(
      "python-unsuitable",
      `NETWRIGHT_WORKER_PYTHON names ${python}, which lacks ${missing.join(", ")}. Install them there, or unset it to let Netwright install its own.`,
    );
}

async function install(spec: EnvironmentSpec, key: string, progress: Heartbeat, signal: AbortSignal): Promise<void> {
  const { folder, name } = spec;
  const uvOnPath = onPath("uv");
  const base = await findPython(uvOnPath !== null, signal);
  progress.say(`Making ${name} with Python ${base.version.join(".")}`);
  // A folder without its marker is half made, one with another key is out of date: both are made anew.
  rmSync(folder, { recursive: true, force: true });
  checkSpace(spec);
  await must(base.path, ["-m", "venv", "--without-pip", folder], signal);
  const uv = uvOnPath ?? (await installInstaller(base, spec, progress, signal));
  const python = interpreter(folder);
  const files = requirementFiles(spec).flatMap((file) => ["-r", file]);
  progress.say(`Installing ${name}`);
  const packages = new Downloads(progress, `Downloading ${name}`, `Installing ${name}`);
  // The directory keeps settings of whatever project the user stands in out of this.
  const options = [
    "--directory",
    dirname(folder),
    "--no-deps",
    "--require-hashes",
    "--only-binary",
    ":all:",
    "--no-progress",
  ];
  await must(uv, ["pip", "install", "--python", python, ...options, ...files], signal, (line) => packages.read(line));
  progress.say(`Checking ${name}`);
  await must(python, ["-c", `import ${spec.imports.join(", ")}`], signal);
  const marker = join(folder, MARKER);
  writeFileSync(`${marker}.new`, JSON.stringify({ key, base: base.path }));
  renameSync(`${marker}.new`, marker);
}

/** Brings uv, which installs in seconds what takes pip minutes, by whichever pip there is. Returns its path. */
async function installInstaller(
  base: BasePython,
  { folder, packageDir }: EnvironmentSpec,
  progress: Heartbeat,
  signal: AbortSignal,
): Promise<string> {
  progress.say("Installing the package installer (uv)");
  const options = ["--disable-pip-version-check", "--no-deps", "--require-hashes", "--only-binary", ":all:"];
  const install = ["-m", "pip", "install", ...options, "-r", join(packageDir, "requirements-installer.txt")];
  if (base.pip) {
    // --target leaves the interpreter's own packages alone, and is allowed where the system manages those.
    const target = join(folder, "installer");
    await must(base.path, [...install, "--target", target], signal);
    return join(target, "bin", "uv");
  }
  const python = interpreter(folder);
  await must(python, ["-m", "ensurepip"], signal);
  await must(python, install, signal);
  return join(folder, "bin", "uv");
}

function checkSpace({ folder, name, bytes }: EnvironmentSpec): void {
  const { bavail, bsize } = statfsSync(dirname(folder));
  const gigabytes = (amount: number) => `${(amount / 1e9).toFixed(1)} GB`;
  if (bavail * bsize < bytes)
    throw new UserError(
      "disk-full",
      `${capital(name)} needs ${gigabytes(bytes)} and ${dirname(folder)} has ${gigabytes(bavail * bsize)} free. Free some, put NETWRIGHT_HOME on another disk, or name a Python that has PyTorch in NETWRIGHT_WORKER_PYTHON.`,
    );
}

const requirementFiles = (spec: EnvironmentSpec) => spec.requirements.map((file) => join(spec.packageDir, file));

function requirementsKey(files: string[]): string {
  const hash = createHash("sha256");
  for (const file of files) hash.update(readFileSync(file));
  return hash.digest("hex");
}

function isCurrent(folder: string, key: string): boolean {
  try {
    const marker = JSON.parse(readFileSync(join(folder, MARKER), "utf8")) as { key: string };
    return marker.key === key && existsSync(interpreter(folder));
  } catch {
    return false;
  }
}

const interpreter = (folder: string) => join(folder, "bin", "python");

/** The lock is an open SQLite transaction: the system gives it up when its holder dies, however it dies. */
async function lock(file: string, onWait: () => void, signal: AbortSignal): Promise<() => void> {
  const parent = dirname(file);
  try {
    mkdirSync(parent, { recursive: true });
    for (let waited = false; ; waited = true) {
      const database = new DatabaseSync(file);
      try {
        database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
        return () => database.close();
      } catch (error) {
        database.close();
        if (!/locked/.test((error as Error).message)) throw error;
      }
      if (!waited) onWait();
      await sleep(300, undefined, { signal });
    }
  } catch (error) {
    signal.throwIfAborted();
    throw new UserError(
      "home-unwritable",
      `Cannot write to ${parent} (${(error as Error).message}). Make it writable, or set NETWRIGHT_HOME to a folder that is.`,
      { cause: error },
    );
  }
}

/** Says what is under way, and again every few seconds, so that a slow step is seen to go on. */
class Heartbeat {
  readonly #onProgress: OnProgress;
  readonly #timer: NodeJS.Timeout;
  #started = 0;
  #last: SetupProgress | null = null;

  constructor(onProgress: OnProgress) {
    this.#onProgress = onProgress;
    this.#timer = setInterval(() => {
      if (this.#last?.unit === "s") this.#last.done = Math.round((Date.now() - this.#started) / 1000);
      if (this.#last) this.#onProgress({ ...this.#last });
    }, 2000);
  }

  say(what: string): void {
    this.#started = Date.now();
    this.report({ what, done: 0, total: null, unit: "s" });
  }

  report(progress: SetupProgress): void {
    this.#last = progress;
    this.#onProgress({ ...progress });
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** Reads uv's account of its downloads: "Downloading torch (514.2MiB)", " Downloaded torch", "Prepared 37 packages in 26s". */
export class Downloads {
  readonly #progress: Pick<Heartbeat, "say" | "report">;
  readonly #sizes = new Map<string, number>();
  readonly #downloading: string;
  readonly #installing: string;
  #done = 0;

  constructor(progress: Pick<Heartbeat, "say" | "report">, downloading: string, installing: string) {
    this.#progress = progress;
    this.#downloading = downloading;
    this.#installing = installing;
  }

  read(line: string): void {
    const started = /^Downloading (\S+) \(([\d.]+)([KMG])iB\)/.exec(line);
    const ended = /^ Downloaded (\S+)/.exec(line);
    if (started) {
      const [, name = "", amount, unit] = started;
      this.#sizes.set(name, Number(amount) * { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }[unit as "K" | "M" | "G"]);
    } else if (ended) {
      this.#done += this.#sizes.get(ended[1] ?? "") ?? 0;
    } else {
      if (line.startsWith("Prepared ")) this.#progress.say(this.#installing);
      return;
    }
    let total = 0;
    for (const size of this.#sizes.values()) total += size;
    const [done, all] = [Math.round(this.#done), Math.round(total)];
    this.#progress.report({ what: this.#downloading, done, total: all, unit: "bytes" });
  }
}

/** Runs a step of the installation. @throws UserError with its cause when it fails; AbortError. */
async function must(
  command: string,
  args: string[],
  signal: AbortSignal,
  onLine: (line: string) => void = () => {},
): Promise<void> {
  const { code, output } = await run(command, args, signal, onLine);
  if (code === 0) return;
  const text = output.join("\n");
  const detail = output.slice(-8).join("\n");
  if (/No space left on device|os error 28|Disk quota exceeded/.test(text))
    throw new UserError(
      "disk-full",
      `The disk is full: ${detail}\nFree some space, or put NETWRIGHT_HOME (and UV_CACHE_DIR) on another disk, then run this again.`,
    );
  // pip's last word when no index answers is "(from versions: none)".
  if (/Failed to fetch|error sending request|timed out|connection broken|\(from versions: none\)/i.test(text))
    throw new UserError(
      "network",
      `Python packages could not be downloaded: ${detail}\nCheck the network (a mirror: set UV_DEFAULT_INDEX and PIP_INDEX_URL; a proxy: HTTPS_PROXY), then run this again.`,
    );
  throw new UserError("install-failed", `${[command, ...args].join(" ")} failed (${code ?? "killed"}):\n${detail}`);
}

/** Linux: the child asks to be killed when its parent dies, however it dies, and then becomes the command. */
const WITH_PARENT = ["setpriv", "--pdeathsig", "KILL", "--"];

/** Runs a command to its end. `code` null: it could not be started, or was killed. Rejects with the signal's reason once it is dead. */
async function run(
  command: string,
  args: string[],
  signal: AbortSignal,
  onLine: (line: string) => void = () => {},
): Promise<{ code: number | null; output: string[] }> {
  signal.throwIfAborted();
  const tied = process.platform === "linux" && onPath(WITH_PARENT[0] as string) !== null;
  const [file = command, ...rest] = [...(tied ? WITH_PARENT : []), command, ...args];
  const env = { ...process.env, UV_PYTHON_DOWNLOADS: "never", PYTHONUTF8: "1" };
  const child = spawn(file, rest, { stdio: ["ignore", "pipe", "pipe"], env });
  const kill = () => child.kill("SIGKILL");
  signal.addEventListener("abort", kill);
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on("line", (line) => {
      output.push(line);
      onLine(line);
    });
  const code = await new Promise<number | null>((resolve) => {
    child.on("error", (error) => {
      output.push(error.message);
      resolve(null);
    });
    child.on("close", resolve);
  });
  signal.removeEventListener("abort", kill);
  signal.throwIfAborted();
  return { code, output };
}

function onPath(name: string): string | null {
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file)) ?? null;
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
