/** What the designer is asked. Pure: a prompt is a function of the study's state, so a recorded one can be explained. */
import type { DesignMode, Failure, Message, Prompt, TaskShape } from "../study/types.ts";
import { splitIdea } from "./briefs.ts";
import { architecture } from "./frame.ts";

/** A net as the designer is shown it. */
export interface ShownNet {
  name: string;
  code: string;
  /** What decisions use; null when unknown. */
  accuracy: number | null;
  parameters: number;
}

export interface DesignInput {
  shape: TaskShape;
  parameterLimit: number;
  mode: DesignMode;
  /** A few accepted nets, varied. The same ones for a whole cycle keep the prompt's start, which the model then reads once. */
  exemplars: readonly ShownNet[];
  /** The net to change, in delta mode. */
  parent: ShownNet | null;
  /** What went wrong lately, one line each. */
  lessons: readonly string[];
  /** The brief from `drawIdea`. */
  idea: string;
}

/** Where an answer may end: where the frame would begin, where its fence closes, where example calls begin. */
const STOP = ["def train_setup", "def learn", "\nif __name__", "\nimport ", "\n# ", "\n```"];

const count = (n: number): string => n.toLocaleString("en-US");
const listing = (code: string): string => `\`\`\`python\n${architecture(code)}\`\`\``;

/**
 * From general to particular (contract, exemplars or parent, lessons, idea), so that the prompts of one cycle share their beginning
 * and a server that caches prefixes reads it once.
 */
export function designPrompt(input: DesignInput): Prompt {
  return ask(input, "");
}

/**
 * One repair turn: the same question, with the exact error, its line and what usually mends it. The failed code is not shown: a
 * small model that sees it writes it again, mistake included (measured: docs/designer-experiments.md).
 */
export function repairPrompt(input: DesignInput, failure: Failure): Prompt {
  const where = failure.source ? `\nat the line: ${failure.source.trim()}` : "";
  return ask(
    input,
    ["A first attempt failed:", `${failure.message}${where}`, advice(input, failure)].filter(Boolean).join("\n"),
  );
}

function ask(input: DesignInput, mistake: string): Prompt {
  const { brief, opening } = splitIdea(input.idea);
  const { mode, parent } = input;
  if (mode === "delta" && parent) {
    const parts = [
      `This network (net.py) has ${figures(parent)}:\n${listing(parent.code)}`,
      lessonText(input),
      `Change it. ${brief}`,
      mistake,
      "Answer with a unified diff of net.py. Change every other line that must change with it, so that channels and shapes stay consistent.",
    ];
    return prompt(input, parts, `\`\`\`diff\n${opening || "--- a/net.py\n+++ b/net.py\n@@"}`, ["\n```"]);
  }
  const parts = [exemplarText(input), lessonText(input), `Write this network: ${brief}`, mistake];
  const stop = /^class Net\b/m.test(opening) ? [...STOP, "\nclass Net"] : STOP;
  return prompt(input, parts, `\`\`\`python\n${opening || "class"}`, stop);
}

function prompt(input: DesignInput, parts: readonly string[], prefill: string, stop: string[]): Prompt {
  return { messages: [system(input), { role: "user", content: parts.filter(Boolean).join("\n\n") }], prefill, stop };
}

/** What usually mends an error: the message alone makes a small model write the same code again. */
const ADVICE: readonly [RegExp, string][] = [
  [
    /must match the size of tensor|same number of dimensions|Sizes of tensors must match/,
    "Tensors that are added or concatenated differ in size: on every path the stride must act exactly once, padding must keep the size, and added paths must have the same channels.",
  ],
  [
    /to have (\d+) channels, but got (\d+)/,
    "A layer is declared for $1 input channels but $2 arrive: declare it for $2, or change the layer before it. A block must return cout channels.",
  ],
  [
    /mat1 and mat2/,
    "The linear layer gets other features than it is declared for: pool to 1x1, flatten(1), and let the block return exactly cout channels.",
  ],
  [/divisible/, "Groups must divide the channels on both sides: use fewer groups, or channels that they divide."],
  [/object has no attribute '(\w+)'/, "Set self.$1 in __init__ in every case."],
  [/module '[\w.]+' has no attribute '(\w+)'/, "There is no $1 there: write it with other layers."],
  [
    /name '(\w+)' is not defined/,
    "forward knows only its input and self: make every layer, and keep every number, in __init__ as self.$1.",
  ],
  [
    /missing \d+ required positional|takes .* positional argument|unexpected keyword/,
    "The arguments must agree between where a class is defined and where it is called.",
  ],
];

function advice({ parameterLimit }: DesignInput, { outcome, message }: Failure): string {
  if (outcome === "too-large")
    return `Make it smaller: fewer or narrower convolutions, until it has fewer than ${count(parameterLimit)} parameters.`;
  for (const [pattern, text] of ADVICE) {
    const match = pattern.exec(message);
    if (match) return text.replace(/\$(\d)/g, (_, group: string) => match[Number(group)] ?? "");
  }
  return "";
}

function system({ shape, parameterLimit }: DesignInput): Message {
  const { channels, height, width, classes } = shape;
  return {
    role: "system",
    content: `You write small convolutional networks in PyTorch. Answer with Python code and nothing else.
Rules:
- class Net(nn.Module) has __init__(self, in_shape, out_shape, prm, device) and forward(self, x). It is built of classes such as Block.
- in_shape is (batch, ${channels}, ${height}, ${width}), out_shape is (${classes},). forward takes x of shape (batch, ${channels}, ${height}, ${width}) and returns logits of shape (batch, ${classes}).
- A Block(cin, cout, stride) takes cin channels and returns exactly cout channels; stride 1 keeps height and width, stride 2 halves them.
- Convolutions keep the size: padding is half the kernel size. Give every layer the channels that really arrive there.
- __init__ makes every layer, each under a name of its own; forward uses only its input and self.
- Fewer than ${count(parameterLimit)} parameters. A conv k x k from a to b channels has a * b * k * k.
- torch, nn and F are imported. Training code is added afterwards: write the classes only, no comments.`,
  };
}

function exemplarText({ exemplars }: DesignInput): string {
  return exemplars.map((net) => `Example with ${figures(net)}:\n${listing(net.code)}`).join("\n\n");
}

function figures({ accuracy, parameters }: ShownNet): string {
  const size = `${count(parameters)} parameters`;
  return accuracy === null ? size : `accuracy ${accuracy.toFixed(3)} and ${size}`;
}

function lessonText({ lessons }: DesignInput): string {
  return lessons.length === 0
    ? ""
    : `Mistakes made lately, to avoid:\n${lessons.map((line) => `- ${line}`).join("\n")}`;
}
