import { resolve } from "node:path";
import { exportAccepted } from "../engine/exchange.ts";
import { ImportLemur } from "../engine/protocol.ts";
import type { Context } from "./context.ts";
import { withEngine } from "./engine.ts";
import { candidateTable, printJson, printText } from "./output.ts";

export async function exportCommand(context: Context, options: { lemur: string }): Promise<void> {
  const result = await exportAccepted(context.study(), options.lemur);
  if (context.json) printJson(result);
  else if (result.nets === 0) printText("Nothing is accepted yet. Accept candidates with: netwright accept ID...");
  else printText(`Wrote ${result.nets} nets to ${options.lemur}`);
}

export async function importCommand(context: Context, options: { lemur: string }): Promise<void> {
  const dir = resolve(options.lemur);
  const result = await withEngine(context, (engine) => engine.request(ImportLemur, { dir }, context.signal));
  if (context.json) {
    printJson(result);
    return;
  }
  const skipped = result.skipped.map(({ file, why }) => `Left out ${file}: ${why}\n`).join("");
  if (result.candidates.length > 0) printText(candidateTable(result.candidates));
  printText(`${skipped}Imported ${result.candidates.length} nets, left out ${result.skipped.length}.`);
}
