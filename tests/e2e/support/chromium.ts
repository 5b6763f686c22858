/** The browser: the machine's own, else a headless one from npm, installed once outside this folder. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { chromiumForTests } from "../../webview/page.ts";
import { CACHE } from "./code-server.ts";

const VERSION = "153.0.0";

/** Null where there is neither: npm has one for Linux on x64 alone. */
export async function ensureChromium(say: (line: string) => void): Promise<string | null> {
  const own = chromiumForTests();
  if (own || process.platform !== "linux" || process.arch !== "x64") return own;
  const folder = join(CACHE, `chromium-${VERSION}`);
  const entry = join(folder, "node_modules", "@sparticuz", "chromium", "build", "index.js");
  if (!existsSync(entry)) {
    say("Installing a headless Chromium for the tests in an editor (once) ...");
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, "package.json"),
      JSON.stringify({ private: true, dependencies: { "@sparticuz/chromium": VERSION } }),
    );
    await promisify(execFile)("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], {
      cwd: folder,
    });
  }
  const { default: chromium } = (await import(pathToFileURL(entry).href)) as {
    default: { executablePath(): Promise<string> };
  };
  return chromium.executablePath();
}
