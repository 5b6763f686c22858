/** One pass of the loop: design, check, compare, train and record, each step durable before the next begins. */
import pLimit from "p-limit";
import { designPrompt, repairPrompt } from "../designer/prompts.ts";
import { readReply } from "../designer/replies.ts";
import { isProposed, proposals } from "../study/admission.ts";
import { protocolOf } from "../study/config.ts";
import { nextStep, type Work } from "../study/cycle.ts";
import { type CheckResult, type Designer, isCancellation, UserError } from "../study/ports.ts";
import type { Candidate, CycleSummary, DesignMode, Failure, Sampling } from "../study/types.ts";
import { CycleProgress } from "./cycle-progress.ts";
import { designInput, drawDesigns, type Plan, possibleMode } from "./designs.ts";
import type { Stage } from "./events.ts";
import { freeGpu, sharesGpu, Turn } from "./gpu.ts";
import type { Loop } from "./loop.ts";

export interface CycleOptions {
  candidates: number;
  mode: DesignMode;
  seed: number;
  /** Continue the unfinished cycle if there is one. */
  resume: boolean;
}

export interface CycleResult {
  summary: CycleSummary;
  candidates: Candidate[];
}

/** Checks, compares and trains what cycle 0 holds and has not finished: the seeds at first, later what was imported. */
export async function prepareArchive(loop: Loop, designer: Designer | null, signal: AbortSignal): Promise<void> {
  const waiting = loop.store.unfinished(0);
  if (waiting.length === 0) return;
  await freeGpu(loop.trainer, designer);
  loop.emit({
    type: "note",
    message: `Training ${waiting.length} known nets once, so that designs can be measured against them.`,
  });
  await advanceAll(loop, null, waiting, signal);
}

/**
 * Runs one cycle, or the rest of an interrupted one.
 * @throws UserError "cycle-unfinished" when an interrupted cycle is there and `resume` is not asked for.
 */
export async function runCycle(
  loop: Loop,
  designer: Designer,
  options: CycleOptions,
  signal: AbortSignal,
): Promise<CycleResult> {
  const { store, emit } = loop;
  const open = store.openCycle();
  if (open && !options.resume) {
    throw new UserError(
      "cycle-unfinished",
      `Cycle ${open.cycle} was interrupted. Continue it with: netwright cycle --resume`,
    );
  }
  const { mode, planned, seed } = open ?? {
    mode: possibleMode(loop, options.mode),
    planned: options.candidates,
    seed: options.seed,
  };
  // Both or neither: what cannot be planned has not begun.
  const cycle = store.transaction(() => {
    const cycle = open?.cycle ?? store.beginCycle({ mode, planned, seed, generation: loop.generation });
    planCandidates(loop, { cycle, mode, planned, seed });
    return cycle;
  });
  emit({ type: "cycle-started", cycle, mode, planned, resumed: open !== null });
  await advanceAll(loop, designer, store.unfinished(cycle), signal);
  admit(loop, cycle);
  store.endCycle(cycle);
  const summary = store.cycles().find((c) => c.cycle === cycle);
  if (!summary) throw new Error(`cycle ${cycle} is not in the store`);
  return { summary, candidates: store.list({ cycle }) };
}

/** Proposes what only a whole cycle can tell: its best share, or the best of a cycle in which none came up to the accuracy. */
function admit({ store, config, emit }: Loop, cycle: number): void {
  const ids = proposals(store.list({ cycle }), config);
  store.transaction(() => {
    store.propose(ids);
    if (config.admission.policy === "automatic") store.accept(ids, "policy");
  });
  for (const id of ids) emit({ type: "candidate", candidate: store.candidate(id) });
}

/** Writes the cycle's candidates down before any is asked for. */
function planCandidates(loop: Loop, cycle: Plan): void {
  const { store, config } = loop;
  const first = store.list({ cycle: cycle.cycle }).length;
  for (const { position, seed, design } of drawDesigns(loop, cycle, first)) {
    store.addCandidate({
      ...design,
      name: `${config.name.replaceAll("-", "_")}_c${cycle.cycle}_${String(position + 1).padStart(2, "0")}`,
      seed,
      code: null,
    });
  }
}

/** Takes candidates to their end, several at once: the designer and the trainer each serve as many as they can. */
async function advanceAll(loop: Loop, designer: Designer | null, ids: number[], outer: AbortSignal): Promise<void> {
  const failing = new AbortController();
  const signal = AbortSignal.any([outer, failing.signal]);
  const progress = new CycleProgress(loop, designer, ids);
  const turn = designer && sharesGpu(loop.trainer, designer) ? new Turn(ids.length, () => designer.release()) : null;
  const lanes: Lanes = {
    designing: pLimit(designer?.info.parallel ?? 1),
    checking: pLimit(1),
    training: pLimit(loop.config.trainer.parallel),
  };
  const errors: unknown[] = [];
  await Promise.all(
    ids.map((id) =>
      advance(loop, designer, lanes, progress, turn, id, signal).catch((error: unknown) => {
        errors.push(error);
        failing.abort();
      }),
    ),
  );
  outer.throwIfAborted();
  if (errors.length > 0) throw errors[0];
  await turn?.released();
}

type Lanes = Record<"designing" | "checking" | "training", ReturnType<typeof pLimit>>;

async function advance(
  loop: Loop,
  designer: Designer | null,
  lanes: Lanes,
  progress: CycleProgress,
  turn: Turn | null,
  id: number,
  signal: AbortSignal,
): Promise<void> {
  const { config, store, trainer, index, emit } = loop;
  const during = <T>(lane: keyof Lanes, stage: Stage, work: Work, because: Failure | null, run: () => Promise<T>) =>
    lanes[lane](() => {
      signal.throwIfAborted();
      emit({ type: "stage", id, name: work.name, stage, because });
      return run();
    });
  for (;;) {
    signal.throwIfAborted();
    const work = store.work(id);
    const step = nextStep(work, config);
    switch (step.do) {
      case "design":
      case "repair": {
        if (!designer) throw new Error(`candidate ${id} waits for a designer`);
        const failure = step.do === "repair" ? step.failure : null;
        // Until the designer has time for it, it is in no other stage any more.
        if (failure) emit({ type: "stage", id, name: work.name, stage: "waiting", because: failure });
        await during("designing", failure ? "repairing" : "designing", work, failure, () =>
          ask(loop, designer, work, failure, signal),
        );
        break;
      }
      case "check": {
        const result = await during("checking", "checking", work, null, () =>
          trainer.check(step.code, signal).catch(untraceable),
        );
        store.recordCheck(id, step.attempt, result);
        break;
      }
      case "compare": {
        emit({ type: "stage", id, name: work.name, stage: "comparing", because: null });
        const net = { code: step.code, checked: step.checked };
        const { text, structure } = index.nearest(net);
        store.recordNovelty(id, {
          novelty: { text: 1 - (text?.similarity ?? 0), structure: 1 - (structure?.similarity ?? 0) },
          nearest: { text: text?.id ?? null, structure: structure?.id ?? null },
        });
        index.add(id, net);
        break;
      }
      case "train": {
        emit({ type: "stage", id, name: work.name, stage: "waiting", because: null });
        await turn?.trainerOf(id, signal);
        const protocol = protocolOf(config);
        const result = await during("training", "training", work, null, () =>
          trainer.train(step.code, protocol, signal, (p) => emit({ type: "training", id, ...p })),
        );
        store.recordTraining(id, protocol, result, true);
        break;
      }
      case "finish": {
        turn?.done(id);
        const { novelty, accuracy } = store.candidate(id);
        const proposed = work.mode !== "seed" && isProposed({ outcome: step.outcome, novelty, accuracy }, config);
        store.transaction(() => {
          store.finish(id, { outcome: step.outcome, error: step.failure, proposed });
          if (proposed && config.admission.policy === "automatic") store.accept([id], "policy");
        });
        emit({ type: "candidate", candidate: store.candidate(id) });
        progress.update(id);
        return;
      }
    }
    progress.update(id);
  }
}

/** A net that cannot be traced costs itself, not the cycle: it may have meant to. What concerns the worker or the user goes on up. */
export function untraceable(error: unknown): CheckResult {
  if (error instanceof UserError || isCancellation(error)) throw error;
  const message = error instanceof Error ? error.message : String(error);
  const failure: Failure = { outcome: "forward", message: message.slice(0, 300), line: null, source: null };
  return { ok: false, failure, parameters: null, seconds: 0 };
}

/** One question to the designer; the answer is recorded with everything that led to it. */
async function ask(
  loop: Loop,
  designer: Designer,
  work: Work,
  failure: Failure | null,
  signal: AbortSignal,
): Promise<void> {
  const { store, config, emit } = loop;
  if (work.mode !== "full" && work.mode !== "delta") throw new Error(`${work.mode} nets are not designed`);
  const input = designInput(loop, { ...work, mode: work.mode });
  const first = work.attempts[0];
  const number = first ? 2 : 1;
  const prompt = failure ? repairPrompt(input, failure) : designPrompt(input);
  const { temperature, topP, minP, maxTokens } = config.designer;
  const sampling: Sampling = { temperature, topP, minP, maxTokens, seed: work.seed + number - 1 };
  const reply = await designer.generate(prompt, sampling, signal, (piece) =>
    emit({ type: "text", id: work.id, piece }),
  );
  const read = readReply(reply, work.mode, input.parent?.code ?? null);
  store.addAttempt(work.id, {
    number,
    prompt,
    sampling,
    model: designer.info.model,
    reply,
    code: "code" in read ? read.code : null,
    failure: "failure" in read ? read.failure : null,
  });
}
