/** One engine per study. The lock is an open SQLite transaction: the system gives it up when its holder dies, however it dies. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { UserError } from "../study/ports.ts";
import { fileError } from "./file-error.ts";

export interface Lock {
  release(): void;
}

/** @throws UserError "study-busy" when another engine works on this study, "disk-full", "file". */
export function lockStudy(stateDir: string): Lock {
  try {
    return lock(stateDir);
  } catch (error) {
    throw error instanceof UserError ? error : fileError(error, `lock the study in ${stateDir}`);
  }
}

function lock(stateDir: string): Lock {
  mkdirSync(stateDir, { recursive: true });
  const database = new DatabaseSync(join(stateDir, "engine.lock"));
  const holderFile = join(stateDir, "engine.pid");
  try {
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    writeFileSync(holderFile, String(process.pid));
  } catch (error) {
    database.close();
    if (!/database is locked/.test((error as Error).message)) throw error;
    throw new UserError(
      "study-busy",
      `Another engine is working on this study${describeHolder(holderFile)}. Wait for it, or stop it, then try again.`,
    );
  }
  return {
    release() {
      database.close();
    },
  };
}

function describeHolder(holderFile: string): string {
  try {
    return ` (process ${readFileSync(holderFile, "utf8")})`;
  } catch {
    return "";
  }
}
