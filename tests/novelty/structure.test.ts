import { describe, expect, it } from "vitest";
import { jaccard } from "../../src/novelty/sets.ts";
import { structureSet } from "../../src/novelty/structure.ts";
import type { OperatorGraph } from "../../src/study/types.ts";
import { graphOf, NET, type Random, randomFrom, type Stage, variations } from "../bench/synthetic.ts";

type Node = OperatorGraph["nodes"][number];

/** A graph in the making; `put` gives the index of the new node. */
function sketch() {
  const nodes: Node[] = [];
  const put = (op: string, inputs: number[] = [], shape = [2, 16, 8, 8], attributes = ""): number => {
    return nodes.push({ op, attributes, shape, inputs }) - 1;
  };
  const conv = (x: number, weight = put("parameter", [], [16, 16, 3, 3])): number => put("convolution", [x, weight]);
  return { put, conv, graph: (output = nodes.length - 1): OperatorGraph => ({ nodes, output }) };
}

function similarity(a: OperatorGraph, b: OperatorGraph): number {
  const [left, right] = [structureSet(a), structureSet(b)];
  expect(jaccard(right, left)).toBe(jaccard(left, right));
  return jaccard(left, right);
}

/** `length` alike layers in a row; layer `skipTo` also adds the output of layer `skipFrom`. */
function chain(length: number, skipFrom = 0, skipTo = 0): OperatorGraph {
  const { put, conv, graph } = sketch();
  const outputs = [put("input")];
  for (let i = 1; i <= length; i++) {
    const x = put("relu", [conv(outputs[i - 1] as number)]);
    outputs.push(i === skipTo ? put("add", [x, outputs[skipFrom] as number]) : x);
  }
  return graph(outputs.at(-1));
}

/** The same graph in another topological order, its commutative inputs in any order. */
function renumbered({ nodes, output }: OperatorGraph, random: Random): OperatorGraph {
  const place = new Map<number, number>();
  const moved: Node[] = [];
  while (moved.length < nodes.length) {
    const choices = [...nodes.keys()].filter(
      (i) => !place.has(i) && (nodes[i] as Node).inputs.every((input) => place.has(input)),
    );
    const chosen = choices[random(choices.length)] as number;
    const node = nodes[chosen] as Node;
    const inputs = node.inputs.map((input) => place.get(input) as number);
    if (["add", "mul", "maximum", "minimum"].includes(node.op) && random(2) === 0) inputs.reverse();
    place.set(chosen, moved.push({ ...node, inputs }) - 1);
  }
  return { nodes: moved, output: place.get(output) as number };
}

/** Random operators on random earlier nodes, of which the last reads all that nothing else does. */
function randomGraph(random: Random): OperatorGraph {
  const { put, graph } = sketch();
  put("input");
  const count = 4 + random(40);
  const used = new Set<number>();
  for (let i = 1; i < count; i++) {
    const op = ["parameter", "relu", "convolution", "add", "mul", "cat"][random(6)] as string;
    const arity = op === "parameter" ? 0 : op === "relu" ? 1 : 2;
    const inputs = Array.from({ length: arity }, () => random(i));
    for (const input of inputs) used.add(input);
    put(op, inputs);
  }
  put(
    "cat",
    Array.from({ length: count }, (_, i) => i).filter((i) => !used.has(i)),
  );
  return graph();
}

describe("structure similarity is 1", () => {
  it("for a graph whose nodes are numbered differently", () => {
    const random = randomFrom(1);
    for (let i = 0; i < 300; i++) {
      const graph = randomGraph(random);
      expect(structureSet(renumbered(graph, random))).toEqual(structureSet(graph));
    }
  });

  it("for nets whose parallel branches are alike, in whatever order they ran", () => {
    const random = randomFrom(2);
    const { put, conv, graph } = sketch();
    const x = put("input");
    const branches = Array.from({ length: 8 }, () => put("relu", [conv(conv(x))]));
    const sums = [0, 2, 4, 6].map((i) => put("add", [branches[i] as number, branches[i + 1] as number]));
    put("add", [put("add", sums.slice(0, 2)), put("add", sums.slice(2))]);
    for (let i = 0; i < 50; i++) expect(similarity(renumbered(graph(), random), graph())).toBe(1);
  });

  it("whatever runs beside and has no part in the output", () => {
    const a = sketch();
    const x = a.put("input");
    a.conv(a.conv(x));
    const used = a.put("relu", [x]);
    const b = sketch();
    b.put("relu", [b.put("input")]);
    expect(similarity(a.graph(used), b.graph())).toBe(1);
  });
});

describe("structure similarity is below 1", () => {
  const base = chain(20, 4, 8);
  const last = base.nodes.length - 1;
  const edited = (at: number, change: Partial<Node>): OperatorGraph => ({
    nodes: base.nodes.map((node, i) => (i === at ? { ...node, ...change } : node)),
    output: base.output,
  });
  const changes: [string, OperatorGraph][] = [
    ["an operator", edited(last, { op: "gelu" })],
    ["an attribute", edited(2, { attributes: "stride=1,1" })],
    ["a width", edited(2, { shape: [2, 32, 8, 8] })],
    ["a kernel", edited(1, { shape: [16, 16, 5, 5] })],
    ["one layer more", chain(21, 4, 8)],
    ["one layer fewer", chain(19, 4, 8)],
    ["where a residual lands", chain(20, 4, 9)],
    ["where a residual starts", chain(20, 5, 8)],
    ["a residual moved as a whole", chain(20, 10, 14)],
    ["a residual more", chain(20)],
  ];

  it.each(changes)("for %s", (_, changed) => {
    const found = similarity(base, changed);
    expect(found).toBeLessThan(1);
    expect(found).toBeGreaterThan(0.5);
  });

  it("for a change deep inside a long repetitive chain", () => {
    for (const [from, to] of [
      [500, 504],
      [501, 505],
      [500, 503],
    ] as const) {
      const found = similarity(chain(1000, 499, 503), chain(1000, from, to));
      expect(found).toBeLessThan(1);
      expect(found).toBeGreaterThan(0.98);
    }
    expect(similarity(chain(1000), chain(1001))).toBeLessThan(1);
  });

  it("for the order of the inputs of an operator that has one", () => {
    const [a, b] = [
      ["relu", "tanh"],
      ["tanh", "relu"],
    ].map((ops) => {
      const { put, graph } = sketch();
      const x = put("input");
      put(
        "cat",
        ops.map((op) => put(op, [x])),
      );
      return graph();
    }) as [OperatorGraph, OperatorGraph];
    expect(similarity(a, b)).toBeLessThan(1);
  });

  it("for the same input read twice or two alike", () => {
    const [once, twice] = [1, 2].map((parameters) => {
      const { put, graph } = sketch();
      const x = put("input");
      const p = put("parameter");
      put("mul", [put("add", [x, p]), put("add", [put("relu", [x]), parameters === 1 ? p : put("parameter")])]);
      return graph();
    }) as [OperatorGraph, OperatorGraph];
    expect(similarity(once, twice)).toBeLessThan(1);
  });

  it("for which layers share their weights", () => {
    const [paired, crossed] = [
      [0, 0, 1, 1],
      [0, 1, 0, 1],
    ].map((shared) => {
      const { put, conv, graph } = sketch();
      const weights = [put("parameter"), put("parameter")];
      let x = put("input");
      for (const weight of shared) x = conv(x, weights[weight]);
      return graph();
    }) as [OperatorGraph, OperatorGraph];
    expect(similarity(paired, crossed)).toBeLessThan(1);
  });

  it("for sharing within or across alike branches, which no neighbourhood tells apart", () => {
    const random = randomFrom(3);
    const [within, across] = [
      [0, 0, 1, 1],
      [0, 1, 1, 0],
    ].map((shared) => {
      const { put, conv, graph } = sketch();
      const x = put("input");
      const weights = [put("parameter"), put("parameter")];
      const branch = (first: number, second: number) => conv(conv(x, weights[first]), weights[second]);
      const [a = 0, b = 0, c = 0, d = 0] = shared;
      put("add", [branch(a, b), branch(c, d)]);
      return graph();
    }) as [OperatorGraph, OperatorGraph];
    for (let i = 0; i < 20; i++) {
      expect(similarity(renumbered(within, random), across)).toBeLessThan(1);
      expect(similarity(renumbered(across, random), across)).toBe(1);
    }
  });

  it("for two random graphs that differ in one node", () => {
    const random = randomFrom(4);
    for (let i = 0; i < 300; i++) {
      const graph = randomGraph(random);
      const at = random(graph.nodes.length);
      const nodes = graph.nodes.map((node, index) => (index === at ? { ...node, shape: [2, 17, 8, 8] } : node));
      expect(similarity({ ...graph, nodes }, graph)).toBeLessThan(1);
    }
  });
});

describe("structure similarity", () => {
  it("falls with every further change", () => {
    const [net] = variations(NET, 1, 0, 1, randomFrom(5)) as [Stage[]];
    const stages = net.filter(({ kind }) => kind !== 0);
    const base = graphOf(stages);
    const found = stages.map((_, last) => {
      const changed = stages.map((stage, at) => (at <= last ? { kind: 4, width: 24, kernel: 7 } : stage));
      return similarity(graphOf(changed), base);
    });
    for (const [i, now] of found.slice(1).entries()) expect(now).toBeLessThan((found[i] as number) + 0.02);
    expect(found[0]).toBeGreaterThan(0.5);
    expect(found.at(-1)).toBeLessThan(0.2);
  });

  it("does not vanish when every later shape changes", () => {
    const stages = Array.from({ length: 12 }, () => ({ kind: 1, width: 32, kernel: 3 }));
    const widened = { kind: 3, width: 32, kernel: 3 };
    const pooled = { kind: 0, width: 0, kernel: 0 };
    const found = similarity(graphOf([widened, ...stages]), graphOf([pooled, widened, ...stages]));
    expect(found).toBeGreaterThan(0.25);
    expect(found).toBeLessThan(0.6);
  });

  it("is the weighted Jaccard similarity of the counts", () => {
    // relu and tanh of an input: only the input is alike, alone, with its shape and without.
    const [relu, tanh] = ["relu", "tanh"].map((op) => {
      const { put, graph } = sketch();
      put(op, [put("input")]);
      return graph();
    }) as [OperatorGraph, OperatorGraph];
    // Two nodes at four depths, twice, and the two halves of the whole graph's hash: 18 elements each.
    expect(similarity(relu, tanh)).toBeCloseTo(2 / 34, 12);
  });

  it("takes a graph of 20,000 nodes that are all alike", () => {
    const { put, graph } = sketch();
    const x = put("input");
    put(
      "cat",
      Array.from({ length: 19_998 }, () => put("relu", [x])),
    );
    expect(structureSet(graph()).length).toBeGreaterThan(20_000);
  });

  it.each([
    ["an output that is no node", { nodes: [], output: 0 }],
    ["an input that comes later", { nodes: [{ op: "relu", attributes: "", shape: [1], inputs: [1] }], output: 0 }],
    [
      "an input that is the node itself",
      { nodes: [{ op: "relu", attributes: "", shape: [1], inputs: [0] }], output: 0 },
    ],
    ["an input that is no index", { nodes: [{ op: "relu", attributes: "", shape: [1], inputs: [-0.5] }], output: 0 }],
  ])("refuses %s", (_, graph) => {
    expect(() => structureSet(graph)).toThrow(RangeError);
  });
});
