/** Generations of the designer: making one of what was accepted, using one, deleting one. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { idealAnswer } from "../designer/answers.ts";
import { baseModel, deleteOllama, unloadOllama } from "../designer/index.ts";
import { structureKey } from "../novelty/structure.ts";
import { tunerSettings } from "../study/config.ts";
import { UserError } from "../study/ports.ts";
import type { Generation } from "../study/types.ts";
import { chooseDevice } from "../trainer/devices.ts";
import { type Corpus, corpusOf, type Example, type Lesson } from "../tuner/corpus.ts";
import {
  deleteAdapter,
  hasCheckpoint,
  type LoraRun,
  planLora,
  readCorpus,
  readRun,
  runLora,
  writeCorpus,
  writeRun,
} from "../tuner/lora.ts";
import { contextOf, folderOf, ollamaName, openGeneration, requireBase } from "./designer.ts";
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
  return store.generations.list().findLast(({ state }) => state === "tuning" || state === "probing") ?? null;
}

/** Accepted since the newest corpus that led to a generation. */
export function newlyAccepted({ store }: Study): { accepted: number; newAccepted: number } {
  const accepted = store.list({ accepted: true }).filter(({ mode }) => mode === "full" || mode === "delta").length;
  const before =
    store.generations.list().findLast(({ state }) => state === "published" || state === "kept")?.accepted ?? 0;
  return { accepted, newAccepted: Math.max(0, accepted - before) };
}

/** What `fineTune` would do now. Loads no weights. @throws UserError of the parts it asks, but for what is an obstacle; AbortError. */
export async function planTuning(study: Study, emit: Emit, signal: AbortSignal): Promise<TuningPlan> {
  const counts = newlyAccepted(study);
  const planOf = (going: Generation | null, { examples, repeated }: Corpus): TuningPlan => ({
    ...counts,
    resumes: going?.generation ?? null,
    examples: examples.length,
    leftOut: { tooLong: 0, repeated },
    base: study.config.designer.model ?? "",
    device: study.config.tuner.device,
    memoryMiB: 0,
    freeMemoryMiB: 0,
    seconds: secondsOf(study, examples),
    obstacle: null,
  });
  const going = unfinished(study);
  let corpus = corpusFor(study, going);
  let plan = planOf(going, corpus);
  try {
    requireExamples(corpus.examples);
    const prepared = await prepare(study, emit, signal);
    const resumed = going && resumedRun(study, going, prepared);
    if (!resumed) {
      requireParent(study, prepared.base);
      corpus = corpusFor(study, null);
      plan = planOf(null, corpus);
      requireExamples(corpus.examples);
    }
    const run = resumed ?? prepared.run;
    const folder = join(study.stateDir, "generations", "plan");
    await writeCorpus(folder, corpus.examples);
    await writeRun(folder, run);
    const lora = await planLora({ python: prepared.python, packageDir: pythonPackage, folder }, signal);
    const { memoryMiB, freeMemoryMiB, tooLong, obstacle } = lora;
    return {
      ...{ ...plan, base: prepared.base, device: run.device, memoryMiB, freeMemoryMiB },
      leftOut: { ...plan.leftOut, tooLong },
      obstacle: obstacle === null ? null : { code: "tuner-memory", message: obstacle },
    };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { ...plan, obstacle: { code: error.code, message: error.message } };
  }
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
  const last = store.generations.list().findLast(({ run }) => run !== null)?.run;
  if (!last || last.steps === 0) return null;
  const { epochs, accumulation } = tunerSettings(config);
  const trained = examples.filter(({ heldOut }) => !heldOut).length;
  return ((last.seconds / last.steps) * epochs * trained) / accumulation;
}

interface Prepared {
  python: string;
  /** The model's name. */
  base: string;
  /** Has the model's server free its memory. */
  unload(signal: AbortSignal): Promise<void>;
  /** What a run that begins now would learn with. */
  run: LoraRun;
}

/** What a LoRA run needs to be there: Python, the base's weights, a device. */
async function prepare(study: Study, emit: Emit, signal: AbortSignal): Promise<Prepared> {
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

/** What the run that was stopped learns from, or else a new one. */
function corpusFor(study: Study, going: Generation | null): Corpus {
  const examples = going && readCorpus(folderOf(study, going.generation));
  return examples ? { examples, repeated: 0 } : corpusOf(lessonsOf(study));
}

const START_OVER = "start over: netwright tune --restart";

/**
 * What the run that was stopped goes on with: what it was begun with, on whichever GPU is chosen now. Null where nothing was trained
 * yet and the study says otherwise now: it is begun anew.
 * @throws UserError "generation-base", "tuner-device" when the study's model or kind of device is another now
 */
function resumedRun(study: Study, going: Generation, now: Prepared): LoraRun | null {
  const folder = folderOf(study, going.generation);
  const begun = readRun(folder) ?? { ...now.run, settings: going.settings };
  if (going.state === "tuning" && !hasCheckpoint(folder)) {
    const same = going.base === now.base && isDeepStrictEqual({ ...begun, device: now.run.device }, now.run);
    return same ? now.run : null;
  }
  requireBase(going, now.base, START_OVER);
  if (begun.device === "cpu") return { ...begun, base: there(begun.base, now) };
  if (now.run.device === "cpu") {
    throw new UserError(
      "tuner-device",
      `Generation ${going.generation} is tuned on a GPU (${begun.device}), but "tuner.device" comes to the processor now. Mend that, or ${START_OVER}`,
    );
  }
  return { ...begun, base: there(begun.base, now), device: now.run.device };
}

const there = (base: string, now: Prepared): string => (existsSync(base) ? base : now.run.base);

/** What is tuned is compared with its parent, on the same model. @throws UserError "generation-base" */
function requireParent({ store }: Study, base: string): void {
  const parent = store.generations.current();
  if (parent !== 0) requireBase(store.generations.get(parent), base, "use generation 0: netwright generations --use 0");
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
    await abandon(study, going.generation, "Given up for a new run.", signal);
    going = null;
  }
  requireExamples(corpusFor(study, going).examples);
  const prepared = await prepare(study, emit, signal);
  const resumed = going && resumedRun(study, going, prepared);
  if (going && !resumed) {
    await abandon(study, going.generation, "Begun anew, with other settings, before anything was trained.", signal);
    going = null;
  }
  if (!going) requireParent(study, prepared.base);
  const run = resumed ?? prepared.run;
  const { examples } = corpusFor(study, going);
  requireExamples(examples);
  const parent = going?.parent ?? store.generations.current();
  const generation =
    going?.generation ??
    store.generations.begin({
      parent,
      cycle: store.cycles().at(-1)?.cycle ?? 0,
      accepted: newlyAccepted(study).accepted,
      base: prepared.base,
      settings: run.settings,
    });
  emit({ type: "generation", generation: store.generations.get(generation) });
  const folder = folderOf(study, generation);
  try {
    if (store.generations.get(generation).state === "tuning") {
      if (readCorpus(folder) === null) await writeCorpus(folder, examples);
      await writeRun(folder, run);
      const { base, device } = prepared.run;
      if (!isDeepStrictEqual({ ...run, base, device }, prepared.run)) {
        const message = `Generation ${generation} goes on with the settings that it was begun with; for those of now, ${START_OVER}`;
        emit({ type: "note", message });
      }
      await prepared.unload(signal);
      for (const one of new Set([parent, store.designingGeneration()])) await unload(study, one, signal);
      const lora = { python: prepared.python, packageDir: pythonPackage, folder };
      const account = await runLora(lora, (p) => emit({ type: "tuning", generation, ...p }), signal);
      store.generations.recordTuning(generation, account);
    }
    await publish(study, generation, parent, emit, signal);
  } catch (error) {
    // These stay as they are however often the run goes on.
    const final = error instanceof UserError && FINAL.has(error.code);
    if (final) await abandon(study, generation, error.message, signal);
    emit({ type: "generation", generation: store.generations.get(generation) });
    throw error;
  }
  const made = store.generations.get(generation);
  emit({ type: "generation", generation: made });
  return made;
}

const FINAL = new Set(["tuner-architecture", "no-examples", "adapter-refused"]);

async function abandon(study: Study, generation: number, why: string, signal: AbortSignal): Promise<void> {
  study.store.generations.end(generation, "failed", why);
  await deleteAdapter(folderOf(study, generation));
  await forget(study, generation, signal);
}

/** Has Ollama free what a generation takes in memory. */
async function unload({ store, config }: Study, generation: number, signal: AbortSignal): Promise<void> {
  const ollama = generation === 0 ? null : store.generations.get(generation).ollama;
  if (ollama !== null) await unloadOllama(config.designer.host, ollama, signal);
}

/** Takes a model that no record tells of out of Ollama. That there is none, or no Ollama, is no error. */
async function forget({ config }: Study, generation: number, signal: AbortSignal): Promise<void> {
  const { provider, host } = config.designer;
  if (provider === "llama.cpp") return;
  const name = ollamaName(config, generation);
  try {
    await unloadOllama(host, name, signal);
    await deleteOllama(host, name, signal);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
  }
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
    const { run } = store.generations.get(generation);
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
      const designer = await openGeneration(study, one, emit, signal).catch((error: unknown) => {
        // That says nothing of the new one.
        if (one === parent && error instanceof UserError && error.code === "adapter-refused") {
          throw new UserError("parent-refused", `Generation ${parent}, the parent: ${error.message}`, { cause: error });
        }
        throw error;
      });
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
      store.generations.recordProbe(generation, state, { parent: theirs, own }, ollama);
      if (state === "published") store.generations.use(generation);
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
    const { state } = study.store.generations.get(generation);
    if (state !== "published" && state !== "kept") {
      throw new UserError(
        "generation-unusable",
        `Generation ${generation} has no adapter that was probed (it is ${state}). Use a published or a kept one.`,
      );
    }
  }
  study.store.generations.use(generation);
}

/**
 * Deletes the adapter of a generation, in Ollama too.
 * @throws UserError "unknown-generation", "generation-current", "generation-needed"; those of Ollama.
 */
export async function deleteGeneration(study: Study, generation: number, signal: AbortSignal): Promise<void> {
  const { store, config } = study;
  const { current, ollama } = store.generations.get(generation);
  if (current) {
    throw new UserError(
      "generation-current",
      `Generation ${generation} is the designer now. Use another one first: netwright generations --use N`,
    );
  }
  const open = store.openCycle();
  if (open?.generation === generation) {
    throw new UserError(
      "generation-needed",
      `Cycle ${open.cycle} was interrupted, and goes on with generation ${generation}. Continue it first: netwright cycle --resume`,
    );
  }
  const going = unfinished(study);
  if (going?.parent === generation) {
    throw new UserError(
      "generation-needed",
      `Generation ${going.generation} is not finished, and is compared with generation ${generation}. Finish it first: netwright tune`,
    );
  }
  if (ollama === null) await forget(study, generation, signal);
  else await deleteOllama(config.designer.host, ollama, signal);
  await deleteAdapter(folderOf(study, generation));
  store.generations.end(generation, "deleted", null);
}
