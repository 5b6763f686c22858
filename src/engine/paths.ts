/** Where the installed parts and the user's downloads lie. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of this installation: the nearest one upward with the Python package, from the sources and from the bundle alike. */
export const installation: string = (() => {
  for (let dir = dirname(fileURLToPath(import.meta.url)); ; dir = dirname(dir)) {
    if (existsSync(join(dir, "python", "netwright"))) return dir;
    if (dirname(dir) === dir) throw new Error("this installation is incomplete: its python folder is missing");
  }
})();

/** Folder put on PYTHONPATH for the worker. */
export const pythonPackage: string = join(installation, "python");

/** What is shared by all studies of this user: the Python environment, models, prepared data. */
export function netwrightHome(): string {
  const { NETWRIGHT_HOME, XDG_DATA_HOME } = process.env;
  if (NETWRIGHT_HOME) return NETWRIGHT_HOME;
  return join(XDG_DATA_HOME || join(homedir(), ".local", "share"), "netwright");
}
