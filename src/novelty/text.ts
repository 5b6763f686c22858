import { Hasher, mix32 } from "./hash.ts";
import { pythonTokens } from "./python-tokens.ts";
import { type HashSet, setOf } from "./sets.ts";

/** Tokens in one shingle, as in arXiv 2601.02997. */
const SHINGLE = 10;

/**
 * The `text` measure: the set of hashed 10-grams of the module's normalised tokens. Repeats count once. Code of fewer than ten
 * tokens is one shingle, so equal short modules are equal too.
 */
export function textSet(code: string): HashSet {
  const tokens = pythonTokens(code);
  const known = new Map<string, number>();
  const hashes = tokens.map((token) => {
    const hash = known.get(token) ?? new Hasher().addText(token).value;
    known.set(token, hash);
    return hash | 0;
  });
  const shingles: number[] = [];
  for (let start = 0; start === 0 || start + SHINGLE <= hashes.length; start++) {
    let shingle = 0;
    for (const hash of hashes.slice(start, start + SHINGLE)) shingle = mix32(Math.imul(shingle, 31) + hash);
    shingles.push(shingle);
  }
  return setOf(shingles);
}
