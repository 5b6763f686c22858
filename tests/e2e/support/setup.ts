/** Before all tests in the editor: the packed extension, the editor, the browser. */
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import type { TestProject } from "vitest/node";
import { ensureChromium } from "./chromium.ts";
import { ensureCodeServer } from "./code-server.ts";
import { OUTPUT } from "./workbench.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Null where the tests are left out. */
    editor: { entry: string; browser: string; vsix: string } | null;
  }
}

const root = resolve(import.meta.dirname, "../../..");

export default async function setup(project: TestProject): Promise<void> {
  rmSync(OUTPUT, { recursive: true, force: true });
  mkdirSync(OUTPUT, { recursive: true });
  project.provide("editor", await parts());
}

async function parts() {
  const say = (line: string) => process.stderr.write(`${line}\n`);
  try {
    const browser = await ensureChromium(say);
    if (browser === null) return null;
    const entry = await ensureCodeServer(say);
    return { entry, browser, vsix: pack() };
  } catch (error) {
    const notes = process.env.NETWRIGHT_TEST_NOTES;
    const why = String((error as Error).message).split("\n")[0];
    if (notes) appendFileSync(notes, `Left out: tests in a real editor (${why}). They need npm and its registry.\n`);
    return null;
  }
}

/** The VSIX of this machine's platform: with the embedded model's program where there is one. */
function pack(): string {
  const target = `${process.platform}-${process.arch}`;
  execFileSync(process.execPath, ["scripts/package.mjs", target], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const { name, version } = JSON.parse(readFileSync(resolve(root, "package.json"), "utf8")) as Record<string, string>;
  return resolve(root, "dist", `${name}-${version}-${target}.vsix`);
}
