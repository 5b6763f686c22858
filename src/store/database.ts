/** One SQLite file: opened, migrated, and every failure of it told in words that name the next step. */
import { accessSync, constants, mkdirSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { UserError } from "../study/ports.ts";

/** "nwgt": marks the file as ours (https://sqlite.org/pragma.html#pragma_application_id). */
const APPLICATION_ID = 0x6e776774;
/** How long a client waits for another one's write. Writes here are single rows: far below this. */
const BUSY_MILLISECONDS = 10_000;

/** Result codes of SQLite (https://sqlite.org/rescode.html); extended codes carry them in their low byte. */
const [PERM, BUSY, LOCKED, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB] = [3, 5, 6, 8, 10, 11, 13, 14, 26];

export class Database {
  readonly file: string;
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #inTransaction = false;

  /**
   * Opens `file` (made, with its folder, where missing) and brings it to the newest schema: `migrations[n]` is SQL that leads
   * from version n to n + 1. A file that is not ours, newer, or damaged is refused and left as it is.
   * @throws UserError "store-newer", "store-foreign", "store-damaged", "store-unreadable", "store-busy", "disk-full", "read-only"
   */
  constructor(file: string, migrations: readonly string[]) {
    this.file = file;
    this.#db = this.#guard(() => {
      mkdirSync(dirname(file), { recursive: true });
      return new DatabaseSync(file);
    });
    try {
      this.#guard(() => this.#prepare(migrations));
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  #prepare(migrations: readonly string[]): void {
    this.#db.exec(`PRAGMA busy_timeout = ${BUSY_MILLISECONDS}`);
    this.#version(migrations.length);
    // FULL: in WAL mode only this makes a commit survive a power cut.
    this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    while (this.#version(migrations.length) < migrations.length) {
      this.transaction(() => {
        // Read again under the lock: another client may have migrated meanwhile.
        const version = this.#version(migrations.length);
        const sql = migrations[version];
        if (sql === undefined) return;
        this.#db.exec(`${sql}; PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${version + 1}`);
      });
    }
  }

  /** Schema version of the file, once it is known to be ours and not newer. */
  #version(newest: number): number {
    const version = this.#pragma("user_version");
    const application = this.#pragma("application_id");
    const empty = this.#db.prepare("SELECT count(*) AS n FROM sqlite_schema").get()?.n === 0;
    if (!empty && application !== APPLICATION_ID) {
      throw new UserError(
        "store-foreign",
        `${this.file} is the database of another program; it was left as it is. Move it away, or choose another study folder.`,
      );
    }
    if (version > newest) {
      throw new UserError(
        "store-newer",
        `${this.file} was written by a newer Netwright (schema ${version}; this one knows ${newest}). Update Netwright to use this study.`,
      );
    }
    return version;
  }

  #pragma(name: "user_version" | "application_id" | "data_version"): number {
    return Number(this.#db.prepare(`PRAGMA ${name}`).get()?.[name]);
  }

  /** Runs `sql` once. Returns the number of rows it changed and the id of the row it added. */
  run(sql: string, ...values: SQLInputValue[]): { changes: number; id: number } {
    const { changes, lastInsertRowid } = this.#guard(() => this.#statement(sql).run(...values));
    return { changes: Number(changes), id: Number(lastInsertRowid) };
  }

  /** Runs an update that must meet exactly one row: anything else is a mistake of the caller. */
  one(sql: string, ...values: SQLInputValue[]): void {
    const { changes } = this.run(sql, ...values);
    if (changes !== 1) throw new Error(`Expected to change one row, changed ${changes}: ${sql}`);
  }

  /** All rows of a query, in the shape that its SQL gives them. */
  all<Row>(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#guard(() => this.#statement(sql).all(...values)) as Row[];
  }

  get<Row>(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#guard(() => this.#statement(sql).get(...values)) as Row | undefined;
  }

  /** Does `work` wholly or not at all; within another transaction, as a part of that. */
  transaction<T>(work: () => T): T {
    if (this.#inTransaction) return work();
    // IMMEDIATE: what it reads cannot change before it writes.
    this.#guard(() => this.#db.exec("BEGIN IMMEDIATE"));
    this.#inTransaction = true;
    try {
      const result = work();
      this.#guard(() => this.#db.exec("COMMIT"));
      return result;
    } catch (error) {
      try {
        this.#db.exec("ROLLBACK");
      } catch {
        // SQLite has rolled back by itself, as it does when the disk is full.
      }
      throw error;
    } finally {
      this.#inTransaction = false;
    }
  }

  /** Another number after each commit of another connection; this one's own leave it as it is. */
  othersVersion(): number {
    return this.#guard(() => this.#pragma("data_version"));
  }

  close(): void {
    this.#db.close();
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw explain(error, this.file);
    }
  }
}

/** The UserError for a failure of the file or its disk; any other error as it is. */
function explain(error: unknown, file: string): unknown {
  if (!(error instanceof Error)) return error;
  const told = (code: string, message: string) => new UserError(code, message, { cause: error });
  switch (cause(error, file)) {
    case "full":
      return told(
        "disk-full",
        `The disk that holds ${file} is full; the last step was not recorded, all before it is kept. Free some space, then go on.`,
      );
    case "read-only":
      return told(
        "read-only",
        `${file} cannot be written: the file, its folder or its disk is read-only for this user. Make it writable, or move the study.`,
      );
    case "busy":
      return told(
        "store-busy",
        `Another process has kept ${file} locked for ${BUSY_MILLISECONDS / 1000} s. Wait for it, or stop it, then try again.`,
      );
    case "damaged":
      return told(
        "store-damaged",
        `${file} is damaged or not a database; it was left as it is. Restore it from a backup, or move it away (with its -wal and -shm files, if any) to begin the study anew.`,
      );
    case "io":
      return told(
        "disk-error",
        `The system could not read or write ${file}: ${error.message}. Check the disk (is it still attached?), then go on.`,
      );
    case "unreadable":
      return told(
        "store-unreadable",
        `${file} cannot be opened: ${error.message}. Check that it is a file, that this user may read and write it, and that its folder exists.`,
      );
    default:
      return error;
  }
}

function cause(error: Error & { errcode?: number; code?: string }, file: string): string | null {
  switch (error.errcode === undefined ? error.code : error.errcode & 0xff) {
    case FULL:
    case "ENOSPC":
    case "EDQUOT":
      return "full";
    case READONLY:
    case PERM:
    case "EROFS":
    case "EACCES":
    case "EPERM":
    // What Node says when it is to make folders on a read-only disk.
    case "ENOENT":
      return "read-only";
    case BUSY:
    case LOCKED:
      return "busy";
    case CORRUPT:
    case NOTADB:
      return "damaged";
    case IOERR:
      // A full disk also shows as failure to extend the shared-memory file.
      return diskFull(file) ? "full" : "io";
    case CANTOPEN:
      // Also what SQLite says when it cannot make the files beside the database.
      if (diskFull(file)) return "full";
      return folderReadOnly(file) ? "read-only" : "unreadable";
    case "EEXIST":
    case "ENOTDIR":
      return "unreadable";
    default:
      return null;
  }
}

function diskFull(file: string): boolean {
  try {
    return statfsSync(dirname(file)).bavail === 0;
  } catch {
    return false;
  }
}

function folderReadOnly(file: string): boolean {
  try {
    accessSync(dirname(file), constants.W_OK);
    return false;
  } catch {
    return true;
  }
}
