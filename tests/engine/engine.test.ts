import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeAll, expect, test } from "vitest";
import { ResponseError } from "vscode-jsonrpc";
import { createMessageConnection, SocketMessageReader, SocketMessageWriter } from "vscode-jsonrpc/node";
import { engineAddress } from "../../src/engine/address.ts";
import type { EngineClient } from "../../src/engine/client.ts";
import { lockStudy } from "../../src/engine/lock.ts";
import * as rpc from "../../src/engine/protocol.ts";
import { openStudy } from "../../src/engine/study.ts";
import { VERSION } from "../../src/engine/version.ts";
import { pythonForTests } from "../support/parts.ts";
import { netReply, type Scripted, scriptedOllama } from "./scripted-ollama.ts";
import { makeStudy, never, openEngine } from "./study.ts";

const python = pythonForTests();
const withWorker = test.skipIf(!python);
const closing: (() => unknown)[] = [];
const later = <T>(value: T, close: (value: T) => unknown): T => {
  closing.push(() => close(value));
  return value;
};

beforeAll(() => {
  if (python) process.env.NETWRIGHT_WORKER_PYTHON = python;
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function scripted(answer: Parameters<typeof scriptedOllama>[0], pause = 0): Promise<Scripted> {
  return later(await scriptedOllama(answer, pause), (server) => server.close());
}

async function engineOf(dir: string): Promise<EngineClient> {
  return later(await openEngine(dir), async (engine) => {
    await engine.request(rpc.Shutdown, { force: true }).catch(() => undefined);
    engine.close();
  });
}

const step = (engine: EngineClient, candidates: number, part: Partial<rpc.StepParameters> = {}, signal = never) =>
  engine.request(rpc.Step, { candidates, mode: null, seed: null, resume: false, ...part }, signal);

/** Waits for a condition on the engine's events. */
function happening(engine: EngineClient, fits: (event: { type: string; stage?: string }) => boolean): Promise<void> {
  return new Promise((resolve) => {
    engine.on(rpc.DidHappen, (event) => {
      if (fits(event)) resolve();
    });
  });
}

withWorker(
  "a cycle ends each candidate as its replies deserve, and records everything",
  { timeout: 300_000 },
  async () => {
    const broken = netReply(8, "return self.head(x)");
    const replies = [netReply(8), netReply(12), netReply(8), "I cannot do that.", broken];
    // The fourth is asked again before the fifth is, and refuses again.
    const repairs = ["I cannot do that.", netReply(16)];
    const server = await scripted((text, question) =>
      text.includes("first attempt failed") ? (repairs.shift() ?? "") : (replies[question] ?? ""),
    );
    const dir = makeStudy(server.host, {
      designer: { provider: "ollama", mode: "full", model: "scripted-coder:1b", host: server.host, parallel: 1 },
    });
    const engine = await engineOf(dir);
    const { candidates, summary } = await step(engine, 5);
    const outcomes = candidates.map(({ outcome, repaired }) => [outcome, repaired]);
    expect(outcomes.slice(0, 3)).toEqual([
      ["valid", false],
      ["valid", false],
      ["valid", false],
    ]);
    const [first, second, third, fourth, fifth] = candidates;
    expect(first?.accuracy.validation).toBeGreaterThan(0.1);
    expect(first?.proposed).toBe(true);
    // Another width is another structure; the same net again is known, is not trained and not proposed.
    expect(second?.novelty.structure).toBeGreaterThan(0);
    expect(third?.novelty.structure).toBe(0);
    expect(third?.nearest.structure).toBe(first?.id);
    expect(third?.accuracy).toEqual({ validation: null, test: null });
    expect(third?.proposed).toBe(false);
    // What the designer did not write is missing from the opened answer: how it fails depends on where that ends.
    expect(["no-code", "syntax", "init", "forward"]).toContain(fourth?.outcome);
    expect(fourth?.error?.message).toBeTruthy();
    expect(fifth).toMatchObject({ outcome: "valid", repaired: true });
    expect(summary).toMatchObject({ cycle: 1, candidates: 5, valid: 4, newAndValid: 3 });
    const detail = await engine.request(rpc.GetDetail, { id: fifth?.id ?? 0 });
    expect(detail.attempts.map(({ number, failure }) => [number, failure?.outcome ?? null])).toEqual([
      [1, "forward"],
      [2, null],
    ]);
    expect(detail.attempts[1]?.prompt.messages.at(-1)?.content).toContain("RuntimeError");
    expect(detail.code).toContain("nn.Conv2d(in_shape[1], 16");
  },
);

withWorker("a stopped cycle waits for its user and goes on where it stood", { timeout: 300_000 }, async () => {
  let slow = true;
  const server = await scripted((_, question) => (slow && question >= 1 ? null : netReply(8 + question)));
  const dir = makeStudy(server.host);
  const engine = await engineOf(dir);
  const stopping = new AbortController();
  const running = step(engine, 3, {}, stopping.signal);
  await happening(engine, ({ type, stage }) => type === "stage" && stage === "designing");
  await delay(500);
  stopping.abort();
  await expect(running).rejects.toMatchObject({ name: "AbortError" });
  const { activity } = await engine.request(rpc.GetSnapshot, null);
  expect(activity).toMatchObject({ state: "idle", interrupted: 1, error: null });
  await expect(step(engine, 3)).rejects.toMatchObject({ code: "cycle-unfinished" });
  slow = false;
  const { cycle, candidates } = await step(engine, 99, { resume: true });
  expect(cycle).toBe(1);
  expect(candidates.map(({ outcome }) => outcome)).toEqual(["valid", "valid", "valid"]);
});

withWorker("a killed engine loses nothing: the next one continues by itself", { timeout: 300_000 }, async () => {
  let slow = true;
  const server = await scripted((_, question) => (slow && question >= 1 ? null : netReply(8 + question)));
  const dir = makeStudy(server.host);
  const first = await openEngine(dir);
  const { pid } = await first.request(rpc.Hello, { protocolVersion: rpc.PROTOCOL_VERSION });
  const running = step(first, 3);
  await happening(first, ({ type }) => type === "candidate");
  process.kill(pid, "SIGKILL");
  await expect(running).rejects.toMatchObject({ code: "engine-gone" });
  slow = false;
  const second = await engineOf(dir);
  const { candidates } = await step(second, 3, { resume: true });
  expect(candidates.map(({ outcome }) => outcome)).toEqual(["valid", "valid", "valid"]);
  expect((await second.request(rpc.GetSnapshot, null)).cycles.map(({ cycle }) => cycle)).toEqual([0, 1]);
});

withWorker("a run outlasts a reboot, and an Ollama that is away for a moment", { timeout: 300_000 }, async () => {
  let silent = true;
  const server = await scripted((_, question) => (silent ? null : netReply(8 + question)));
  const dir = makeStudy(server.host);
  const first = await openEngine(dir);
  const { pid } = await first.request(rpc.Hello, { protocolVersion: rpc.PROTOCOL_VERSION });
  const budget = { cycles: 1, hours: null, candidates: null };
  const running = first.request(rpc.Run, { candidates: 1, mode: null, seed: null, tune: false, budget }, never);
  const ended = expect(running).rejects.toBeDefined();
  await happening(first, ({ type, stage }) => type === "stage" && stage === "designing");
  process.kill(pid, "SIGTERM");
  await ended;
  const second = await engineOf(dir);
  await happening(second, ({ type, stage }) => type === "stage" && stage === "designing");
  const retries = happening(second, ({ type }) => type === "note");
  // Its connections break, as when it is started anew.
  silent = false;
  server.hangUp();
  await retries;
  const state = async () => (await second.request(rpc.GetSnapshot, null)).activity;
  await expect.poll(async () => (await state()).state, { timeout: 120_000 }).toBe("idle");
  expect(await state()).toMatchObject({ interrupted: null, error: null });
});

withWorker("a killed run of cycles goes on by itself to the end of its budget", { timeout: 300_000 }, async () => {
  let slow = true;
  const server = await scripted((_, question) => (slow && question >= 1 ? null : netReply(8 + question)));
  const dir = makeStudy(server.host);
  const first = await openEngine(dir);
  const { pid } = await first.request(rpc.Hello, { protocolVersion: rpc.PROTOCOL_VERSION });
  const budget = { cycles: 2, hours: null, candidates: null };
  const running = first.request(rpc.Run, { candidates: 1, mode: null, seed: null, tune: false, budget }, never);
  // The first cycle has ended; the second waits for its answer.
  await happening(first, ({ type }) => type === "candidate");
  await happening(first, (event) => event.type === "cycle-started" && (event as { cycle?: number }).cycle === 2);
  process.kill(pid, "SIGKILL");
  await expect(running).rejects.toMatchObject({ code: "engine-gone" });
  slow = false;
  const second = await engineOf(dir);
  const ended = async () => (await second.request(rpc.GetSnapshot, null)).cycles.filter((c) => c.ended).length;
  // Cycle 0 counts as well.
  await expect.poll(ended, { timeout: 120_000 }).toBeGreaterThanOrEqual(2);
  await expect
    .poll(async () => (await second.request(rpc.GetSnapshot, null)).activity.state, { timeout: 60_000 })
    .toBe("idle");
  const { cycles, activity } = await second.request(rpc.GetSnapshot, null);
  expect(cycles.map(({ cycle }) => cycle)).toEqual([0, 1, 2]);
  expect(activity).toMatchObject({ interrupted: null, error: null });
});

withWorker(
  "a review made beside a working engine is told at once, and nothing else with it",
  { timeout: 300_000 },
  async () => {
    const replies = [netReply(8), netReply(12)];
    const server = await scripted((_, question) => replies[question] ?? null);
    const dir = makeStudy(server.host);
    const engine = await engineOf(dir);
    const { candidates } = await step(engine, 2);
    const [first, second] = candidates.map(({ id }) => id);
    await engine.request(rpc.Accept, { ids: [second ?? 0] });
    // The next cycle waits for an answer that does not come.
    const stopping = new AbortController();
    const running = step(engine, 1, {}, stopping.signal);
    await happening(engine, ({ type, stage }) => type === "stage" && stage === "designing");
    const told: number[] = [];
    const heard = new Promise<void>((resolve) => {
      engine.on(rpc.DidChange, ({ changes }) => {
        for (const change of changes) if (change.kind === "candidate") told.push(change.candidate.id);
        if (told.includes(first ?? 0)) resolve();
      });
    });
    const beside = openStudy(dir);
    beside.store.accept([first ?? 0], "user");
    beside.close();
    await heard;
    const known = new Set([first, second]);
    // Neither the seeds nor the rest of the table: the one, and at most the engine's own review with it.
    expect(told.filter((id) => !known.has(id) && id <= (second ?? 0))).toEqual([]);
    stopping.abort();
    await expect(running).rejects.toMatchObject({ name: "AbortError" });
  },
);

withWorker(
  "what designed and trained last is told at rest, by the next engine too; an engine that ends gives the model's memory back",
  { timeout: 300_000 },
  async () => {
    const server = await scripted((_, question) => netReply(8 + question));
    const dir = makeStudy(server.host);
    const engine = await engineOf(dir);
    expect((await engine.request(rpc.GetSnapshot, null)).activity).toMatchObject({ designer: null, trainer: null });
    await step(engine, 1);
    expect([...server.loaded]).toEqual(["scripted-coder:1b"]);
    const gone = new Promise<void>((resolve) => engine.onClose(resolve));
    await engine.request(rpc.Shutdown, { force: false });
    await gone;
    expect([...server.loaded]).toEqual([]);
    const next = await engineOf(dir);
    const activity = async () => (await next.request(rpc.GetSnapshot, null)).activity;
    expect(await activity()).toMatchObject({
      state: "idle",
      designer: { provider: "ollama", model: "scripted-coder:1b" },
      trainer: { device: "cpu" },
    });
    // What designs from now on has not been asked yet.
    await next.request(rpc.UseGeneration, { generation: 0 });
    expect(await activity()).toMatchObject({ designer: null, trainer: { device: "cpu" } });
  },
);

withWorker(
  "when the designer dies in mid-cycle the error says so, and the cycle can be resumed",
  { timeout: 300_000 },
  async () => {
    const server = await scripted(() => {
      setImmediate(() => server.close());
      return null;
    });
    const dir = makeStudy(server.host);
    const engine = await engineOf(dir);
    await expect(step(engine, 2)).rejects.toMatchObject({ code: expect.stringMatching(/^ollama-/) });
    const { activity, candidates } = await engine.request(rpc.GetSnapshot, null);
    expect(activity.interrupted).toBe(1);
    expect(activity.error?.message).toMatch(/Ollama/);
    expect(candidates.filter(({ cycle }) => cycle === 1).map(({ outcome }) => outcome)).toEqual([null, null]);
  },
);

withWorker("delta mode applies the diff to its parent", { timeout: 300_000 }, async () => {
  // A fence of its own, with a diff that adds nothing but a comment to the parent's last line.
  const line = "            self.optimizer.step()";
  const server = await scripted(() => `\`\`\`\n\n\`\`\`diff\n@@\n-${line}\n+${line}  # kept\n\`\`\`\n`);
  const dir = makeStudy(server.host, {
    limits: {},
    designer: {
      provider: "ollama",
      model: "scripted-coder:1b",
      host: server.host,
      mode: "delta",
      repair: false,
    },
  });
  const engine = await engineOf(dir);
  const { candidates } = await step(engine, 1);
  const [candidate] = candidates;
  expect(candidate?.mode).toBe("delta");
  expect(candidate?.parent).toBeGreaterThan(0);
  // Only a comment was added: the same structure, which the archive knows.
  expect(candidate).toMatchObject({ outcome: "valid", novelty: { structure: 0 } });
});

withWorker(
  "changes are numbered without gaps and add up to the snapshot; two clients see one cycle",
  { timeout: 300_000 },
  async () => {
    const server = await scripted((_, question) => netReply(8 + question));
    const dir = makeStudy(server.host);
    const engine = await engineOf(dir);
    const { number } = await engine.request(rpc.GetSnapshot, null);
    const seen: rpc.Changes[] = [];
    engine.on(rpc.DidChange, (changes) => seen.push(changes));
    const follower = later(await openEngine(dir), (client) => client.close());
    expect(follower.started).toBe(false);
    const leading = step(engine, 2);
    await happening(engine, ({ type }) => type === "cycle-started");
    const following = step(follower, 50);
    const [a, b] = await Promise.all([leading, following]);
    expect(b.cycle).toBe(a.cycle);
    expect(b.candidates).toHaveLength(2);
    const snapshot = await engine.request(rpc.GetSnapshot, null);
    expect(seen.map((changes) => changes.number)).toEqual(seen.map((_, i) => number + 1 + i));
    const latest = new Map(
      seen
        .flatMap(({ changes }) => changes)
        .flatMap((c) => (c.kind === "candidate" ? [[c.candidate.id, c.candidate]] : [])),
    );
    for (const candidate of snapshot.candidates) expect(latest.get(candidate.id)).toEqual(candidate);
  },
);

withWorker("reviews reach every client, also those made beside the engine", { timeout: 300_000 }, async () => {
  const server = await scripted((_, question) => netReply(8 + question));
  const dir = makeStudy(server.host);
  const engine = await engineOf(dir);
  const { candidates } = await step(engine, 1);
  const id = candidates[0]?.id ?? 0;
  const told = new Promise<rpc.Changes>((resolve) => {
    engine.on(rpc.DidChange, (message) => {
      if (message.changes.some((c) => c.kind === "candidate" && c.candidate.id === id && c.candidate.accepted))
        resolve(message);
    });
  });
  const beside = openStudy(dir);
  beside.store.accept([id], "user");
  beside.close();
  await told;
  const [rejected] = await engine.request(rpc.Reject, { ids: [id], reason: "too plain" });
  expect(rejected).toMatchObject({ accepted: false, reason: "too plain" });
  await expect(engine.request(rpc.Accept, { ids: [id, 4711] })).rejects.toMatchObject({ code: "unknown-candidate" });
  // A designer that cannot be told to give its memory back is no reason to say nothing of a tuning.
  server.close();
  expect(await engine.request(rpc.PlanTuning, null)).toMatchObject({ obstacle: { code: "no-accepted" } });
});

test("one engine per study: the lock is given up when its holder dies", async () => {
  const server = await scripted(() => null);
  const dir = makeStudy(server.host);
  const study = openStudy(dir);
  const lock = lockStudy(study.stateDir);
  expect(() => lockStudy(study.stateDir)).toThrow(/Another engine is working on this study \(process \d+\)/);
  lock.release();
  lockStudy(study.stateDir).release();
  study.close();
});

test("two clients at once start one engine", async () => {
  const server = await scripted(() => null);
  const dir = makeStudy(server.host);
  const [a, b] = await Promise.all([engineOf(dir), engineOf(dir)]);
  const hello = { protocolVersion: rpc.PROTOCOL_VERSION };
  expect((await a.request(rpc.Hello, hello)).pid).toBe((await b.request(rpc.Hello, hello)).pid);
});

test("an engine that cannot start says why", async () => {
  const server = await scripted(() => null);
  const broken = makeStudy(server.host);
  writeFileSync(join(broken, "netwright.json"), '{"name": "x", "data": {"dataset": "imagenet"}}');
  await expect(openEngine(broken)).rejects.toMatchObject({
    code: "study-config",
    message: expect.stringMatching(/data\.dataset is "imagenet"/),
  });
  const corrupt = makeStudy(server.host);
  openStudy(corrupt).close();
  writeFileSync(
    join(corrupt, ".netwright", "study.db"),
    "this is no database, and long enough to be told apart from an empty one",
  );
  for (const suffix of ["-wal", "-shm"]) rmSync(join(corrupt, ".netwright", `study.db${suffix}`), { force: true });
  await expect(openEngine(corrupt)).rejects.toMatchObject({ code: "store-damaged" });
  expect(readFileSync(join(corrupt, ".netwright", "study.db"), "utf8")).toMatch(/^this is no database/);
});

test("an engine of another version is replaced when idle, and named when at work", async () => {
  const server = await scripted(() => null);
  const dir = makeStudy(server.host);
  let busy = true;
  const address = engineAddress(dir);
  const old = createServer((socket) => {
    const connection = createMessageConnection(new SocketMessageReader(socket), new SocketMessageWriter(socket));
    connection.onRequest(rpc.Hello.method, () => ({ protocolVersion: 0, pid: process.pid }));
    connection.onRequest(rpc.Shutdown.method, () => {
      if (!busy) old.close();
      return null;
    });
    connection.listen();
  }).listen(address);
  await expect(openEngine(dir)).rejects.toMatchObject({ code: "engine-busy" });
  busy = false;
  const engine = await engineOf(dir);
  expect((await engine.request(rpc.Hello, { protocolVersion: 1 })).protocolVersion).toBe(rpc.PROTOCOL_VERSION);
});

test("an engine of another version that speaks alike is used while it works, and replaced when idle", async () => {
  const server = await scripted(() => null);
  const dir = makeStudy(server.host);
  let busy = true;
  const old = createServer((socket) => {
    const connection = createMessageConnection(new SocketMessageReader(socket), new SocketMessageWriter(socket));
    connection.onRequest(rpc.Hello.method, () => ({
      protocolVersion: rpc.PROTOCOL_VERSION,
      version: "0.0.1",
      pid: 4711,
    }));
    connection.onRequest(rpc.Shutdown.method, () => {
      if (busy) return new ResponseError(rpc.FAILED, "at work", { code: "busy" });
      old.close();
      return null;
    });
    connection.listen();
  }).listen(engineAddress(dir));
  const follower = await openEngine(dir);
  expect((await follower.request(rpc.Hello, { protocolVersion: rpc.PROTOCOL_VERSION })).pid).toBe(4711);
  follower.close();
  busy = false;
  const engine = await engineOf(dir);
  expect((await engine.request(rpc.Hello, { protocolVersion: rpc.PROTOCOL_VERSION })).version).toBe(VERSION);
});

test("an engine that another client uses is not ended by one that asks politely", async () => {
  const server = await scripted(() => null);
  const dir = makeStudy(server.host);
  const engine = await engineOf(dir);
  const other = later(await openEngine(dir), (client) => client.close());
  await expect(other.request(rpc.Shutdown, { force: false })).rejects.toMatchObject({ code: "shared" });
  expect((await engine.request(rpc.Hello, { protocolVersion: rpc.PROTOCOL_VERSION })).pid).toBeGreaterThan(0);
});

test("an engine that nobody needs ends itself", async () => {
  const server = await scripted(() => null);
  const dir = makeStudy(server.host);
  const { spawn } = await import("node:child_process");
  const child = spawn(process.execPath, ["src/engine.ts", dir, "1"], { stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  // Before it listens, a client would start one of its own.
  await expect.poll(() => existsSync(engineAddress(dir)), { timeout: 30_000 }).toBe(true);
  // While a client is there, however quiet, it stays.
  const client = await openEngine(dir);
  await delay(2500);
  expect((await client.request(rpc.Hello, { protocolVersion: rpc.PROTOCOL_VERSION })).pid).toBe(child.pid);
  client.close();
  expect(await ended).toBe(0);
  // It has released the study.
  const study = openStudy(dir);
  lockStudy(study.stateDir).release();
  study.close();
  expect(existsSync(engineAddress(dir))).toBe(false);
  new DatabaseSync(join(dir, ".netwright", "study.db")).close();
});
