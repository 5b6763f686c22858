import { Hasher, mix32 } from "./hash.ts";
import type { HashSet } from "./sets.ts";

export const PERMUTATIONS = 256;

/**
 * The permutations x -> a x + b (mod 2^32), a odd. Drawn from a fixed generator: fingerprints of all runs and machines are
 * comparable. Affine maps are enough because the hashes that they permute are well mixed already.
 */
const MULTIPLIERS = new Int32Array(PERMUTATIONS);
const OFFSETS = new Int32Array(PERMUTATIONS);
for (let i = 0; i < PERMUTATIONS; i++) {
  MULTIPLIERS[i] = mix32(Math.imul(2 * i + 1, 0x9e3779b9)) | 1;
  OFFSETS[i] = mix32(Math.imul(2 * i + 2, 0x9e3779b9));
}

/**
 * MinHash values of a set, one for each permutation (Broder 1997): two sets agree in one place with a probability that is their
 * Jaccard similarity. Minima are of the values as signed integers.
 */
export function minHashes(set: HashSet): Int32Array {
  const minima = new Int32Array(PERMUTATIONS).fill(0x7fffffff);
  for (let k = 0; k < set.length; k++) {
    const x = set[k] as number;
    for (let i = 0; i < PERMUTATIONS; i++) {
      const value = (Math.imul(MULTIPLIERS[i] as number, x) + (OFFSETS[i] as number)) | 0;
      if (value < (minima[i] as number)) minima[i] = value;
    }
  }
  return minima;
}

/** 32-bit words of a signature: a byte of each MinHash value, a bit of each, the digest of the set and its size. */
const BYTE_WORDS = PERMUTATIONS / 4;
const BIT_WORDS = PERMUTATIONS / 32;
const WORDS = BYTE_WORDS + BIT_WORDS + 3;

/**
 * What an index keeps of a set: b-bit MinHash (Li and Koenig, WWW 2010) at b = 8 and, of the same permutations, at b = 1, each
 * bit drawn from a mixed value, so that unequal minima agree by chance alone.
 */
export interface Signature {
  /** PERMUTATIONS bytes, four in a word. */
  bytes: Int32Array;
  /** PERMUTATIONS bits, 32 in a word. */
  bits: Int32Array;
  /** Of all the elements: equal sets have equal digests. */
  digest: number;
  /** Elements of the set. */
  size: number;
}

export function signatureOf(set: HashSet): Signature {
  const bytes = new Int32Array(BYTE_WORDS);
  const bits = new Int32Array(BIT_WORDS);
  for (const [i, minimum] of minHashes(set).entries()) {
    const mixed = mix32(minimum);
    bytes[i >> 2] = (bytes[i >> 2] as number) | ((mixed & 0xff) << (8 * (i & 3)));
    bits[i >> 5] = (bits[i >> 5] as number) | ((mixed >>> 31) << (i & 31));
  }
  const digest = new Hasher();
  for (const element of set) digest.add(element);
  return { bytes, bits, digest: digest.value, size: set.length };
}

/** Bytes of a signature as it is stored (in the machine's own byte order). */
export function packSignature({ bytes, bits, digest, size }: Signature): Uint8Array {
  const words = new Int32Array(WORDS);
  words.set(bytes);
  words.set(bits, BYTE_WORDS);
  words.set([digest | 0, (digest / 0x1_0000_0000) | 0, size], BYTE_WORDS + BIT_WORDS);
  return new Uint8Array(words.buffer);
}

export function unpackSignature(stored: Uint8Array): Signature {
  const words = new Int32Array(new Uint8Array(stored).buffer);
  if (words.length !== WORDS) throw new RangeError(`A signature has ${4 * WORDS} bytes, not ${stored.length}.`);
  const [low = 0, high = 0, size = 0] = words.subarray(BYTE_WORDS + BIT_WORDS);
  return {
    bytes: words.subarray(0, BYTE_WORDS),
    bits: words.subarray(BYTE_WORDS, BYTE_WORDS + BIT_WORDS),
    digest: high * 0x1_0000_0000 + (low >>> 0),
    size,
  };
}

/** How many of the PERMUTATIONS bits agree, of words that start at `at` in `many`. */
export function agreeingBits(bits: Int32Array, many: Int32Array, at: number): number {
  let count = 0;
  for (let word = 0; word < BIT_WORDS; word++) {
    let x = (bits[word] as number) ^ (many[at + word] as number);
    x -= (x >>> 1) & 0x55555555;
    const nibbles = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
    count += (nibbles & 0x0f0f0f0f) + ((nibbles >>> 4) & 0x0f0f0f0f);
  }
  const halves = (count & 0x00ff00ff) + ((count >>> 8) & 0x00ff00ff);
  return PERMUTATIONS - ((halves & 0xffff) + (halves >>> 16));
}

/** How many of the PERMUTATIONS bytes agree, of words that start at `at` in `many`. */
export function agreeingBytes(bytes: Int32Array, many: Int32Array, at: number): number {
  let differing = 0;
  for (let word = 0; word < BYTE_WORDS; word++) {
    const x = (bytes[word] as number) ^ (many[at + word] as number);
    // The top bit of each byte that is not zero; each of the four byte-wide counters stays below 65.
    differing += ((((x & 0x7f7f7f7f) + 0x7f7f7f7f) | x) & 0x80808080) >>> 7;
  }
  const halves = (differing & 0x00ff00ff) + ((differing >>> 8) & 0x00ff00ff);
  return PERMUTATIONS - ((halves & 0xffff) + (halves >>> 16));
}

/** Jaccard similarity estimated from the number of agreeing bytes, without the agreements of chance; may be slightly below 0. */
export function similarityEstimate(agreeing: number): number {
  const chance = 1 / 256;
  return (agreeing / PERMUTATIONS - chance) / (1 - chance);
}
