import { join, resolve } from "node:path";
import { writeReport } from "../engine/report.ts";
import type { Context } from "./context.ts";
import { printJson, printText } from "./output.ts";

export async function reportCommand(context: Context, options: { out?: string; untuned?: string }): Promise<void> {
  const study = context.study();
  const dir = options.out === undefined ? join(study.dir, "report") : resolve(options.out);
  const result = writeReport(study, dir, options.untuned ?? null);
  if (context.json) printJson(result);
  else printText(result.files.map((file) => `Wrote ${file}`).join("\n"));
}
