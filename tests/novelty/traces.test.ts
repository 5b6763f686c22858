/** The structure measure on the graphs of real nets, as the worker traces them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { jaccard } from "../../src/novelty/sets.ts";
import { structureSet } from "../../src/novelty/structure.ts";
import type { OperatorGraph } from "../../src/study/types.ts";

const fixtures = JSON.parse(readFileSync(join(import.meta.dirname, "../fixtures/graphs.json"), "utf8")) as {
  nets: { name: string; graph: OperatorGraph }[];
  same: [number, number, string][];
  different: [number, number, string][];
};
const sets = fixtures.nets.map(({ graph }) => structureSet(graph));

function cases(pairs: [number, number, string][]): [string, string, string, number][] {
  return pairs.map(([a, b, what]) => {
    const [left, right] = [a, b].map((i) => fixtures.nets[i]?.name as string) as [string, string];
    return [what, left, right, jaccard(sets[a] as Uint32Array, sets[b] as Uint32Array)];
  });
}

describe("the structure of real nets", () => {
  it.each(cases(fixtures.same))("is kept by %s: %s, %s", (_what, _a, _b, similarity) => {
    expect(similarity).toBe(1);
  });

  it.each(cases(fixtures.different))("is changed by %s: %s, %s", (_what, _a, _b, similarity) => {
    expect(similarity).toBeLessThan(1);
  });
});
