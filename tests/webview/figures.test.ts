import { describe, expect, it } from "vitest";
import type { Candidate } from "../../src/study/types.ts";
import { familyTree } from "../../webview/dashboard/family.ts";
import { cycleFigures, outcomesThatOccur, points } from "../../webview/dashboard/figures.ts";
import { idleSnapshot, largeSnapshot, runningSnapshot } from "../fixtures/snapshots.ts";

describe("figures of a cycle", () => {
  const { cycles, candidates } = idleSnapshot();
  const figures = cycleFigures(cycles, candidates, 0.4);

  it("leave the seeds out, and agree with the summaries", () => {
    expect(figures.map(({ cycle }) => cycle)).toEqual([1, 2, 3, 4]);
    for (const figure of figures) {
      const summary = cycles.find(({ cycle }) => cycle === figure.cycle);
      expect(figure.validRate).toBeCloseTo((summary?.valid ?? 0) / 10);
      expect(figure.meanAccuracy).toBeCloseTo(summary?.meanAccuracy ?? -1);
      expect(figure.bestAccuracy).toBe(summary?.bestAccuracy);
      expect(figure.novel).toBe(summary?.newAndValid);
      expect(figure.accepted).toBe(summary?.accepted);
      expect(Object.values(figure.outcomes).reduce((sum, each) => sum + each, 0)).toBe(figure.ended);
    }
  });

  it("count at or above the threshold among the valid", () => {
    const third = candidates.filter(({ cycle, outcome }) => cycle === 3 && outcome === "valid");
    const above = third.filter(({ accuracy }) => (accuracy.validation ?? 0) >= 0.4);
    expect(figures[2]?.atThreshold).toBeCloseTo(above.length / third.length);
  });

  it("of a cycle in which nothing ended yet are unknown, not zero", () => {
    const running = runningSnapshot();
    const none = running.candidates.filter(({ cycle }) => cycle !== 5);
    const last = cycleFigures(running.cycles, none, 0.4).at(-1);
    expect(last).toMatchObject({ cycle: 5, ended: 0, validRate: null, meanAccuracy: null, bestAccuracy: null });
  });

  it("list the outcomes that occur, the valid first", () => {
    const occurring = outcomesThatOccur(figures);
    expect(occurring[0]).toBe("valid");
    expect(new Set(occurring).size).toBe(occurring.length);
  });

  it("put valid nets with both figures on the scatter, once", () => {
    const all = points(candidates, "structure");
    expect(all).toHaveLength(candidates.filter(({ outcome }) => outcome === "valid").length);
    expect(all.filter(({ kind }) => kind === "accepted")).toHaveLength(
      candidates.filter(({ accepted }) => accepted).length,
    );
  });
});

describe("the family tree", () => {
  const net = (id: number, cycle: number, parent: number | null, outcome: Candidate["outcome"] = "valid") =>
    ({
      ...(idleSnapshot().candidates[0] as Candidate),
      id,
      cycle,
      parent,
      outcome,
      name: `n${id}`,
    }) satisfies Candidate;

  it("stands a parent amid its children, one row a leaf", () => {
    const { nodes, rows, cycles } = familyTree([net(1, 0, null), net(2, 1, 1), net(3, 1, 1), net(4, 3, 3)], false);
    const row = (id: number) => nodes.find(({ candidate }) => candidate.id === id)?.row;
    expect(rows).toBe(2);
    expect([row(1), row(2), row(3), row(4)]).toEqual([0.5, 0, 1, 1]);
    expect(cycles).toEqual([0, 1, 3]);
  });

  it("folds failed children into their parent, but not a failed net with valid children", () => {
    const nets = [net(1, 0, null), net(2, 1, 1, "shape"), net(3, 1, 1, "train"), net(4, 2, 3), net(5, 1, null)];
    const folded = familyTree(nets, false);
    expect(folded.nodes.map(({ candidate }) => candidate.id).sort()).toEqual([1, 3, 4]);
    expect(folded.nodes.find(({ candidate }) => candidate.id === 1)?.folded).toBe(1);
    expect(folded.alone).toBe(1);
    expect(familyTree(nets, true).nodes).toHaveLength(4);
  });

  it("takes a chain of a thousand cycles, and 10,000 nets", () => {
    const chain: Candidate[] = Array.from({ length: 1000 }, (_, i) => net(i + 1, i, i === 0 ? null : i));
    chain.push({ ...net(1001, 1000, 1000), accepted: true });
    expect(familyTree(chain, false)).toMatchObject({ rows: 1, cycles: { length: 1001 } });
    const { candidates } = largeSnapshot();
    const many = familyTree(candidates, false);
    // Too many to read: what is drawn ends in accepted nets.
    expect(many.acceptedOnly).toBe(true);
    const parents = new Set(many.nodes.map(({ parent }) => parent?.candidate.id));
    const leaves = many.nodes.filter(({ candidate }) => !parents.has(candidate.id));
    expect(many.nodes.length).toBeGreaterThan(500);
    expect(many.nodes.length).toBeLessThan(800);
    expect(leaves.every(({ candidate }) => candidate.accepted === true)).toBe(true);
    const spots = new Set(many.nodes.map(({ column, row }) => `${column}:${row}`));
    expect(spots.size).toBe(many.nodes.length);
  });
});
