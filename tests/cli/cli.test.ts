/** The command line as a program of its own, beside engines that run already. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { EngineClient } from "../../src/engine/client.ts";
import * as rpc from "../../src/engine/protocol.ts";
import { readStudyConfig } from "../../src/engine/study.ts";
import { netReply, scriptedOllama } from "../engine/scripted-ollama.ts";
import { makeStudy, openEngine } from "../engine/study.ts";
import { pythonForTests } from "../support/parts.ts";
import { net } from "../trainer/fixture.ts";

const python = pythonForTests();
let folder: string;
const closing: (() => unknown)[] = [];

beforeAll(() => {
  if (python) process.env.NETWRIGHT_WORKER_PYTHON = python;
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "netwright-cli-"));
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  rmSync(folder, { recursive: true });
});

/** Runs `netwright ARGS` in a folder of its own. */
function netwright(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((done) => {
    const child = execFile(
      process.execPath,
      [resolve("src", "cli.ts"), ...args],
      { cwd: folder },
      (_error, stdout, stderr) => done({ code: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

/** An engine of a study whose designer writes one net after the other, once it may. */
async function engineOf(mayAnswer?: Promise<void>): Promise<{ dir: string; engine: EngineClient }> {
  const server = await scriptedOllama(async (_text, question) => {
    await mayAnswer;
    return netReply(8 + question);
  });
  closing.push(() => server.close());
  const dir = makeStudy(server.host);
  const engine = await openEngine(dir);
  closing.push(async () => {
    await engine.request(rpc.Shutdown, { force: true }).catch(() => undefined);
    engine.close();
    rmSync(dir, { recursive: true });
  });
  return { dir, engine };
}

describe("init", () => {
  it("makes the study in the folder of --study, unless another is named", async () => {
    await netwright("init", "--study", "mine", "--data", "digits");
    expect(readStudyConfig(join(folder, "mine")).name).toBe("mine");
    await netwright("init", "other", "--study", "mine", "--data", "digits");
    expect(readStudyConfig(join(folder, "other")).name).toBe("other");
  });

  it("with the paper's protocol takes its tuning too", async () => {
    await netwright("init", ".", "--name", "mine", "--data", "digits", "--protocol", "paper");
    const { protocol, tuner } = readStudyConfig(folder);
    expect([protocol.name, tuner.preset]).toEqual(["paper", "paper"]);
  });
});

describe("run --pause", () => {
  it("says so where nothing runs, and takes no budget", async () => {
    await netwright("init", ".", "--name", "mine", "--data", "digits");
    expect(await netwright("run", "--pause")).toMatchObject({ code: 1, stderr: "No run of cycles is under way.\n" });
    expect((await netwright("run", "--pause", "--cycles", "2")).code).toBe(2);
  });

  it.skipIf(!python)("ends the run after its cycle, which says how to go on", { timeout: 300_000 }, async () => {
    const paused = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    const { dir, engine } = await engineOf(paused.promise);
    engine.on(rpc.DidHappen, ({ type }) => {
      if (type === "cycle-started") started.resolve();
    });
    const running = netwright("run", "--study", dir, "--cycles", "3", "--candidates", "1", "--no-tune");
    await started.promise;
    expect(await netwright("run", "--pause", "--study", dir)).toMatchObject({ code: 0 });
    paused.resolve();
    const { code, stdout } = await running;
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Cycle 1: .*\nPaused\. To go on: netwright run --resume\n$/);
  });
});

it.skipIf(!python)("evaluate asks the study's engine", { timeout: 300_000 }, async () => {
  const { dir, engine } = await engineOf();
  const measured = Promise.withResolvers<void>();
  engine.on(rpc.DidHappen, ({ type }) => {
    if (type === "ready") measured.resolve();
  });
  writeFileSync(join(folder, "net.py"), net());
  const { code, stdout } = await netwright("evaluate", "net.py", "--study", dir, "--protocol", "paper", "--json");
  const evaluation = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  // The study trains for three epochs.
  expect(evaluation).toMatchObject({ type: "evaluation", protocol: { name: "paper", epochs: 1, batch: 16 } });
  expect(code).toBe(evaluation.outcome === "valid" ? 0 : 1);
  await measured.promise;
});
