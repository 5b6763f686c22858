/** The editor that the tests drive: code-server (VS Code in a browser) from npm, installed once outside this folder. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";

/** VS Code 1.139.1. */
const VERSION = "4.139.1";
const run = promisify(execFile);

/** Where what the tests install lies. */
export const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "netwright-test");

/** The program to start, as an argument for Node. Installs it when it is not there: a minute, from npm alone. */
export async function ensureCodeServer(say: (line: string) => void): Promise<string> {
  const folder = join(CACHE, `code-server-${VERSION}`);
  const entry = join(folder, "node_modules", "code-server", "out", "node", "entry.js");
  if (existsSync(entry)) return entry;
  say(`Installing code-server ${VERSION} for the tests in an editor (once) ...`);
  mkdirSync(CACHE, { recursive: true });
  // Made beside its place and then moved there: a half-made one is never taken for a whole one, and two at once do no harm.
  const partial = mkdtempSync(join(CACHE, "installing-"));
  try {
    writeFileSync(
      join(partial, "package.json"),
      JSON.stringify({ private: true, dependencies: { "code-server": VERSION } }),
    );
    await npm(partial, "install", "--ignore-scripts");
    const vscode = join(partial, "node_modules", "code-server", "lib", "vscode");
    await npm(vscode, "install", "--omit=dev", "--ignore-scripts");
    await npm(join(vscode, "extensions"), "install", "--omit=dev", "--ignore-scripts");
    // Native helpers, which it can do without: built where there is a compiler.
    await npm(vscode, "rebuild", "@vscode/spdlog", "@vscode/native-watchdog").catch(() => undefined);
    if (!existsSync(folder)) renameSync(partial, folder);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  return entry;
}

/** Whether it could build what it writes its logs with. */
export function writesLogs(entry: string): boolean {
  const helper = "../../../lib/vscode/node_modules/@vscode/spdlog/build/Release/spdlog.node";
  return existsSync(resolve(entry, helper));
}

async function npm(cwd: string, ...args: string[]): Promise<void> {
  // Headers for native builds lie beside the Node that npm packages brought; one from elsewhere has its own.
  const node = dirname(dirname(process.execPath));
  const headers = existsSync(join(node, "include", "node", "node.h")) ? { npm_config_nodedir: resolve(node) } : {};
  await run("npm", [...args, "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd,
    env: { ...process.env, ...headers },
    maxBuffer: 2 ** 26,
  });
}
