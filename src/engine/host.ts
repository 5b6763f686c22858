/** The engine of one study: what it can be asked, one piece of work at a time, and the state that its clients see. */
import { setTimeout as delay } from "node:timers/promises";
import { protocolOf, type StudyConfig, underProtocol } from "../study/config.ts";
import { isCancellation, UserError } from "../study/ports.ts";
import type { Candidate, Generation } from "../study/types.ts";
import { prepareArchive, runCycle } from "./cycle.ts";
import { type RunningLoop, startLoop, startTrainer } from "./engine.ts";
import { measure } from "./evaluate.ts";
import { exportAccepted, importNets } from "./exchange.ts";
import { deleteGeneration, fineTune, newlyAccepted, planTuning, useGeneration } from "./generations.ts";
import { freeGpu } from "./gpu.ts";
import { type Listener, Live } from "./live.ts";
import type {
  Change,
  Detail,
  Evaluation,
  EvaluationParameters,
  ImportResult,
  RunParameters,
  RunResult,
  RunState,
  Snapshot,
  StepParameters,
  StepResult,
  StudyView,
  TuningPlan,
} from "./protocol.ts";
import { rememberReady } from "./ready.ts";
import { writeReport } from "./report.ts";
import {
  beginRun,
  candidatesLeft,
  clearRunning,
  keepRest,
  markRunning,
  readRest,
  readRunning,
  restOf,
} from "./running.ts";
import { readStudyConfig, type Study } from "./study.ts";

/** A model and a worker that nobody uses give their memory back after this long. */
const WARM_MILLISECONDS = 120_000;

/** How long an engine that ends waits for a server to give up its model. */
const FAREWELL_MILLISECONDS = 5000;

/** The designer may be back after any of these: an Ollama that is updated, a process that was killed. */
const PASSING = new Set(["ollama-not-running", "ollama-stopped", "designer-crashed"]);
const RETRY_SECONDS = [5, 20, 60, 180];

const BUSY = "The engine is at work on this study. Stop that first, or wait until it has ended.";

/** Work under way: what stops it, and its end. */
interface Job {
  stop: AbortController;
  ended: Promise<unknown>;
}

export class EngineHost {
  readonly #study: Study;
  readonly #listener: Listener;
  #config: StudyConfig;
  #warm: { loop: RunningLoop; config: string } | null = null;
  #cooling: NodeJS.Timeout | undefined;
  #job: Job | null = null;
  /** The cycle under way, for those who ask for one meanwhile. */
  #running: Promise<StepResult> | null = null;
  #runningRun: Promise<RunResult> | null = null;
  readonly #live: Live;
  /** Nothing begins any more; what was running goes on in the next engine or not. */
  #closing: { goesOn: boolean } | null = null;

  constructor(study: Study, listener: Listener) {
    this.#study = study;
    this.#listener = listener;
    this.#config = study.config;
    this.#live = new Live(study, listener);
  }

  get busy(): boolean {
    return this.#job !== null;
  }

  snapshot(): Omit<Snapshot, "number"> {
    const { store } = this.#study;
    return {
      study: this.#view(),
      activity: this.#live.activity,
      cycles: store.cycles(),
      generations: store.generations.list(),
      candidates: store.list(),
    };
  }

  /** What is written so far of a candidate that is being designed. */
  text(id: number): string {
    return this.#live.text(id);
  }

  /** Continues a cycle that a killed engine left behind; one that was stopped on purpose waits for its user. */
  resumeIfKilled(): void {
    const mark = readRunning(this.#study.stateDir);
    if (!mark) return;
    // A failure shows in the activity, where it belongs: nobody waits for this call.
    const work = "run" in mark ? this.run(mark.run, mark.state) : this.step({ ...mark.step, resume: true });
    work.catch(() => undefined);
  }

  /** Runs one cycle; when one is running already, its result. */
  step(parameters: StepParameters): Promise<StepResult> {
    if (this.#running) return this.#running;
    this.#refuseWhileBusy();
    this.#running = this.#work((signal) => {
      markRunning(this.#study.stateDir, { step: parameters });
      return this.#cycle(parameters, signal);
    }).finally(() => {
      this.#clearMark();
      this.#running = null;
    });
    return this.#running;
  }

  /** Steps cycle after cycle within a budget and tunes between them; when a run is under way already, its result. */
  run(parameters: RunParameters, begun: RunState = beginRun(parameters)): Promise<RunResult> {
    if (this.#runningRun) return this.#runningRun;
    this.#refuseWhileBusy();
    this.#runningRun = this.#work((signal) => this.#cycles(parameters, begun, signal)).finally(() => {
      this.#runningRun = null;
      const mark = readRunning(this.#study.stateDir);
      this.#clearMark();
      keepRest(this.#study.stateDir, mark && "run" in mark ? restOf(mark) : null);
    });
    return this.#runningRun;
  }

  /** Lets a run end after the cycle under way, or not. @throws UserError "not-running" */
  pause(pausing: boolean): void {
    const { run } = this.#live.activity;
    if (!run) throw new UserError("not-running", "No run of cycles is under way.");
    this.#live.set({ run: { ...run, pausing } });
    // An engine that goes on with the run of a killed one pauses it too.
    const mark = readRunning(this.#study.stateDir);
    if (mark && "run" in mark) markRunning(this.#study.stateDir, { ...mark, state: { ...mark.state, pausing } });
  }

  /** Takes a pause back; else goes on with the run that was paused, stopped or failed. @throws UserError "no-run" */
  resumeRun(): Promise<RunResult> {
    if (this.#runningRun && this.#live.activity.run) {
      this.pause(false);
      return this.#runningRun;
    }
    const rest = readRest(this.#study.stateDir);
    if (!rest) throw new UserError("no-run", "There is no run to go on with. Start one with: netwright run --cycles N");
    return this.run(rest);
  }

  /** What `fineTune` would do. The designer gives its memory back first: the plan counts what will be free. */
  async planTuning(signal: AbortSignal): Promise<TuningPlan> {
    // A server that does not answer shows as an obstacle.
    if (!this.busy) await this.#warm?.loop.designer?.release().catch(() => undefined);
    return planTuning(this.#configured(), () => undefined, signal);
  }

  /** Tunes the designer on what is accepted, or goes on with the run that was stopped. */
  fineTune(parameters: { restart: boolean }): Promise<Generation> {
    return this.#work((signal) => this.#tune(parameters, signal));
  }

  async useGeneration(generation: number): Promise<Generation[]> {
    this.#refuseWhileBusy();
    useGeneration(this.#study, generation);
    await this.#cool();
    // What designed last is another one.
    this.#live.set({ designer: null });
    rememberReady(this.#study.stateDir, this.#live.activity);
    return this.#generationsChanged();
  }

  async deleteGeneration(generation: number): Promise<Generation[]> {
    this.#refuseWhileBusy();
    await deleteGeneration(this.#configured(), generation, new AbortController().signal);
    return this.#generationsChanged();
  }

  /** Stops what runs, and answers when it has stopped. */
  async stop(): Promise<void> {
    if (!this.#job) return;
    this.#live.set({ state: "stopping" });
    this.#job.stop.abort();
    await this.#job.ended.catch(() => undefined);
  }

  accept(ids: number[]): Candidate[] {
    this.#study.store.accept(ids, "user");
    return this.#review(ids);
  }

  reject(ids: number[], reason: string | null): Candidate[] {
    this.#study.store.reject(ids, "user", reason);
    return this.#review(ids);
  }

  /** What clients are told when candidates were reviewed. */
  reviewed(candidates: readonly Candidate[]): Change[] {
    const changes = candidates.map((candidate): Change => ({ kind: "candidate", candidate }));
    return [...changes, { kind: "cycles", cycles: this.#study.store.cycles() }];
  }

  detail(id: number): Detail {
    const { store } = this.#study;
    return { candidate: this.#study.store.candidate(id), code: store.code(id), attempts: store.attempts(id) };
  }

  evaluate(parameters: EvaluationParameters): Promise<Evaluation> {
    return this.#work(async (signal) => {
      this.#configure();
      const { protocol, data } = parameters;
      const measured = protocol ? underProtocol(this.#config, protocol) : this.#config;
      const config: StudyConfig = { ...measured, data: data ?? measured.data };
      const trainer = await startTrainer(config, this.#study.dir, this.#live.hear, signal);
      try {
        await freeGpu(trainer, this.#warm?.loop.designer ?? null);
        this.#live.set({ state: "running", trainer: trainer.info });
        return await measure(trainer, parameters.code, protocolOf(config), signal, this.#live.hear);
      } finally {
        await trainer.close();
      }
    });
  }

  /** Trains a candidate again under the study's protocol; the new figure counts. */
  evaluateAgain(id: number): Promise<Candidate> {
    return this.#work(async (signal) => {
      this.#configure();
      const { store } = this.#study;
      const before = this.#study.store.candidate(id);
      const code = store.code(id);
      if (before.outcome === null || code === null) {
        throw new UserError("not-trainable", `${before.name} has no finished code to train.`);
      }
      const { loop, designer } = await this.#loop(false, signal);
      this.#live.set({ state: "running" });
      await freeGpu(loop.trainer, designer);
      const protocol = protocolOf(this.#config);
      this.#live.hear({ type: "stage", id, name: before.name, stage: "training", because: null });
      const result = await loop.trainer.train(code, protocol, signal, (p) =>
        this.#live.hear({ type: "training", id, ...p }),
      );
      store.recordTraining(id, protocol, result, result.ok);
      const candidate = this.#study.store.candidate(id);
      this.#live.hear({ type: "candidate", candidate });
      return candidate;
    });
  }

  exportLemur(dir: string): Promise<{ nets: number; files: number }> {
    return exportAccepted(this.#study, dir);
  }

  writeReport(dir: string): { files: string[] } {
    return writeReport(this.#study, dir, null);
  }

  /** Reads nets into cycle 0 and measures them. */
  importLemur(dir: string): Promise<ImportResult> {
    return this.#work(async (signal) => {
      this.#configure();
      const { ids, skipped } = await importNets(this.#study, dir);
      const { loop, designer } = await this.#loop(false, signal);
      this.#live.set({ state: "running" });
      await prepareArchive(loop, designer, signal);
      return { candidates: ids.map((id) => this.#study.store.candidate(id)), skipped };
    });
  }

  async close(options: { goesOn: boolean }): Promise<void> {
    this.#closing = options;
    await this.stop();
    await Promise.race([this.#cool(), delay(FAREWELL_MILLISECONDS, undefined, { ref: false })]);
    this.#study.close();
  }

  /** People edit `netwright.json` between runs: what it says when work starts is what counts. */
  #configure(): void {
    this.#config = readStudyConfig(this.#study.dir);
    this.#listener.changes([{ kind: "study", study: this.#view() }]);
  }

  async #loop(needDesigner: boolean, signal: AbortSignal): Promise<RunningLoop> {
    const config = JSON.stringify([this.#config, this.#study.store.designingGeneration()]);
    clearTimeout(this.#cooling);
    if (this.#warm && (this.#warm.config !== config || (needDesigner && !this.#warm.loop.designer))) await this.#cool();
    if (!this.#warm) {
      const study = { ...this.#study, config: this.#config };
      this.#warm = { config, loop: await startLoop(study, { designer: needDesigner }, this.#live.hear, signal) };
    }
    return this.#warm.loop;
  }

  async #cool(): Promise<void> {
    clearTimeout(this.#cooling);
    const warm = this.#warm;
    this.#warm = null;
    // A server of its own keeps the model, unless it is told. One that does not answer has nothing to give back.
    await warm?.loop.designer?.release().catch(() => undefined);
    await warm?.loop.close();
  }

  async #cycle(parameters: StepParameters, signal: AbortSignal): Promise<StepResult> {
    this.#configure();
    const config = this.#config;
    const { loop, designer } = await this.#loop(true, signal);
    if (!designer) throw new Error("the loop started without a designer");
    this.#live.set({ state: "running" });
    await prepareArchive(loop, designer, signal);
    const options = {
      candidates: parameters.candidates,
      mode: parameters.mode ?? config.designer.mode,
      seed: parameters.seed ?? config.protocol.seed,
      resume: parameters.resume,
    };
    const { summary, candidates } = await runCycle(loop, designer, options, signal);
    return { cycle: summary.cycle, summary, candidates };
  }

  async #tune(parameters: { restart: boolean }, signal: AbortSignal): Promise<Generation> {
    const study = this.#configured();
    // Their memory is needed, on a GPU above all. What a server keeps all the same, the run asks it for again.
    await this.#cool();
    this.#live.set({ state: "running" });
    return fineTune(study, parameters, this.#live.hear, signal);
  }

  async #cycles(parameters: RunParameters, begun: RunState, signal: AbortSignal): Promise<RunResult> {
    const { store, stateDir } = this.#study;
    const first = store.cycles().filter(({ ended }) => ended !== null).length - begun.cyclesDone;
    let state = begun;
    this.#live.set({ run: state });
    let tuned = false;
    for (;;) {
      markRunning(stateDir, { run: parameters, state });
      const candidates = candidatesLeft(parameters, state);
      // What was interrupted is ended first, whatever is left of the budget.
      const open = store.openCycle() !== null;
      const pausing = this.#live.activity.run?.pausing ?? false;
      if (!open && (candidates === 0 || pausing)) {
        const cycles = store.cycles().slice(first);
        return { cycles, generations: store.generations.list(), ended: candidates === 0 ? "budget" : "paused" };
      }
      if (parameters.tune && !open && !tuned) {
        tuned = await this.#tuneIfEnough(signal);
        // That took its time: the run may have been paused meanwhile, or its hours have passed.
        if (tuned) continue;
      }
      const { summary } = await this.#patiently(signal, () =>
        this.#cycle({ ...parameters, candidates: Math.max(1, candidates), resume: true }, signal),
      );
      tuned = false;
      state = {
        ...state,
        cyclesDone: state.cyclesDone + 1,
        candidatesDone: state.candidatesDone + summary.candidates,
        pausing: this.#live.activity.run?.pausing ?? false,
      };
      this.#live.set({ run: state, cycle: null, mode: null, progress: null, underway: [] });
    }
  }

  /** A cycle of a run that nobody watches: a designer that is gone for a while does not end it. */
  async #patiently(signal: AbortSignal, cycle: () => Promise<StepResult>): Promise<StepResult> {
    for (const seconds of RETRY_SECONDS) {
      try {
        return await cycle();
      } catch (error) {
        if (!(error instanceof UserError) || !PASSING.has(error.code)) throw error;
        this.#live.hear({ type: "note", message: `${error.message} The run tries again in ${seconds} seconds.` });
        await this.#cool();
        await delay(1000 * seconds, undefined, { signal });
      }
    }
    return cycle();
  }

  /** Whether there was enough to tune on. A tuning that fails costs the run nothing but itself: the designer stays as it is. */
  async #tuneIfEnough(signal: AbortSignal): Promise<boolean> {
    const study = this.#configured();
    if (newlyAccepted(study).newAccepted < study.config.tuner.newAccepted) return false;
    try {
      await this.#tune({ restart: false }, signal);
    } catch (error) {
      if (signal.aborted || isCancellation(error)) throw error;
      this.#live.hear({ type: "note", message: `The designer was not tuned: ${(error as Error).message}` });
      this.#live.set({ tuning: null });
    }
    return true;
  }

  /** The study as its file says now. */
  #configured(): Study {
    this.#configure();
    return { ...this.#study, config: this.#config };
  }

  #clearMark(): void {
    if (!this.#closing?.goesOn) clearRunning(this.#study.stateDir);
  }

  #refuseWhileBusy(): void {
    if (this.#closing) throw new UserError("engine-gone", "The engine is ending. Try that again.");
    if (this.#job) throw new UserError("busy", BUSY);
  }

  #generationsChanged(): Generation[] {
    const generations = this.#study.store.generations.list();
    this.#listener.changes([{ kind: "generations", generations }]);
    return generations;
  }

  /** Runs one piece of work, alone; its state shows in the activity. */
  async #work<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#refuseWhileBusy();
    const stop = new AbortController();
    const ended = run(stop.signal);
    this.#job = { stop, ended };
    this.#live.set({ state: "starting", error: null });
    try {
      return await ended;
    } catch (error) {
      if (!stop.signal.aborted && !isCancellation(error)) {
        const code = error instanceof UserError ? error.code : "internal";
        this.#live.set({ error: { code, message: (error as Error).message } });
        // What failed may have left the model or the worker in a bad state: the next run starts both anew.
        await this.#cool();
      }
      throw error;
    } finally {
      this.#job = null;
      this.#cooling = setTimeout(() => void this.#cool(), WARM_MILLISECONDS).unref();
      this.#live.rest();
    }
  }

  #view(): StudyView {
    const { dir } = this.#study;
    const { name, designer, admission, novelty } = this.#config;
    return {
      dir,
      name,
      protocol: protocolOf(this.#config),
      mode: designer.mode,
      threshold: admission.accuracy,
      policy: admission.policy,
      gates: novelty,
    };
  }

  #review(ids: number[]): Candidate[] {
    const candidates = ids.map((id) => this.#study.store.candidate(id));
    this.#listener.changes(this.reviewed(candidates));
    return candidates;
  }
}
