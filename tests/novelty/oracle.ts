import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";

/** Asks oracle.py. */
export function oracle<Answer>(python: string, request: object): Answer[] {
  const script = join(import.meta.dirname, "oracle.py");
  const output = execFileSync(python, [script], { input: JSON.stringify(request), maxBuffer: 2 ** 28 });
  return JSON.parse(output.toString()) as Answer[];
}

/** Whether this Python has datasketch; says so where it has not. */
export function hasDatasketch(python: string): boolean {
  const found = spawnSync(python, ["-c", "import datasketch"]).status === 0;
  if (!found) console.warn(`Left out: the comparison with datasketch, which ${python} has not installed.`);
  return found;
}
