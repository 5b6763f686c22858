import type { OperatorGraph } from "../study/types.ts";
import { canonicalHash, liveGraph, neighbourhoods } from "./graph.ts";
import { Hasher } from "./hash.ts";
import { type HashSet, setOfMultiset } from "./sets.ts";

/** Steps around a node that its widest neighbourhood takes in. */
const DEPTH = 3;

/**
 * The `structure` measure. Of the operators that the output depends on, the multiset of
 * - the neighbourhood of every node at each of the depths 0 (operator, attributes, shape), 1, 2 and 3: what it reads, in order
 *   (without order for add, mul, maximum and minimum), and what reads it, and in which place;
 * - two halves of the hash of the whole graph.
 * Jaccard similarity of two such sets is the weighted Jaccard similarity of the multisets. It is 1 exactly when the graphs are
 * equal up to the numbering of their nodes: neighbourhoods grade the difference, the whole-graph hash makes sure that there is
 * one, wherever in however repetitive a graph the change lies.
 */
export function structureSet(graph: OperatorGraph): HashSet {
  const live = liveGraph(graph);
  const hashes: number[] = [];
  for (const [depth, labels] of neighbourhoods(live, DEPTH).entries()) {
    for (const label of labels) hashes.push(new Hasher().add(label).add(depth).value | 0);
  }
  const whole = canonicalHash(live);
  for (const half of [whole | 0, (whole / 0x1_0000_0000) | 0]) hashes.push(new Hasher().add(half).add(-1).value | 0);
  return setOfMultiset(hashes);
}
