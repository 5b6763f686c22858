// What every script starts from: npm packages installed, dist/ built, and a Node new enough for the engine. Plain JavaScript
// without dependencies, for Node 20: it runs before anything is installed.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** The first Node that has node:sqlite without a flag. */
const NEEDED = [22, 13];

const modules = join(root, "node_modules");
const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

export function say(line) {
  process.stderr.write(`${line}\n`);
}

/**
 * Runs a command with this terminal and resolves with its exit code, 128 + n after signal n. Termination is passed on; an interrupt
 * only where no terminal has given it to the command already. The command dies with this process.
 */
export function run(command, args, { stdout = "inherit", env = process.env, cwd = root } = {}) {
  const setpriv = process.platform === "linux" && onPath("setpriv");
  const tied = setpriv ? [setpriv, "--pdeathsig", "TERM", "--", command, ...args] : [command, ...args];
  const child = spawn(tied[0], tied.slice(1), { stdio: ["inherit", stdout, "inherit"], env, cwd });
  const handlers = Object.fromEntries(["SIGTERM", "SIGHUP", "SIGINT"].map((name) => [name, () => pass(name)]));
  function pass(name) {
    if (name !== "SIGINT" || !process.stdin.isTTY) child.kill(name);
  }
  for (const [name, handler] of Object.entries(handlers)) process.on(name, handler);
  return new Promise((resolve) => {
    child.on("error", (error) => {
      say(`Cannot run ${command}: ${error.message}`);
      resolve(1);
    });
    child.on("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  }).finally(() => {
    for (const [name, handler] of Object.entries(handlers)) process.off(name, handler);
  });
}

/** Like `run`, but ends this process with the command's exit code unless that is 0. */
export async function must(command, args, options) {
  const code = await run(command, args, options);
  if (code !== 0) process.exit(code);
}

/** Installs the npm packages when there are none, or the lock file is newer. */
export async function ensureModules() {
  if (modified(join(modules, ".package-lock.json")) >= modified(join(root, "package-lock.json"))) return;
  say("Installing npm packages (once) ...");
  await must("npm", ["ci", "--loglevel=error"], { stdout: process.stderr.fd, env: withoutOwnNode() });
}

/** npm replaces node_modules, so it must not run on the Node inside it. */
function withoutOwnNode() {
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => !folder.startsWith(modules));
  return { ...process.env, PATH: folders.join(delimiter) };
}

/** Builds dist/ when a source file is newer than any of what is built: programs, webviews and the schema come side by side. */
export async function ensureBuilt() {
  const folders = ["src", "webview"].map((name) => join(root, name));
  const files = folders.flatMap((folder) => readdirSync(folder, { recursive: true }).map((name) => join(folder, name)));
  const sources = [...folders, ...files, join(root, "scripts", "build.mjs"), join(modules, ".package-lock.json")];
  const built = ["cli.js", "webview/panel.js", "netwright.schema.json"].map((name) => join(root, "dist", name));
  if (Math.min(...built.map(modified)) > Math.max(...sources.map(modified))) return;
  await must(process.execPath, [join(root, "scripts", "build.mjs")], { stdout: process.stderr.fd });
}

export function isModern(version = process.versions.node) {
  const [major, minor] = version.split(".").map(Number);
  return major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1]);
}

/** This Node when it is new enough, else the one that comes with the npm packages. */
export function modernNode() {
  if (isModern()) return process.execPath;
  const own = join(modules, ".bin", "node");
  if (existsSync(own)) return own;
  say(
    `Netwright needs Node ${NEEDED.join(".")} or newer here; this is ${process.versions.node}. Install a newer Node, then run this again.`,
  );
  process.exit(1);
}

function onPath(name) {
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
}
