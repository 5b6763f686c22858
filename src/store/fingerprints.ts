/** The novelty index's derived data, as opaque bytes. Fits the index's port of the same shape. */
import type { Similarity } from "../study/types.ts";
import type { Database } from "./database.ts";

type Measure = keyof Similarity;

export class Fingerprints {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Every stored signature of a measure in this version, oldest candidate first. */
  signatures(measure: Measure, version: number): { id: number; signature: Uint8Array }[] {
    return this.#db.all(
      `SELECT candidate AS id, ${measure} AS signature FROM signatures WHERE version = ? ORDER BY candidate`,
      version,
    );
  }

  /** The hashes of one candidate. @throws RangeError when there are none. */
  hashes(measure: Measure, id: number): Uint8Array {
    const row = this.#db.get<{ hashes: Uint8Array }>(`SELECT ${measure} AS hashes FROM hashes WHERE candidate = ?`, id);
    if (!row) throw new RangeError(`There are no fingerprints of candidate ${id}.`);
    return row.hashes;
  }

  /** Writes both fingerprints of a candidate, or neither; replaces those that are there. */
  put(id: number, version: number, fingerprints: Record<Measure, { hashes: Uint8Array; signature: Uint8Array }>): void {
    const { text, structure } = fingerprints;
    this.#db.transaction(() => {
      this.#db.run(
        "INSERT OR REPLACE INTO signatures (candidate, version, text, structure) VALUES (?, ?, ?, ?)",
        id,
        version,
        text.signature,
        structure.signature,
      );
      this.#db.run(
        "INSERT OR REPLACE INTO hashes (candidate, text, structure) VALUES (?, ?, ?)",
        id,
        text.hashes,
        structure.hashes,
      );
    });
  }
}
