/** What designed and trained last, so that a study that rests can say what it works with. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeAtomically } from "./atomic.ts";
import type { Activity } from "./protocol.ts";

type Ready = Pick<Activity, "designer" | "trainer">;

const schema = z.object({
  designer: z.custom<Ready["designer"]>((value) => value === null || typeof value === "object"),
  trainer: z.custom<Ready["trainer"]>((value) => value === null || typeof value === "object"),
});

const fileOf = (stateDir: string) => join(stateDir, "ready.json");

/** Both null when nothing ran yet, or what was written cannot be read. */
export function lastReady(stateDir: string): Ready {
  try {
    return schema.parse(JSON.parse(readFileSync(fileOf(stateDir), "utf8")));
  } catch {
    return { designer: null, trainer: null };
  }
}

/** A study that cannot be written to shows it elsewhere: this is for display. */
export function rememberReady(stateDir: string, { designer, trainer }: Ready): void {
  try {
    writeAtomically(fileOf(stateDir), JSON.stringify({ designer, trainer }));
  } catch {}
}
