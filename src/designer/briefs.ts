/**
 * Design briefs: what each candidate is asked to be. A small model left to itself writes the same net again and again; a brief drawn
 * from a grammar of families, stages, widths, activations, norms, downsamplings and heads makes candidates differ, and
 * draws only sizes that fit the parameter limit.
 */

/** Cost of a block in weights (biases and norms left out) as a function of its channels. */
type Weights = (cin: number, cout: number) => number;

interface Family {
  name: string;
  /** One block, precise enough to be written down: cin, cout and stride are its arguments. */
  block: string;
  weights: Weights;
}

const shortcut: Weights = (i, o) => (i === o ? 0 : i * o);

export const FAMILIES: readonly Family[] = [
  {
    name: "plain",
    block: "conv 3x3 (stride), norm, activation, then conv 3x3, norm, activation",
    weights: (i, o) => 9 * i * o + 9 * o * o,
  },
  {
    name: "residual",
    block: "conv 3x3 (stride), norm, activation, conv 3x3, norm; add the shortcut; activation",
    weights: (i, o) => 9 * i * o + 9 * o * o + shortcut(i, o),
  },
  {
    name: "pre-activation residual",
    block: "norm, activation, conv 3x3 (stride), norm, activation, conv 3x3; add the shortcut",
    weights: (i, o) => 9 * i * o + 9 * o * o + shortcut(i, o),
  },
  {
    name: "bottleneck residual",
    block:
      "mid = cout // 2; conv 1x1 to mid, conv 3x3 mid to mid (stride), conv 1x1 to cout, each with norm; add the shortcut",
    weights: (i, o) => (i * o) / 2 + (9 * o * o) / 4 + (o * o) / 2 + shortcut(i, o),
  },
  {
    name: "inverted bottleneck",
    block:
      "mid = 3 * cin; conv 1x1 cin to mid, depthwise conv 3x3 (groups=mid, stride), conv 1x1 mid to cout; add x when shapes agree",
    weights: (i, o) => 3 * i * i + 27 * i + 3 * i * o,
  },
  {
    name: "depthwise separable",
    block: "depthwise conv 3x3 (groups=cin, stride), norm, activation, conv 1x1 cin to cout, norm, activation",
    weights: (i, o) => 9 * i + i * o,
  },
  {
    name: "squeeze-and-excite residual",
    block:
      "two conv 3x3 with norm (first has stride), then a channel gate: AdaptiveAvgPool2d(1), conv 1x1 cout to cout // 4, activation, conv 1x1 back, sigmoid, multiply; add the shortcut",
    weights: (i, o) => 9 * i * o + 9.5 * o * o + shortcut(i, o),
  },
  {
    name: "ConvNeXt",
    block:
      "depthwise conv 5x5 (groups=cin, stride), norm, conv 1x1 cin to 2 * cin, activation, conv 1x1 2 * cin to cout; add the shortcut",
    weights: (i, o) => 25 * i + 2 * i * i + 2 * i * o + shortcut(i, o),
  },
  {
    name: "multi-branch",
    block:
      "half = cout // 2; branch a: conv 3x3 cin to half (stride); branch b: conv 1x1 cin to half, then conv 5x5 half to half (stride, groups=half); torch.cat([a, b], 1), norm, activation",
    weights: (i, o) => 4.5 * i * o + (i * o) / 2 + 12.5 * o,
  },
  {
    name: "fire",
    block:
      "squeeze = cout // 4; conv 1x1 cin to squeeze, activation; then conv 1x1 and conv 3x3, both squeeze to cout // 2 (stride), torch.cat, norm, activation",
    weights: (i, o) => (i * o) / 4 + (10 * o * o) / 8,
  },
  {
    name: "grouped residual",
    block:
      "conv 1x1 cin to cout, conv 3x3 cout to cout with groups=4 (stride), conv 1x1 cout to cout, each with norm; add the shortcut",
    weights: (i, o) => i * o + (9 * o * o) / 4 + o * o + shortcut(i, o),
  },
  {
    name: "dense",
    block:
      "mid = cout // 2; a = conv 3x3 cin to mid (stride); b = conv 3x3 mid to cout - mid of act(norm(a)); out = norm and activation of torch.cat([a, b], 1)",
    weights: (i, o) => 4.5 * i * o + 2.25 * o * o,
  },
  {
    name: "gated",
    block: "conv 3x3 cin to 2 * cout (stride), norm; a, b = out.chunk(2, 1); out = activation(a) * torch.sigmoid(b)",
    weights: (i, o) => 18 * i * o,
  },
  {
    name: "dilated",
    block:
      "conv 3x3 cin to cout (stride), norm, activation; conv 3x3 cout to cout with dilation=2, padding=2, norm; add the first activation's output; activation",
    weights: (i, o) => 9 * i * o + 9 * o * o,
  },
  {
    name: "split (cross-stage partial)",
    block:
      "conv 1x1 cin to cout (stride); a, b = out.chunk(2, 1); b goes through conv 3x3 cout // 2 to cout // 2, norm, activation; torch.cat([a, b], 1), norm, activation",
    weights: (i, o) => i * o + 2.25 * o * o,
  },
];

const ACTIVATIONS = ["ReLU", "SiLU", "GELU", "LeakyReLU(0.1)", "Hardswish", "ELU", "PReLU", "Mish"];
const NORMS = ["BatchNorm2d", "BatchNorm2d", "BatchNorm2d", "GroupNorm(4, c)", "GroupNorm(8, c)"];
const DOWNSAMPLING = [
  "stride 2 in the first block of every stage but the first",
  "MaxPool2d(2) after every stage but the last",
  "AvgPool2d(2) after every stage but the last",
  "stride 2 in the stem, then stride 2 in the first block of every stage but the first",
];
const STEMS = [
  "conv 3x3",
  "conv 3x3, norm, activation",
  "conv 5x5 (padding 2), norm, activation",
  "two conv 3x3 with norm and activation",
];
const HEADS = [
  "AdaptiveAvgPool2d(1), flatten, Linear",
  "AdaptiveAvgPool2d(1), flatten, Dropout(prm['dropout']), Linear",
  "AdaptiveMaxPool2d(1), flatten, Linear",
  "average and maximum pooling to 1x1 concatenated (2 * c features), Linear",
];

const CHANGES = [
  "Replace the activation functions by {activation}.",
  "Add a squeeze-and-excite channel gate to the block.",
  "Add one more block to the last stage.",
  "Make the last stage wider and the first one narrower.",
  "Add a shortcut around the convolutions of the block (1x1 convolution where the shape changes).",
  "Replace a 3x3 convolution of the block by a depthwise 5x5 convolution and a 1x1 convolution.",
  "Replace the normalisation by {norm}.",
  "Replace strided convolutions by pooling, or pooling by strided convolutions.",
  "Add a second branch with a dilated 3x3 convolution and add both branches.",
  "Replace the stem by {stem}.",
  "Replace the head by {head}.",
  "Use grouped convolutions (groups=4) in the block and more channels.",
];

export interface IdeaOptions {
  mode: "full" | "delta";
  parameterLimit: number;
  /** Names of the families (or the changes) that the latest ideas used: they are avoided. */
  recent: readonly string[];
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

function drawPlan(random: Random, { parameterLimit, recent }: IdeaOptions): string {
  const fresh = FAMILIES.filter((f) => !recent.some((idea) => idea.includes(`${f.name} net`)));
  const family = pick(random, fresh.length > 0 ? fresh : FAMILIES);
  const { widths, blocks } = drawSizes(random, family.weights, parameterLimit);
  return [
    `A ${family.name} net.`,
    `Block(cin, cout, stride): ${family.block}.`,
    `Activation ${pick(random, ACTIVATIONS)}, norm ${pick(random, NORMS)}.`,
    `Stem: ${pick(random, STEMS)} to ${widths[0]} channels.`,
    `Stages: ${widths.map((w, i) => `${blocks[i]} x ${w}`).join(", ")} channels.`,
    `Downsampling: ${pick(random, DOWNSAMPLING)}.`,
    `Head: ${pick(random, HEADS)}.`,
  ].join(" ");
}

/** Widths and blocks per stage whose weights are 15 to 70 % of the limit: room for what the designer adds. */
function drawSizes(random: Random, weights: Weights, limit: number): { widths: number[]; blocks: number[] } {
  let best: { widths: number[]; blocks: number[]; cost: number } | null = null;
  for (let i = 0; i < 200; i++) {
    const stages = pick(random, [2, 3, 3, 3, 4]);
    const growth = pick(random, [1.5, 2, 2]);
    const base = pick(random, [16, 24, 32, 40, 48, 64]);
    const widths = Array.from({ length: stages }, (_, s) => Math.round((base * growth ** s) / 8) * 8);
    const blocks = Array.from({ length: stages }, () => pick(random, [1, 1, 2, 2, 3]));
    let cin = widths[0] ?? base;
    let cost = 0;
    widths.forEach((width, s) => {
      for (let b = 0; b < (blocks[s] ?? 1); b++) {
        cost += weights(cin, width);
        cin = width;
      }
    });
    if (cost > 0.15 * limit && cost < 0.7 * limit) return { widths, blocks };
    if (!best || cost < best.cost) best = { widths, blocks, cost };
  }
  return best ?? { widths: [16, 32], blocks: [1, 1] };
}

function drawChange(random: Random, { recent }: IdeaOptions): string {
  const fresh = CHANGES.filter((change) => !recent.some((idea) => idea.startsWith(change.split("{")[0] ?? change)));
  return pick(random, fresh.length > 0 ? fresh : CHANGES)
    .replace("{activation}", pick(random, ACTIVATIONS))
    .replace("{norm}", pick(random, NORMS))
    .replace("{stem}", pick(random, STEMS))
    .replace("{head}", pick(random, HEADS));
}
