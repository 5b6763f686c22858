import { packSignature, type Signature } from "./minhash.ts";
import type { HashSet } from "./sets.ts";

/**
 * Marks the definition of both measures and of the signature. To be raised with any change to them: fingerprints of another
 * version are of no use and are computed anew from the candidates.
 */
export const FINGERPRINT_VERSION = 1;

export type Measure = "text" | "structure";

/** What is stored of a net under one measure; opaque to the store. */
export interface Fingerprint {
  /** All elements of the set, for the exact comparison: 4 bytes each. */
  hashes: Uint8Array;
  /** What the index keeps in memory: 300 bytes. */
  signature: Uint8Array;
}

/** Where fingerprints are kept. They are derived data: a candidate's can be computed again at any time. */
export interface FingerprintStore {
  /** Every stored signature of a measure in this version, oldest candidate first. Read to its end at once. */
  signatures(measure: Measure, version: number): Iterable<{ id: number; signature: Uint8Array }>;
  /** The hashes of one candidate that `signatures` gave or `put` wrote. */
  hashes(measure: Measure, id: number): Uint8Array;
  /** Writes both fingerprints of a candidate, or neither; replaces those of another version. */
  put(id: number, version: number, fingerprints: Record<Measure, Fingerprint>): void;
}

export function fingerprintOf(set: HashSet, signature: Signature): Fingerprint {
  return { hashes: new Uint8Array(set.buffer, set.byteOffset, set.byteLength), signature: packSignature(signature) };
}

/** The set in a fingerprint's hashes. */
export function setFrom(hashes: Uint8Array): HashSet {
  return new Uint32Array(new Uint8Array(hashes).buffer);
}

/** Fingerprints in memory, for archives that live no longer than the process. */
export class MemoryFingerprints implements FingerprintStore {
  readonly #rows = new Map<number, { version: number; fingerprints: Record<Measure, Fingerprint> }>();

  *signatures(measure: Measure, version: number): Iterable<{ id: number; signature: Uint8Array }> {
    for (const [id, row] of this.#rows) {
      if (row.version === version) yield { id, signature: row.fingerprints[measure].signature };
    }
  }

  hashes(measure: Measure, id: number): Uint8Array {
    const row = this.#rows.get(id);
    if (!row) throw new RangeError(`No fingerprints of candidate ${id}.`);
    return row.fingerprints[measure].hashes;
  }

  put(id: number, version: number, fingerprints: Record<Measure, Fingerprint>): void {
    this.#rows.set(id, { version, fingerprints });
  }
}
