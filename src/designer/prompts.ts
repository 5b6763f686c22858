/** What the designer is asked. Pure: a prompt is a function of the study's state, so a recorded one can be explained. */
import type { Attempt, DesignMode, Failure, Message, Prompt, TaskShape } from "../study/types.ts";
import { architecture, HEAD } from "./frame.ts";

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

/** The frame follows by itself: the answer may end where it would begin, or where its code fence closes. */
const STOP = ["def train_setup", "def learn", "\n```"];

const count = (n: number): string => n.toLocaleString("en-US");

/**
 * From general to particular (contract, exemplars, lessons, idea), so that the prompts of one cycle share their beginning
 * and a server that caches prefixes reads it once.
 */
export function designPrompt(input: DesignInput): Prompt {
  return input.mode === "delta" && input.parent ? deltaPrompt(input, input.parent) : fullPrompt(input);
}

function fullPrompt(input: DesignInput): Prompt {
  const parts = [exemplarText(input), lessonText(input), `Write this network:\n${input.idea}`];
  return {
    messages: [system(input), { role: "user", content: parts.filter(Boolean).join("\n\n") }],
    prefill: `\`\`\`python\n${HEAD}\n\nclass`,
    stop: STOP,
  };
}

function deltaPrompt(input: DesignInput, parent: ShownNet): Prompt {
  const content = [
    `This network (net.py) has ${figures(parent)}:\n\`\`\`python\n${architecture(parent.code)}\`\`\``,
    lessonText(input),
    `Change it: ${input.idea}`,
    "Answer with a unified diff of net.py: lines removed start with -, lines added with +, unchanged lines around them with a space. Keep channels consistent everywhere.",
  ];
  return {
    messages: [system(input), { role: "user", content: content.filter(Boolean).join("\n\n") }],
    prefill: "```diff\n--- a/net.py\n+++ b/net.py\n@@",
    stop: ["\n```"],
  };
}

/** One repair turn: the module, the exact error and its line; the answer is the whole corrected module, in both modes. */
export function repairPrompt(input: DesignInput, attempt: Attempt, failure: Failure): Prompt {
  if (attempt.code === null) return designPrompt(input);
  const where = failure.source ? `\nat the line: ${failure.source.trim()}` : "";
  const content = [
    `This module fails:\n\`\`\`python\n${architecture(attempt.code)}\`\`\``,
    `${failure.message}${where}`,
    advice(input, failure),
    "Write the corrected module.",
  ];
  return {
    messages: [system(input), { role: "user", content: content.filter(Boolean).join("\n\n") }],
    prefill: `\`\`\`python\n${HEAD}\n\nclass`,
    stop: STOP,
  };
}

function advice({ parameterLimit }: DesignInput, { outcome }: Failure): string {
  if (outcome === "too-large")
    return `Make it smaller: halve the widths or remove blocks until it has fewer than ${count(parameterLimit)} parameters.`;
  return "";
}

function system({ shape, parameterLimit }: DesignInput): Message {
  const { channels, height, width, classes } = shape;
  return {
    role: "system",
    content: `You write small convolutional networks in PyTorch. Answer with one Python module and nothing else.
Rules:
- class Net(nn.Module) has __init__(self, in_shape, out_shape, prm, device) and forward(self, x). Building blocks are classes of their own, before Net.
- in_shape is (batch, ${channels}, ${height}, ${width}) and out_shape is (${classes},). forward takes x of shape (batch, ${channels}, ${height}, ${width}) and returns (batch, ${classes}) logits, without softmax.
- Set self.device = device. The only hyperparameter to read is prm["dropout"].
- Keep the current number of channels in a variable c, and give every layer the channels that really arrive there.
- End with pooling to 1x1, flatten and nn.Linear(c, out_shape[0]).
- Fewer than ${count(parameterLimit)} parameters. A conv k x k from a to b channels has a * b * k * k.
- Training code is added afterwards: write no train_setup and no learn, no comments.`,
  };
}

function exemplarText({ exemplars }: DesignInput): string {
  return exemplars
    .map((net) => `Example with ${figures(net)}:\n\`\`\`python\n${architecture(net.code)}\`\`\``)
    .join("\n\n");
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
