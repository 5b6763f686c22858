/** Generations of the designer: making one of what was accepted, using one, deleting one. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { idealAnswer } from "../designer/answers.ts";
import { baseModel, deleteOllama } from "../designer/index.ts";
import { structureKey } from "../novelty/structure.ts";
import { tunerSettings } from "../study/config.ts";
import { UserError } from "../study/ports.ts";
import type { Generation } from "../study/types.ts";
import { memorySize } from "../study/units.ts";
import { chooseDevice } from "../trainer/devices.ts";
import { corpusOf, type Example, type Lesson } from "../tuner/corpus.ts";
import { deleteAdapter, planLora, runLora, writeCorpus, writeRun } from "../tuner/lora.ts";
import { contextOf, folderOf, openGeneration } from "./designer.ts";
import { startLoop } from "./engine.ts";
import type { Emit } from "./events.ts";
import { pythonPackage } from "./paths.ts";
import { ask, questions, score } from "./probe.ts";
import type { TuningPlan } from "./protocol.ts";
import { installPython } from "./setup.ts";
import type { Study } from "./study.ts";

/** The answers that accepted nets amount to, in the order in which they were accepted. */
function lessonsOf({ store }: Study): Lesson[] {
  const accepted = store.list({ accepted: true }).map((candidate) => ({
    candidate,
    at: store.reviews(candidate.id).at(-1)?.at ?? "",
  }));
  accepted.sort((a, b) => a.at.localeCompare(b.at) || a.candidate.id - b.candidate.id);
  return accepted.flatMap(({ candidate: { id, parent } }): Lesson[] => {
    const [first, ...others] = store.attempts(id);
    const code = store.code(id);
    const graph = store.graph(id);
    // Seeds and imports were never asked for: they are shown in questions, as parents and as examples.
    if (!first || code === null || graph === null) return [];
    const reply = (others.at(-1) ?? first).reply.text;
    const ideal = idealAnswer(first.prompt, reply, code, parent === null ? null : store.code(parent));
    return [{ messages: first.prompt.messages, ...ideal, structure: structureKey(graph) }];
  });
}

/** The run that was stopped, or whose probe was; null when none was. */
function unfinished({ store }: Study): Generation | null {
  return store.generations().findLast(({ state }) => state === "tuning" || state === "probing") ?? null;
}

/** Accepted since the newest corpus that led to a generation. */
export function newlyAccepted({ store }: Study): { accepted: number; newAccepted: number } {
  const accepted = store.list({ accepted: true }).filter(({ mode }) => mode === "full" || mode === "delta").length;
  const before = store.generations().findLast(({ state }) => state === "published" || state === "kept")?.accepted ?? 0;
  return { accepted, newAccepted: Math.max(0, accepted - before) };
}

/** What `fineTune` would do now. Loads no weights. @throws UserError of the parts it asks, but for what is an obstacle; AbortError. */
export async function planTuning(study: Study, emit: Emit, signal: AbortSignal): Promise<TuningPlan> {
  const resumes = unfinished(study);
  const { examples, repeated } = resumes ? readCorpus(study, resumes) : corpusOf(lessonsOf(study));
  const counts = newlyAccepted(study);
  const plan: TuningPlan = {
    ...counts,
    resumes: resumes?.generation ?? null,
    examples: examples.length,
    leftOut: { tooLong: 0, repeated },
    base: study.config.designer.model ?? "",
    device: study.config.tuner.device,
    memoryMiB: 0,
    freeMemoryMiB: 0,
    seconds: secondsOf(study, examples),
    obstacle: null,
  };
  try {
    requireExamples(examples);
    const prepared = await prepare(study, emit, signal);
    const folder = join(study.stateDir, "generations", "plan");
    await writeCorpus(folder, examples);
    await writeRun(folder, prepared.run);
    const lora = await planLora({ python: prepared.python, packageDir: pythonPackage, folder }, signal);
    const { memoryMiB, freeMemoryMiB, tooLong } = lora;
    const planned = { ...plan, base: prepared.base, device: prepared.run.device, memoryMiB, freeMemoryMiB };
    const obstacle = lora.leastMemoryMiB > freeMemoryMiB ? memoryObstacle(prepared.base, lora) : null;
    return { ...planned, leftOut: { tooLong, repeated }, obstacle };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { ...plan, obstacle: { code: error.code, message: error.message } };
  }
}

function memoryObstacle(
  base: string,
  { leastMemoryMiB, freeMemoryMiB }: { leastMemoryMiB: number; freeMemoryMiB: number },
) {
  const size = (mib: number) => memorySize(mib * 2 ** 20);
  const message =
    `Tuning ${base} takes at least ${size(leastMemoryMiB)}; ${size(freeMemoryMiB)} are free. Close other programs, lower ` +
    `"tuner.maxTokens", or choose a smaller "designer.model".`;
  return { code: "tuner-memory", message };
}

function requireExamples(examples: readonly Example[]): void {
  if (examples.length > 0) return;
  throw new UserError(
    "no-accepted",
    "Nothing that the designer wrote is accepted yet: there is nothing to learn from. Accept candidates first.",
  );
}

/** By the pace of the latest run on this study; null when there was none. */
function secondsOf({ store, config }: Study, examples: readonly Example[]): number | null {
  const last = store.generations().findLast(({ run }) => run !== null)?.run;
  if (!last || last.steps === 0) return null;
  const { epochs, accumulation } = tunerSettings(config);
  const trained = examples.filter(({ heldOut }) => !heldOut).length;
  return ((last.seconds / last.steps) * epochs * trained) / accumulation;
}

/** What a LoRA run needs to be there: Python, the base's weights, a device. */
async function prepare(study: Study, emit: Emit, signal: AbortSignal) {
  const { config, dir } = study;
  const { tuner, designer, protocol } = config;
  if (designer.adapter !== null) {
    throw new UserError(
      "tuner-base",
      'The designer has an adapter already ("designer.adapter"). Remove it: a generation is an adapter on the model itself.',
    );
  }
  const { python } = await installPython(emit, signal);
  const base = await baseModel(designer, contextOf(emit), signal);
  const weights = tuner.base === null ? await base.weights(signal) : resolve(dir, tuner.base);
  const device = await chooseDevice(python, tuner.device, signal);
  const run = {
    ...{ base: weights, settings: tunerSettings(config), device, threads: tuner.threads },
    ...{ maxTokens: tuner.maxTokens, seed: protocol.seed },
  };
  return { python, base: base.name, unload: base.unload, run };
}

function readCorpus(study: Study, { generation }: Generation): { examples: Example[]; repeated: number } {
  const file = join(folderOf(study, generation), "corpus.jsonl");
  const lines = existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
  return { examples: lines.map((line) => JSON.parse(line) as Example), repeated: 0 };
}

/**
 * Tunes the designer on what is accepted, or goes on with the run that was stopped; then asks it and its parent the same new
 * questions, and uses it when it answers at least as well. The caller has closed the designer and the trainer: their memory is needed.
 * @throws UserError "no-accepted", those of planTuning's parts and of runLora; AbortError. What was trained so far is kept.
 */
export async function fineTune(
  study: Study,
  options: { restart: boolean },
  emit: Emit,
  signal: AbortSignal,
): Promise<Generation> {
  const { store } = study;
  let going = unfinished(study);
  if (going && options.restart) {
    await abandon(study, going.generation, "Given up for a new run.");
    going = null;
  }
  const examples = going ? readCorpus(study, going).examples : corpusOf(lessonsOf(study)).examples;
  requireExamples(examples);
  const prepared = await prepare(study, emit, signal);
  const parent = going?.parent ?? store.currentGeneration();
  const generation =
    going?.generation ??
    store.beginGeneration({
      parent,
      cycle: store.cycles().at(-1)?.cycle ?? 0,
      accepted: newlyAccepted(study).accepted,
      base: prepared.base,
      settings: prepared.run.settings,
    });
  emit({ type: "generation", generation: store.generation(generation) });
  const folder = folderOf(study, generation);
  try {
    if (store.generation(generation).state === "tuning") {
      if (!going) await writeCorpus(folder, examples);
      await writeRun(folder, prepared.run);
      await prepared.unload(signal);
      const lora = { python: prepared.python, packageDir: pythonPackage, folder };
      const run = await runLora(lora, (p) => emit({ type: "tuning", generation, ...p }), signal);
      store.recordTuning(generation, run);
    }
    await publish(study, generation, parent, emit, signal);
  } catch (error) {
    // These stay as they are however often the run goes on.
    const final = error instanceof UserError && FINAL.has(error.code);
    if (final) await abandon(study, generation, error.message);
    emit({ type: "generation", generation: store.generation(generation) });
    throw error;
  }
  const made = store.generation(generation);
  emit({ type: "generation", generation: made });
  return made;
}

const FINAL = new Set(["tuner-architecture", "no-examples", "ollama-error"]);

async function abandon(study: Study, generation: number, why: string): Promise<void> {
  study.store.endGeneration(generation, "failed", why);
  await deleteAdapter(folderOf(study, generation));
}

/** The probe, and what follows from it. */
async function publish(
  study: Study,
  generation: number,
  parent: number,
  emit: Emit,
  signal: AbortSignal,
): Promise<void> {
  const { store, config } = study;
  const running = await startLoop(study, { designer: false }, emit, signal);
  try {
    const asked = questions(running.loop, config.tuner.probe, generation);
    const { run } = store.generation(generation);
    let answered = 0;
    const report = () =>
      emit({
        ...{ type: "tuning", generation, stage: "probing", step: answered, steps: 2 * asked.length },
        ...{ losses: run?.losses ?? [], tokensPerSecond: null, secondsLeft: null },
      });
    const scores = [];
    let ollama: string | null = null;
    for (const one of [parent, generation]) {
      report();
      const designer = await openGeneration(study, one, emit, signal);
      // The last one opened is the generation itself.
      ollama = designer.info.provider === "ollama" ? designer.info.model : null;
      try {
        const answers = await ask(running.loop, designer, asked, signal, () => {
          answered++;
          report();
        });
        scores.push(score(running.loop.index, answers));
        // Both may not fit at once.
        await designer.release();
      } finally {
        await designer.close();
      }
    }
    const [theirs, own] = scores;
    if (!theirs || !own) throw new Error("the probe has no scores");
    const state = own.newAndValid >= theirs.newAndValid ? "published" : "kept";
    store.transaction(() => {
      store.recordProbe(generation, state, { parent: theirs, own }, ollama);
      if (state === "published") store.useGeneration(generation);
    });
  } finally {
    await running.close();
  }
}

/**
 * Makes a generation the designer of the cycles to come; 0: the model itself.
 * @throws UserError "unknown-generation", or "generation-unusable" for one without an adapter.
 */
export function useGeneration(study: Study, generation: number): void {
  if (generation !== 0) {
    const { state } = study.store.generation(generation);
    if (state !== "published" && state !== "kept") {
      throw new UserError(
        "generation-unusable",
        `Generation ${generation} has no adapter that was probed (it is ${state}). Use a published or a kept one.`,
      );
    }
  }
  study.store.useGeneration(generation);
}

/** Deletes the adapter of a generation, in Ollama too. @throws UserError "unknown-generation", "generation-current"; those of Ollama. */
export async function deleteGeneration(study: Study, generation: number, signal: AbortSignal): Promise<void> {
  const { store, config } = study;
  const { current, ollama } = store.generation(generation);
  if (current) {
    throw new UserError(
      "generation-current",
      `Generation ${generation} is the designer now. Use another one first: netwright generations --use N`,
    );
  }
  if (ollama !== null) await deleteOllama(config.designer.host, ollama, signal);
  await deleteAdapter(folderOf(study, generation));
  store.endGeneration(generation, "deleted", null);
}
