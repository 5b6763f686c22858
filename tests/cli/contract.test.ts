/**
 * What the command line promises, line by line: a study is interrupted at every stage, brought to the end of its cycle, and then asked
 * everything. The tests of the first group build on each other.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EngineClient } from "../../src/engine/client.ts";
import { GetSnapshot } from "../../src/engine/protocol.ts";
import { createStudy } from "../../src/engine/study.ts";
import type { Candidate } from "../../src/study/types.ts";
import { netReply, SCRIPTED_MODEL, type Scripted, scriptedOllama } from "../engine/scripted-ollama.ts";
import { makeStudy, WITHOUT_SEEDS } from "../engine/study.ts";
import { pythonForTests } from "../support/parts.ts";
import { net, processesWith } from "../trainer/fixture.ts";

const python = pythonForTests();
let folder: string;
let server: Scripted;
/** The study of the first group. */
let dir: string;
/** From which question on the designer keeps its answers to itself. */
let silentFrom = Number.POSITIVE_INFINITY;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "netwright-contract-"));
  server = await scriptedOllama((_text, question) => (question >= silentFrom ? null : netReply(8 + question)));
  dir = makeStudy(server.host, {
    // One at a time.
    designer: { provider: "ollama", model: SCRIPTED_MODEL, host: server.host, parallel: 1, mode: "full" },
  });
});
afterAll(() => {
  server.close();
  for (const path of [folder, dir]) rmSync(path, { recursive: true });
});

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

type Line = Record<string, unknown> & { type?: string; stage?: string };

/** Starts `netwright ARGS`, with an empty data home: what it starts is known by that path, or by the study's. */
function start(args: string[], cwd = folder) {
  const child = spawn(process.execPath, [resolve("src", "cli.ts"), ...args], {
    cwd,
    env: {
      ...process.env,
      NETWRIGHT_HOME: join(folder, "home"),
      NODE_COMPILE_CACHE: join(folder, "compiled"),
      ...(python ? { NETWRIGHT_WORKER_PYTHON: python } : {}),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const ended = once(child, "close").then(([code]): Ended => ({ code: code as number | null, stdout, stderr }));
  const lines = createInterface({ input: child.stdout });
  /** Waits for a line of JSON. */
  const says = (fits: (line: Line) => boolean) =>
    new Promise<void>((found, missed) => {
      lines.on("line", (text) => {
        if (fits(JSON.parse(text))) found();
      });
      ended.then((result) => missed(new Error(`it ended before: ${JSON.stringify(result)}`)));
    });
  return { ended, says, interrupt: () => child.kill("SIGINT") };
}

const netwright = (...args: string[]) => start(args).ended;

/** The answer of a command that prints one thing. */
async function answer(...args: string[]) {
  const { code, stdout, stderr } = await netwright(...args, "--json");
  expect([code, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout);
}

const objects = (stdout: string): Line[] =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
const list = (...args: string[]): Promise<Candidate[]> => answer("list", "--study", dir, ...args);
const cycle = (...args: string[]) => start(["cycle", "--study", dir, "--candidates", "2", "--json", ...args]);
const nothingLeft = () =>
  expect.poll(() => [folder, dir].flatMap((path) => processesWith(path)), { timeout: 30_000 }).toEqual([]);
const enginePid = () => processesWith(dir).find((pid) => processesWith("engine.ts").includes(pid)) ?? 0;

describe.skipIf(!python)("a study, from set-up to export", { timeout: 120_000 }, () => {
  /** What was told as recorded before an interruption. */
  const told = new Map<number, Candidate>();

  it.each<[string, (line: Line) => boolean]>([
    ["it is set up", ({ type }) => type === "setup"],
    ["the seeds are measured", ({ type }) => type === "candidate"],
    ["a net is designed", ({ type, stage }) => type === "stage" && stage === "designing"],
    // A fast machine never tells of its progress.
    ["a net is trained", ({ type, stage }) => type === "stage" && stage === "training"],
  ])("Ctrl-C while %s: 130, nothing recorded lost, no process left", async (stage, fits) => {
    // The net that is designed waits for its answer; so does the second one while the first is trained.
    silentFrom = server.asked.length + (stage === "a net is trained" ? 1 : 0);
    const command = cycle("--resume");
    await command.says(fits);
    command.interrupt();
    const { code, stdout, stderr } = await command.ended;
    expect(code).toBe(130);
    expect(stderr).toBe("Cancelled. What was recorded is kept.\n");
    expect(objects(stdout).at(-1)).toMatchObject({ type: "error", code: "cancelled" });
    await nothingLeft();
    for (const { candidate } of objects(stdout) as { candidate?: Candidate }[]) {
      if (candidate) told.set(candidate.id, candidate);
    }
    const recorded = await list();
    for (const candidate of told.values()) expect(recorded).toContainEqual(candidate);
  });

  it("cycle --resume ends the cycle: one object a line, the last of them the cycle", async () => {
    silentFrom = Number.POSITIVE_INFINITY;
    const { code, stdout } = await cycle("--resume").ended;
    expect(code).toBe(0);
    const lines = objects(stdout);
    expect(lines.every(({ type }) => typeof type === "string")).toBe(true);
    const last = lines.at(-1) as unknown as { type: string; cycle: number; candidates: Candidate[] };
    expect(Object.keys(last).sort()).toEqual(["candidates", "cycle", "type"]);
    expect(last).toMatchObject({ type: "cycle", cycle: 1 });
    expect(last.candidates).toHaveLength(2);
    const number = expect.any(Number);
    for (const candidate of last.candidates) {
      expect(candidate).toMatchObject({
        id: number,
        mode: "full",
        parent: null,
        outcome: "valid",
        error: null,
        repaired: false,
        parameters: number,
        novelty: { text: number, structure: number },
        accuracy: { validation: number, test: number },
        seconds: { design: number, check: number, train: number },
        proposed: expect.any(Boolean),
        accepted: null,
      });
    }
    const [first, second] = last.candidates;
    expect(first?.nearest).toEqual({ text: null, structure: null });
    expect(second?.nearest).toEqual({ text: first?.id, structure: first?.id });
    // The seeds, and what was told before, are as they were.
    const recorded = await list();
    for (const candidate of [...told.values(), ...last.candidates]) expect(recorded).toContainEqual(candidate);
    await nothingLeft();
  });

  it("list --json is an array of the same candidates with their cycle", async () => {
    const seeds = await list("--cycle", "0");
    expect(seeds.map(({ cycle, mode }) => [cycle, mode])).toEqual(Array(5).fill([0, "seed"]));
    const designed = await list("--cycle", "1", "--outcome", "valid");
    expect(designed.map(({ cycle, mode }) => [cycle, mode])).toEqual(Array(2).fill([1, "full"]));
    expect(await list()).toEqual([...seeds, ...designed]);
  });

  it("show prints the code, the question and the answer alone", async () => {
    const [first] = await list("--cycle", "1");
    const id = String(first?.id);
    const show = async (...args: string[]) => (await netwright("show", id, "--study", dir, ...args)).stdout;
    expect(await show("--code")).toMatch(/^import torch\n(.*\n)*class Net\(nn\.Module\):\n(.*\n)*$/);
    expect(await show("--prompt")).toMatch(/^--- (system|user)\n/);
    expect(await show("--reply")).toContain("class Net(nn.Module)");
    const whole = await answer("show", id, "--study", dir);
    expect(whole).toMatchObject({ ...first, code: await show("--code"), attempts: [{ number: 1 }] });
    expect((await netwright("show", "99", "--study", dir)).code).toBe(1);
  });

  it("accept and reject review, with the reason; all of the named nets or none", async () => {
    const [first, second] = (await list("--cycle", "1")).map(({ id }) => String(id));
    const study = ["--study", dir];
    expect(await netwright("accept", `${first}`, "99", ...study)).toMatchObject({ code: 1, stdout: "" });
    expect(await list("--accepted")).toEqual([]);
    expect(await answer("accept", `${first}`, ...study)).toMatchObject([{ accepted: true }]);
    expect(await answer("reject", `${second}`, "--reason", "too wide", ...study)).toMatchObject([
      { accepted: false, reason: "too wide" },
    ]);
    expect((await list("--accepted")).map(({ id }) => String(id))).toEqual([first]);
    expect((await list("--cycle", "1"))[1]).toMatchObject({ accepted: false, reason: "too wide" });
  });

  it("is found from a folder below it", async () => {
    const below = join(dir, "notes", "deep");
    mkdirSync(below, { recursive: true });
    const { code, stdout } = await start(["list", "--json"], below).ended;
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(await list());
  });

  it("evaluate: 0 for a valid net, 1 for one that fails, with the line", async () => {
    writeFileSync(join(folder, "good.py"), netReply(8).replaceAll(/```.*\n/g, ""));
    writeFileSync(join(folder, "bad.py"), net({ forward: "return x" }));
    const good = await netwright("evaluate", "good.py", "--study", dir, "--json");
    expect(good.code).toBe(0);
    expect(objects(good.stdout).at(-1)).toMatchObject({ type: "evaluation", outcome: "valid", error: null });
    const bad = await netwright("evaluate", "bad.py", "--study", dir);
    expect(bad.code).toBe(1);
    expect(bad.stdout).toMatch(/^shape: /);
  });

  it("compare prints the two similarities and nothing else, and fetches nothing, outside of a study too", async () => {
    writeFileSync(join(folder, "wide.py"), netReply(16).replaceAll(/```.*\n/g, ""));
    const apart = await answer("compare", "good.py", "wide.py");
    expect(apart).toEqual({ text: expect.any(Number), structure: expect.any(Number) });
    expect(apart.structure).toBeLessThan(1);
  });

  it("export writes what is accepted, import takes it into another study as seeds", async () => {
    const lemur = join(folder, "lemur");
    expect(await answer("export", "--lemur", lemur, "--study", dir)).toMatchObject({ nets: 1 });
    const other = join(folder, "other");
    createStudy(other, {
      name: "other",
      data: { dataset: "digits" },
      limits: WITHOUT_SEEDS,
      trainer: { device: "cpu", threads: 1 },
    });
    const { code, stdout } = await netwright("import", "--lemur", lemur, "--study", other, "--json");
    expect(code).toBe(0);
    const { candidates, skipped } = objects(stdout).at(-1) as unknown as { candidates: Candidate[]; skipped: unknown };
    expect(skipped).toEqual([]);
    expect(candidates).toMatchObject([{ cycle: 0, mode: "import", parameters: expect.any(Number) }]);
    const recorded: Candidate[] = await answer("list", "--study", other);
    expect(recorded).toHaveLength(6);
    expect(recorded).toContainEqual(candidates[0]);
  });

  describe("after an engine was killed", () => {
    beforeAll(async () => {
      silentFrom = 0;
      const command = cycle();
      await command.says(({ stage }) => stage === "designing");
      process.kill(enginePid(), "SIGKILL");
      expect(await command.ended).toMatchObject({ code: 1, stderr: expect.stringContaining("The engine ended") });
    });

    it("Ctrl-C lets the cycle go on where another window follows it, and says so", async () => {
      const command = cycle("--resume");
      await command.says(({ stage }) => stage === "designing");
      const window = await EngineClient.connect(dir);
      command.interrupt();
      expect(await command.ended).toMatchObject({
        code: 130,
        stderr: "The work goes on: another window follows it. Stop it there.\n",
      });
      expect((await window?.request(GetSnapshot, null))?.activity.state).toBe("running");
      process.kill(enginePid(), "SIGKILL");
      window?.close();
    });

    it("else it stops what the next engine went on with, and leaves no process", async () => {
      const command = cycle("--resume");
      await command.says(({ stage }) => stage === "designing");
      command.interrupt();
      expect(await command.ended).toMatchObject({ code: 130, stderr: "Cancelled. What was recorded is kept.\n" });
      await nothingLeft();
      expect(await answer("status", "--study", dir)).toMatchObject({ openCycle: 2 });
    });
  });
});

it("an engine that nobody waits for any more ends", async () => {
  const study = mkdtempSync(join(folder, "study-"));
  const program = join(folder, "never-ready.mjs");
  writeFileSync(program, "setInterval(() => {}, 1000);");
  const cancelled = new AbortController();
  const opening = expect(EngineClient.open({ dir: study, program }, cancelled.signal)).rejects.toMatchObject({
    name: "AbortError",
  });
  await expect.poll(() => processesWith(program), { timeout: 30_000 }).toHaveLength(1);
  cancelled.abort();
  await opening;
  await expect.poll(() => processesWith(program), { timeout: 30_000 }).toEqual([]);
});

describe("wrong usage", () => {
  it.each([
    ["an unknown command", ["design"]],
    ["an unknown option", ["list", "--colour"]],
    ["a word for a number", ["cycle", "--candidates", "many"]],
    ["a cycle of nothing", ["cycle", "--candidates", "0"]],
    ["a run without a budget", ["run"]],
    ["a run of no cycles", ["run", "--cycles", "0"]],
    ["an unknown mode", ["cycle", "--mode", "half"]],
    ["no file", ["evaluate"]],
    ["no folder", ["export"]],
  ])("%s: exit code 2, and why", async (_what, args) => {
    const { code, stdout, stderr } = await netwright(...args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^error: /);
  });

  it("help is none: exit code 0", async () => {
    expect(await netwright("--help")).toMatchObject({ code: 0, stdout: expect.stringContaining("Exit codes: 0 done") });
  });
});

describe("a study that is not as it should be", () => {
  it("is missed where there is none, with the next step", async () => {
    const { code, stderr } = await netwright("list");
    expect(code).toBe(1);
    expect(stderr).toContain("netwright init");
  });

  it.each([
    ["an unknown value", { data: { dataset: "cifar100" } }, ["data.dataset", "cifar100", "cifar10", "digits"]],
    ["a value out of range", { protocol: { batch: 0 } }, ["protocol.batch", "0"]],
    ["an unknown key", { protocl: {} }, ["protocl"]],
  ])("%s in netwright.json is named, with what is allowed", async (_what, part, named) => {
    const broken = mkdtempSync(join(folder, "broken-"));
    const file = join(broken, "netwright.json");
    writeFileSync(file, JSON.stringify({ name: "broken", data: { dataset: "digits" }, ...part }));
    for (const args of [["status"], ["cycle"]]) {
      const { code, stderr } = await netwright(...args, "--study", broken);
      expect(code).toBe(1);
      for (const text of [file, ...named]) expect(stderr).toContain(text);
    }
  });

  it("is no JSON: the file is named", async () => {
    const broken = mkdtempSync(join(folder, "broken-"));
    writeFileSync(join(broken, "netwright.json"), '{ "name": ');
    const { code, stdout } = await netwright("status", "--study", broken, "--json");
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ type: "error", code: "study-config" });
  });
});
