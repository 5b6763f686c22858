/** Before all tests in the editor: the packed extension, the editor, the browser. */
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { chromium } from "playwright-core";
import type { TestProject } from "vitest/node";
import { CHROMIUM_ARGUMENTS } from "../../webview/page.ts";
import { ensureChromium } from "./chromium.ts";
import { ensureCodeServer } from "./code-server.ts";
import type { ServerOptions } from "./server.ts";
import { OUTPUT } from "./workbench.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Null where the tests are left out. */
    editor: EditorParts | null;
  }
}

const root = resolve(import.meta.dirname, "../../..");

/** Code-server's entry, a Chromium, the packed extension. */
export type EditorParts = Pick<ServerOptions, "entry" | "browser" | "vsix">;

export default async function setup(project: TestProject): Promise<void> {
  rmSync(OUTPUT, { recursive: true, force: true });
  mkdirSync(OUTPUT, { recursive: true });
  project.provide("editor", await editorParts());
}

/** What the editor is made of; null after saying what this machine lacks. @throws when the extension cannot be packed */
export async function editorParts(): Promise<EditorParts | null> {
  const browser = await found("a Chromium that starts", "apt-get install chromium, or NETWRIGHT_TEST_CHROMIUM", () =>
    workingChromium(),
  );
  const entry =
    browser &&
    (await found("code-server", "npm, and a registry that has it", () => ensureCodeServer((line) => say(line))));
  // What cannot be packed is a failure of this project, not of the machine.
  return browser && entry ? { entry, browser, vsix: pack() } : null;
}

const say = (line: string) => process.stderr.write(`${line}\n`);

/** What the machine has, or null after noting, for the end of the run, what is missing and how to get it. */
async function found(what: string, remedy: string, look: () => Promise<string>): Promise<string | null> {
  try {
    return await look();
  } catch (error) {
    const why = String((error as Error).message).split("\n")[0];
    const line = `Left out: ALL tests in a real editor, for want of ${what} (${why}). To run them: ${remedy}`;
    const notes = process.env.NETWRIGHT_TEST_NOTES;
    if (notes) appendFileSync(notes, `${line}\n`);
    say(line);
    return null;
  }
}

async function workingChromium(): Promise<string> {
  const executablePath = await ensureChromium((line) => say(line));
  if (executablePath === null) throw new Error("none is installed");
  const browser = await chromium.launch({ executablePath, args: CHROMIUM_ARGUMENTS });
  await browser.close();
  return executablePath;
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
