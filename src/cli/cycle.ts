import { Step } from "../engine/protocol.ts";
import type { DesignMode } from "../study/types.ts";
import type { Context } from "./context.ts";
import { withEngine } from "./engine.ts";
import { candidateTable, printJson, printText, summaryLine } from "./output.ts";

interface CycleOptions {
  candidates: number;
  mode?: DesignMode;
  seed?: number;
  resume?: boolean;
}

export async function cycleCommand(context: Context, options: CycleOptions): Promise<void> {
  const { candidates, mode = null, seed = null, resume = false } = options;
  const result = await withEngine(context, (engine) =>
    engine.request(Step, { candidates, mode, seed, resume }, context.signal),
  );
  if (context.json) printJson({ type: "cycle", cycle: result.cycle, candidates: result.candidates });
  else printText(`${candidateTable(result.candidates)}\n\n${summaryLine(result.summary)}`);
}
