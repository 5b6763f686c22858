/** The whole way of a generation through a real engine, a real LoRA run on a tiny model, and an Ollama that answers from a script. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { EngineClient } from "../../src/engine/client.ts";
import * as rpc from "../../src/engine/protocol.ts";
import { openStudy } from "../../src/engine/study.ts";
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
    expect(server.models.has("test:g1")).toBe(true);
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
    const second = await engine.request(rpc.FineTune, { restart: false }, never);
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
    expect(study.store.generation(1).state).toBe("tuning");

    const restarted = new AbortController();
    engine.on(rpc.DidHappen, (event) => {
      if (event.type === "tuning" && event.generation === 2 && event.stage === "training") restarted.abort();
    });
    await expect(engine.request(rpc.FineTune, { restart: true }, restarted.signal)).rejects.toMatchObject({
      name: "AbortError",
    });
    expect(study.store.generations().map(({ state }) => state)).toEqual(["failed", "tuning"]);
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
  { timeout: 300_000 },
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
      expect(study.store.generation(1).state).toBe(stage === "probing" ? "probing" : "tuning");
      client = await engineOf(dir);
    }
    hold = false;
    const made = await client.request(rpc.FineTune, { restart: false }, never);
    expect(made).toMatchObject({ generation: 1, state: "published", current: true, run: { steps: 40 } });
    expect(made.run?.losses.map((point) => point.step)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(study.store.generations()).toHaveLength(1);
  },
);

withTuner("an adapter that Ollama refuses ends its generation; the parent goes on", { timeout: 300_000 }, async () => {
  const { engine, server } = await studyWith(newNet);
  await step(engine, 2);
  server.refusesAdapters = true;
  await expect(engine.request(rpc.FineTune, { restart: false }, never)).rejects.toThrow(/unsupported architecture/);
  const { generations, activity } = await engine.request(rpc.GetSnapshot, null, never);
  expect(generations).toMatchObject([
    { state: "failed", current: false, error: expect.stringContaining("unsupported architecture") },
  ]);
  expect(activity.error?.message).toContain("unsupported architecture");
  expect((await step(engine, 1)).summary.generation).toBe(0);
});
