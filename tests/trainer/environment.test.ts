import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
  type BasePython,
  Downloads,
  type EnvironmentSpec,
  ensureEnvironment,
  ensurePython,
  findPython,
  type SetupProgress,
} from "../../src/trainer/environment.ts";

const pythonFolder = resolve(import.meta.dirname, "../../python");
/** One small, pure Python package of the tests' own lock file, so that the real installer runs and takes a second. */
const PACKAGE = "iniconfig";

const never = () => new AbortController().signal;
const pathWithoutUv = (process.env.PATH ?? "")
  .split(delimiter)
  .filter((folder) => !existsSync(join(folder, "uv")))
  .join(delimiter);
/** Most tests install with a uv that is there already: it is brought once. */
const tools = mkdtempSync(join(tmpdir(), "netwright-tools-"));
const pathWithUv = `${tools}${delimiter}${process.env.PATH}`;
const real = await findPython(false, never());

beforeAll(async () => {
  home = join(tools, "home");
  mkdirSync(home);
  vi.stubEnv("PATH", pathWithoutUv);
  const small = spec();
  await ensureEnvironment(small, () => {}, never());
  const uv = [join(small.folder, "installer", "bin", "uv"), join(small.folder, "bin", "uv")].find(existsSync) as string;
  symlinkSync(uv, join(tools, "uv"));
});
afterAll(() => rmSync(tools, { recursive: true }));

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "netwright-environment-"));
  vi.stubEnv("PATH", pathWithUv);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(home, { recursive: true });
});

function spec(): EnvironmentSpec {
  const packageDir = join(home, "package");
  mkdirSync(packageDir);
  const installer = "requirements-installer.txt";
  writeFileSync(join(packageDir, installer), readFileSync(join(pythonFolder, installer)));
  const lock = readFileSync(join(pythonFolder, "requirements-test.txt"), "utf8");
  const [pinned] = new RegExp(`^${PACKAGE}==.*(\\n +--hash.*)+`, "m").exec(lock) as RegExpExecArray;
  writeFileSync(join(packageDir, "requirements.txt"), `${pinned}\n`);
  return {
    name: "the small environment",
    folder: join(home, "small"),
    packageDir,
    requirements: ["requirements.txt"],
    imports: [PACKAGE],
    bytes: 1e6,
  };
}

/** A command in `home`/bin that answers the probe as told and is the real interpreter in all else. */
function pretendPython(name: string, answer: Partial<BasePython>): string {
  const folder = join(home, "bin");
  mkdirSync(folder, { recursive: true });
  const file = join(folder, name);
  const told = JSON.stringify({ ...real, ...answer });
  const script = [
    "#!/bin/sh",
    `case "$2" in *importlib.util*) echo '${told}'; exit;; esac`,
    `exec "${real.path}" "$@"`,
  ];
  writeFileSync(file, `${script.join("\n")}\n`);
  chmodSync(file, 0o755);
  return file;
}

describe("ensureEnvironment", () => {
  it("makes it once, and then starts no process", async () => {
    const small = spec();
    const python = await ensureEnvironment(small, () => {}, never());
    expect(existsSync(python)).toBe(true);
    vi.stubEnv("PATH", "");
    const said: SetupProgress[] = [];
    expect(await ensureEnvironment(small, (p) => said.push(p), never())).toBe(python);
    expect(said).toEqual([]);
  });

  it("repairs a half-made one", async () => {
    const small = spec();
    mkdirSync(small.folder);
    const left = join(small.folder, "left-over");
    writeFileSync(left, "");
    await ensureEnvironment(small, () => {}, never());
    expect(existsSync(left)).toBe(false);
  });

  it("makes it anew when the requirements change or its interpreter is gone", async () => {
    const small = spec();
    const python = await ensureEnvironment(small, () => {}, never());
    const file = join(small.packageDir, "requirements.txt");
    writeFileSync(file, `# changed\n${readFileSync(file, "utf8")}`);
    for (const change of [() => {}, () => rmSync(python)]) {
      change();
      const said: SetupProgress[] = [];
      await ensureEnvironment(small, (p) => said.push(p), never());
      expect(said[0]?.what).toMatch(/^Making the small environment with Python 3\.\d+$/);
    }
  });

  it("is made by one of two at once; the other waits", async () => {
    const small = spec();
    const said: string[] = [];
    const make = () => ensureEnvironment(small, ({ what }) => said.push(what), never());
    const [first, second] = await Promise.all([make(), make()]);
    expect(first).toBe(second);
    const once = new Set(said);
    expect([...once].filter((what) => what.startsWith("Another process is installing"))).toHaveLength(1);
    expect(said.filter((what) => what.startsWith("Making"))).toHaveLength(1);
  });

  it("stops when cancelled, and a later call succeeds", async () => {
    const small = spec();
    const cancelled = new AbortController();
    const stopped = ensureEnvironment(
      small,
      ({ what }) => what.startsWith("Installing") && cancelled.abort(),
      cancelled.signal,
    );
    await expect(stopped).rejects.toMatchObject({ name: "AbortError" });
    expect(existsSync(await ensureEnvironment(small, () => {}, never()))).toBe(true);
  });

  it.runIf(process.platform === "linux")("leaves no installer behind when its process is killed", async () => {
    const pidFile = join(home, "pid");
    const endless = join(home, "uv");
    writeFileSync(endless, `#!/bin/sh\necho $$ > "${pidFile}.new"; mv "${pidFile}.new" "${pidFile}"; exec sleep 600\n`);
    chmodSync(endless, 0o755);
    const module = JSON.stringify(resolve(import.meta.dirname, "../../src/trainer/environment.ts"));
    const script = `const { ensureEnvironment } = await import(${module});
      await ensureEnvironment(${JSON.stringify(spec())}, () => {}, new AbortController().signal);`;
    const env = { ...process.env, PATH: `${home}${delimiter}${process.env.PATH}` };
    const flags = ["--experimental-strip-types", "--input-type=module", "-e", script];
    const engine = spawn(process.execPath, flags, { env, stdio: "ignore" });
    await vi.waitFor(() => expect(existsSync(pidFile)).toBe(true), { timeout: 60_000 });
    const pid = Number(readFileSync(pidFile, "utf8"));
    process.kill(pid, 0);
    engine.kill("SIGKILL");
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow(/ESRCH/), { timeout: 60_000 });
  });

  const ways = (["pip", "ensurepip"] as const).filter((way) => real[way]);
  it.each(ways)("brings its installer with %s where there is none", async (way) => {
    const small = spec();
    vi.stubEnv("NETWRIGHT_PYTHON", pretendPython("python3", { pip: way === "pip", ensurepip: way === "ensurepip" }));
    vi.stubEnv("PATH", pathWithoutUv);
    await ensureEnvironment(small, () => {}, never());
    expect(existsSync(join(small.folder, way === "pip" ? "installer/bin/uv" : "bin/uv"))).toBe(true);
  });

  it("refuses a package whose hash is not the pinned one", async () => {
    const small = spec();
    const file = join(small.packageDir, "requirements.txt");
    writeFileSync(file, readFileSync(file, "utf8").replaceAll(/sha256:[0-9a-f]{4}/g, "sha256:0000"));
    const failed = ensureEnvironment(small, () => {}, never());
    await expect(failed).rejects.toMatchObject({ name: "UserError", code: "install-failed" });
    await expect(failed).rejects.toThrow(/[Hh]ash/);
  });

  it("says so when the network does not answer", async () => {
    vi.stubEnv("UV_CACHE_DIR", join(home, "cache"));
    vi.stubEnv("PIP_CACHE_DIR", join(home, "cache"));
    vi.stubEnv("PIP_FIND_LINKS", "");
    vi.stubEnv("UV_HTTP_RETRIES", "0");
    vi.stubEnv("PIP_RETRIES", "0");
    for (const name of ["UV_DEFAULT_INDEX", "PIP_INDEX_URL"]) vi.stubEnv(name, "http://127.0.0.1:9/simple");
    const failed = ensureEnvironment(spec(), () => {}, never());
    await expect(failed).rejects.toMatchObject({ name: "UserError", code: "network" });
  });

  it("asks for disk space before it starts", async () => {
    const small = { ...spec(), bytes: 1e18 };
    const failed = ensureEnvironment(small, () => {}, never());
    await expect(failed).rejects.toMatchObject({ name: "UserError", code: "disk-full" });
    expect(existsSync(small.folder)).toBe(false);
  });

  it("says so when the data home cannot be made", async () => {
    writeFileSync(join(home, "file"), "");
    const failed = ensureEnvironment({ ...spec(), folder: join(home, "file", "python") }, () => {}, never());
    await expect(failed).rejects.toMatchObject({ name: "UserError", code: "home-unwritable" });
  });
});

describe("findPython", () => {
  it("finds one that is new enough", async () => {
    const { path, version } = await findPython(true, never());
    expect(statSync(path).isFile()).toBe(true);
    expect(version[0] * 100 + version[1]).toBeGreaterThanOrEqual(310);
  });

  it("names the next step when there is none", async () => {
    vi.stubEnv("PATH", home);
    await expect(findPython(true, never())).rejects.toMatchObject({ name: "UserError", code: "python-missing" });
    await expect(findPython(true, never())).rejects.toThrow(/apt install python3/);
  });

  it("says why those it found do not do", async () => {
    pretendPython("python3", { version: [3, 9] });
    pretendPython("python", { ensurepip: false, pip: false });
    vi.stubEnv("PATH", join(home, "bin"));
    const failed = findPython(false, never());
    await expect(failed).rejects.toMatchObject({ name: "UserError", code: "python-unsuitable" });
    await expect(failed).rejects.toThrow(/is Python 3\.9; at least 3\.10 is needed; .* has neither pip nor ensurepip/);
  });

  it("keeps to the one that is named, and says where it is named", async () => {
    vi.stubEnv("NETWRIGHT_PYTHON", join(home, "nothing"));
    await expect(findPython(true, never())).rejects.toThrow(/^NETWRIGHT_PYTHON names .*nothing/);
    vi.stubEnv("NETWRIGHT_PYTHON_SETTING", "the setting netwright.python");
    await expect(findPython(true, never())).rejects.toThrow(/^The setting netwright\.python names .*nothing/);
    vi.stubEnv("NETWRIGHT_PYTHON", pretendPython("old", { version: [3, 8] }));
    await expect(findPython(true, never())).rejects.toThrow(
      /Python 3\.8.* name another in the setting netwright\.python/,
    );
  });

  it("takes the preferred one where it fits, else one on the path", async () => {
    const usual = pretendPython("python3", { path: "usual" });
    vi.stubEnv("PATH", dirname(usual));
    const preferred = [pretendPython("new", { path: "preferred" }), pretendPython("old", { version: [3, 8] })];
    const found = [];
    for (const python of [...preferred, join(home, "nothing")]) {
      vi.stubEnv("NETWRIGHT_PREFERRED_PYTHON", python);
      found.push((await findPython(true, never())).path);
    }
    expect(found).toEqual(["preferred", "usual", "usual"]);
  });
});

describe("an interpreter of the user's own", () => {
  it("must have what the worker needs", async () => {
    const bare = await ensureEnvironment(spec(), () => {}, never());
    vi.stubEnv("NETWRIGHT_WORKER_PYTHON", bare);
    const failed = ensurePython(home, pythonFolder, () => {}, never());
    await expect(failed).rejects.toMatchObject({ name: "UserError", code: "python-unsuitable" });
    await expect(failed).rejects.toThrow(/lacks torch, numpy, pillow, scikit-learn/);
  });

  it("must run", async () => {
    vi.stubEnv("NETWRIGHT_WORKER_PYTHON", join(home, "nothing"));
    await expect(ensurePython(home, pythonFolder, () => {}, never())).rejects.toThrow(/does not run as Python/);
  });
});

describe("Downloads", () => {
  it("reads the installer's account", () => {
    const said: string[] = [];
    const downloads = new Downloads(
      {
        say: (what) => said.push(what),
        report: ({ what, done, total }) => said.push(`${what} ${done} of ${total}`),
      },
      "down",
      "install",
    );
    const account = ["Resolved 2 packages in 1s", "Downloading torch (1.5GiB)", "Downloading numpy (512.0KiB)"];
    for (const line of [...account, " Downloaded numpy", "Prepared 2 packages in 3s"]) downloads.read(line);
    expect(said).toEqual(["down 0 of 1610612736", "down 0 of 1611137024", "down 524288 of 1611137024", "install"]);
  });
});
