/** The whole way of a generation through a real engine, a real LoRA run on a tiny model, and an Ollama that answers from a script. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { EngineClient } from "../../src/engine/client.ts";
import { deleteGeneration, fineTune } from "../../src/engine/generations.ts";
import type { Loop } from "../../src/engine/loop.ts";
import { ask, type Question } from "../../src/engine/probe.ts";
import * as rpc from "../../src/engine/protocol.ts";
import { openStudy, type Study } from "../../src/engine/study.ts";
import { tunerSettings } from "../../src/study/config.ts";
import type { Designer } from "../../src/study/ports.ts";
import { pythonForTests } from "../support/parts.ts";
import { processesWith } from "../trainer/fixture.ts";
import { netReply, type Scripted, scriptedOllama } from "./scripted-ollama.ts";
import { makeStudy, never, openEngine } from "./study.ts";

const python = pythonForTests();
const withTuner = test.skipIf(!python);
const base = mkdtempSync(join(tmpdir(), "netwright-base-"));
const closing: (() => unknown)[] = [];

beforeAll(() => {
  if (!python) return;
  process.env.NETWRIGHT_WORKER_PYTHON = python;
  const packageDir = join(import.meta.dirname, "..", "..", "python");
  const env = { ...process.env, PYTHONPATH: `${packageDir}:${join(packageDir, "tests")}` };
  execFileSync(python, ["-c", "import sys; from tiny_models import save_folder; save_folder(sys.argv[1])", base], {
    env,
  });
});

afterAll(() => rmSync(base, { recursive: true, force: true }));

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function studyWith(
  answer: Parameters<typeof scriptedOllama>[0],
  tuner: Record<string, unknown> = {},
): Promise<{ dir: string; engine: EngineClient; server: Scripted }> {
  const server = await scriptedOllama(answer);
  closing.push(() => server.close());
  const dir = makeStudy(server.host, {
    admission: { accuracy: 0.11, policy: "automatic" },
    designer: { provider: "ollama", model: "scripted-coder:1b", host: server.host, parallel: 1, mode: "full" },
    tuner: { base, epochs: 2, learningRate: 0.01, probe: 2, newAccepted: 2, maxTokens: 20_000, ...tuner },
  });
  closing.push(() => rmSync(dir, { recursive: true, force: true }));
  return { dir, engine: await engineOf(dir), server };
}

async function engineOf(dir: string): Promise<EngineClient> {
  const engine = await openEngine(dir);
  closing.push(async () => {
    await engine.request(rpc.Shutdown, { force: true }).catch(() => undefined);
    engine.close();
  });
  return engine;
}

const step = (engine: EngineClient, candidates: number) =>
  engine.request(rpc.Step, { candidates, mode: null, seed: null, resume: false }, never);

type Written = { designer: object; tuner: object };

/** Edits the study's file as its user would. */
function configure(dir: string, edit: (config: Written) => Partial<Written>): void {
  const file = join(dir, "netwright.json");
  const config = JSON.parse(readFileSync(file, "utf8")) as Written;
  writeFileSync(file, JSON.stringify({ ...config, ...edit(config) }));
}

let width = 8;
/** Every answer another net. */
const newNet = () => netReply(width++);

withTuner(
  "what is accepted tunes the designer; the probe decides, and any generation can be used or deleted",
  { timeout: 300_000 },
  async () => {
    const { dir, engine, server } = await studyWith((_text, _question, model) =>
      model.endsWith(":g2") ? "I cannot do that." : newNet(),
    );
    const plan = () => engine.request(rpc.PlanTuning, null, never);
    expect((await plan()).obstacle?.code).toBe("no-accepted");
    await expect(engine.request(rpc.FineTune, { restart: false }, never)).rejects.toThrow(/Accept candidates first/);

    await step(engine, 3);
    expect(await plan()).toMatchObject({
      newAccepted: 3,
      examples: 3,
      obstacle: null,
      base: "scripted-coder:1b",
      device: "cpu",
    });
    // Another study of this name was here.
    server.models.add("test:g1");
    let loadedWhileTuning: string[] | null = null;
    engine.on(rpc.DidHappen, (event) => {
      if (event.type === "tuning" && event.stage === "training") loadedWhileTuning ??= [...server.loaded];
    });
    const first = await engine.request(rpc.FineTune, { restart: false }, never);
    expect(loadedWhileTuning).toEqual([]);
    expect(first).toMatchObject({
      generation: 1,
      parent: 0,
      state: "published",
      current: true,
      accepted: 3,
      ollama: "test:g1",
    });
    expect(first.probe?.own).toEqual({ questions: 2, valid: 2, newAndValid: 2 });
    expect(first.run?.steps).toBe(2);
    // The model's own template and parameters stay: nothing is said of them.
    const adapter = readFileSync(join(dir, ".netwright/generations/1/adapter.gguf"));
    expect(server.made.get("test:g1")).toEqual({
      from: "scripted-coder:1b",
      adapters: { "adapter.gguf": `sha256:${createHash("sha256").update(adapter).digest("hex")}` },
      stream: true,
    });
    const corpus = readFileSync(join(dir, ".netwright/generations/1/corpus.jsonl"), "utf8").trim().split("\n");
    expect(corpus).toHaveLength(3);
    const [example] = corpus.map((line) => JSON.parse(line));
    expect(example.messages.at(-1).content).toContain("Write this network");
    expect(example.answer).toMatch(/\n```$/);

    // The cycles to come are its own.
    const { summary, candidates } = await step(engine, 2);
    expect(summary.generation).toBe(1);
    const detail = await engine.request(rpc.GetDetail, { id: candidates[0]?.id ?? 0 }, never);
    expect(detail.attempts[0]?.model).toBe("test:g1");

    // A worse one is kept, and its parent goes on.
    await engine.request(rpc.UseGeneration, { generation: 1 }, never);
    // An engine that was killed left it in memory.
    server.loaded.add("test:g1");
    loadedWhileTuning = null;
    const second = await engine.request(rpc.FineTune, { restart: false }, never);
    expect(loadedWhileTuning).toEqual([]);
    expect(second).toMatchObject({ generation: 2, parent: 1, state: "kept", current: false, accepted: 5 });
    const current = async () => {
      const { generations } = await engine.request(rpc.GetSnapshot, null, never);
      return generations.filter((g) => g.current).map((g) => g.generation);
    };
    expect(await current()).toEqual([1]);
    await engine.request(rpc.UseGeneration, { generation: 2 }, never);
    expect(await current()).toEqual([2]);
    await expect(engine.request(rpc.DeleteGeneration, { generation: 2 }, never)).rejects.toThrow(/is the designer now/);
    await engine.request(rpc.UseGeneration, { generation: 0 }, never);
    expect(await current()).toEqual([]);
    await engine.request(rpc.DeleteGeneration, { generation: 2 }, never);
    expect(server.models.has("test:g2")).toBe(false);
    expect(existsSync(join(dir, ".netwright/generations/2/adapter.gguf"))).toBe(false);
    await expect(engine.request(rpc.UseGeneration, { generation: 2 }, never)).rejects.toThrow(/no adapter/);
  },
);

withTuner(
  "a tuning that is cancelled goes on; nothing else runs beside it; one that is given up is followed by a new one",
  { timeout: 300_000 },
  async () => {
    const { dir, engine } = await studyWith(newNet, { epochs: 1000 });
    await step(engine, 2);
    const stop = new AbortController();
    engine.on(rpc.DidHappen, (event) => {
      if (event.type === "tuning" && event.stage === "training" && event.step >= 3) stop.abort();
    });
    const tuning = engine.request(rpc.FineTune, { restart: false }, stop.signal);
    await new Promise<void>((resolve) => engine.on(rpc.DidChange, () => resolve()));
    await expect(step(engine, 1)).rejects.toThrow(/at work/);
    await expect(tuning).rejects.toMatchObject({ name: "AbortError" });
    const plan = await engine.request(rpc.PlanTuning, null, never);
    expect(plan.resumes).toBe(1);
    const study = openStudy(dir);
    closing.push(() => study.close());
    expect(study.store.generations.get(1).state).toBe("tuning");

    const restarted = new AbortController();
    engine.on(rpc.DidHappen, (event) => {
      if (event.type === "tuning" && event.generation === 2 && event.stage === "training") restarted.abort();
    });
    await expect(engine.request(rpc.FineTune, { restart: true }, restarted.signal)).rejects.toMatchObject({
      name: "AbortError",
    });
    expect(study.store.generations.list().map(({ state }) => state)).toEqual(["failed", "tuning"]);
  },
);

withTuner(
  "a run steps, accepts by policy and tunes between cycles, within its budget; paused, it ends after its cycle",
  { timeout: 300_000 },
  async () => {
    const { engine } = await studyWith(newNet);
    const run = (budget: Partial<rpc.Budget>) =>
      engine.request(
        rpc.Run,
        {
          candidates: 2,
          mode: null,
          seed: null,
          tune: true,
          budget: { cycles: null, hours: null, candidates: null, ...budget },
        },
        never,
      );
    const { cycles, generations, ended } = await run({ candidates: 3 });
    expect(ended).toBe("budget");
    expect(cycles.map(({ candidates, generation }) => [candidates, generation])).toEqual([
      [2, 0],
      [1, 1],
    ]);
    expect(generations.map(({ state }) => state)).toEqual(["published"]);

    const paused = run({ cycles: 5 });
    await new Promise<void>((resolve) => {
      engine.on(rpc.DidHappen, (event) => {
        if (event.type === "stage") resolve();
      });
    });
    await expect(engine.request(rpc.FineTune, { restart: false }, never)).rejects.toThrow(/at work/);
    await engine.request(rpc.Pause, { pausing: true }, never);
    expect(await paused).toMatchObject({ ended: "paused", cycles: [{ cycle: 3 }] });
    await expect(engine.request(rpc.Pause, { pausing: true }, never)).rejects.toThrow(/No run/);
  },
);

withTuner(
  "whatever stage its engine is killed in, a tuning goes on, and nothing of it stays behind",
  { timeout: 900_000 },
  async () => {
    let hold = false;
    const { dir, engine } = await studyWith(() => (hold ? null : newNet()), { epochs: 40, probe: 1 });
    await step(engine, 2);
    const study = openStudy(dir);
    closing.push(() => study.close());
    let client = engine;
    for (const stage of ["loading", "training", "converting", "probing"] as const) {
      hold = stage === "probing";
      const { pid } = await client.request(rpc.Hello, { protocolVersion: rpc.PROTOCOL_VERSION }, never);
      client.on(rpc.DidHappen, (event) => {
        if (event.type !== "tuning" || event.stage !== stage || (stage === "training" && event.step < 5)) return;
        process.kill(pid, "SIGKILL");
      });
      await expect(client.request(rpc.FineTune, { restart: false }, never)).rejects.toThrow();
      await expect.poll(() => processesWith(dir), { timeout: 20_000 }).toEqual([]);
      expect(study.store.generations.get(1).state).toBe(stage === "probing" ? "probing" : "tuning");
      client = await engineOf(dir);
      if (stage !== "training") continue;
      // What is edited meanwhile is for the next one; another model is an error before anything else.
      configure(dir, ({ designer }) => ({ designer: { ...designer, model: "other:1b" } }));
      await expect(client.request(rpc.FineTune, { restart: false }, never)).rejects.toThrow(
        /tuned from scripted-coder/,
      );
      expect((await client.request(rpc.PlanTuning, null, never)).obstacle?.code).toBe("generation-base");
      configure(dir, ({ designer, tuner }) => ({
        designer: { ...designer, model: "scripted-coder:1b" },
        tuner: { ...tuner, epochs: 3, threads: 2 },
      }));
    }
    hold = false;
    const made = await client.request(rpc.FineTune, { restart: false }, never);
    expect(made).toMatchObject({ generation: 1, state: "published", current: true, run: { steps: 40 } });
    expect(made.run?.losses.map((point) => point.step)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(study.store.generations.list()).toHaveLength(1);
  },
);

withTuner(
  "a tuning that has trained nothing yet is begun anew with the settings of now",
  { timeout: 300_000 },
  async () => {
    const { dir, engine } = await studyWith(newNet, { probe: 1 });
    await step(engine, 2);
    const stop = new AbortController();
    engine.on(rpc.DidHappen, (event) => {
      if (event.type === "tuning" && event.stage === "loading") stop.abort();
    });
    const stopped = engine.request(rpc.FineTune, { restart: false }, stop.signal);
    await expect(stopped).rejects.toMatchObject({ name: "AbortError" });
    configure(dir, ({ tuner }) => ({ tuner: { ...tuner, epochs: 1 } }));
    expect((await engine.request(rpc.PlanTuning, null, never)).resumes).toBeNull();
    const made = await engine.request(rpc.FineTune, { restart: false }, never);
    expect(made).toMatchObject({ generation: 2, state: "published", settings: { epochs: 1 }, run: { steps: 1 } });
  },
);

withTuner(
  "an adapter that Ollama refuses ends its generation, and a hiccup of Ollama does not",
  { timeout: 900_000 },
  async () => {
    const { dir, engine, server } = await studyWith(newNet, { epochs: 1, probe: 1 });
    await step(engine, 2);
    const tune = () => engine.request(rpc.FineTune, { restart: false }, never);
    const generations = async () => (await engine.request(rpc.GetSnapshot, null, never)).generations;
    server.refusesToMake = "write blobs/sha256-1: no space left on device";
    await expect(tune()).rejects.toThrow(/no space left/);
    server.refusesToMake = null;
    server.refusesToAnswer = "model requires more system memory (9 GiB) than is available (2 GiB)";
    await expect(tune()).rejects.toThrow(/more system memory/);
    expect(await generations()).toMatchObject([{ state: "probing", error: null }]);
    server.refusesToAnswer = null;
    expect(await tune()).toMatchObject({ generation: 1, state: "published" });

    await engine.request(rpc.UseGeneration, { generation: 0 }, never);
    server.refusesToMake = "unsupported architecture";
    await expect(tune()).rejects.toThrow(/unsupported architecture/);
    expect(await generations()).toMatchObject([
      { state: "published" },
      { state: "failed", current: false, error: expect.stringContaining("unsupported architecture") },
    ]);
    expect(existsSync(join(dir, ".netwright/generations/2/adapter.gguf"))).toBe(false);
    const { activity } = await engine.request(rpc.GetSnapshot, null, never);
    expect(activity.error?.message).toContain("unsupported architecture");
    expect((await step(engine, 1)).summary.generation).toBe(0);

    // That its parent is refused says nothing of the third.
    await engine.request(rpc.UseGeneration, { generation: 1 }, never);
    await expect(tune()).rejects.toThrow(/Generation 1, the parent: .*unsupported architecture/);
    expect((await generations()).map(({ state }) => state)).toEqual(["published", "failed", "probing"]);
  },
);

/** A study with one generation in a state, as the store tells it, and Ollama's model of it; no engine runs. */
async function withGeneration(): Promise<{ study: Study; server: Scripted }> {
  const server = await scriptedOllama(() => null);
  closing.push(() => server.close());
  const dir = makeStudy(server.host);
  closing.push(() => rmSync(dir, { recursive: true, force: true }));
  const study = openStudy(dir);
  closing.push(() => study.close());
  beginGeneration(study, 0);
  for (const names of [server.models, server.loaded]) names.add("test:g1");
  return { study, server };
}

function beginGeneration({ store, config }: Study, parent: number): number {
  const settings = tunerSettings(config);
  return store.generations.begin({ parent, cycle: 0, accepted: 1, base: "scripted-coder:1b", settings });
}

const ignore = () => undefined;

test("one that is given up leaves no model in Ollama, whether Ollama runs or not", async () => {
  const { study, server } = await withGeneration();
  // Nothing is accepted: that is found once the former is given up.
  const giveUp = () => expect(fineTune(study, { restart: true }, ignore, never)).rejects.toThrow(/Accept candidates/);
  await giveUp();
  expect([...server.models, ...server.loaded]).toEqual(["scripted-coder:1b"]);
  beginGeneration(study, 0);
  server.close();
  await giveUp();
  expect(study.store.generations.list().map(({ state }) => state)).toEqual(["failed", "failed"]);
});

test("one that is deleted before Ollama's model of it was recorded leaves none there", async () => {
  const { study, server } = await withGeneration();
  await deleteGeneration(study, 1, never);
  expect([...server.models]).toEqual(["scripted-coder:1b"]);
});

test("what an unfinished cycle or generation goes on with is not deleted", async () => {
  const { study } = await withGeneration();
  const { store } = study;
  store.generations.recordProbe(1, "published", null, "test:g1");
  const going = beginGeneration(study, 1);
  await expect(deleteGeneration(study, 1, never)).rejects.toThrow(/Finish it first: netwright tune/);
  store.generations.end(going, "failed", "");
  const cycle = store.beginCycle({ mode: "full", planned: 1, seed: 1, generation: 1 });
  await expect(deleteGeneration(study, 1, never)).rejects.toThrow(/Continue it first: netwright cycle --resume/);
  store.endCycle(cycle);
  await deleteGeneration(study, 1, never);
  expect(store.generations.get(1).state).toBe("deleted");
});

test("an answer that cannot be traced costs the probe that answer alone", async () => {
  const checks = [
    () => Promise.reject(new Error("the graph cannot be traced")),
    () => Promise.resolve({ ok: true, checked: {}, seconds: 0 }),
  ];
  const trainer = { check: () => checks.shift()?.() };
  const text = netReply(8);
  const designer = {
    info: { provider: "ollama", model: "m", parallel: 1, device: "CPU" },
    generate: async () => ({ text, promptTokens: 1, tokens: 1, seconds: 1, finish: "stop" }),
  };
  const input = { shape: [1, 28, 28], parameterLimit: 1e6, mode: "full", exemplars: [], parent: null, lessons: [] };
  const question = { input: { ...input, idea: "" }, sampling: {} } as unknown as Question;
  const answers = await ask(
    { trainer } as unknown as Loop,
    designer as unknown as Designer,
    [question, question],
    never,
    ignore,
  );
  expect(answers.map((answer) => answer !== null)).toEqual([false, true]);
});
