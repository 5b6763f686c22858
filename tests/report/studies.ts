/** Studies with a real record, filled through its own interface. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { createStudy, openStudy, type Study } from "../../src/engine/study.ts";
import type { StudyStore } from "../../src/store/store.ts";
import { protocolOf, type StudyConfigInput } from "../../src/study/config.ts";
import type { Failure, OperatorGraph, Origin, Protocol, TuningRun } from "../../src/study/types.ts";
import { attempt, GRAPH } from "../store/fixtures.ts";

/** A folder of this test's own, gone when it ends. */
export function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), "netwright-report-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export function makeStudy(name: string, part: Partial<StudyConfigInput> = {}): Study {
  const dir = join(folder(), name);
  createStudy(dir, { name, data: { dataset: "cifar10" }, protocol: { trainImages: 10_000 }, ...part });
  const study = openStudy(dir);
  onTestFinished(() => study.close());
  return study;
}

/** Graphs of different widths are different. */
export function graphOf(width: number): OperatorGraph {
  const nodes = GRAPH.nodes.map((node, i) => (i === 1 ? { ...node, shape: [2, width, 32, 32] } : node));
  return { ...GRAPH, nodes };
}

export interface Net {
  cycle: number;
  name: string;
  mode?: Origin;
  parent?: number | null;
  width: number;
  /** Of the validation split; null: its structure was known, so that it was not trained. */
  accuracy: number | null;
  /** 1 - similarity; 0 for a structure that is known. */
  structure?: number;
  code?: string;
  repaired?: boolean;
  failure?: Failure;
  protocol?: Protocol;
}

/** Takes a net that passes the check to its end: valid, or failed in training. */
export function addNet({ config, store }: Pick<Study, "config" | "store">, net: Net): number {
  const { cycle, name, mode = cycle === 0 ? "seed" : "delta", parent = null, width, accuracy } = net;
  const designed = mode === "full" || mode === "delta";
  const code = net.code ?? `class Net:\n    width = ${width}\n`;
  const given = designed ? null : code;
  const id = store.addCandidate({ cycle, name, mode, parent, seed: 1, idea: null, code: given });
  if (designed && net.repaired) {
    const failure: Failure = { outcome: "syntax", message: "invalid syntax", line: 1, source: "class" };
    store.addAttempt(id, attempt(1, { failure }));
  }
  const last = net.repaired ? 2 : 1;
  if (designed) store.addAttempt(id, attempt(last, { code }));
  const checked = { parameters: 1000 * width, graph: graphOf(width) };
  store.recordCheck(id, designed ? last : null, { ok: true, checked, seconds: 2 });
  const novelty = { text: 0.25, structure: net.structure ?? 0.5 };
  store.recordNovelty(id, { novelty, nearest: { text: null, structure: null } });
  const protocol = net.protocol ?? protocolOf(config);
  const { failure } = net;
  if (failure) {
    const result = { ok: false as const, failure, accuracy: { validation: null, test: null }, seconds: 1 };
    store.recordTraining(id, protocol, result, true);
  } else if (accuracy !== null) {
    const result = {
      ok: true as const,
      accuracy: { validation: accuracy, test: accuracy - 0.01 },
      seconds: 30,
      peakMemoryMiB: 800,
    };
    store.recordTraining(id, protocol, result, true);
  }
  store.finish(id, {
    outcome: failure?.outcome ?? "valid",
    error: failure ? { message: failure.message, line: failure.line, source: failure.source } : null,
    proposed: !failure && accuracy !== null && accuracy >= config.admission.accuracy,
  });
  return id;
}

/** A candidate that never passed the check. */
export function addFailed(store: StudyStore, cycle: number, name: string, failure: Failure): number {
  const id = store.addCandidate({ cycle, name, mode: "delta", parent: null, seed: 1, idea: null, code: null });
  store.addAttempt(id, attempt(1, { failure, code: null }));
  store.finish(id, {
    outcome: failure.outcome,
    error: { message: failure.message, line: failure.line, source: failure.source },
    proposed: false,
  });
  return id;
}

export function beginCycle(store: StudyStore, planned: number, generation = 0): number {
  return store.beginCycle({ mode: "delta", planned, seed: 0, generation });
}

export const RUN: TuningRun = {
  device: "cpu",
  examples: { training: 22, heldOut: 3 },
  losses: [
    { step: 1, epoch: 1, training: 0.91, heldOut: null },
    { step: 5, epoch: 1, training: 0.62, heldOut: 0.58 },
    { step: 10, epoch: 2, training: 0.41, heldOut: 0.52 },
  ],
  steps: 10,
  tokens: 40_000,
  seconds: 400,
  peakMemoryMiB: 9000,
  adapterBytes: 18 * 2 ** 20,
};

/** Two cycles: a tuned designer in the second, with every kind of end. Returns the ids by name. */
export function tellingStudy(): { study: Study; ids: Record<"seed" | "child" | "grandchild" | "twin", number> } {
  const study = makeStudy("telling");
  const { store } = study;
  const forward = (message: string): Failure => ({ outcome: "forward", message, line: 9, source: "return x" });
  const seed = addNet(study, { cycle: 0, name: "ResidualNet", width: 8, accuracy: 0.44 });

  beginCycle(store, 6);
  const child = addNet(study, {
    cycle: 1,
    name: "telling_c1_01",
    parent: seed,
    width: 12,
    accuracy: 0.46,
    repaired: true,
  });
  addNet(study, { cycle: 1, name: "telling_c1_02", parent: seed, width: 8, accuracy: null, structure: 0 });
  const chance: Failure = { outcome: "chance", message: "accuracy 0.10 is chance", line: null, source: null };
  addNet(study, { cycle: 1, name: "telling_c1_03", width: 20, accuracy: null, failure: chance });
  addFailed(store, 1, "telling_c1_04", forward("a rare one"));
  addFailed(store, 1, "telling_c1_05", forward("shapes differ"));
  addFailed(store, 1, "telling_c1_06", forward("shapes differ"));
  store.endCycle(1);
  store.accept([child], "user");

  const settings = {
    rank: 16,
    alpha: 32,
    dropout: 0.05,
    learningRate: 2e-4,
    epochs: 3,
    accumulation: 4,
    gradient: "answer" as const,
  };
  const generation = store.generations.begin({
    parent: 0,
    cycle: 1,
    accepted: 1,
    base: "qwen2.5-coder-1.5b",
    settings,
  });
  store.generations.recordTuning(generation, RUN);
  const probe = { parent: { questions: 8, valid: 4, newAndValid: 2 }, own: { questions: 8, valid: 7, newAndValid: 5 } };
  store.generations.recordProbe(generation, "published", probe, "telling:g1");
  store.generations.use(generation);

  beginCycle(store, 5, generation);
  const grandchild = addNet(study, { cycle: 2, name: "telling_c2_01", parent: child, width: 16, accuracy: 0.52 });
  const twin = addNet(study, {
    cycle: 2,
    name: "telling_c2_02",
    parent: child,
    width: 16,
    accuracy: null,
    structure: 0,
  });
  // The graph of the net that learned nothing in cycle 1: known, valid or not.
  addNet(study, { cycle: 2, name: "telling_c2_03", width: 20, accuracy: 0.3, structure: 0 });
  addNet(study, { cycle: 2, name: "telling_c2_04", width: 24, accuracy: 0.4 });
  addNet(study, { cycle: 2, name: "telling_c2_05", mode: "full", width: 28, accuracy: 0.38 });
  store.endCycle(2);
  store.accept([grandchild], "policy");
  store.reject([twin], "user", "the same again");
  return { study, ids: { seed, child, grandchild, twin } };
}

/** Two cycles of the base model alone. */
export function untunedStudy(part: Partial<StudyConfigInput> = {}): Study {
  const study = makeStudy("plain", part);
  for (const [cycle, accuracies] of [
    [1, [0.41, 0.3]],
    [2, [0.45]],
  ] as const) {
    beginCycle(study.store, 2);
    for (const [i, accuracy] of accuracies.entries()) {
      addNet(study, { cycle, name: `plain_c${cycle}_0${i + 1}`, width: 10 * cycle + i, accuracy });
    }
    if (cycle === 2) {
      addFailed(study.store, 2, "plain_c2_02", { outcome: "no-code", message: "no module", line: null, source: null });
    }
    study.store.endCycle(cycle);
  }
  return study;
}

/** What would break out of a page that did not escape it, and what would hide in one that did. */
export const HOSTILE = [
  "</script></style></code></pre><script>window.broken = true</script>",
  '<img src=x onerror="window.broken = true">',
  "'\"><svg onload=alert(1)>",
  "````\n# heading\n[link](javascript:alert(1)) https://evil.test ![i](http://evil.test/x.png)",
  "</details>|cell|`code`",
  "access = 'user\u202e \u2066# admin'\u0000\u001b[2J",
].join("\n");

/** One whose nets' code, names, errors and reasons are {@link HOSTILE}. */
export function hostileStudy(): Study {
  const study = makeStudy("hostile");
  beginCycle(study.store, 3);
  const id = addNet(study, {
    cycle: 1,
    name: '<b onclick="x">`n`|[a](b)</b>',
    width: 8,
    accuracy: 0.5,
    code: HOSTILE,
  });
  const other = addNet(study, { cycle: 1, name: HOSTILE, width: 9, accuracy: 0.5 });
  addFailed(study.store, 1, "hostile_c1_03", { outcome: "forward", message: HOSTILE, line: 1, source: HOSTILE });
  study.store.endCycle(1);
  study.store.accept([id], "user");
  study.store.reject([other], "user", HOSTILE);
  return study;
}
