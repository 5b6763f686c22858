import { prepareArchive } from "../engine/cycle.ts";
import { startLoop } from "../engine/engine.ts";
import { exportAccepted, importNets } from "../engine/exchange.ts";
import type { Context } from "./context.ts";
import { candidateTable, printJson, printText } from "./output.ts";

export async function exportCommand(context: Context, options: { lemur: string }): Promise<void> {
  const result = await exportAccepted(context.study(), options.lemur);
  if (context.json) printJson(result);
  else if (result.nets === 0) printText("Nothing is accepted yet. Accept candidates with: netwright accept ID...");
  else printText(`Wrote ${result.nets} nets to ${options.lemur}`);
}

export async function importCommand(context: Context, options: { lemur: string }): Promise<void> {
  const { emit, signal } = context;
  const study = context.study();
  const { ids, skipped } = await importNets(study, options.lemur);
  for (const { file, why } of skipped) emit({ type: "note", message: `Left out ${file}: ${why}` });
  const running = await startLoop(study, { designer: false }, emit, signal);
  try {
    await prepareArchive(running.loop, signal);
  } finally {
    await running.close();
  }
  const candidates = ids.map((id) => study.store.candidate(id));
  if (context.json) printJson({ candidates, skipped });
  else printText(`${candidateTable(candidates)}\n\nImported ${ids.length} nets, left out ${skipped.length}.`);
}
