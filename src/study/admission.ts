/** Which candidates are duplicates, and which are proposed. Pure rules over recorded figures. */
import type { StudyConfig } from "./config.ts";
import type { Accuracy, Candidate, Outcome } from "./types.ts";

type Novelty = { text: number | null; structure: number | null };

/** The accuracy that decisions use: validation; under the `paper` protocol, which holds nothing out, test. */
export function decisionAccuracy(accuracy: Accuracy): number | null {
  return accuracy.validation ?? accuracy.test;
}

/** True when a gate of the study calls the net a duplicate: its similarity to something seen before reaches the gate. */
export function isDuplicate(novelty: Novelty, gates: StudyConfig["novelty"]): boolean {
  return (["text", "structure"] as const).some((measure) => {
    const gate = gates[measure];
    const value = novelty[measure];
    // 1 - (1 - s) is not always s in floating point: compare with a tolerance far below one shingle's weight.
    return gate !== null && value !== null && 1 - value >= gate - 1e-9;
  });
}

/** Structurally new against archive and cycle. */
export function isNew(novelty: Novelty): boolean {
  return novelty.structure !== null && novelty.structure > 0;
}

type Admitted = Pick<StudyConfig, "novelty" | "admission">;

/** Valid, and no duplicate by the study's gates. */
function isAdmissible(net: { outcome: Outcome | null; novelty: Novelty }, config: Admitted): boolean {
  return net.outcome === "valid" && !isDuplicate(net.novelty, config.novelty);
}

/**
 * The candidates to propose when their cycle has ended, besides those that `isProposed` named before: the best share of it where the
 * study asks for a quantile; else, when none came up to the accuracy, those at or above the fallback (arXiv 2601.02997, section 3).
 */
export function proposals(cycle: readonly Candidate[], config: Admitted): number[] {
  const { quantile, accuracy, fallback } = config.admission;
  const figure = (candidate: Candidate) => decisionAccuracy(candidate.accuracy) ?? -1;
  const admissible = cycle.filter((candidate) => isAdmissible(candidate, config) && figure(candidate) >= 0);
  const ids = (candidates: Candidate[]) => candidates.filter(({ proposed }) => !proposed).map(({ id }) => id);
  if (quantile !== null) {
    const best = [...admissible].sort((a, b) => figure(b) - figure(a) || a.id - b.id);
    return ids(best.slice(0, Math.ceil(quantile * best.length)));
  }
  if (fallback === null || admissible.some((candidate) => figure(candidate) >= accuracy)) return [];
  return ids(admissible.filter((candidate) => figure(candidate) >= fallback));
}

/** Valid, not a duplicate, and at or above the study's accuracy (paper section 3: admission). */
export function isProposed(net: { outcome: Outcome; novelty: Novelty; accuracy: Accuracy }, config: Admitted): boolean {
  const accuracy = decisionAccuracy(net.accuracy);
  const { quantile, accuracy: least } = config.admission;
  return quantile === null && isAdmissible(net, config) && accuracy !== null && accuracy >= least;
}
