import { readFileSync } from "node:fs";
import { startTrainer } from "../engine/engine.ts";
import { compareNets, measure } from "../engine/evaluate.ts";
import { fileError } from "../engine/file-error.ts";
import { Evaluate, type Evaluation } from "../engine/protocol.ts";
import { missingData } from "../engine/setup.ts";
import { readStudyConfig } from "../engine/study.ts";
import { parseStudyConfig, protocolOf, type StudyConfig, underProtocol } from "../study/config.ts";
import { UserError } from "../study/ports.ts";
import { percent } from "../study/units.ts";
import type { Context } from "./context.ts";
import { withEngine } from "./engine.ts";
import { duration, printJson, printText } from "./output.ts";
import { dataOption } from "./setup.ts";

/** What scikit-learn carries. */
const DIGITS = { dataset: "digits", source: null } as const;

/** How nets are measured where there is no study. */
const DEFAULTS = parseStudyConfig('{ "name": "evaluation", "data": { "dataset": "cifar10" } }', "the defaults");

export async function evaluateCommand(
  context: Context,
  file: string,
  options: { data?: string; protocol?: "validation" | "paper" },
): Promise<void> {
  const code = readNet(file);
  const given = options.data === undefined ? null : dataOption(options.data);
  const data = given && { ...given, source: given.source ?? null };
  const protocol = options.protocol ?? null;
  // The study's engine trains one thing at a time, and frees a GPU that its designer holds.
  const result = context.studyDir()
    ? await withEngine(context, (engine) => engine.request(Evaluate, { code, data, protocol }, context.signal))
    : await evaluateAlone(context, code, {
        ...(protocol ? underProtocol(DEFAULTS, protocol) : DEFAULTS),
        data: data ?? DEFAULTS.data,
      });
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
}

async function evaluateAlone(context: Context, code: string, config: StudyConfig): Promise<Evaluation> {
  const { emit, signal } = context;
  const trainer = await startTrainer(config, process.cwd(), emit, signal);
  try {
    return await measure(trainer, code, protocolOf(config), signal, emit);
  } finally {
    await trainer.close();
  }
}

export async function compareCommand(context: Context, a: string, b: string): Promise<void> {
  const { json, emit, signal } = context;
  const net = (file: string) => ({ file, code: readNet(file) });
  // Read before anything is started.
  const nets: [ReturnType<typeof net>, ReturnType<typeof net>] = [net(a), net(b)];
  const dir = context.studyDir();
  const config = dir ? readStudyConfig(dir) : DEFAULTS;
  // What is compared is looked at, not trained: the GPU is left to whom it serves, and nothing is fetched, as the digits do as well.
  const data = dir && !missingData(config, dir) ? config.data : DIGITS;
  const seen = { ...config, data, trainer: { ...config.trainer, device: "cpu" } };
  const trainer = await startTrainer(seen, dir ?? process.cwd(), json ? () => {} : emit, signal);
  try {
    const result = await compareNets(trainer, nets, signal);
    if (context.json) printJson(result);
    else printText(`text ${result.text.toFixed(4)}\nstructure ${result.structure.toFixed(4)}`);
  } finally {
    await trainer.close();
  }
}

function readNet(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw new UserError("no-file", `There is no file ${file}.`);
    throw fileError(error, `read ${file}`);
  }
}
