import { execFileSync } from "node:child_process";
import { join } from "node:path";

/** Asks oracle.py. */
export function oracle<Answer>(python: string, request: object): Answer[] {
  const script = join(import.meta.dirname, "oracle.py");
  const output = execFileSync(python, [script], { input: JSON.stringify(request), maxBuffer: 2 ** 28 });
  return JSON.parse(output.toString()) as Answer[];
}
