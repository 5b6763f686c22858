import type { OperatorGraph } from "../study/types.ts";
import { Hasher } from "./hash.ts";

/** Operators whose inputs have no order. */
const COMMUTATIVE = new Set(["add", "mul", "maximum", "minimum"]);

/** Node visits spent on telling nodes apart before those still alike are taken in the order given. */
const MAX_VISITS = 2_000_000;

/** The part of an operator graph that its output depends on, with the edges in both directions. */
export interface LiveGraph {
  /** Hash of operator and attributes, by node; nodes are in topological order. */
  kinds: number[];
  /** Hash of operator, attributes and shape. */
  labels: number[];
  inputs: number[][];
  commutative: boolean[];
  /** Where each node is used: the user and the place among its inputs (0 when the user is commutative). */
  uses: { user: number; place: number }[][];
}

/** Drops what the output does not depend on. Throws a RangeError when the graph is not one (an input that is no earlier node). */
export function liveGraph({ nodes, output }: OperatorGraph): LiveGraph {
  if (nodes[output] === undefined) throw new RangeError(`Operator graph: the output ${output} is not a node.`);
  const live = new Set([output]);
  for (let index = output; index >= 0; index--) {
    for (const input of live.has(index) ? (nodes[index]?.inputs ?? []) : []) {
      if (!(Number.isInteger(input) && input >= 0 && input < index)) {
        throw new RangeError(`Operator graph: input ${input} of node ${index} is not an earlier node.`);
      }
      live.add(input);
    }
  }
  const kept = [...live].sort((a, b) => a - b);
  const position = new Map(kept.map((index, i) => [index, i]));
  const graph: LiveGraph = { kinds: [], labels: [], inputs: [], commutative: [], uses: kept.map(() => []) };
  for (const [i, index] of kept.entries()) {
    const { op, attributes, shape, inputs } = nodes[index] as OperatorGraph["nodes"][number];
    const kind = new Hasher().addText(op).addText(attributes).value;
    const label = new Hasher().add(kind);
    for (const size of shape) label.add(size);
    graph.kinds.push(kind);
    graph.labels.push(label.value);
    graph.inputs.push(inputs.map((input) => position.get(input) as number));
    graph.commutative.push(COMMUTATIVE.has(op));
    for (const [place, input] of (graph.inputs[i] as number[]).entries()) {
      graph.uses[input]?.push({ user: i, place: graph.commutative[i] ? 0 : place });
    }
  }
  return graph;
}

/** Colours of the inputs of `node`: in argument order, or ascending when that order means nothing. */
function inputColours(graph: LiveGraph, node: number, colours: ArrayLike<number>): number[] {
  const found = (graph.inputs[node] as number[]).map((input) => colours[input] as number);
  return graph.commutative[node] ? found.sort((a, b) => a - b) : found;
}

/** Hash of a node from its own colour and those it reads. */
function withInputs(graph: LiveGraph, node: number, own: number, colours: ArrayLike<number>): number {
  const hash = new Hasher().add(own);
  for (const colour of inputColours(graph, node, colours)) hash.add(colour);
  return hash.value;
}

/** Hash of a node from its own colour and those that read it, each with the place where it does. */
function withUses(graph: LiveGraph, node: number, own: number, colours: ArrayLike<number>): number {
  const uses = (graph.uses[node] ?? []).map(({ user, place }) => {
    return new Hasher().add(colours[user] as number).add(place).value;
  });
  const hash = new Hasher().add(own);
  for (const use of uses.sort((a, b) => a - b)) hash.add(use);
  return hash.value;
}

/**
 * Hashes of every node's neighbourhood within 0, 1, ... `depth` steps, against and along the edges, from hashes of the nodes:
 * Weisfeiler-Lehman subtree labels (Shervashidze et al., JMLR 2011) with ordered inputs. `result[d][v]` has 53 bits.
 */
export function neighbourhoods(graph: LiveGraph, nodes: number[], depth: number): number[][] {
  const rounds = [nodes];
  for (let d = 1; d <= depth; d++) {
    const last = rounds[d - 1] as number[];
    rounds.push(last.map((own, v) => withUses(graph, v, withInputs(graph, v, own, last), last)));
  }
  return rounds;
}

/**
 * A hash of the whole graph that does not depend on the numbering of its nodes nor on the order of the inputs of commutative
 * operators. Equal hashes mean equal graphs (but for one chance in 2^53), whatever their size: the hash is that of the graph
 * written out in a canonical numbering.
 *
 * The numbering is found by colour refinement to full depth, ancestors in one sweep and users in the next. Nodes that stay
 * alike are told apart one by one, refining after each (individualisation and refinement, as in McKay's nauty): they are
 * taken as interchangeable, which identical parallel branches are. At worst, in a graph so regular that they are not, or beyond
 * MAX_VISITS, two numberings of one graph get two hashes; two graphs never get one.
 */
export function canonicalHash(graph: LiveGraph): number {
  const size = graph.labels.length;
  const colours = Float64Array.from(graph.labels);
  let visits = 0;

  const distinct = (): number => new Set(colours).size;
  const refine = (): void => {
    for (let before = -1, now = distinct(); now > before && now < size && visits < MAX_VISITS; visits += 2 * size) {
      for (let v = 0; v < size; v++) colours[v] = withInputs(graph, v, colours[v] as number, colours);
      for (let v = size - 1; v >= 0; v--) colours[v] = withUses(graph, v, colours[v] as number, colours);
      before = now;
      now = distinct();
    }
  };

  refine();
  while (visits < MAX_VISITS) {
    const sorted = colours.toSorted();
    const tied = sorted.find((colour, i) => colour === sorted[i + 1]);
    if (tied === undefined) break;
    const chosen = colours.indexOf(tied);
    colours[chosen] = new Hasher().add(tied).add(1).value;
    refine();
  }

  const order = Array.from(colours.keys()).sort((a, b) => (colours[a] as number) - (colours[b] as number) || a - b);
  const rank = new Float64Array(size);
  for (const [place, node] of order.entries()) rank[node] = place;
  const written = new Hasher().add(size);
  for (const node of order) {
    written.add(withInputs(graph, node, graph.labels[node] as number, rank));
  }
  return written.value;
}
