/**
 * What arXiv 2601.02997 states in figures (its abstract), all on CIFAR-10 under its own protocol: `PAPER` in config.ts. Accuracy is
 * that of the first epoch; admitted nets are those that passed its novelty filter, over all cycles.
 */
export const PUBLISHED = {
  label: "arXiv 2601.02997",
  cycles: 22,
  validRate: { mean: 0.506, best: 0.745 },
  meanAccuracy: { first: { cycle: 1, value: 0.281 }, last: { cycle: 22, value: 0.51 } },
  atLeastForty: { first: 0.02, last: 0.968 },
  admitted: 455,
} as const;
