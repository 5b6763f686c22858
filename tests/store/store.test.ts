import { describe, expect, it } from "vitest";
import type { FingerprintStore } from "../../src/novelty/index.ts";
import { openStore } from "../../src/store/store.ts";
import { UserError } from "../../src/study/ports.ts";
import { addCandidate, addValid, attempt, FAILURE, freshStore, GRAPH, PROTOCOL, scratch } from "./fixtures.ts";

function refusal(work: () => unknown): UserError {
  try {
    work();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

describe("a candidate's way through the loop", () => {
  it("is read back step by step, each from a newly opened file", () => {
    const file = `${scratch()}/study.db`;
    const reopened = <T>(step: (store: ReturnType<typeof openStore>) => T): T => {
      const store = openStore(file);
      try {
        return step(store);
      } finally {
        store.close();
      }
    };
    const cycle = reopened((s) => s.beginCycle({ mode: "full", planned: 1, seed: 3, generation: 0 }));
    const id = reopened((s) => addCandidate(s, cycle, "Demo_c1_01"));
    const work = () => reopened((s) => s.work(id));
    expect(work()).toEqual({
      id,
      cycle,
      name: "Demo_c1_01",
      mode: "full",
      parent: null,
      seed: 7,
      idea: "wide",
      attempts: [],
      code: null,
      checked: null,
      failure: null,
      novelty: null,
      trained: null,
      outcome: null,
    });

    reopened((s) => s.addAttempt(id, attempt(1)));
    expect(work()).toMatchObject({ attempts: [attempt(1)], code: attempt(1).code, checked: null });

    reopened((s) => s.recordCheck(id, 1, { ok: false, failure: FAILURE, parameters: 1234, seconds: 1.5 }));
    expect(work().attempts).toEqual([attempt(1, { failure: FAILURE, checked: true, checkSeconds: 1.5 })]);
    expect(work()).toMatchObject({ checked: null, failure: null });

    reopened((s) => s.addAttempt(id, attempt(2)));
    reopened((s) => s.recordCheck(id, 2, { ok: true, checked: { parameters: 4321, graph: GRAPH }, seconds: 2 }));
    expect(work()).toMatchObject({ code: attempt(2).code, checked: { parameters: 4321, graph: GRAPH }, novelty: null });

    const novelty = { text: 0.125, structure: null };
    reopened((s) => s.recordNovelty(id, { novelty, nearest: { text: id, structure: null } }));
    expect(work()).toMatchObject({ novelty, trained: null });

    const result = { ok: true, accuracy: { validation: 0.41, test: 0.4 }, seconds: 45, peakMemoryMiB: 812 } as const;
    reopened((s) => s.recordTraining(id, PROTOCOL, result, true));
    expect(work()).toMatchObject({ trained: result, outcome: null });

    reopened((s) => s.finish(id, { outcome: "valid", error: null, proposed: true }));
    expect(work().outcome).toBe("valid");
    expect(reopened((s) => s.candidate(id))).toEqual({
      id,
      cycle,
      name: "Demo_c1_01",
      mode: "full",
      parent: null,
      outcome: "valid",
      error: null,
      repaired: true,
      parameters: 4321,
      novelty,
      nearest: { text: id, structure: null },
      accuracy: { validation: 0.41, test: 0.4 },
      seconds: { design: 37.5, check: 3.5, train: 45 },
      proposed: true,
      accepted: null,
      reason: null,
    });
    expect(reopened((s) => [s.code(id), s.graph(id), s.candidateByName("Demo_c1_01")?.id])).toEqual([
      attempt(2).code,
      GRAPH,
      id,
    ]);
  });

  it("keeps the module of the first attempt when the second holds none", () => {
    const store = freshStore();
    const id = addCandidate(store, store.beginCycle({ mode: "full", planned: 1, seed: 1, generation: 0 }), "A");
    const noCode = { outcome: "no-code", message: "The reply holds no code.", line: null, source: null } as const;
    store.addAttempt(id, attempt(1));
    store.addAttempt(id, attempt(2, { code: null, failure: noCode }));
    expect(store.code(id)).toBe(attempt(1).code);
    expect(store.work(id).code).toBe(attempt(1).code);
    expect(store.attempts(id)[1]).toEqual(attempt(2, { code: null, failure: noCode }));
  });

  it("keeps a seed's code, its failed check, and the error it ends with", () => {
    const store = freshStore();
    const seed = { cycle: 0, mode: "seed", parent: null, seed: 0, idea: null } as const;
    const id = store.addCandidate({ ...seed, name: "SeedPlain", code: "class Net: ...\n" });
    expect(store.unfinished(0)).toEqual([id]);
    store.recordCheck(id, null, { ok: false, failure: FAILURE, parameters: null, seconds: 0.5 });
    expect(store.work(id)).toMatchObject({ code: "class Net: ...\n", failure: FAILURE, checked: null, attempts: [] });
    store.finish(id, { outcome: "forward", error: FAILURE, proposed: false });
    const { message, line, source } = FAILURE;
    expect(store.candidate(id)).toMatchObject({
      outcome: "forward",
      error: { message, line, source },
      repaired: false,
    });
    expect(store.unfinished(0)).toEqual([]);
  });

  it("keeps every training; one that is not the figure changes no list", () => {
    const store = freshStore();
    const id = addValid(store, 0, "A", 0.5);
    const paper = { ...PROTOCOL, name: "paper", validationImages: 0 } as const;
    const failed = { ok: false, failure: FAILURE, accuracy: { validation: null, test: 0.1 }, seconds: 3 } as const;
    store.recordTraining(id, paper, failed, false);
    expect(store.candidate(id).accuracy.validation).toBe(0.5);
    expect(store.trainings(id)).toMatchObject([
      { protocol: PROTOCOL, figure: true, result: { ok: true, seconds: 45.5, peakMemoryMiB: 812 } },
      { protocol: paper, figure: false, result: failed },
    ]);
    const better = { ok: true, accuracy: { validation: 0.6, test: 0.59 }, seconds: 40, peakMemoryMiB: 800 } as const;
    store.recordTraining(id, PROTOCOL, better, true);
    expect(store.candidate(id).accuracy.validation).toBe(0.6);
    expect(store.work(id).trained).toEqual(better);
    expect(store.trainings(id).map((t) => t.figure)).toEqual([false, false, true]);
  });

  it("refuses a step of a candidate that is not there, and an end after the end", () => {
    const store = freshStore();
    const id = addValid(store, 0, "A", 0.5);
    expect(() => store.finish(id, { outcome: "train", error: null, proposed: false })).toThrow(/one row/);
    expect(() => store.addAttempt(99, attempt(1))).toThrow(/FOREIGN KEY/);
    expect(() => store.recordCheck(99, 1, { ok: false, failure: FAILURE, parameters: null, seconds: 1 })).toThrow();
    expect(() =>
      store.recordTraining(
        99,
        PROTOCOL,
        { ok: true, accuracy: { validation: 1, test: 1 }, seconds: 1, peakMemoryMiB: 1 },
        true,
      ),
    ).toThrow();
    expect(() => addCandidate(store, 0, "A")).toThrow(/UNIQUE/);
    expect(() => addCandidate(store, 5, "B")).toThrow(/FOREIGN KEY/);
    for (const read of [() => store.candidate(99), () => store.work(99)]) {
      expect(refusal(read)).toMatchObject({ code: "unknown-candidate", message: expect.stringContaining("99") });
    }
    expect([store.code(99), store.graph(99), store.attempts(99), store.trainings(99)]).toEqual([null, null, [], []]);
  });

  it("does several steps as one, or none of them", () => {
    const store = freshStore();
    expect(() =>
      store.transaction(() => {
        addValid(store, 0, "A", 0.5);
        throw new Error("stopped");
      }),
    ).toThrow("stopped");
    expect(store.list()).toEqual([]);
    store.transaction(() => addValid(store, 0, "A", 0.5));
    expect(store.list()).toHaveLength(1);
  });
});

describe("lists", () => {
  it("filter by cycle, outcome, proposal and review, and give the latest in order", () => {
    const store = freshStore();
    const cycle = store.beginCycle({ mode: "full", planned: 4, seed: 1, generation: 0 });
    const seed = addValid(store, 0, "Seed", 0.7);
    const weak = addValid(store, cycle, "Weak", 0.3);
    const good = addValid(store, cycle, "Good", 0.5);
    const better = addValid(store, cycle, "Better", 0.6);
    const running = addCandidate(store, cycle, "Running");
    store.accept([good, better], "user");
    store.reject([better], "user", "too wide");
    const ids = (filter: Parameters<typeof store.list>[0]) => store.list(filter).map((c) => c.id);
    expect(ids({})).toEqual([seed, weak, good, better, running]);
    expect(ids({ cycle })).toEqual([weak, good, better, running]);
    expect(ids({ limit: 2 })).toEqual([better, running]);
    expect(ids({ outcome: "valid", cycle })).toEqual([weak, good, better]);
    expect(ids({ outcome: null })).toEqual([running]);
    expect(ids({ outcome: "train" })).toEqual([]);
    expect(ids({ proposed: true })).toEqual([seed, good, better]);
    expect(ids({ proposed: false, outcome: "valid" })).toEqual([weak]);
    expect(ids({ accepted: true })).toEqual([good]);
    expect(ids({ accepted: false })).toEqual([better]);
    expect(ids({ accepted: null, proposed: true })).toEqual([seed]);
  });
});

describe("cycles", () => {
  it("are numbered from 1, found while open, and summed up", () => {
    const store = freshStore();
    expect(store.openCycle()).toBeNull();
    expect(store.cycles()).toMatchObject([{ cycle: 0, planned: 0, candidates: 0, ended: expect.any(String) }]);
    const cycle = store.beginCycle({ mode: "delta", planned: 5, seed: 42, generation: 0 });
    expect(cycle).toBe(1);
    expect(store.openCycle()).toEqual({
      cycle,
      mode: "delta",
      planned: 5,
      seed: 42,
      started: expect.any(String),
      generation: 0,
    });
    addValid(store, cycle, "Known", 0.3, 0);
    const good = addValid(store, cycle, "Good", 0.5);
    const failed = addCandidate(store, cycle, "Failed");
    store.finish(failed, { outcome: "forward", error: FAILURE, proposed: false });
    addCandidate(store, cycle, "Running");
    store.accept([good], "policy");
    store.endCycle(cycle);
    expect(store.openCycle()).toBeNull();
    expect(store.cycles()[1]).toEqual({
      cycle,
      started: expect.any(String),
      ended: expect.any(String),
      planned: 5,
      candidates: 4,
      valid: 2,
      newAndValid: 1,
      meanAccuracy: 0.4,
      bestAccuracy: 0.5,
      proposed: 1,
      accepted: 1,
      generation: 0,
    });
    expect(store.beginCycle({ mode: "full", planned: 1, seed: 1, generation: 0 })).toBe(2);
  });
});

describe("reviews", () => {
  it("keep their history; the last one counts", () => {
    const store = freshStore();
    const id = addValid(store, 0, "A", 0.5);
    store.accept([id, id], "policy");
    store.reject([id], "user", "too slow");
    expect(store.candidate(id)).toMatchObject({ accepted: false, reason: "too slow" });
    store.accept([id], "user");
    expect(store.candidate(id)).toMatchObject({ accepted: true, reason: null });
    expect(store.reviews(id)).toMatchObject([
      { accepted: true, by: "policy", reason: null },
      { accepted: false, by: "user", reason: "too slow" },
      { accepted: true, by: "user", reason: null },
    ]);
  });

  it("refuse all when one cannot be accepted, and name it", () => {
    const store = freshStore();
    const good = addValid(store, 0, "Good", 0.5);
    const running = addCandidate(store, 0, "Running");
    const failed = addCandidate(store, 0, "Failed");
    store.finish(failed, { outcome: "shape", error: FAILURE, proposed: false });
    expect(refusal(() => store.accept([good, running], "user"))).toMatchObject({
      code: "not-acceptable",
      message: expect.stringContaining("Running"),
    });
    expect(refusal(() => store.accept([good, failed], "user")).message).toContain('"shape"');
    expect(refusal(() => store.accept([good, 99], "user")).code).toBe("unknown-candidate");
    expect(refusal(() => store.reject([good, running], "user", null)).code).toBe("not-acceptable");
    expect(store.candidate(good).accepted).toBeNull();
    expect(store.reviews(good)).toEqual([]);
    store.reject([failed], "user", "wrong shape");
    expect(store.candidate(failed)).toMatchObject({ accepted: false, reason: "wrong shape" });
  });
});

describe("fingerprints", () => {
  const bytes = (...values: number[]) => Uint8Array.from(values);
  const print = (n: number) => ({
    text: { hashes: bytes(n, 1), signature: bytes(n, 2) },
    structure: { hashes: bytes(n, 3), signature: bytes(n, 4) },
  });

  it("are kept by measure and version, and name what is still to be indexed", () => {
    const store = freshStore();
    const port: FingerprintStore = store.fingerprints;
    const [a, b] = [addValid(store, 0, "A", 0.5), addValid(store, 0, "B", 0.5)];
    const unchecked = addCandidate(store, 0, "Unchecked");
    const uncompared = addCandidate(store, 0, "Uncompared");
    store.addAttempt(uncompared, attempt(1));
    store.recordCheck(uncompared, 1, { ok: true, checked: { parameters: 1, graph: GRAPH }, seconds: 1 });
    const net = { code: attempt(1).code, checked: { parameters: 1000, graph: GRAPH } };
    expect([...store.unindexed(1)]).toEqual([a, b].map((id) => ({ id, ...net })));

    port.put(b, 1, print(b));
    expect([...store.unindexed(1)].map((n) => n.id)).toEqual([a]);
    expect([...store.unindexed(2)].map((n) => n.id)).toEqual([a, b]);
    port.put(a, 1, print(a));
    expect([...port.signatures("structure", 1)]).toEqual([
      { id: a, signature: bytes(a, 4) },
      { id: b, signature: bytes(b, 4) },
    ]);
    expect([...port.signatures("text", 2)]).toEqual([]);
    expect(port.hashes("text", a)).toEqual(bytes(a, 1));
    port.put(a, 2, print(9));
    expect([...port.signatures("text", 2)]).toEqual([{ id: a, signature: bytes(9, 2) }]);
    expect(port.hashes("structure", a)).toEqual(bytes(9, 3));
    expect(() => port.hashes("text", unchecked)).toThrow(RangeError);
    expect(() => port.put(99, 1, print(1))).toThrow(/FOREIGN KEY/);
  });
});

describe("what others wrote", () => {
  it("shows in a number that a client's own writes leave as it is", () => {
    const file = `${scratch()}/study.db`;
    const [one, other] = [freshStore(file), freshStore(file)];
    const before = one.othersVersion();
    addCandidate(one, 0, "A");
    expect(one.othersVersion()).toBe(before);
    addCandidate(other, 0, "B");
    const after = one.othersVersion();
    expect(after).not.toBe(before);
    expect(one.othersVersion()).toBe(after);
  });

  it("is told by its reviews", () => {
    const file = `${scratch()}/study.db`;
    const [one, other] = [freshStore(file), freshStore(file)];
    const [a, b] = [addCandidate(one, 0, "A"), addCandidate(one, 0, "B")];
    for (const id of [a, b]) one.finish(id, { outcome: "forward", error: FAILURE, proposed: false });
    expect(one.lastReview()).toBe(0);
    other.reject([a], "user", "too plain");
    const seen = one.lastReview();
    expect(one.reviewedSince(0).map(({ id }) => id)).toEqual([a]);
    other.reject([b], "user", null);
    expect(one.reviewedSince(seen)).toMatchObject([{ id: b, accepted: false }]);
  });
});
