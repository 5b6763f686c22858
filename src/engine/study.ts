/** A study's folder: `netwright.json`, and its state under `.netwright/`. */
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { openStore, type StudyStore } from "../store/store.ts";
import { parseStudyConfig, type StudyConfig, type StudyConfigInput } from "../study/config.ts";
import { UserError } from "../study/ports.ts";
import { writeAtomically } from "./atomic.ts";
import { fileError } from "./file-error.ts";

export const STUDY_FILE = "netwright.json";

export interface Study {
  dir: string;
  /** Where its state lives. */
  stateDir: string;
  config: StudyConfig;
  store: StudyStore;
  close(): void;
}

/** The nearest folder from `start` upward that holds a `netwright.json`; null when there is none. */
export function findStudy(start: string): string | null {
  for (let dir = resolve(start); ; dir = dirname(dir)) {
    if (existsSync(join(dir, STUDY_FILE))) return dir;
    if (dirname(dir) === dir) return null;
  }
}

/** Reads a study's configuration; a model file that it names is found beside it. @throws UserError "no-study", "study-config". */
export function readStudyConfig(dir: string): StudyConfig {
  const file = join(dir, STUDY_FILE);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw fileError(error, `read ${file}`);
    throw new UserError("no-study", `There is no ${STUDY_FILE} in ${dir}. Make a study with: netwright init ${dir}`);
  }
  const config = parseStudyConfig(text, file);
  const { designer } = config;
  if (designer.model === null || designer.provider === "ollama") return config;
  return { ...config, designer: { ...designer, model: modelIn(dir, designer.model) } };
}

/** A model that is a file in the study's folder, by its whole path: engines are started anywhere. Other names are what they are. */
function modelIn(dir: string, name: string): string {
  const file = resolve(dir, name);
  return statSync(file, { throwIfNoEntry: false })?.isFile() ? file : name;
}

/** Opens a study for reading and reviewing; the loop needs {@link lockStudy} besides. */
export function openStudy(dir: string): Study {
  const config = readStudyConfig(dir);
  const stateDir = join(dir, ".netwright");
  try {
    mkdirSync(stateDir, { recursive: true });
  } catch (error) {
    throw fileError(error, `write to ${dir}`);
  }
  const store = openStore(join(stateDir, "study.db"));
  return { dir, stateDir, config, store, close: () => store.close() };
}

/** Makes a study. @throws UserError "study-exists" when the folder already is one. */
export function createStudy(dir: string, input: StudyConfigInput): void {
  const file = join(dir, STUDY_FILE);
  if (existsSync(file))
    throw new UserError("study-exists", `${file} is already there. Edit it, or choose another folder.`);
  const text = `${JSON.stringify(input, null, 2)}\n`;
  parseStudyConfig(text, file);
  try {
    mkdirSync(dir, { recursive: true });
    writeAtomically(file, text);
  } catch (error) {
    throw fileError(error, `write ${file}`);
  }
}
