/** bubblewrap around the worker: no network, no home, a read-only system. What each process adds is in python/netwright/sandbox.py. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { UserError } from "../study/ports.ts";

const run = promisify(execFile);

/** Where an interpreter finds itself and its packages: absolute paths. */
export interface Interpreter {
  executable: string;
  paths: string[];
  /** Folders among what it can read that hold the labels of a data set. */
  answers: string[];
}

const LOCATE = `
import json, os, sys
from netwright.sandbox import answer_folders
paths = [os.path.dirname(sys.executable), os.path.dirname(os.path.realpath(sys.executable)), sys.prefix, sys.base_prefix, *sys.path]
json.dump({"executable": sys.executable, "paths": [p for p in dict.fromkeys(paths) if os.path.isabs(p) and os.path.exists(p)], "answers": answer_folders()}, sys.stdout)
`;

/**
 * Asks `python` itself, which finds the `netwright` package by `env`; a virtual environment's own and its base's folders are among the paths.
 * @throws UserError "python-unsuitable"
 */
export async function locateInterpreter(
  python: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Interpreter> {
  try {
    const { stdout } = await run(python, ["-s", "-c", LOCATE], { env, signal, killSignal: "SIGKILL" });
    return JSON.parse(stdout) as Interpreter;
  } catch (error) {
    signal.throwIfAborted();
    const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new UserError("python-unsuitable", `${python} cannot be run: ${why}. See: netwright doctor`, {
      cause: error,
    });
  }
}

/** Arguments of bwrap, up to the command; all are absolute paths that exist. Of `hidden`, folders, nothing is seen. */
export function bubblewrapArguments(readable: string[], devices: string[], hidden: string[]): string[] {
  const system = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/nix/store"];
  const configuration = ["/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime"];
  // PyTorch counts processors and memory nodes; a GPU's driver looks itself up.
  const hardware = devices.length > 0 ? ["/sys"] : ["/sys/devices/system"];
  const bind = (kind: string) => (path: string) => [kind, path, path];
  return [
    ...["user", "ipc", "pid", "net", "uts", "cgroup-try"].map((namespace) => `--unshare-${namespace}`),
    ...["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "netwright"],
    ...["--proc", "/proc", "--dev", "/dev", "--size", `${1 << 24}`, "--tmpfs", "/dev/shm"],
    ...["--size", `${1 << 24}`, "--tmpfs", "/tmp"],
    ...[...system, ...configuration, ...hardware].flatMap(bind("--ro-bind-try")),
    ...devices.flatMap(bind("--dev-bind")),
    // Below /tmp and /usr as well, so after those.
    ...readable.flatMap(bind("--ro-bind")),
    ...hidden.flatMap((path) => ["--tmpfs", path, "--remount-ro", path]),
    ...["--remount-ro", "/", "--chdir", "/"],
  ];
}

/** Whether bwrap, with these arguments, starts the interpreter; if not, why: it may be missing, or the kernel forbid it. */
export async function bubblewrapWorks(
  args: string[],
  interpreter: Interpreter,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<{ works: true } | { works: false; why: string }> {
  if (process.platform !== "linux") return { works: false, why: "bubblewrap needs Linux" };
  try {
    await run("bwrap", [...args, interpreter.executable, "-s", "-c", "pass"], { env, signal, killSignal: "SIGKILL" });
    return { works: true };
  } catch (error) {
    signal.throwIfAborted();
    const { code, stderr, message } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === "ENOENT") return { works: false, why: "bubblewrap is not installed" };
    return { works: false, why: stderr?.trim().split("\n").at(-1) || message };
  }
}
