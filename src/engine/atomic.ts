import { renameSync, writeFileSync } from "node:fs";

/** Writes a file whole or not at all: what was there stays until the new text is on the disk. */
export function writeAtomically(file: string, text: string): void {
  writeFileSync(`${file}.partial`, text, { flush: true });
  renameSync(`${file}.partial`, file);
}
