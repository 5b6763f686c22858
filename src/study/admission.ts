/** Which candidates are duplicates, and which are proposed. Pure rules over recorded figures. */
import type { StudyConfig } from "./config.ts";
import type { Accuracy, Outcome } from "./types.ts";

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

/** Valid, not a duplicate, and at or above the study's accuracy (paper section 3: admission). */
export function isProposed(
  net: { outcome: Outcome; novelty: Novelty; accuracy: Accuracy },
  config: Pick<StudyConfig, "novelty" | "admission">,
): boolean {
  const accuracy = decisionAccuracy(net.accuracy);
  return (
    net.outcome === "valid" &&
    !isDuplicate(net.novelty, config.novelty) &&
    accuracy !== null &&
    accuracy >= config.admission.accuracy
  );
}
