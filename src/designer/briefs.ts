/**
 * Ideas: what each candidate is asked to be. A small model left to itself writes the same net again and again; an idea drawn from a
 * grammar of ingredients, stages, widths, activations, norms, downsamplings and heads makes candidates differ, and has only sizes that fit
 * the parameter limit.
 */

import { bracketBalance } from "./diffs.ts";
import { architecture } from "./frame.ts";

/** What a block may be made of. Two of them make a brief; how they come together is the designer's. */
export const INGREDIENTS: readonly { name: string; what: string }[] = [
  { name: "two convolutions", what: "two 3x3 layers in a row" },
  { name: "bottleneck", what: "a 1x1 layer to fewer channels, a 3x3 layer there, and a 1x1 layer back" },
  {
    name: "inverted bottleneck",
    what: "a 1x1 layer to twice the channels, a depthwise 3x3 layer there (groups = its channels), and a 1x1 layer to cout",
  },
  { name: "separable", what: "a depthwise 3x3 layer (groups = its channels) followed by a 1x1 layer" },
  { name: "large kernel", what: "a depthwise 7x7 layer (groups = its channels)" },
  {
    name: "channel gate",
    what: "a channel gate: the mean over height and width (keepdim) through two 1x1 nn.Conv2d and a sigmoid, multiplied with the features",
  },
  {
    name: "spatial gate",
    what: "a spatial gate: a 7x7 nn.Conv2d to 1 channel and a sigmoid, multiplied with the features",
  },
  { name: "two branches", what: "a 3x3 branch and a 5x5 branch, each to half of cout, concatenated" },
  { name: "summed branches", what: "a 1x1 branch and a 3x3 branch, both to cout, added" },
  { name: "pooling branch", what: "a branch of nn.MaxPool2d(3, stride, 1) and a 1x1 layer" },
  { name: "grouped", what: "a 3x3 layer with groups=4" },
  { name: "dilated", what: "a 3x3 layer with dilation=2, added to its own input" },
  {
    name: "dense",
    what: "the outputs of two layers of cout // 2 channels each, the second fed by the first, concatenated",
  },
  {
    name: "split",
    what: "the features chunked into two halves along the channels, one half through a 3x3 layer, concatenated again",
  },
  { name: "gated", what: "a gated unit: a layer to 2 * cout channels, chunked into a and b, a * torch.sigmoid(b)" },
  {
    name: "squeeze",
    what: "a 1x1 layer to cout // 4 channels, expanded again by a 1x1 layer and a 3x3 layer side by side",
  },
  {
    name: "multi-scale",
    what: "a path at half the size (F.avg_pool2d by 2, a layer, F.interpolate to the other path's size) added",
  },
  {
    name: "scaled",
    what: "a learned nn.Parameter per channel, of shape (1, cout, 1, 1), that multiplies the features",
  },
];

/** Weights of two plain 3x3 convolutions: what blocks cost on average, whatever their ingredients. */
const blockWeights = (cin: number, cout: number): number => 9 * cin * cout + 9 * cout * cout;

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
  (c) => `nn.GroupNorm(1, ${c})`,
];

/** One kind of change to a parent: at a line that matches `at`, which is replaced, or after which lines are added. */
interface Change {
  name: string;
  at: RegExp;
  what: string;
  /** The line stays, and one is added after it. */
  adds?: true;
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
    what: `nn.Sequential of a depthwise convolution {a} to {a} with a larger kernel and groups={a}, and a 1x1 convolution {a} to {b} without padding. ${KEEP}`,
  },
  {
    name: "dilated",
    at: CONV_LINE,
    what: "a dilated convolution {a} to {b}: dilation=2 and padding=2. Keep its stride.",
  },
  {
    name: "bottleneck",
    at: CONV_LINE,
    what: `nn.Sequential of a 1x1 convolution {a} to {b} // 2 without padding, a norm, {activation}, and a 3x3 convolution {b} // 2 to {b}. ${KEEP}`,
  },
  {
    name: "grouped",
    at: CONV_LINE,
    what: `nn.Sequential of a 1x1 convolution {a} to {b} without padding, a norm, {activation}, and a 3x3 convolution {b} to {b} with groups=4. ${KEEP}`,
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
    at: /^\s*self\.\w+ = nn\.BatchNorm2d\((?<c>\w+)\)$/,
    what: "nn.GroupNorm(groups, {c}) with a number of groups that divides the channels, or nn.InstanceNorm2d({c}, affine=True).",
  },
  {
    name: "block",
    at: BLOCK_LINE,
    what: "one more {block} from {b} to {b} channels with stride 1.",
    adds: true,
  },
  { name: "widths", at: /^\s*for .* in [[(].*\d+.*\d+.*:$/, what: "the same loop with other widths." },
  { name: "pooling", at: /nn\.MaxPool2d\(2\)/, what: "average pooling." },
  { name: "pooling", at: /nn\.AdaptiveAvgPool2d\(1\)/, what: "nn.AdaptiveMaxPool2d(1)." },
  {
    name: "head",
    at: /^\s*self\.\w+ = nn\.Linear\((?<a>[^,()]+), out_shape\[0\]\)$/,
    what: "nn.Sequential of a linear layer {a} to {width}, {activation} and a linear layer {width} to out_shape[0].",
  },
];

export interface IdeaOptions {
  mode: "full" | "delta";
  parameterLimit: number;
  /** The latest ideas: their ingredients, or their changes, are avoided. */
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
 * The whole of a net's outer shape is drawn (stem, stages, downsampling, head, shortcut, the order of convolution, norm and activation) and
 * opens the answer, so that what a small model is bad at, channels across the whole net and the size budget, holds from the start; the
 * block, what the net is made of, is the model's.
 */
function drawPlan(random: Random, { parameterLimit, recent }: IdeaOptions): string {
  const used = (name: string): number => recent.filter((idea) => idea.includes(` ${name}: `)).length;
  const fewest = Math.min(...INGREDIENTS.map(({ name }) => used(name)));
  const first = pick(
    random,
    INGREDIENTS.filter(({ name }) => used(name) === fewest),
  );
  const second = pick(
    random,
    INGREDIENTS.filter((other) => other !== first),
  );
  const residual = random() < 0.6;
  const activation = pick(random, ACTIVATIONS);
  const norm = pick(random, NORMS);
  const outer = outerNet(random, { limit: parameterLimit, activation, norm });
  const preActivation = random() < 0.25;
  const order = preActivation
    ? `${norm("cin")}, ${activation}, convolution`
    : `convolution, ${norm("cout")}, ${activation}`;
  const convolution = "nn.Conv2d(cin, cout, kernel, stride, dilation * (kernel // 2), dilation, groups, bias=False)";
  return joinIdea({
    brief: [
      "its Block(cin, cout, stride) combines two ideas:",
      `1. ${first.name}: ${first.what}.`,
      `2. ${second.name}: ${second.what}.`,
      "layer(cin, cout, kernel, stride, groups, dilation) is convolution, norm and activation in one and keeps the size at stride 1: build the block of it. Exactly one layer on each path from x has the stride.",
      residual ? "forward returns its result + self.shortcut(x)." : "",
    ]
      .filter(Boolean)
      .join("\n"),
    opening: `def layer(cin, cout, kernel, stride=1, groups=1, dilation=1):
    convolution = ${convolution}
    return nn.Sequential(${order})


${outer}


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
${residual ? "        self.shortcut = nn.Identity() if stride == 1 and cin == cout else layer(cin, cout, 1, stride)\n" : ""}`,
  });
}

interface Outer {
  limit: number;
  activation: string;
  norm: (channels: string | number) => string;
}

/** class Net around blocks `Block(cin, cout, stride)`, with stem, stages, downsampling and head drawn by `random`. */
function outerNet(random: Random, { limit, activation, norm }: Outer): string {
  const stem = pick(random, ["thin", "normal", "double", "strided", "strided"] as const);
  const { widths, blocks } = drawSizes(random, limit, stem === "strided" ? 16 : 32);
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
 * Widths and blocks per stage whose weights (of blocks of average cost) are 10 to 60 % of the limit (room for what the designer adds) and whose compute on images
 * of `resolution` pixels a side stays under COMPUTE_LIMIT per half a million parameters allowed; the cheapest that came up when none does.
 */
function drawSizes(random: Random, limit: number, resolution: number): { widths: number[]; blocks: number[] } {
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
        cost += blockWeights(cin, width);
        compute += blockWeights(cin, width) * (resolution / 2 ** s) ** 2;
        cin = width;
      }
    });
    if (cost > 0.1 * limit && cost < 0.6 * limit && compute < computeLimit) return { widths, blocks };
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
    [...lines.keys()].filter((i) => change.at.test(lines[i] ?? "") && bracketBalance(lines[i] ?? "") === 0);
  const possible = CHANGES.filter((change) => places(change).length > 0);
  const activation = pick(random, ACTIVATIONS);
  if (possible.length === 0)
    return joinIdea({ brief: `activation: use ${activation} everywhere.`, opening: DIFF_HEADER });
  const fresh = possible.filter((change) => !recent.some((idea) => idea.startsWith(`${change.name}:`)));
  const change = pick(random, fresh.length > 0 ? fresh : possible);
  const at = pick(random, places(change));
  const line = lines[at] ?? "";
  const width = String(pick(random, [32, 48, 64, 96, 128]));
  const words = { activation, width, ...change.at.exec(line)?.groups };
  const what = Object.entries(words).reduce((text, [name, word]) => text.replaceAll(`{${name}}`, word), change.what);
  const brief = `${change.name}: ${change.adds ? "after" : "in place of"} \`${line.trim()}\`, ${what}`;
  return joinIdea({ brief, opening: `${DIFF_HEADER} ${hunkStart(lines, at, change.adds === true)}` });
}

const DIFF_HEADER = "--- a/net.py\n+++ b/net.py\n@@";

/** A hunk up to the first line it adds in place of line `at`, or after it. */
function hunkStart(lines: readonly string[], at: number, after: boolean): string {
  const line = lines[at] ?? "";
  // Two lines before the first that is added, as in the diffs that accepted nets are written down as.
  const first = Math.max(0, at - (after ? 1 : 2));
  const context = lines.slice(first, at).map((text) => ` ${text}\n`);
  // `self.act = nn.ReLU()` can only become another `self.act =`.
  const target = /^\s*self\.\w+ =/.exec(line)?.[0] ?? "";
  const start = `-${first + 1},5 +${first + 1},5 @@\n${context.join("")}`;
  return after
    ? `${start} ${line}\n+${" ".repeat(line.length - line.trimStart().length)}`
    : `${start}-${line}\n+${target}`;
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
