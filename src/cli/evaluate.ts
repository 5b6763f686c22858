import { readFileSync } from "node:fs";
import { startTrainer } from "../engine/engine.ts";
import { compareNets, measure } from "../engine/evaluate.ts";
import { fileError } from "../engine/file-error.ts";
import { readStudyConfig } from "../engine/study.ts";
import { parseStudyConfig, protocolOf, type StudyConfig, type StudyConfigInput } from "../study/config.ts";
import { UserError } from "../study/ports.ts";
import type { Context } from "./context.ts";
import { duration, percent, printJson, printText } from "./output.ts";
import { dataOption } from "./setup.ts";

export async function evaluateCommand(
  context: Context,
  file: string,
  options: { data?: string; protocol?: "validation" | "paper" },
): Promise<void> {
  const { emit, signal } = context;
  const code = readNet(file);
  const { config, dir } = measuringConfig(context, options);
  const trainer = await startTrainer(config, dir, emit, signal);
  try {
    const result = await measure(trainer, code, protocolOf(config), signal, emit);
    const { outcome, error, parameters, accuracy, seconds } = result;
    if (context.json) printJson({ type: "evaluation", file, ...result });
    else if (error) {
      printText(
        `${outcome}: ${error.message}${error.line ? `\n${file}:${error.line}: ${error.source?.trim() ?? ""}` : ""}`,
      );
    } else {
      printText(
        `valid: ${parameters?.toLocaleString("en")} parameters; accuracy validation ${percent(accuracy.validation)}, ` +
          `test ${percent(accuracy.test)}; ${duration(seconds.train)}`,
      );
    }
    if (outcome !== "valid") process.exitCode = 1;
  } finally {
    await trainer.close();
  }
}

export async function compareCommand(context: Context, a: string, b: string): Promise<void> {
  const { emit, signal } = context;
  const net = (file: string) => ({ file, code: readNet(file) });
  // Read before anything is started.
  const nets: [ReturnType<typeof net>, ReturnType<typeof net>] = [net(a), net(b)];
  const { config, dir } = measuringConfig(context, {});
  const trainer = await startTrainer(config, dir, emit, signal);
  try {
    const result = await compareNets(trainer, nets, signal);
    if (context.json) printJson(result);
    else printText(`text ${result.text.toFixed(4)}\nstructure ${result.structure.toFixed(4)}`);
  } finally {
    await trainer.close();
  }
}

/** The study's way of measuring where there is one, else the defaults, as changed by the options. */
function measuringConfig(
  context: Context,
  options: { data?: string; protocol?: "validation" | "paper" },
): { config: StudyConfig; dir: string } {
  const studyDir = context.studyDir();
  const dir = options.data || !studyDir ? process.cwd() : studyDir;
  const base: StudyConfigInput = studyDir
    ? readStudyConfig(studyDir)
    : { name: "evaluation", data: { dataset: "cifar10" } };
  const input: StudyConfigInput = {
    ...base,
    ...(options.data ? { data: dataOption(options.data) } : {}),
    ...(options.protocol ? { protocol: { ...base.protocol, name: options.protocol } } : {}),
  };
  return { config: parseStudyConfig(JSON.stringify(input), "the options"), dir };
}

function readNet(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw new UserError("no-file", `There is no file ${file}.`);
    throw fileError(error, `read ${file}`);
  }
}
