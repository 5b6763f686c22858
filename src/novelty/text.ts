import { Hasher, mix32 } from "./hash.ts";
import { pythonTokens } from "./python-tokens.ts";
import { type HashSet, setOf } from "./sets.ts";

/** Tokens in one shingle, as in arXiv 2601.02997. */
const SHINGLE = 10;

/** The `text` measure: the set of hashed 10-grams of the module's normalised tokens. */
export function textSet(code: string): HashSet {
  return shingleSet(pythonTokens(code));
}

/** The set of hashed 10-grams of tokens. Repeats count once; fewer than ten tokens are one shingle. */
export function shingleSet(tokens: string[]): HashSet {
  const known = new Map<string, number>();
  const hashes = tokens.map((token) => {
    const hash = known.get(token) ?? new Hasher().addText(token).value;
    known.set(token, hash);
    return hash | 0;
  });
  const shingles: number[] = [];
  for (let start = 0; start === 0 || start + SHINGLE <= hashes.length; start++) {
    const end = Math.min(start + SHINGLE, hashes.length);
    let shingle = 0;
    for (let i = start; i < end; i++) shingle = mix32(Math.imul(shingle, 31) + (hashes[i] as number));
    shingles.push(shingle);
  }
  return setOf(shingles);
}
