/** Runs of cycles that are paused, killed, stopped and gone on with, from the command line as from a client. */
import { spawn } from "node:child_process";
import { afterEach, beforeAll, expect, test } from "vitest";
import type { EngineClient } from "../../src/engine/client.ts";
import * as rpc from "../../src/engine/protocol.ts";
import { pythonForTests } from "../support/parts.ts";
import { netReply, scriptedOllama } from "./scripted-ollama.ts";
import { makeStudy, never, openEngine } from "./study.ts";

const python = pythonForTests();
const closing: (() => unknown)[] = [];

beforeAll(() => {
  if (python) process.env.NETWRIGHT_WORKER_PYTHON = python;
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** `netwright run` in a study, with what it said and its exit code once it has ended. */
function netwrightRun(dir: string, ...options: string[]) {
  const child = spawn(process.execPath, ["src/cli.ts", "run", "--study", dir, ...options], { stdio: "pipe" });
  closing.push(() => child.kill("SIGKILL"));
  let [out, err] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
    child.once("close", (code) => resolve({ code, out, err }));
  });
  return { ended, interrupt: () => child.kill("SIGINT") };
}

const designing = (engine: EngineClient) =>
  new Promise<void>((resolve) => {
    engine.on(rpc.DidHappen, (event) => {
      if (event.type === "stage" && event.stage === "designing") resolve();
    });
  });

test.skipIf(!python)(
  "a run pauses after its cycle though its engine is killed meanwhile, and goes on with what is left; after Ctrl-C too",
  { timeout: 900_000 },
  async () => {
    let silent = true;
    const server = await scriptedOllama((_, question) => (silent ? null : netReply(8 + question)));
    closing.push(() => server.close());
    const dir = makeStudy(server.host);
    const first = await openEngine(dir);
    const { pid } = await first.request(rpc.Hello, { protocolVersion: rpc.PROTOCOL_VERSION });
    const budget = { cycles: 2, hours: null, candidates: null };
    const running = first.request(rpc.Run, { candidates: 1, mode: null, seed: null, tune: false, budget }, never);
    const killed = expect(running).rejects.toMatchObject({ code: "engine-gone" });
    await designing(first);
    const pause = await netwrightRun(dir, "--pause").ended;
    expect(pause).toMatchObject({ code: 0, out: expect.stringContaining("ends after the cycle") });
    expect((await first.request(rpc.GetSnapshot, null)).activity.run).toMatchObject({ pausing: true });
    process.kill(pid, "SIGKILL");
    await killed;

    silent = false;
    const second = await openEngine(dir);
    closing.push(async () => {
      await second.request(rpc.Shutdown, { force: true }).catch(() => undefined);
      second.close();
    });
    const snapshot = () => second.request(rpc.GetSnapshot, null);
    await expect.poll(async () => (await snapshot()).activity.state, { timeout: 600_000 }).toBe("idle");
    const paused = await snapshot();
    expect(paused.activity).toMatchObject({ interrupted: null, error: null });
    expect(paused.cycles.map(({ cycle }) => cycle)).toEqual([0, 1]);

    silent = true;
    const asked = designing(second);
    const resumed = netwrightRun(dir, "--resume");
    await asked;
    resumed.interrupt();
    expect(await resumed.ended).toMatchObject({ code: 130 });
    await expect.poll(async () => (await snapshot()).activity.state, { timeout: 60_000 }).toBe("idle");
    expect((await snapshot()).activity.interrupted).toBe(2);

    silent = false;
    const { code, out } = await netwrightRun(dir, "--resume", "--json").ended;
    expect(code).toBe(0);
    const result = JSON.parse(out.trim().split("\n").at(-1) ?? "");
    expect(result).toMatchObject({ type: "run", ended: "budget", cycles: [{ cycle: 2 }] });
    const over = await netwrightRun(dir, "--resume").ended;
    expect(over).toMatchObject({ code: 1, err: expect.stringContaining("no run to go on with") });
  },
);

test.skipIf(!python)(
  "a run that is paused while it tunes begins no cycle after that, and a tuning that fails costs it nothing else",
  { timeout: 900_000 },
  async () => {
    const server = await scriptedOllama((_, question) => netReply(8 + question));
    closing.push(() => server.close());
    const dir = makeStudy(server.host, {
      admission: { accuracy: 0.11, policy: "automatic" },
      tuner: { base: "no-such-model", newAccepted: 1 },
    });
    const engine = await openEngine(dir);
    closing.push(async () => {
      await engine.request(rpc.Shutdown, { force: true }).catch(() => undefined);
      engine.close();
    });
    let pausing: Promise<void> | null = null;
    const notes: string[] = [];
    engine.on(rpc.DidHappen, (event) => {
      if (event.type === "generation") pausing ??= engine.request(rpc.Pause, { pausing: true });
      if (event.type === "note") notes.push(event.message);
    });
    const budget = { cycles: 3, hours: null, candidates: null };
    const run = { candidates: 1, mode: null, seed: null, tune: true, budget };
    expect(await engine.request(rpc.Run, run)).toMatchObject({
      ended: "paused",
      cycles: [{ cycle: 1 }],
      generations: [{ state: "tuning" }],
    });
    await pausing;
    expect(notes.at(-1)).toContain("The designer was not tuned");
  },
);

test("a run that is gone on with is not begun anew", async () => {
  const dir = makeStudy("http://127.0.0.1:1");
  for (const options of [
    ["--resume", "--cycles", "3"],
    ["--pause", "--no-tune"],
    ["--pause", "--resume"],
  ]) {
    expect(await netwrightRun(dir, ...options).ended).toMatchObject({ code: 2 });
  }
});
