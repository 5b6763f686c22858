/** The nets that ship with the project: the first things seen, and the first exemplars. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { StudyStore } from "../store/store.ts";
import { pythonPackage } from "./paths.ts";

/** Puts the seeds into cycle 0 of a study that lacks them. */
export function addSeeds(store: StudyStore): void {
  const folder = join(pythonPackage, "seeds");
  const known = new Set(store.list({ cycle: 0 }).map((c) => c.name));
  for (const file of readdirSync(folder).sort()) {
    const name = basename(file, ".py");
    if (!file.endsWith(".py") || file.startsWith("_") || known.has(name)) continue;
    const code = readFileSync(join(folder, file), "utf8");
    store.addCandidate({ cycle: 0, name, mode: "seed", parent: null, seed: 0, idea: null, code });
  }
}
