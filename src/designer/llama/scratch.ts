/** Where the model's process puts what it needs for a moment. It may be killed then, so whoever outlives it clears up. */
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const scratchFolder = (pid: number): string => join(tmpdir(), `netwright-llama-${pid}`);

export function removeScratch(pid: number): void {
  try {
    rmSync(scratchFolder(pid), { recursive: true, force: true });
  } catch {
    // Somebody else's, or a disk that cannot be written: nothing depends on it.
  }
}
