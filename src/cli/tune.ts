import { EngineClient } from "../engine/client.ts";
import {
  DeleteGeneration,
  FineTune,
  Pause,
  PlanTuning,
  ResumeRun,
  Run,
  type RunParameters,
  UseGeneration,
} from "../engine/protocol.ts";
import { UserError } from "../study/ports.ts";
import type { DesignMode, Generation } from "../study/types.ts";
import { EMPTY, memorySize } from "../study/units.ts";
import type { Context } from "./context.ts";
import { withEngine } from "./engine.ts";
import { duration, generationLine, printJson, printText, summaryLine, table } from "./output.ts";

export async function tuneCommand(context: Context, options: { plan?: boolean; restart?: boolean }): Promise<void> {
  if (options.plan) {
    const plan = await withEngine(context, (engine) => engine.request(PlanTuning, null, context.signal));
    if (context.json) return printJson(plan);
    const { accepted, newAccepted, examples, leftOut, base, device, memoryMiB, freeMemoryMiB, seconds, obstacle } =
      plan;
    const size = (mib: number) => memorySize(mib * 2 ** 20);
    return printText(
      [
        plan.resumes === null ? "" : `Goes on with generation ${plan.resumes}, which was stopped.`,
        `${accepted} accepted nets, ${newAccepted} of them new: ${examples} examples (${leftOut.repeated} repeated a structure, ${leftOut.tooLong} are too long).`,
        memoryMiB === 0
          ? ""
          : `LoRA on ${base}, on ${device}: about ${size(memoryMiB)} of memory, ${size(freeMemoryMiB)} are free.`,
        seconds === null ? "" : `About ${duration(seconds)}, going by the run before.`,
        obstacle === null ? "" : obstacle.message,
      ]
        .filter(Boolean)
        .join("\n"),
    );
  }
  const generation = await withEngine(context, (engine) =>
    engine.request(FineTune, { restart: options.restart === true }, context.signal),
  );
  if (context.json) printJson({ type: "generation", ...generation });
  else printText(generationLine(generation));
}

export async function generationsCommand(context: Context, options: { use?: number; delete?: number }): Promise<void> {
  const { store } = context.study();
  let generations = store.generations.list();
  if (options.use !== undefined) {
    const generation = options.use;
    generations = await withEngine(context, (engine) => engine.request(UseGeneration, { generation }, context.signal));
  }
  if (options.delete !== undefined) {
    const generation = options.delete;
    generations = await withEngine(context, (engine) =>
      engine.request(DeleteGeneration, { generation }, context.signal),
    );
  }
  if (context.json) printJson(generations);
  else printText(generationTable(generations));
}

function generationTable(generations: readonly Generation[]): string {
  if (generations.length === 0) {
    return "The model designs as it is (generation 0). Tune it on what is accepted with: netwright tune";
  }
  const rows = generations.map(({ generation, parent, state, current, accepted, run, probe }) => {
    const loss = run?.losses.findLast(({ heldOut }) => heldOut !== null)?.heldOut ?? run?.losses.at(-1)?.training;
    const score = probe ? `${probe.own.newAndValid}/${probe.own.questions}` : EMPTY;
    const theirs = probe ? `${probe.parent.newAndValid}/${probe.parent.questions}` : EMPTY;
    return [
      String(generation),
      current ? `${state}, designs` : state,
      String(parent),
      String(accepted),
      loss === undefined ? EMPTY : loss.toFixed(3),
      score,
      theirs,
      run ? duration(run.seconds) : EMPTY,
    ];
  });
  const header = ["generation", "state", "parent", "accepted", "loss", "new and valid", "its parent", "tuned in"];
  return table(header, rows, [1]);
}

export interface RunOptions {
  cycles?: number;
  hours?: number;
  total?: number;
  candidates: number;
  mode?: DesignMode;
  seed?: number;
  tune: boolean;
  pause?: boolean;
  resume?: boolean;
}

export async function runCommand(context: Context, options: RunOptions): Promise<void> {
  if (options.pause) return pauseRun(context);
  const { cycles = null, hours = null, total = null, candidates, mode = null, seed = null, tune } = options;
  const parameters: RunParameters = { candidates, mode, seed, tune, budget: { cycles, hours, candidates: total } };
  const result = await withEngine(context, (engine) =>
    options.resume ? engine.request(ResumeRun, null, context.signal) : engine.request(Run, parameters, context.signal),
  );
  if (context.json) return printJson({ type: "run", ...result });
  const lines = [...result.cycles.map(summaryLine), ...result.generations.map(generationLine)];
  if (result.ended === "paused") lines.push("Paused. To go on: netwright run --resume");
  printText(lines.join("\n"));
}

/** Asks the engine that runs, and starts none: what one would run is not yet under way. */
async function pauseRun(context: Context): Promise<void> {
  const { dir } = context.study();
  const engine = await EngineClient.connect(dir);
  if (!engine) throw new UserError("not-running", "No run of cycles is under way.");
  try {
    await engine.request(Pause, { pausing: true }, context.signal);
  } finally {
    engine.close();
  }
  if (context.json) printJson({ type: "pausing" });
  else printText("The run ends after the cycle that is under way.");
}
