import { basename, resolve } from "node:path";
import { diagnose } from "../engine/doctor.ts";
import { netwrightHome } from "../engine/paths.ts";
import { hasGpu, installDesigner, installPython, missingParts, prepareStudyData } from "../engine/setup.ts";
import { createStudy, readStudyConfig, STUDY_FILE } from "../engine/study.ts";
import { DATASETS, PAPER, parseStudyConfig, type StudyConfigInput } from "../study/config.ts";
import { UserError } from "../study/ports.ts";
import type { Context } from "./context.ts";
import { printJson, printText } from "./output.ts";

/** Reads `--data`: a data set's name, or a path that holds CIFAR-10. */
export function dataOption(value: string): StudyConfigInput["data"] {
  const dataset = DATASETS.find((name) => name === value);
  return dataset ? { dataset } : { dataset: "cifar10", source: resolve(value) };
}

interface InitOptions {
  name?: string;
  data: string;
  protocol: "validation" | "paper";
  trainImages?: number;
}

/** Enough for a ranking of nets in seconds rather than minutes each on a processor. */
const CPU_TRAIN_IMAGES = 10_000;

export async function initCommand(context: Context, folder: string | undefined, options: InitOptions): Promise<void> {
  const dir = folder ?? context.asked ?? ".";
  const name = options.name ?? studyName(basename(resolve(dir)));
  const paper = options.protocol === "paper";
  const chosen = await chooseData(context, options.data, paper);
  const { dataset } = chosen.data;
  const cpuImages = !paper && dataset !== "digits" && !hasGpu() ? CPU_TRAIN_IMAGES : null;
  const trainImages = options.trainImages ?? cpuImages;
  const input: StudyConfigInput = {
    name,
    data: chosen.data,
    protocol: {
      ...(paper ? PAPER.protocol : dataset === "digits" ? DIGITS_PROTOCOL : {}),
      ...(trainImages === null ? {} : { trainImages }),
    },
    ...(paper ? { novelty: PAPER.novelty, admission: PAPER.admission, tuner: PAPER.tuner } : {}),
  };
  createStudy(dir, input);
  const file = resolve(dir, STUDY_FILE);
  if (context.json) printJson({ type: "study", file, config: parseStudyConfig(JSON.stringify(input), file) });
  else {
    const notes = [...chosen.notes];
    if (options.trainImages === undefined && cpuImages) {
      notes.push(`No GPU was found: each net trains on ${cpuImages} images (protocol.trainImages in ${STUDY_FILE}).`);
    }
    printText([`Made ${file}`, ...notes, `Next: netwright cycle --study ${dir}`].join("\n"));
  }
}

/** The digits are few: small batches give an epoch enough steps to learn from. */
const DIGITS_PROTOCOL = { batch: 16 };

/** `auto` is CIFAR-10 where it can be had, else the digits that scikit-learn carries, and says which. */
async function chooseData(
  context: Context,
  data: string,
  paper: boolean,
): Promise<{ data: StudyConfigInput["data"]; notes: string[] }> {
  if (data !== "auto") return { data: dataOption(data), notes: [] };
  const wanted = { dataset: "cifar10" } as const;
  try {
    const config = parseStudyConfig(
      JSON.stringify({ name: "probe", data: wanted, protocol: { name: paper ? "paper" : "validation" } }),
      "auto",
    );
    await prepareStudyData(config, process.cwd(), context.emit, context.signal);
    return { data: wanted, notes: [] };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const why = error.message.split("\n")[0];
    return {
      data: { dataset: "digits" },
      notes: [
        `CIFAR-10 cannot be had here (${why})`,
        "so the study uses the 1,797 handwritten digits that come with scikit-learn. To use CIFAR-10 from a file: netwright init DIR --data FILE",
      ],
    };
  }
}

function studyName(folder: string): string {
  const name = folder.replaceAll(/[^A-Za-z0-9_-]/g, "-").replace(/^[^A-Za-z]+/, "");
  return name.slice(0, 40) || "study";
}

export async function setupCommand(context: Context, options: { dryRun?: boolean }): Promise<void> {
  const { emit, signal } = context;
  const dir = context.studyDir();
  const config = dir ? readStudyConfig(dir) : null;
  if (options.dryRun) {
    const parts = await missingParts(config, dir, signal);
    if (context.json) printJson({ type: "missing", parts });
    else
      printText(parts.length === 0 ? "Everything is there." : parts.map(({ what }) => `missing: ${what}`).join("\n"));
    return;
  }
  await installPython(emit, signal);
  const designer = await installDesigner(config?.designer ?? null, emit, signal);
  if (config && dir) await prepareStudyData(config, dir, emit, signal);
  if (context.json) printJson({ type: "setup", home: netwrightHome(), designer });
  else printText(`Ready. Designer: ${designer}. Everything lies in ${netwrightHome()}`);
}

export async function doctorCommand(context: Context): Promise<void> {
  const findings = await diagnose(context.studyDir(), context.signal);
  if (context.json) printJson(findings);
  else {
    const marks = { ok: "ok     ", note: "note   ", missing: "missing" };
    printText(
      findings
        .map((f) => `${marks[f.state]}  ${f.what}: ${f.found}${f.remedy ? `\n         ${f.remedy}` : ""}`)
        .join("\n"),
    );
  }
  if (findings.some((f) => f.state === "missing")) process.exitCode = 1;
}
