import { prepareArchive, runCycle } from "../engine/cycle.ts";
import { startLoop } from "../engine/engine.ts";
import type { DesignMode } from "../study/types.ts";
import type { Context } from "./context.ts";
import { candidateTable, printJson, printText, summaryLine } from "./output.ts";

interface CycleOptions {
  candidates: number;
  mode?: DesignMode;
  seed?: number;
  resume?: boolean;
}

export async function cycleCommand(context: Context, options: CycleOptions): Promise<void> {
  const { emit, signal } = context;
  const study = context.study();
  const running = await startLoop(study, { designer: true }, emit, signal);
  try {
    const { loop, designer } = running;
    if (!designer) throw new Error("the loop started without a designer");
    await prepareArchive(loop, signal);
    const { summary, candidates } = await runCycle(
      loop,
      designer,
      {
        candidates: options.candidates,
        mode: options.mode ?? study.config.designer.mode,
        seed: options.seed ?? study.config.protocol.seed,
        resume: options.resume === true,
      },
      signal,
    );
    if (context.json) printJson({ type: "cycle", cycle: summary.cycle, candidates });
    else printText(`${candidateTable(candidates)}\n\n${summaryLine(summary)}`);
  } finally {
    await running.close();
  }
}
