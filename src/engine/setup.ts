/** What a study needs to be there before it can run: what is missing, and installing it. */
import { join, resolve } from "node:path";
import {
  type Choice,
  chooseDesigner,
  type DesignerReport,
  hasModel,
  listDesigners,
  pullModel,
  suitableName,
} from "../designer/index.ts";
import { DEFAULT_EMBEDDED_MODEL, ensureModel } from "../designer/models.ts";
import { protocolOf, type StudyConfig } from "../study/config.ts";
import { UserError } from "../study/ports.ts";
import { isPrepared, prepareData } from "../trainer/data.ts";
import { gpuFiles } from "../trainer/devices.ts";
import { ensurePython, installedPython } from "../trainer/environment.ts";
import { requirePlatform } from "../trainer/index.ts";
import type { Emit } from "./events.ts";
import { netwrightHome, pythonPackage } from "./paths.ts";

export interface MissingPart {
  what: string;
  /** About what it takes on disk; null: unknown. */
  bytes: number | null;
}

/** Bytes of the data sets as they are fetched; scikit-learn carries the digits. */
const DATA_BYTES = { cifar10: 170_498_071, "fashion-mnist": 30_878_645, digits: 0 } as const;

/** Shows the progress of a part that is being set up. */
export const show = (emit: Emit) => (p: { what: string; done: number; total: number | null; unit: string }) =>
  emit({ type: "setup", ...p });

/** Whether this machine has a GPU that nets could train on, told without starting Python. */
export function hasGpu(): boolean {
  return gpuFiles().length > 0;
}

/** What would be installed or fetched. Quick: no Python is started. `config` null: what every study needs. */
export async function missingParts(
  config: StudyConfig | null,
  dir: string | null,
  signal: AbortSignal,
): Promise<MissingPart[]> {
  requirePlatform(process.platform);
  const parts: MissingPart[] = [];
  const python = installedPython(netwrightHome(), pythonPackage);
  if (python.python === null) parts.push({ what: "A Python environment with PyTorch", bytes: python.bytes });
  const model = await missingModel(config?.designer ?? ANY_DESIGNER, signal);
  if (model) parts.push(model);
  const data = config && dir ? missingData(config, dir) : null;
  if (data) parts.push(data);
  return parts;
}

/** The study's data where it is still to be fetched or decoded; null where it is ready, or needs neither. */
export function missingData(config: StudyConfig, dir: string): MissingPart | null {
  const { dataset, source } = config.data;
  if (DATA_BYTES[dataset] === 0 || isPrepared(dataOptions(config, dir))) return null;
  return {
    what: `The data set ${dataset}${source ? `, from ${source}` : ""}`,
    bytes: source ? null : DATA_BYTES[dataset],
  };
}

const ANY_DESIGNER = { provider: "auto", model: null, host: null } as const;
type DesignerChoice = Pick<StudyConfig["designer"], "provider" | "model" | "host">;

async function missingModel(designer: DesignerChoice, signal: AbortSignal): Promise<MissingPart | null> {
  const choice = await chooseDesigner(designer, signal);
  const { ollama, embedded } = await listDesigners(designer.host, netwrightHome(), signal);
  if (choice.provider === "ollama") {
    if (choice.model === null || ollama.error || hasModel(ollama.models, choice.model)) return null;
    return { what: `The model ${choice.model}, through Ollama`, bytes: null };
  }
  const known = embedded.find(({ name }) => name === choice.model);
  return known && !known.installed ? { what: `The model ${known.title}`, bytes: known.bytes } : null;
}

export async function installPython(emit: Emit, signal: AbortSignal): Promise<{ python: string }> {
  requirePlatform(process.platform);
  return ensurePython(netwrightHome(), pythonPackage, show(emit), signal);
}

/** The model that an Ollama is asked for. @throws UserError as its list failed; "ollama-no-model" when none is named and none fits. */
export function ollamaModel(named: string | null, { address, error, models }: DesignerReport["ollama"]): string {
  if (error) throw new UserError(error.code, error.message);
  return named ?? suitableName(address, models);
}

/** Has the designer's model there, pulled or downloaded; answers what designs. @throws UserError as chooseDesigner, ollamaModel, pullModel. */
export async function installDesigner(config: DesignerChoice | null, emit: Emit, signal: AbortSignal): Promise<string> {
  const designer = config ?? ANY_DESIGNER;
  const choice: Choice = await chooseDesigner(designer, signal);
  if (choice.provider === "llama.cpp") {
    await ensureModel(choice.model ?? DEFAULT_EMBEDDED_MODEL, netwrightHome(), show(emit), signal);
    return `${choice.model}, embedded`;
  }
  const { ollama } = await listDesigners(designer.host, netwrightHome(), signal);
  const model = ollamaModel(choice.model, ollama);
  if (!hasModel(ollama.models, model)) await pullModel(designer.host, model, show(emit), signal);
  return `${model}, through Ollama at ${ollama.address}`;
}

function dataOptions(config: StudyConfig, dir: string) {
  const { dataset, validationImages, seed } = protocolOf(config);
  const { source } = config.data;
  return {
    dataset,
    source: source === null ? null : resolve(dir, source),
    dataDir: join(netwrightHome(), "data"),
    validationImages,
    seed,
  };
}

/** The study's data, fetched and decoded once. */
export async function prepareStudyData(config: StudyConfig, dir: string, emit: Emit, signal: AbortSignal) {
  const { python } = await installPython(emit, signal);
  const options = { ...dataOptions(config, dir), python, packageDir: pythonPackage, download: true };
  return { python, ...(await prepareData(options, show(emit), signal)) };
}
