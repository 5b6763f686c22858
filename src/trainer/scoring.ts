/** Predictions against labels that the candidate's process never saw. Pure. */

/**
 * Classes per image from what a candidate's process returned.
 * @returns null unless it holds exactly `images` bytes, each a class below `classes`.
 */
export function decodePredictions(base64: string, images: number, classes: number): Uint8Array | null {
  const predictions = Buffer.from(base64, "base64");
  return predictions.length === images && predictions.every((p) => p < classes) ? predictions : null;
}

/** Share of equal entries, 0..1; both have the same length, at least 1. */
export function accuracyOf(predictions: Uint8Array, labels: Uint8Array): number {
  if (predictions.length !== labels.length || labels.length === 0) throw new RangeError("lengths differ or are 0");
  let hits = 0;
  for (let i = 0; i < labels.length; i++) if (predictions[i] === labels[i]) hits++;
  return hits / labels.length;
}

/**
 * The accuracy up to which a net has learnt nothing: that of always answering the most frequent class (1 / classes when they
 * are balanced), plus three standard errors of a share of that size over this many images.
 */
export function chanceLevel(labels: Uint8Array, classes: number): number {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label] = (counts[label] ?? 0) + 1;
  const share = Math.max(1 / classes, Math.max(...counts) / labels.length);
  return share + 3 * Math.sqrt((share * (1 - share)) / labels.length);
}
