import type { OperatorGraph } from "../study/types.ts";
import { canonicalHash, liveGraph, neighbourhoods } from "./graph.ts";
import { Hasher } from "./hash.ts";
import { type HashSet, setOfMultiset } from "./sets.ts";

/** Equal for nets whose operator graphs are equal up to the numbering of their nodes. Throws a RangeError when the graph is malformed. */
export function structureKey(graph: OperatorGraph): string {
  return canonicalHash(liveGraph(graph)).toString(36);
}

/** Steps around a node that its widest neighbourhood takes in. */
const DEPTH = 3;

/**
 * The `structure` measure. Of the operators that the output depends on, the multiset of
 * - the neighbourhood of every node at each of the depths 0, 1, 2 and 3: what it reads, in order (without order for add, mul,
 *   maximum and minimum), and what reads it, and in which place; once with the shapes of all its nodes and once without, so that
 *   a change which moves every later shape, such as one more pooling, leaves what it does not concern alike;
 * - two halves of the hash of the whole graph.
 * Jaccard similarity of two such sets is the weighted Jaccard similarity of the multisets. It is 1 exactly when the graphs are
 * equal up to the numbering of their nodes: neighbourhoods grade the difference, the whole-graph hash makes sure that there is
 * one, wherever in however repetitive a graph the change lies.
 *
 * Throws a RangeError when the graph is malformed.
 */
export function structureSet(graph: OperatorGraph): HashSet {
  const live = liveGraph(graph);
  const hashes: number[] = [];
  for (const [family, nodes] of [live.labels, live.kinds].entries()) {
    for (const [depth, round] of neighbourhoods(live, nodes, DEPTH).entries()) {
      for (const hash of round) hashes.push(new Hasher().add(hash).add(depth).add(family).value | 0);
    }
  }
  const whole = canonicalHash(live);
  for (const half of [whole | 0, (whole / 0x1_0000_0000) | 0]) hashes.push(new Hasher().add(half).value | 0);
  return setOfMultiset(hashes);
}
