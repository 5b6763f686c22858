/** What doctor says of a machine and a study is what the parts themselves find. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { examineDesigner, examinePlatform, examineSandbox } from "../../src/engine/doctor.ts";
import { installDesigner } from "../../src/engine/setup.ts";
import { createStudy, readStudyConfig } from "../../src/engine/study.ts";
import { parseStudyConfig } from "../../src/study/config.ts";
import { sandboxReport } from "../../src/trainer/index.ts";
import { pythonForTests } from "../support/parts.ts";
import { open, packageDir, prepareFixture } from "../trainer/fixture.ts";
import { SCRIPTED_MODEL, type Scripted, scriptedOllama } from "./scripted-ollama.ts";

const python = pythonForTests();
const never = new AbortController().signal;

describe("the sandbox", () => {
  it.skipIf(!python)("is what confines the candidates of the trainer", { timeout: 300_000 }, async () => {
    const cache = prepareFixture({ train: 64, validation: 16, test: 16 });
    const trainer = await open({ cache, python: python ?? "" });
    await trainer.close();
    rmSync(cache, { recursive: true });
    const report = await sandboxReport(python ?? "", packageDir, never);
    expect(report.layers).toEqual(trainer.info.sandbox);
    expect(report.why === null).toBe(report.layers.includes("bubblewrap"));
  });

  it("is named layer by layer, and what would add one is said", () => {
    const whole = examineSandbox({ layers: ["bubblewrap", "seccomp", "landlock", "rlimits"], why: null }, "linux");
    expect(whole).toMatchObject({ state: "ok", found: "bubblewrap, seccomp, Landlock, resource limits", remedy: null });
    const bare = examineSandbox({ layers: ["seccomp", "rlimits"], why: "bubblewrap is not installed" }, "linux");
    expect(bare).toMatchObject({ state: "note", found: "seccomp, resource limits" });
    expect(bare.remedy).toBe("bubblewrap is not installed. On Debian: apt install bubblewrap");
    const unfiltered = examineSandbox({ layers: ["bubblewrap", "landlock", "rlimits"], why: null }, "linux");
    expect(unfiltered).toMatchObject({ state: "note", found: "bubblewrap, Landlock, resource limits" });
    const mac = examineSandbox({ layers: ["rlimits"], why: "bubblewrap needs Linux" }, "darwin");
    expect(mac).toMatchObject({ state: "note", found: "resource limits", remedy: expect.stringContaining("Linux") });
    expect(mac.remedy).not.toContain("apt");
  });
});

it("Windows itself is told apart before anything is looked at or installed", () => {
  expect(examinePlatform("win32")).toMatchObject({ state: "missing", remedy: expect.stringContaining("WSL 2") });
  for (const platform of ["linux", "darwin"] as const) expect(examinePlatform(platform)).toBeNull();
});

describe("a model of Ollama", () => {
  let server: Scripted;
  const designer = (model: string | null, host = server.host) =>
    parseStudyConfig(
      JSON.stringify({ name: "test", data: { dataset: "digits" }, designer: { provider: "ollama", model, host } }),
      "the test",
    );
  const examined = (model: string | null) => examineDesigner(designer(model), never);
  const installed = (model: string | null, host?: string) =>
    installDesigner(designer(model, host).designer, () => undefined, never);

  beforeEach(async () => {
    server = await scriptedOllama(() => null);
  });
  afterEach(() => server.close());

  it("that is named is looked for, and setup pulls it", async () => {
    expect(await examined(SCRIPTED_MODEL)).toMatchObject({ state: "ok" });
    expect(await examined("absent:1b")).toMatchObject({
      state: "missing",
      found: `absent:1b, through Ollama at ${server.host}, which does not have it`,
      remedy: expect.stringContaining("netwright setup"),
      fix: "install",
    });
    expect(await installed("absent:1b")).toBe(`absent:1b, through Ollama at ${server.host}`);
    expect(await examined("absent:1b")).toMatchObject({ state: "ok" });
  });

  it("is missing where none is named and none fits", async () => {
    server.models.clear();
    expect(await examined(null)).toMatchObject({ state: "missing", remedy: expect.stringContaining("ollama pull") });
    await expect(installed(null)).rejects.toMatchObject({ code: "ollama-no-model" });
  });

  it("is not said to be ready where no Ollama answers", async () => {
    server.close();
    await expect(installed(SCRIPTED_MODEL)).rejects.toMatchObject({ code: "ollama-not-running" });
  });
});

describe("a model file that the study names", () => {
  let home: string;
  const study = () => join(home, "study");
  const named = (model: string, provider: "auto" | "ollama" | "llama.cpp" = "llama.cpp") => {
    rmSync(join(study(), "netwright.json"), { force: true });
    createStudy(study(), { name: "test", data: { dataset: "digits" }, designer: { provider, model } });
    return readStudyConfig(study()).designer;
  };
  const designer = () => examineDesigner(readStudyConfig(study()), never);

  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "netwright-doctor-"));
    vi.stubEnv("NETWRIGHT_HOME", join(home, "data"));
    mkdirSync(join(study(), "models"), { recursive: true });
    writeFileSync(join(study(), "models", "mine.gguf"), "GGUF and so on");
    writeFileSync(join(study(), "coder"), "not a model");
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(home, { recursive: true });
  });

  it("lies beside netwright.json, wherever the engine is started; other names stay", () => {
    expect(named("models/mine.gguf").model).toBe(join(study(), "models", "mine.gguf"));
    expect(named("./models/mine.gguf", "auto").model).toBe(join(study(), "models", "mine.gguf"));
    expect(named("qwen2.5-coder-0.5b").model).toBe("qwen2.5-coder-0.5b");
    expect(named("models").model).toBe("models");
    expect(named("coder", "ollama").model).toBe("coder");
  });

  it("is checked by doctor and by setup, and is not looked for in the folder one stands in", async () => {
    const found = named("models/mine.gguf");
    expect(await designer()).not.toMatchObject({ fix: "study" });
    expect(await installDesigner(found, () => undefined, never)).toContain(join(study(), "models", "mine.gguf"));
    // In the folder that this process stands in, there is such a file.
    const missing = named("package.json");
    await expect(installDesigner(missing, () => undefined, never)).rejects.toMatchObject({ code: "model-unknown" });
    expect(await designer()).toMatchObject({
      state: "missing",
      fix: "study",
      remedy: expect.stringContaining("package.json"),
    });
    named("coder");
    expect(await designer()).toMatchObject({ state: "missing", remedy: expect.stringContaining("not a GGUF") });
  });
});
