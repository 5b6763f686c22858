/**
 * The real parts that tests use where they are there. Each returns a path, or null after noting what is left out for want of it and
 * how to run it; the notes are printed once, at the end of the run.
 */
import { appendFileSync, existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { netwrightHome } from "../../src/engine/paths.ts";

/** A Python with the worker's packages and the tests'. */
export function pythonForTests(): string | null {
  const usual = resolve(netwrightHome(), "python-test", "bin", "python");
  return part("NETWRIGHT_TEST_PYTHON", [usual], "tests with the real worker", "npm test (it installs the environment)");
}

/** A GGUF model file for the embedded designer. */
export function modelForTests(): string | null {
  const remedy = "netwright setup, or NETWRIGHT_TEST_MODEL=/path/to/model.gguf";
  return part("NETWRIGHT_TEST_MODEL", models(), "tests with a real embedded model", remedy);
}

/** An Ollama executable; tests start a server of their own with it. */
export function ollamaForTests(): string | null {
  return part(
    "NETWRIGHT_TEST_OLLAMA",
    [],
    "tests with a real Ollama server",
    "NETWRIGHT_TEST_OLLAMA=/path/to/the/ollama/executable",
  );
}

/** CIFAR-10 in one of the forms that a study's `data.source` takes, e.g. a zip of `train/<class>/*.jpg`. */
export function cifar10ForTests(): string | null {
  const remedy = "NETWRIGHT_TEST_CIFAR10=/path/to/cifar10 (a folder or a zip of train/<class>/*.jpg)";
  return part("NETWRIGHT_TEST_CIFAR10", [], "tests on the real CIFAR-10", remedy);
}

function models(): string[] {
  const folder = resolve(netwrightHome(), "models");
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).filter((name) => name.endsWith(".gguf"));
  return names.sort().map((name) => join(folder, name));
}

/** @throws when the variable names what is not there: a mistake must not pass for an absence. */
function part(variable: string, usual: string[], leftOut: string, remedy: string): string | null {
  const named = process.env[variable];
  if (named && !existsSync(named)) throw new Error(`${variable} names ${named}, which is not there`);
  const found = named || usual.find((path) => existsSync(path));
  if (found) return found;
  const notes = process.env.NETWRIGHT_TEST_NOTES;
  if (notes) appendFileSync(notes, `Left out: ${leftOut}. To run them: ${remedy}\n`);
  return null;
}
