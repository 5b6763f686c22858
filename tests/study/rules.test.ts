import { expect, test } from "vitest";
import { isDuplicate, isProposed, proposals } from "../../src/study/admission.ts";
import { parseStudyConfig } from "../../src/study/config.ts";
import { nextStep, type Work } from "../../src/study/cycle.ts";
import { secondsLeft } from "../../src/study/estimate.ts";
import { drawExemplars, exemplarPool, lessons } from "../../src/study/exemplars.ts";
import { candidateSeed, seeded } from "../../src/study/random.ts";
import type { Attempt, Candidate, Failure } from "../../src/study/types.ts";

const config = parseStudyConfig('{"name":"t","data":{"dataset":"digits"}}', "t");

const candidate = (part: Partial<Candidate>): Candidate => ({
  id: 1,
  cycle: 1,
  name: "t_c1_01",
  mode: "full",
  parent: null,
  outcome: "valid",
  error: null,
  repaired: false,
  parameters: 1000,
  novelty: { text: 0.5, structure: 0.5 },
  nearest: { text: 2, structure: 2 },
  accuracy: { validation: 0.5, test: 0.1 },
  seconds: { design: 1, check: 1, train: 1 },
  proposed: false,
  accepted: null,
  reason: null,
  ...part,
});

const failure: Failure = { outcome: "forward", message: "RuntimeError: shapes", line: 3, source: "x = 1" };
const attempt = (part: Partial<Attempt>): Attempt => ({
  number: 1,
  prompt: { messages: [], prefill: "", stop: [] },
  sampling: { temperature: 1, topP: 1, minP: 0, seed: 1, maxTokens: 10 },
  model: "m",
  reply: { text: "", promptTokens: 1, tokens: 1, seconds: 1, finish: "stop" },
  code: "code",
  failure: null,
  checked: false,
  checkSeconds: 0,
  ...part,
});
const work = (part: Partial<Work>): Work => ({
  id: 1,
  cycle: 1,
  name: "t",
  mode: "full",
  parent: null,
  seed: 1,
  idea: null,
  attempts: [],
  code: null,
  checked: null,
  failure: null,
  novelty: null,
  trained: null,
  outcome: null,
  ...part,
});
const checked = { parameters: 1, graph: { nodes: [], output: 0 } };
const accuracy = { validation: 0.5, test: 0.5 };

test("each record leads to its next step", () => {
  expect(nextStep(work({}), config)).toEqual({ do: "design" });
  expect(nextStep(work({ attempts: [attempt({})], code: "code" }), config)).toEqual({
    do: "check",
    code: "code",
    attempt: 1,
  });
  expect(nextStep(work({ attempts: [attempt({ failure })] }), config)).toEqual({ do: "repair", failure });
  const twice = [attempt({ failure }), attempt({ number: 2, failure })];
  expect(nextStep(work({ attempts: twice }), config)).toEqual({ do: "finish", outcome: "forward", failure });
  const passed = { attempts: [attempt({ checked: true })], code: "code", checked };
  expect(nextStep(work(passed), config).do).toBe("compare");
  expect(nextStep(work({ ...passed, novelty: { text: 0.2, structure: 0.1 } }), config)).toEqual({
    do: "train",
    code: "code",
  });
  const trained = { ok: true, accuracy, seconds: 1, peakMemoryMiB: 1 } as const;
  const measured = { ...passed, novelty: { text: 0.2, structure: 0.1 }, trained };
  expect(nextStep(work(measured), config)).toEqual({ do: "finish", outcome: "valid", failure: null });
});

test("without repair a failed design ends at once", () => {
  const once = { ...config, designer: { ...config.designer, repair: false } };
  expect(nextStep(work({ attempts: [attempt({ failure })] }), once)).toMatchObject({
    do: "finish",
    outcome: "forward",
  });
});

test("a known net is not trained again, a seed always is", () => {
  const known = { code: "code", checked, novelty: { text: 0, structure: 0 } };
  expect(nextStep(work(known), config)).toEqual({ do: "finish", outcome: "valid", failure: null });
  expect(nextStep(work({ ...known, mode: "seed" }), config).do).toBe("train");
});

test("duplicates are told by the gates that the study has", () => {
  expect(isDuplicate({ text: 0.05, structure: 0.2 }, { text: 0.9, structure: 1 })).toBe(true);
  expect(isDuplicate({ text: 0.05, structure: 0.2 }, { text: null, structure: 1 })).toBe(false);
  expect(isDuplicate({ text: 1 - 0.9, structure: 1 }, { text: 0.9, structure: null })).toBe(true);
  expect(isDuplicate({ text: 0.5, structure: 0 }, { text: null, structure: 1 })).toBe(true);
});

test("proposals are decided on validation accuracy; test accuracy decides only where nothing is held out", () => {
  const net = { outcome: "valid", novelty: { text: 0.5, structure: 0.5 } } as const;
  expect(isProposed({ ...net, accuracy: { validation: 0.41, test: 0.1 } }, config)).toBe(true);
  expect(isProposed({ ...net, accuracy: { validation: 0.39, test: 0.9 } }, config)).toBe(false);
  expect(isProposed({ ...net, accuracy: { validation: null, test: 0.41 } }, config)).toBe(true);
  expect(isProposed({ ...net, accuracy: { validation: null, test: null } }, config)).toBe(false);
  expect(isProposed({ ...net, novelty: { text: 0.5, structure: 0 }, accuracy }, config)).toBe(false);
});

test("a cycle in which no net came up to the accuracy proposes those at its fallback", () => {
  const cycle = (...figures: (number | null)[]) =>
    figures.map((validation, i) => candidate({ id: i + 1, accuracy: { validation, test: null } }));
  expect(proposals(cycle(0.34, 0.36, 0.39, null), config)).toEqual([2, 3]);
  expect(proposals(cycle(0.34, 0.36, 0.41), config)).toEqual([]);
  const none = { ...config, admission: { ...config.admission, fallback: null } };
  expect(proposals(cycle(0.36), none)).toEqual([]);
  const known = candidate({ id: 9, novelty: { text: 0.5, structure: 0 }, accuracy: { validation: 0.5, test: null } });
  expect(proposals([known, ...cycle(0.36)], config)).toEqual([1]);
});

test("a quantile proposes the best share of a cycle's new nets, in place of the accuracy", () => {
  const quantile = { ...config, admission: { ...config.admission, quantile: 0.25 } };
  const cycle = [0.1, 0.3, 0.2, 0.15, 0.25].map((validation, i) =>
    candidate({ id: i + 1, accuracy: { validation, test: null } }),
  );
  const failed = candidate({ id: 6, outcome: "forward", accuracy: { validation: 0.9, test: null } });
  expect(proposals([...cycle, failed], quantile)).toEqual([2, 5]);
  expect(isProposed({ outcome: "valid", novelty: { text: 1, structure: 1 }, accuracy }, quantile)).toBe(false);
  // Those proposed already are not proposed again: a cycle may end twice, around a kill.
  expect(
    proposals(
      cycle.map((c) => ({ ...c, proposed: c.id === 2 })),
      quantile,
    ),
  ).toEqual([5]);
});

test("exemplars are accepted nets and seeds that trained, each at most once", () => {
  const pool = exemplarPool([
    candidate({ id: 1, cycle: 0, mode: "seed" }),
    candidate({ id: 2, accepted: true }),
    candidate({ id: 3 }),
    candidate({ id: 4, cycle: 0, mode: "seed", outcome: "forward" }),
    candidate({ id: 5, cycle: 0, mode: "seed", accepted: false }),
    candidate({ id: 6, accepted: true, accuracy: { validation: null, test: null } }),
  ]);
  expect(pool.map(({ id }) => id)).toEqual([1, 2]);
  expect(
    drawExemplars(pool, 5, seeded(1))
      .map(({ id }) => id)
      .sort(),
  ).toEqual([1, 2]);
});

test("better exemplars are drawn more often, the worst still sometimes", () => {
  const pool = [0.2, 0.4, 0.6, 0.8].map((validation, id) => candidate({ id, accuracy: { validation, test: null } }));
  const random = seeded(7);
  const drawn = [0, 0, 0, 0];
  for (let i = 0; i < 4000; i++) for (const { id } of drawExemplars(pool, 1, random)) drawn[id] = (drawn[id] ?? 0) + 1;
  expect(drawn).toEqual([...drawn].sort((a, b) => a - b));
  // Weights 3, 4, 5, 6 of 18.
  expect(drawn[0]).toBeGreaterThan(4000 / 9);
});

test("lessons are the latest failures, the most frequent first, each once", () => {
  const failed = (message: string) => candidate({ outcome: "init", error: { message, line: null, source: null } });
  expect(lessons([failed("a"), failed("b"), failed("b"), candidate({})], 2)).toEqual(["init: b", "init: a"]);
});

test("the same seed draws the same numbers; candidates' seeds differ", () => {
  const [a, b] = [seeded(5), seeded(5)];
  expect([a(), a(), a()]).toEqual([b(), b(), b()]);
  const seeds = new Set<number>();
  for (let cycle = 1; cycle <= 50; cycle++)
    for (let position = 0; position < 50; position++) seeds.add(candidateSeed(0, cycle, position));
  expect(seeds.size).toBe(2500);
  for (const seed of seeds) expect(seed).toBeLessThan(2 ** 31);
});

test("time left is the slower lane's", () => {
  const pace = {
    planned: 8,
    designed: 4,
    finished: 2,
    designSeconds: [40, 40],
    trainSeconds: [10, 10],
    designParallel: 4,
    trainParallel: 1,
  };
  // Designs: 4 left of 40 s, 4 at once, then one training. Trainings: 6 of 10 s.
  expect(secondsLeft(pace)).toBe(60);
  expect(secondsLeft({ ...pace, designSeconds: [] })).toBeNull();
  expect(secondsLeft({ ...pace, finished: 8 })).toBe(0);
});
