/** Which nets the designer is shown. Varied, not always the best: always showing the best makes it copy one family. */
import { decisionAccuracy } from "./admission.ts";
import type { Candidate } from "./types.ts";

/** Nets that may be shown: accepted ones and seeds, valid and trained. */
export function exemplarPool(candidates: readonly Candidate[]): Candidate[] {
  return candidates.filter(
    (c) =>
      c.outcome === "valid" &&
      decisionAccuracy(c.accuracy) !== null &&
      c.accepted !== false &&
      (c.accepted || c.cycle === 0),
  );
}

/** Draws up to `count` different nets, better ones more often: rank r of n (best first) has weight n - r + n / 2. */
export function drawExemplars(pool: readonly Candidate[], count: number, random: () => number): Candidate[] {
  const left = [...pool].sort((a, b) => (decisionAccuracy(b.accuracy) ?? 0) - (decisionAccuracy(a.accuracy) ?? 0));
  const drawn: Candidate[] = [];
  while (drawn.length < count && left.length > 0) {
    const weights = left.map((_, rank) => 1.5 * left.length - rank);
    let target = random() * weights.reduce((sum, w) => sum + w, 0);
    let chosen = left.length - 1;
    for (const [rank, weight] of weights.entries()) {
      target -= weight;
      if (target < 0) {
        chosen = rank;
        break;
      }
    }
    drawn.push(...left.splice(chosen, 1));
  }
  return drawn;
}

/** What went wrong lately, most frequent first, each once: lines for the prompt, at most `count`. */
export function lessons(candidates: readonly Candidate[], count: number): string[] {
  const frequency = new Map<string, number>();
  for (const { outcome, error } of candidates) {
    if (!outcome || outcome === "valid" || outcome === "no-code" || !error) continue;
    const line = `${outcome}: ${error.message}`;
    frequency.set(line, (frequency.get(line) ?? 0) + 1);
  }
  return [...frequency]
    .sort((a, b) => b[1] - a[1])
    .slice(0, count)
    .map(([line]) => line);
}
