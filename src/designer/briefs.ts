/**
 * Ideas: what each candidate is asked to be. A small model left to itself writes the same net again and again; an idea drawn from a
 * grammar of families, stages, widths, activations, norms, downsamplings and heads makes candidates differ, and has only sizes that fit
 * the parameter limit.
 */

import { architecture } from "./frame.ts";

/** Cost of a block in weights (biases and norms left out) as a function of its channels. */
type Weights = (cin: number, cout: number) => number;

interface Family {
  name: string;
  /** What one block computes, from cin channels at its input to cout at its output, in words close to its code. */
  block: string;
  weights: Weights;
}

export const FAMILIES: readonly Family[] = [
  {
    name: "plain",
    block: "conv1 3x3 cin to cout with stride, norm1, act, conv2 3x3 cout to cout, norm2",
    weights: (i, o) => 9 * i * o + 9 * o * o,
  },
  {
    name: "pre-activation",
    block: "norm1 of cin, act, conv1 3x3 cin to cout with stride, norm2 of cout, act, conv2 3x3 cout to cout",
    weights: (i, o) => 9 * i * o + 9 * o * o,
  },
  {
    name: "bottleneck",
    block:
      "mid = cout // 2; conv1 1x1 cin to mid, norm1 of mid, act, conv2 3x3 mid to mid with stride, norm2 of mid, act, conv3 1x1 mid to cout, norm3 of cout",
    weights: (i, o) => (i * o) / 2 + (9 * o * o) / 4 + (o * o) / 2,
  },
  {
    name: "inverted bottleneck",
    block:
      "mid = 2 * cin; conv1 1x1 cin to mid, norm1 of mid, act, conv2 3x3 mid to mid with stride and groups=mid, norm2 of mid, act, conv3 1x1 mid to cout, norm3 of cout",
    weights: (i, o) => 2 * i * i + 18 * i + 2 * i * o,
  },
  {
    name: "separable",
    block: "conv1 3x3 cin to cin with stride and groups=cin, norm1 of cin, act, conv2 1x1 cin to cout, norm2 of cout",
    weights: (i, o) => 9 * i + i * o,
  },
  {
    name: "squeeze-and-excite",
    block:
      "conv1 3x3 cin to cout with stride, norm1, act, conv2 3x3 cout to cout, norm2; then multiply by the gate torch.sigmoid(fc2(act(fc1(pool(y))))), where pool is nn.AdaptiveAvgPool2d(1), fc1 a 1x1 conv cout to cout // 4 and fc2 a 1x1 conv cout // 4 to cout",
    weights: (i, o) => 9 * i * o + 9.5 * o * o,
  },
  {
    name: "large-kernel",
    block:
      "conv1 7x7 cin to cin with padding=3, stride and groups=cin, norm1 of cin, conv2 1x1 cin to 2 * cin, act, conv3 1x1 2 * cin to cout, norm2 of cout",
    weights: (i, o) => 49 * i + 2 * i * i + 2 * i * o,
  },
  {
    name: "two-branch",
    block:
      "half = cout // 2; a = conv1 of x: 3x3 cin to half with stride; b = conv2 of x: 5x5 cin to half with padding=2 and stride; y = torch.cat([a, b], 1), norm1 of cout, act, conv3 1x1 cout to cout, norm2 of cout",
    weights: (i, o) => 17 * i * o + o * o,
  },
  {
    name: "fire",
    block:
      "squeeze = cout // 4; s = act of conv1 1x1 cin to squeeze with stride; a = conv2 of s: 1x1 squeeze to cout // 2; b = conv3 of s: 3x3 squeeze to cout // 2; y = torch.cat([a, b], 1), norm1 of cout",
    weights: (i, o) => (i * o) / 4 + (10 * o * o) / 8,
  },
  {
    name: "grouped",
    block:
      "conv1 1x1 cin to cout, norm1, act, conv2 3x3 cout to cout with stride and groups=4, norm2, act, conv3 1x1 cout to cout, norm3",
    weights: (i, o) => i * o + (9 * o * o) / 4 + o * o,
  },
  {
    name: "dense",
    block:
      "half = cout // 2; a = act of norm1 of conv1 of x: 3x3 cin to half with stride; b = norm2 of conv2 of a: 3x3 half to half; y = torch.cat([a, b], 1)",
    weights: (i, o) => 4.5 * i * o + 2.25 * o * o,
  },
  {
    name: "gated",
    block:
      "conv1 3x3 cin to 2 * cout with stride, norm1 of 2 * cout; a, b = y.chunk(2, 1); y = act(a) * torch.sigmoid(b)",
    weights: (i, o) => 18 * i * o,
  },
  {
    name: "dilated",
    block:
      "a = act of norm1 of conv1 of x: 3x3 cin to cout with stride; b = norm2 of conv2 of a: 3x3 cout to cout with dilation=2 and padding=2; y = a + b",
    weights: (i, o) => 9 * i * o + 9 * o * o,
  },
  {
    name: "split",
    block:
      "conv1 1x1 cin to cout with stride, norm1, act; a, b = y.chunk(2, 1); b = act of norm2 of conv2 of b: 3x3 cout // 2 to cout // 2; y = torch.cat([a, b], 1), conv3 1x1 cout to cout, norm3",
    weights: (i, o) => i * o + 3.25 * o * o,
  },
  {
    name: "factorised",
    block:
      "conv1 (3, 1) cin to cout with padding=(1, 0) and stride, norm1, act, conv2 (1, 3) cout to cout with padding=(0, 1), norm2",
    weights: (i, o) => 3 * i * o + 3 * o * o,
  },
  {
    name: "pooled",
    block:
      "half = cout // 2; a = conv1 of x: 3x3 cin to half with stride; b = conv2 1x1 cin to half of pool, where pool is nn.MaxPool2d(3, stride, 1) of x; y = torch.cat([a, b], 1), norm1 of cout, act, conv3 3x3 cout to cout, norm2 of cout",
    weights: (i, o) => 5 * i * o + 9 * o * o,
  },
];

const ACTIVATIONS = [
  "nn.ReLU()",
  "nn.SiLU()",
  "nn.GELU()",
  "nn.LeakyReLU(0.1)",
  "nn.Hardswish()",
  "nn.ELU()",
  "nn.PReLU()",
  "nn.Mish()",
];
const NORMS: readonly ((channels: string | number) => string)[] = [
  (c) => `nn.BatchNorm2d(${c})`,
  (c) => `nn.BatchNorm2d(${c})`,
  (c) => `nn.GroupNorm(4, ${c})`,
];

/** One kind of change to a parent: at a line that matches `at`, which is replaced, or after which lines are added. */
interface Change {
  name: string;
  at: RegExp;
  what: string;
}

const ACTIVATION_LINE = /nn\.(ReLU|SiLU|GELU|LeakyReLU|Hardswish|ELU|PReLU|Mish)\(/;
/** `self.x = nn.Conv2d(a, b, 3...)`; `a` and `b` fill {a} and {b} of the change's words. */
const CONV_LINE = /^\s*self\.\w+ = nn\.Conv2d\((?<a>[^,()]+), (?<b>[^,()]+), 3\b.*\)$/;
const POINTWISE_LINE = /^\s*self\.\w+ = nn\.Conv2d\((?<a>[^,()]+), (?<b>[^,()]+), 1\b.*\)$/;
/** `Block(32, 64, stride=2),` in a list of blocks. */
const BLOCK_LINE = /^\s*(?<block>[A-Z]\w*)\((?<a>\w+), (?<b>\w+)\b.*\),$/;
const KEEP = "Keep its stride; padding is kernel // 2.";

const CHANGES: readonly Change[] = [
  { name: "activation", at: ACTIVATION_LINE, what: "{activation}." },
  {
    name: "separable",
    at: CONV_LINE,
    what: `nn.Sequential of a depthwise convolution {a} to {a} with a larger kernel and groups={a}, and a 1x1 convolution {a} to {b}. ${KEEP}`,
  },
  {
    name: "dilated",
    at: CONV_LINE,
    what: "a dilated convolution {a} to {b}: dilation=2 and padding=2. Keep its stride.",
  },
  {
    name: "bottleneck",
    at: CONV_LINE,
    what: `nn.Sequential of a 1x1 convolution {a} to {b} // 2, a norm, {activation}, and a 3x3 convolution {b} // 2 to {b}. ${KEEP}`,
  },
  {
    name: "grouped",
    at: CONV_LINE,
    what: `nn.Sequential of a 1x1 convolution {a} to {b}, a norm, {activation}, and a 3x3 convolution {b} to {b} with groups=4. ${KEEP}`,
  },
  {
    name: "factorised",
    at: CONV_LINE,
    what: "nn.Sequential of a (3, 1) convolution {a} to {b} with padding=(1, 0), {activation}, and a (1, 3) convolution {b} to {b} with padding=(0, 1). Keep its stride on the first.",
  },
  {
    name: "local",
    at: POINTWISE_LINE,
    what: "nn.Sequential of this 1x1 convolution, {activation}, and a depthwise 3x3 convolution {b} to {b} with padding=1 and groups={b}.",
  },
  {
    name: "norm",
    at: /^\s*self\.\w+ = nn\.BatchNorm2d\(\w+\)$/,
    what: "nn.GroupNorm, or nn.InstanceNorm2d with affine=True.",
  },
  {
    name: "block",
    at: BLOCK_LINE,
    what: "two lines: {block}({a}, {b}) with its own arguments, and one more {block}({b}, {b}) after it.",
  },
  { name: "widths", at: /^\s*for .* in [[(].*\d+.*\d+.*:$/, what: "the same loop with other widths." },
  { name: "pooling", at: /nn\.MaxPool2d\(2\)/, what: "average pooling." },
  { name: "pooling", at: /nn\.AdaptiveAvgPool2d\(1\)/, what: "nn.AdaptiveMaxPool2d(1)." },
  {
    name: "head",
    at: /^\s*self\.\w+ = nn\.Linear\((?<a>[^,()]+), out_shape\[0\]\)$/,
    what: "nn.Sequential of a linear layer {a} to a hidden width of your choice, {activation} and a linear layer to out_shape[0].",
  },
];

export interface IdeaOptions {
  mode: "full" | "delta";
  parameterLimit: number;
  /** The latest ideas: their families, or their changes, are avoided. */
  recent: readonly string[];
  /** Code of the net to change, in delta mode. */
  parent?: string | null;
}

export type Random = () => number;

/** One of `items`, by `random` (uniform in [0, 1)). */
export function pick<T>(random: Random, items: readonly T[]): T {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new RangeError("nothing to pick from");
  return item;
}

/** A brief for one candidate: a whole net's plan in `full` mode, one change in `delta` mode. Deterministic in `random`. */
export function drawIdea(random: Random, options: IdeaOptions): string {
  return options.mode === "full" ? drawPlan(random, options) : drawChange(random, options);
}

/**
 * The whole of a net's outer shape is drawn (stem, stages, downsampling, head, shortcut) and opens the answer, so that what a small model is
 * bad at, channels across the whole net and the size budget, holds from the start; the block, what the net is made of, is the model's.
 */
function drawPlan(random: Random, { parameterLimit, recent }: IdeaOptions): string {
  const fresh = FAMILIES.filter((f) => !recent.some((idea) => idea.startsWith(`${f.name} net`)));
  const family = pick(random, fresh.length > 0 ? fresh : FAMILIES);
  const residual = random() < 0.5;
  const weights: Weights = (i, o) => family.weights(i, o) + (residual && i !== o ? i * o : 0);
  const activation = pick(random, ACTIVATIONS);
  const norm = pick(random, NORMS);
  const outer = outerNet(random, { weights, limit: parameterLimit, activation, norm });
  const end = residual ? "Return act of y + self.shortcut(x)." : "Return act of y.";
  const shortcut = `        self.shortcut = nn.Identity()
        if stride != 1 or cin != cout:
            self.shortcut = nn.Conv2d(cin, cout, 1, stride, bias=False)
`;
  return joinIdea({
    brief: `${family.name} net. Each block computes y: ${family.block}. ${end} act is self.act (${activation}), a norm is ${norm("channels")}.`,
    opening: `${outer}


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.act = ${activation}
${residual ? shortcut : ""}`,
  });
}

interface Outer {
  weights: Weights;
  limit: number;
  activation: string;
  norm: (channels: string | number) => string;
}

/** class Net around blocks `Block(cin, cout, stride)`, with stem, stages, downsampling and head drawn by `random`. */
function outerNet(random: Random, { weights, limit, activation, norm }: Outer): string {
  const stem = pick(random, ["thin", "normal", "double", "strided", "strided"] as const);
  const { widths, blocks } = drawSizes(random, weights, limit, stem === "strided" ? 16 : 32);
  const first = widths[0] ?? 16;
  const stems = {
    thin: `nn.Conv2d(in_shape[1], ${first}, 3, padding=1)`,
    normal: `nn.Conv2d(in_shape[1], ${first}, 3, padding=1, bias=False), ${norm(first)}, ${activation}`,
    double: `nn.Conv2d(in_shape[1], ${first}, 3, padding=1), ${activation}, nn.Conv2d(${first}, ${first}, 3, padding=1), ${norm(first)}`,
    strided: `nn.Conv2d(in_shape[1], ${first}, 5, stride=2, padding=2, bias=False), ${norm(first)}, ${activation}`,
  };
  // More halvings than these would leave nothing of an 8 x 8 image.
  const pool =
    stem === "strided" || widths.length > 3 ? null : pick(random, [null, null, "nn.MaxPool2d(2)", "nn.AvgPool2d(2)"]);
  const stages = widths.map((width, s) => `(${width}, ${blocks[s]}, ${s === 0 || pool ? 1 : 2})`).join(", ");
  const head = pick(random, ["average", "average", "maximum", "every stage"] as const);
  const dropout = random() < 0.5 ? 'nn.Dropout(prm["dropout"]), ' : "";
  return `class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.stem = nn.Sequential(${stems[stem]})
        c = ${first}
${head === "every stage" ? stagedBody(stages, pool, dropout) : sequentialBody(stages, pool, head, dropout)}`;
}

function sequentialBody(stages: string, pool: string | null, head: "average" | "maximum", dropout: string): string {
  const pooling = head === "average" ? "nn.AdaptiveAvgPool2d(1)" : "nn.AdaptiveMaxPool2d(1)";
  return `        layers = []
        for width, blocks, stride in [${stages}]:
            for i in range(blocks):
                layers.append(Block(c, width, stride if i == 0 else 1))
                c = width
${pool ? `            layers.append(${pool})\n` : ""}        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(${pooling}, nn.Flatten(), ${dropout}nn.Linear(c, out_shape[0]))

    def forward(self, x):
        return self.head(self.layers(self.stem(x)))`;
}

/** Stages kept apart: the head sees the average of each of them. */
function stagedBody(stages: string, pool: string | null, dropout: string): string {
  return `        self.stages = nn.ModuleList()
        features = 0
        for width, blocks, stride in [${stages}]:
            layers = [${pool ?? ""}]
            for i in range(blocks):
                layers.append(Block(c, width, stride if i == 0 else 1))
                c = width
            self.stages.append(nn.Sequential(*layers))
            features += width
        self.head = nn.Sequential(${dropout}nn.Linear(features, out_shape[0]))

    def forward(self, x):
        x = self.stem(x)
        pooled = []
        for stage in self.stages:
            x = stage(x)
            pooled.append(x.mean((2, 3)))
        return self.head(torch.cat(pooled, 1))`;
}

/** Multiplications per image above which an epoch on a few CPU threads takes minutes. */
const COMPUTE_LIMIT = 16e6;

/**
 * Widths and blocks per stage whose weights are 10 to 70 % of the limit (room for what the designer adds) and whose compute on images
 * of `resolution` pixels a side stays under COMPUTE_LIMIT per half a million parameters allowed; the cheapest that came up when none does.
 */
function drawSizes(
  random: Random,
  weights: Weights,
  limit: number,
  resolution: number,
): { widths: number[]; blocks: number[] } {
  let best: { widths: number[]; blocks: number[]; cost: number } | null = null;
  const computeLimit = COMPUTE_LIMIT * Math.max(1, limit / 500_000);
  for (let i = 0; i < 400; i++) {
    const stages = pick(random, [2, 3, 3, 3, 4]);
    const growth = pick(random, [1.5, 2, 2]);
    const base = pick(random, [16, 24, 32, 40, 48, 64]);
    const widths = Array.from({ length: stages }, (_, s) => Math.round((base * growth ** s) / 8) * 8);
    const blocks = Array.from({ length: stages }, () => pick(random, [1, 1, 2, 2, 3]));
    let cin = widths[0] ?? base;
    let cost = 0;
    let compute = 0;
    widths.forEach((width, s) => {
      for (let b = 0; b < (blocks[s] ?? 1); b++) {
        cost += weights(cin, width);
        compute += weights(cin, width) * (resolution / 2 ** s) ** 2;
        cin = width;
      }
    });
    if (cost > 0.1 * limit && cost < 0.7 * limit && compute < computeLimit) return { widths, blocks };
    if (!best || cost + compute < best.cost) best = { widths, blocks, cost: cost + compute };
  }
  return best ?? { widths: [16, 32], blocks: [1, 1] };
}

/**
 * A change that starts at one line of the parent, where the answer opens its diff: small models start diffs at the wrong place. Its kind is
 * drawn first, then its line, so that frequent lines do not crowd out rare ones.
 */
function drawChange(random: Random, { recent, parent }: IdeaOptions): string {
  const lines = architecture(parent ?? "").split("\n");
  const places = (change: Change): number[] =>
    [...lines.keys()].filter((i) => change.at.test(lines[i] ?? "") && isWholeStatement(lines[i] ?? ""));
  const possible = CHANGES.filter((change) => places(change).length > 0);
  const activation = pick(random, ACTIVATIONS);
  if (possible.length === 0)
    return joinIdea({ brief: `activation: use ${activation} everywhere.`, opening: DIFF_HEADER });
  const fresh = possible.filter((change) => !recent.some((idea) => idea.startsWith(`${change.name}:`)));
  const change = pick(random, fresh.length > 0 ? fresh : possible);
  const at = pick(random, places(change));
  const line = lines[at] ?? "";
  const words = { activation, ...change.at.exec(line)?.groups };
  const what = Object.entries(words).reduce((text, [name, word]) => text.replaceAll(`{${name}}`, word), change.what);
  const brief = `${change.name}: in place of \`${line.trim()}\`, ${what}`;
  return joinIdea({ brief, opening: `${DIFF_HEADER} ${hunkStart(lines, at)}` });
}

const DIFF_HEADER = "--- a/net.py\n+++ b/net.py\n@@";

/** A hunk up to the first line it adds in place of line `at`. */
function hunkStart(lines: readonly string[], at: number): string {
  const line = lines[at] ?? "";
  const first = Math.max(0, at - 2);
  const context = lines.slice(first, at).map((text) => ` ${text}\n`);
  // `self.act = nn.ReLU()` can only become another `self.act =`.
  const target = /^\s*self\.\w+ =/.exec(line)?.[0] ?? "";
  return `-${first + 1},5 +${first + 1},5 @@\n${context.join("")}-${line}\n+${target}`;
}

/** Whether a line's brackets are balanced: a statement on one line, which one line can replace. */
function isWholeStatement(line: string): boolean {
  const count = (brackets: RegExp) => line.match(brackets)?.length ?? 0;
  return count(/[([{]/g) === count(/[)\]}]/g);
}

/** A brief in words, and how the answer to it begins (already written for the model). Kept as one text: the brief, a blank line, the opening. */
interface Idea {
  brief: string;
  opening: string;
}

const joinIdea = ({ brief, opening }: Idea): string => `${brief}\n\n${opening}`;

/** The two parts of a text from `drawIdea`; a text without a blank line is all brief. */
export function splitIdea(idea: string): Idea {
  const at = idea.indexOf("\n\n");
  return at < 0 ? { brief: idea, opening: "" } : { brief: idea.slice(0, at), opening: idea.slice(at + 2) };
}
