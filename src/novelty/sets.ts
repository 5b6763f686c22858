import { mix32 } from "./hash.ts";

/** A set of 32-bit hashes, ascending and without repeats: what both measures make of a net. */
export type HashSet = Uint32Array;

/** The set of the given hashes; repeats count once. */
export function setOf(hashes: Iterable<number>): HashSet {
  const sorted = Uint32Array.from(hashes).sort();
  let length = 0;
  for (let i = 0; i < sorted.length; i++) {
    if (i === 0 || sorted[i] !== sorted[i - 1]) sorted[length++] = sorted[i] as number;
  }
  return sorted.slice(0, length);
}

/**
 * The set of (hash, k-th occurrence) of a multiset of hashes. The plain Jaccard similarity of two such sets is the weighted
 * Jaccard similarity of the multisets, sum of the minima over sum of the maxima of the counts, so one index serves both.
 */
export function setOfMultiset(hashes: Iterable<number>): HashSet {
  const counts = new Map<number, number>();
  const occurrences: number[] = [];
  for (const hash of hashes) {
    const k = counts.get(hash) ?? 0;
    counts.set(hash, k + 1);
    occurrences.push(mix32(hash ^ mix32(k)));
  }
  return setOf(occurrences);
}

/** |a and b| / |a or b|; 1 for two empty sets. */
export function jaccard(a: HashSet, b: HashSet): number {
  let shared = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const x = a[i] as number;
    const y = b[j] as number;
    // Added, not branched on: which is smaller cannot be predicted.
    shared += Number(x === y);
    i += Number(x <= y);
    j += Number(y <= x);
  }
  const either = a.length + b.length - shared;
  return either === 0 ? 1 : shared / either;
}
