/** Archives of nets that do not exist, but are alike in the way that nets of one study are: variations on a few dozen themes. */
import { mix32 } from "../../src/novelty/hash.ts";
import type { OperatorGraph } from "../../src/study/types.ts";

export type Random = (below: number) => number;

/** Integers in [0, below), always the same for one seed. */
export function randomFrom(seed: number): Random {
  let state = mix32(seed + 1);
  return (below) => {
    state = (state + 0x9e3779b9) | 0;
    return Math.floor(((mix32(state) >>> 0) / 0x1_0000_0000) * below);
  };
}

/** A theme of either measure and its variations: `parts` are lines of code or stages of a net. */
interface Theme<Part> {
  draw(random: Random): Part;
  /** The smallest change of a part. */
  tweak(part: Part): Part;
  length: [least: number, most: number];
}

/** `edits` random replacements, insertions and removals. */
function vary<Part>(parts: Part[], edits: number, theme: Theme<Part>, random: Random): Part[] {
  const varied = [...parts];
  for (let i = 0; i < edits; i++) {
    const at = random(varied.length);
    const kind = random(3);
    if (kind === 0 || varied.length < 4) varied.splice(at, 0, theme.draw(random));
    else if (kind === 1) varied.splice(at, 1);
    else varied[at] = theme.draw(random);
  }
  return varied;
}

/** Variations of many sizes on `bases` themes; the last `planted` are near copies (0 to 3 tweaks) of earlier ones. */
export function variations<Part>(
  theme: Theme<Part>,
  count: number,
  planted: number,
  bases: number,
  random: Random,
): Part[][] {
  const [least, most] = theme.length;
  const themes = Array.from({ length: bases }, () => {
    return Array.from({ length: least + random(most - least + 1) }, () => theme.draw(random));
  });
  const all: Part[][] = [];
  while (all.length < count - planted) {
    // Half are written anew from a theme, half go on from one seen before: chains of descent, as in delta mode.
    const from = all.length > bases && random(2) === 0 ? all[random(all.length)] : themes[random(bases)];
    all.push(vary(from as Part[], 1 + random(1 + random(most)), theme, random));
  }
  const originals = all.length;
  while (all.length < count) {
    const copy = [...(all[random(originals)] as Part[])];
    for (let tweaks = random(4); tweaks > 0; tweaks--) {
      const at = random(copy.length);
      copy[at] = theme.tweak(copy[at] as Part);
    }
    all.push(copy);
  }
  return all;
}

const HEAD =
  "import NAME NEWLINE import NAME . NAME as NAME NEWLINE def NAME ( ) : NEWLINE INDENT return { STRING , STRING } NEWLINE DEDENT class NAME ( NAME . NAME ) : NEWLINE INDENT def NAME ( NAME , NAME , NAME , NAME , NAME ) : NEWLINE INDENT NAME ( ) . NAME ( ) NEWLINE NAME . NAME = NAME NEWLINE";
const TAIL =
  "return NAME NEWLINE DEDENT def NAME ( NAME , NAME ) : NEWLINE INDENT NAME . NAME ( NAME . NAME ) NEWLINE NAME . NAME = NAME . NAME ( ) . NAME ( NAME . NAME ) NEWLINE NAME . NAME = NAME . NAME . NAME ( NAME . NAME ( ) , NAME = NAME [ STRING ] , NAME = NAME [ STRING ] ) NEWLINE DEDENT def NAME ( NAME , NAME ) : NEWLINE INDENT NAME . NAME ( ) NEWLINE for NAME , NAME in NAME : NEWLINE INDENT NAME , NAME = NAME . NAME ( NAME . NAME ) , NAME . NAME ( NAME . NAME ) NEWLINE NAME . NAME . NAME ( ) NEWLINE NAME = NAME ( NAME ) NEWLINE NAME = NAME . NAME ( NAME , NAME ) NEWLINE NAME . NAME ( ) NEWLINE NAME . NAME . NAME ( NAME . NAME ( ) , NUMBER ) NEWLINE NAME . NAME . NAME ( ) NEWLINE DEDENT DEDENT DEDENT";
const EXPRESSIONS = [
  "NAME",
  "NUMBER",
  "NAME . NAME",
  "NAME [ NUMBER ]",
  "NAME // NUMBER",
  "- NUMBER",
  "NAME * NUMBER",
  "( NUMBER , NUMBER )",
  "NAME + NAME",
  "NAME ( NAME )",
  "NAME . NAME ( NAME , NUMBER )",
];

/** Lines of a module's `__init__` and `forward`; the contract's methods around them are always the same. */
export const CODE: Theme<string> = {
  length: [15, 70],
  tweak: (line) => line.replace(" = ", " -= "),
  draw(random) {
    const expression = () => EXPRESSIONS[random(EXPRESSIONS.length)];
    const call = () => {
      const list = Array.from({ length: 1 + random(4) }, () => `${random(3) === 0 ? "NAME = " : ""}${expression()}`);
      return `NAME . NAME ( ${list.join(" , ")} )`;
    };
    const kind = random(6);
    if (kind < 2) return `NAME . NAME = ${call()} NEWLINE`;
    if (kind === 2) return `NAME = ${call()} NEWLINE`;
    if (kind === 3) return `NAME = NAME + ${call()} NEWLINE`;
    if (kind === 4) return `if ${expression()} > ${expression()} : NEWLINE INDENT NAME = ${call()} NEWLINE DEDENT`;
    return `for NAME in NAME ( ${expression()} ) : NEWLINE INDENT NAME . NAME ( ${call()} ) NEWLINE DEDENT`;
  },
};

export function tokensOf(lines: string[]): string[] {
  return [HEAD, ...lines, TAIL].join(" ").split(" ");
}

export interface Stage {
  kind: number;
  width: number;
  kernel: number;
}

/** Stages of a convnet: plain, residual, two parallel branches, or pooling. */
export const NET: Theme<Stage> = {
  length: [16, 60],
  tweak: (stage) => ({ ...stage, kernel: stage.kernel + 2 }),
  draw: (random) => ({ kind: random(5), width: 16 * (1 + random(8)), kernel: 1 + 2 * random(3) }),
};

export function graphOf(stages: Stage[]): OperatorGraph {
  const nodes: OperatorGraph["nodes"] = [{ op: "input", attributes: "", shape: [2, 3, 32, 32], inputs: [] }];
  const put = (op: string, attributes: string, shape: number[], ...inputs: number[]): number => {
    return nodes.push({ op, attributes, shape, inputs }) - 1;
  };
  let side = 32;
  let channels = 3;
  const block = (from: number, width: number, kernel: number): number => {
    const shape = [2, width, side, side];
    const convolved = put("conv2d", `kernel=${kernel} stride=1 groups=1 in=${channels}`, shape, from);
    return put("relu", "", shape, put("batch_norm", "", shape, convolved));
  };
  let x = 0;
  for (const { kind, width, kernel } of stages) {
    if (kind === 0 && side > 2) {
      side /= 2;
      x = put("max_pool2d", "kernel=2 stride=2", [2, channels, side, side], x);
    } else if (kind === 1) {
      x = put("add", "", [2, channels, side, side], x, block(x, channels, kernel));
    } else if (kind === 2) {
      x = put("cat", "dim=1", [2, 2 * width, side, side], block(x, width, kernel), block(x, width, 1));
      channels = 2 * width;
    } else {
      x = block(x, width, kernel);
      channels = width;
    }
  }
  x = put("mean", "dim=2,3", [2, channels], x);
  return { nodes, output: put("linear", `in=${channels}`, [2, 10], x) };
}
