/** What the children of the editor are given, and which Python is found for them. */
import { describe, expect, it } from "vitest";
import { childEnvironment } from "../../src/editor/environment.ts";
import { findInterpreter } from "../../src/editor/python.ts";
import { proxyNote } from "../../src/engine/doctor.ts";

function environment(settings: Record<string, unknown>, base: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const getConfiguration = (section: string) => ({
    get: (key: string, fallback: unknown) => settings[`${section}.${key}`] ?? fallback,
  });
  return childEnvironment({ getConfiguration } as never, base);
}

describe("the children's environment", () => {
  it("has what is set, else what the editor was started with", () => {
    const base = { OLLAMA_HOST: "box", NETWRIGHT_PYTHON: "/usr/bin/python3", PATH: "/bin" };
    expect(environment({}, base)).toEqual(base);
    const set = {
      "netwright.python": "/opt/python",
      "netwright.home": "/big",
      "netwright.ollamaHost": "http://127.0.0.1:1",
    };
    expect(environment(set, base)).toEqual({
      PATH: "/bin",
      NETWRIGHT_PYTHON: "/opt/python",
      NETWRIGHT_PYTHON_SETTING: "the setting netwright.python",
      NETWRIGHT_HOME: "/big",
      OLLAMA_HOST: "http://127.0.0.1:1",
    });
    // With neither, the setting is where to name one.
    expect(environment({})).toEqual({ NETWRIGHT_PYTHON_SETTING: "the setting netwright.python" });
  });

  it("has the editor's proxy, which is not for this machine nor for what the editor reaches without", () => {
    const set = { "http.proxy": "http://proxy:3128", "http.noProxy": ["mirror.example"] };
    expect(environment(set)).toMatchObject({
      HTTP_PROXY: "http://proxy:3128",
      HTTPS_PROXY: "http://proxy:3128",
      NO_PROXY: "localhost,127.0.0.1,::1,mirror.example",
    });
    const base = { http_proxy: "http://mine:1", HTTPS_PROXY: "http://mine:2", no_proxy: "box" };
    const mine = environment(set, base);
    expect(mine).toMatchObject(base);
    for (const name of ["HTTP_PROXY", "NO_PROXY"]) expect(mine).not.toHaveProperty(name);
    expect(Object.keys(environment({})).filter((name) => /proxy/i.test(name))).toEqual([]);
  });
});

describe("an Ollama behind a proxy", () => {
  it.each([
    ["http://box:11434", { HTTP_PROXY: "http://proxy:3128" }, true],
    ["http://box:11434", { https_proxy: "http://proxy:3128" }, true],
    ["http://box:11434", { HTTP_PROXY: "" }, false],
    ["http://box:11434", { NO_PROXY: "*" }, false],
    ["http://127.0.0.1:11434", { HTTP_PROXY: "http://proxy:3128" }, false],
    ["http://localhost:11434", { HTTP_PROXY: "http://proxy:3128" }, false],
    ["http://[::1]:11434", { HTTP_PROXY: "http://proxy:3128" }, false],
  ])("at %s with %j is explained: %s", (address, base, explained) => {
    expect(proxyNote(address, base).includes("never through the proxy")).toBe(explained);
  });
});

describe("the selected interpreter", () => {
  const folder = { fsPath: "/nets/b" };
  type Exports = Record<string, () => Promise<unknown>>;
  const found = (exports: Exports) => {
    const getExtension = (id: string) => exports[id] && { activate: exports[id] };
    return findInterpreter({ getExtension } as never, folder as never);
  };
  const environments = (executable: string | undefined) => async () => ({
    getEnvironment: async (scope: unknown) => (scope === folder ? { execInfo: { run: { executable } } } : undefined),
  });
  const older = (executable: string) => async () => ({
    environments: {
      getActiveEnvironmentPath: (scope: unknown) => ({ path: scope === folder ? "chosen" : "another" }),
      resolveEnvironment: async ({ path }: { path: string }) =>
        path === "chosen" ? { executable: { uri: { fsPath: executable } } } : undefined,
    },
  });
  const NEW = "ms-python.vscode-python-envs";
  const OLD = "ms-python.python";

  it("is the folder's, by the environments API, else by the older one", async () => {
    expect(await found({ [NEW]: environments("/new/python"), [OLD]: older("/old/python") })).toBe("/new/python");
    expect(await found({ [NEW]: environments(undefined), [OLD]: older("/old/python") })).toBe("/old/python");
    expect(await found({ [OLD]: older("/old/python") })).toBe("/old/python");
  });

  it("is none where there is no such extension, or it fails", async () => {
    const broken = async () => {
      throw new Error("It does not start");
    };
    expect(await found({})).toBeNull();
    expect(await found({ [NEW]: broken, [OLD]: older("/old/python") })).toBe("/old/python");
    expect(await found({ [NEW]: broken, [OLD]: async () => ({}) })).toBeNull();
  });
});
