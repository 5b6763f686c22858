import { renameSync, rmSync, writeFileSync } from "node:fs";

/** Writes a file whole or not at all: what was there stays until the new text is on the disk. */
export function writeAtomically(file: string, text: string): void {
  const partial = `${file}.partial`;
  try {
    writeFileSync(partial, text, { flush: true });
    renameSync(partial, file);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
}
