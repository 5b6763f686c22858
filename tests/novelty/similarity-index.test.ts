import { describe, expect, it } from "vitest";
import { signatureOf } from "../../src/novelty/minhash.ts";
import { type HashSet, jaccard, setOf } from "../../src/novelty/sets.ts";
import { SimilarityIndex } from "../../src/novelty/similarity-index.ts";
import { structureSet } from "../../src/novelty/structure.ts";
import { shingleSet } from "../../src/novelty/text.ts";
import { CODE, graphOf, NET, randomFrom, tokensOf, variations } from "../bench/synthetic.ts";

/** An index over sets, whose ids are not their positions, and how many sets it read. */
function indexOf(sets: HashSet[]) {
  const reads = { count: 0 };
  const index = new SimilarityIndex((id) => {
    reads.count++;
    return sets[id - 1000] as HashSet;
  });
  for (const [i, set] of sets.entries()) index.add(1000 + i, signatureOf(set));
  return { index, reads, nearest: (set: HashSet) => index.nearest(set, signatureOf(set)) };
}

const archives: [string, () => HashSet[]][] = [
  ["text", () => variations(CODE, 4500, 1500, 20, randomFrom(21)).map((lines) => shingleSet(tokensOf(lines)))],
  ["structure", () => variations(NET, 4500, 1500, 20, randomFrom(22)).map((stages) => structureSet(graphOf(stages)))],
];

describe.each(archives)("an index of %s", (_, make) => {
  const random = randomFrom(23);
  const archive = make();
  const queries = Array.from({ length: 100 }, () => archive.splice(random(archive.length), 1)[0] as HashSet);
  const { index, reads, nearest } = indexOf(archive);
  const found = queries.map((query) => {
    const highest = archive.reduce((best, set) => Math.max(best, jaccard(query, set)), 0);
    return { query, highest, nearest: nearest(query) };
  });

  it("tells the exact similarity of the set it names", () => {
    expect(index.size).toBe(archive.length);
    for (const { query, nearest } of found) {
      expect(nearest?.similarity).toBe(jaccard(query, archive[(nearest?.id ?? 0) - 1000] as HashSet));
    }
  });

  it("finds at least 99 of 100 sets at 0.90 and above", () => {
    const duplicates = found.filter(({ highest }) => highest >= 0.9);
    expect(duplicates.filter(({ highest }) => highest < 1).length).toBeGreaterThan(10);
    const recalled = duplicates.filter(({ nearest }) => (nearest?.similarity ?? 0) >= 0.9);
    expect(recalled.length / duplicates.length).toBeGreaterThanOrEqual(0.99);
  });

  it("finds the most similar set, or one next to it, at any distance", () => {
    const short = found.map(({ highest, nearest }) => highest - (nearest?.similarity ?? 0));
    expect(Math.max(...short)).toBeLessThan(0.05);
    expect(short.filter((gap) => gap === 0).length / short.length).toBeGreaterThan(0.97);
  });

  it("reads few of the sets", () => {
    expect(reads.count / queries.length).toBeLessThan(97);
  });

  it("finds every set that it holds", () => {
    for (const set of archive.slice(0, 200)) expect(nearest(set)?.similarity).toBe(1);
  });
});

describe("an index", () => {
  const numbers = (from: number, to: number) =>
    setOf(Array.from({ length: to - from }, (_, i) => (from + i) * 2654435761));

  it("has no nearest while it is empty", () => {
    expect(indexOf([]).nearest(numbers(0, 10))).toBeNull();
  });

  it("names a neighbour even where nothing is shared", () => {
    expect(indexOf([numbers(0, 10)]).nearest(numbers(20, 30))).toEqual({ id: 1000, similarity: 0 });
  });

  it("names the first of equal sets", () => {
    const { nearest } = indexOf([numbers(0, 10), numbers(5, 15), numbers(5, 15)]);
    expect(nearest(numbers(5, 15))).toEqual({ id: 1001, similarity: 1 });
  });

  it("finds the equal set among thousands with the same signature but one element", () => {
    const sets = Array.from({ length: 5000 }, (_, i) => setOf([...numbers(0, 5000), i * 7919 + 1]));
    const { nearest } = indexOf(sets);
    expect(nearest(sets[4321] as HashSet)).toEqual({ id: 5321, similarity: 1 });
  });

  it("holds empty sets", () => {
    expect(indexOf([numbers(0, 3), numbers(0, 0)]).nearest(numbers(0, 0))).toEqual({ id: 1001, similarity: 1 });
    expect(indexOf([numbers(0, 3)]).nearest(numbers(0, 0))).toEqual({ id: 1000, similarity: 0 });
  });
});
