/** A study's settings in words. */
import type { Origin, Outcome, Protocol } from "../study/types.ts";
import { plain, plural, whole } from "./format.ts";
import type { DesignerAccount, Report } from "./types.ts";

export const DATASETS: Record<Protocol["dataset"], string> = {
  cifar10: "CIFAR-10",
  "fashion-mnist": "Fashion-MNIST",
  digits: "scikit-learn's handwritten digits",
};

export const ORIGINS: Record<Origin, string> = {
  full: "written whole",
  delta: "a diff on its parent",
  seed: "a seed",
  import: "imported",
};

export const MODES: Record<Origin, string> = { ...ORIGINS, full: "whole files", delta: "diffs against a parent" };

/** What each outcome means. */
export const OUTCOME_WORDS: Record<Outcome, string> = {
  valid: "Passed the check, and trained unless its structure was known",
  "no-code": "The answer held no module, or a diff that fits nowhere",
  syntax: "Not Python",
  contract: "Not a net that can be built and called as asked",
  init: "Failed while it was built",
  forward: "Failed on a batch of images",
  shape: "Its output has the wrong shape",
  "too-large": "More parameters than allowed",
  train: "Failed while it was trained",
  timeout: "Took longer than allowed",
  "out-of-memory": "Needed more memory than allowed",
  chance: "Learned nothing: no better than guessing",
};

/** Each setting that makes a figure comparable, and what it is. */
const SETTINGS: { [Key in keyof Protocol]: { label: string; say: (value: Protocol[Key]) => string } } = {
  dataset: { label: "Data set", say: (dataset) => DATASETS[dataset] },
  name: {
    label: "Decisions",
    say: (name) => (name === "paper" ? "by accuracy on the test set" : "by accuracy on held-out training images"),
  },
  trainImages: { label: "Training images", say: (images) => (images === null ? "all" : whole(images)) },
  validationImages: { label: "Held-out images", say: (images) => (images === 0 ? "none" : whole(images)) },
  epochs: { label: "Training", say: (epochs) => plural(epochs, "epoch") },
  batch: { label: "Batch", say: (batch) => plural(batch, "image") },
  lr: { label: "Learning rate", say: plain },
  momentum: { label: "Momentum", say: plain },
  dropout: { label: "Dropout", say: plain },
  transform: {
    label: "Images",
    say: (transform) => (transform === "norm" ? "normalised" : "normalised, flipped at random"),
  },
  seed: { label: "Seed", say: String },
};
const KEYS = Object.keys(SETTINGS) as (keyof Protocol)[];

function say<Key extends keyof Protocol>(key: Key, protocol: Protocol): string {
  return SETTINGS[key].say(protocol[key]);
}

export function protocolFacts(protocol: Protocol): [term: string, meaning: string][] {
  const facts = KEYS.map((key): [string, string] => [SETTINGS[key].label, say(key, protocol)]);
  return [...facts, ["Optimiser", "stochastic gradient descent"]];
}

/** Where `protocol` is not `reference`: "batch: 64 images, not 16 images". */
export function protocolDifferences(protocol: Protocol, reference: Protocol): string[] {
  return KEYS.filter((key) => protocol[key] !== reference[key]).map(
    (key) => `${SETTINGS[key].label.toLowerCase()}: ${say(key, protocol)}, not ${say(key, reference)}`,
  );
}

/** How the designer was asked: temperature 0.7, top-p 1, ... */
export function samplingWords({ sampling }: DesignerAccount): string {
  return sampling
    .map(
      ({ temperature, topP, minP, maxTokens }) =>
        `temperature ${plain(temperature)}, top-p ${plain(topP)}, min-p ${plain(minP)}, at most ${whole(maxTokens)} tokens`,
    )
    .join("; ");
}

/** What is proposed, in a sentence's part. */
export function admissionWords({ accuracy, fallback, quantile }: Report["admission"]): string {
  if (quantile !== null) return `the best ${plain(100 * quantile)} % of a cycle's new nets`;
  const otherwise = fallback === null ? "" : `; in a cycle that has none, ${plain(100 * fallback)} %`;
  return `new nets with an accuracy of at least ${plain(100 * accuracy)} %${otherwise}`;
}

export function gateWords({ text, structure }: Report["gates"]): string {
  const gates = [
    ["structure", structure],
    ["text", text],
  ] as const;
  const set = gates.filter(([, gate]) => gate !== null).map(([name, gate]) => `${name} similarity ${plain(gate ?? 0)}`);
  return set.length > 0 ? `from a ${set.join(" or a ")} on` : "none is left out";
}

export const reviewerWords = (reviewer: "user" | "policy" | null): string =>
  reviewer === "policy" ? "by the study's rule" : "by its user";
