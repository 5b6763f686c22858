/** What both providers are told alike, so that the same question under the same seed means the same thing to each. */

/** Likeliest tokens that top-p and min-p choose from. Named because the two providers' own defaults may part one day. */
export const TOP_K = 40;

/** A seed both providers honour: in 0 .. 2^31 - 2, as all ones means "random" to llama.cpp and -1 to Ollama. */
export function usableSeed(seed: number): number {
  const range = 2 ** 31 - 1;
  return ((Math.trunc(seed) % range) + range) % range;
}
