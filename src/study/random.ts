/** A seeded generator: the same seed draws the same study again. */

/** Mulberry32: uniform numbers in [0, 1) from a 32-bit seed (Tommy Ettinger, public domain). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A seed in [0, 2^31) for one candidate, far from its neighbours' whatever the numbers. */
export function candidateSeed(studySeed: number, cycle: number, position: number): number {
  let hash = 0x811c9dc5;
  for (const part of [studySeed, cycle, position]) {
    hash = Math.imul(hash ^ part, 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
    hash ^= hash >>> 13;
  }
  return hash >>> 1;
}
