/** Prints, once at the end of the run, what tests were left out for want of a real part (see parts.ts). */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), "netwright-notes-"));
  const file = join(folder, "notes");
  writeFileSync(file, "");
  process.env.NETWRIGHT_TEST_NOTES = file;
  return () => {
    const lines = new Set(readFileSync(file, "utf8").split("\n").filter(Boolean));
    for (const line of lines) process.stdout.write(`${line}\n`);
    rmSync(folder, { recursive: true });
  };
}
