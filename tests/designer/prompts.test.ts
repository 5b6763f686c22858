import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { drawIdea, INGREDIENTS, splitIdea } from "../../src/designer/briefs.ts";
import { architecture, complete } from "../../src/designer/frame.ts";
import { type DesignInput, designPrompt, repairPrompt } from "../../src/designer/prompts.ts";
import { readReply } from "../../src/designer/replies.ts";
import { seeded } from "../../src/study/random.ts";
import type { Failure, Prompt, Reply } from "../../src/study/types.ts";

const seed = (name: string): string => readFileSync(new URL(`../../python/seeds/${name}.py`, import.meta.url), "utf8");
const SEEDS = ["DenseNetSmall", "InceptionSqueeze", "PlainConv", "ResidualNet", "SeparableNet"];

const input = (over: Partial<DesignInput> = {}): DesignInput => ({
  shape: { channels: 1, height: 28, width: 28, classes: 7 },
  parameterLimit: 300_000,
  mode: "full",
  exemplars: [{ name: "PlainConv", code: seed("PlainConv"), accuracy: 0.4567, parameters: 123_456 }],
  parent: null,
  lessons: ["forward: RuntimeError: boom"],
  idea: "A plain net.",
  ...over,
});

const reply = (text: string): Reply => ({ text, promptTokens: 1, tokens: 1, seconds: 1, finish: "stop" });
const whole = (prompt: Prompt): string => prompt.messages.map((m) => m.content).join("\n");

describe("designPrompt", () => {
  it("states the task, the limit, the exemplars with their figures, the lessons and the idea", () => {
    const text = whole(designPrompt(input()));
    for (const part of [
      "(batch, 1, 28, 28)",
      "(7,)",
      "300,000",
      "accuracy 0.457",
      "123,456 parameters",
      "boom",
      "A plain net.",
    ]) {
      expect(text).toContain(part);
    }
    expect(text).toContain("class Net(nn.Module)");
    expect(text).not.toContain("def train_setup");
  });

  it("differs only at its end between candidates of a cycle, so that the beginning is read once", () => {
    const [a, b] = ["A plain net.", "A fire net."].map((idea) => whole(designPrompt(input({ idea })))) as [
      string,
      string,
    ];
    const common = [...a].findIndex((char, i) => char !== b[i]);
    expect(common).toBeGreaterThan(a.length - 30);
  });

  it("begins the answer so that a plain continuation reads as a module", () => {
    const { prefill } = designPrompt(input());
    const rest = ` Net(nn.Module):\n    def __init__(self, in_shape, out_shape, prm, device):\n        super().__init__()\n\n    def forward(self, x):\n        return x\n`;
    expect(readReply(reply(prefill + rest), "full", null)).toMatchObject({
      code: expect.stringContaining("import torch.nn as nn"),
    });
  });

  it("opens the answer as the idea does, and ends it where a net given with it would be written again", () => {
    const idea = drawIdea(seeded(1), { mode: "full", parameterLimit: 300_000, recent: [] });
    const { messages, prefill, stop } = designPrompt(input({ idea }));
    const { brief, opening } = splitIdea(idea);
    expect(messages.at(-1)?.content).toContain(brief);
    expect(messages.at(-1)?.content).not.toContain("for width, blocks, stride in");
    expect(prefill).toBe(`\`\`\`python\n${opening}`);
    expect(stop).toContain("\nclass Net");
    expect(designPrompt(input()).stop).not.toContain("\nclass Net");
  });

  it.each(SEEDS)("opens a diff of %s at the line that the idea quotes, for every kind of change", (name) => {
    const code = seed(name);
    const lines = code.split("\n");
    const recent: string[] = [];
    for (let i = 0; i < 12; i++) {
      const idea = drawIdea(seeded(i), { mode: "delta", parameterLimit: 500_000, recent, parent: code });
      recent.push(idea);
      const quoted = /`(.*)`/.exec(idea)?.[1] ?? "";
      const { prefill } = designPrompt(
        input({ mode: "delta", parent: { name, code, accuracy: 0.5, parameters: 1 }, idea }),
      );
      expect(prefill).toMatch(/^```diff\n--- a\/net.py\n\+\+\+ b\/net.py\n@@ /);
      expect(
        prefill
          .split("\n")
          .findLast((line) => /^(-| {2,}\S)/.test(line))
          ?.slice(1)
          .trim(),
      ).toBe(quoted);
      // A model that goes on with one word has replaced one such line, or added one after it, and nothing else.
      const read = readReply(reply(`${prefill} changed\n\`\`\``), "delta", code);
      if (!("code" in read)) throw new Error(read.failure.message);
      const written = read.code.split("\n");
      expect(written.filter((line) => line.endsWith(" changed"))).toHaveLength(1);
      expect(written.filter((line) => line.trim() === quoted)).toHaveLength(
        lines.filter((line) => line.trim() === quoted).length - (idea.includes(": after `") ? 0 : 1),
      );
    }
  });

  it("opens a diff without a hunk when the idea quotes nothing of the parent", () => {
    const parent = { name: "PlainConv", code: seed("PlainConv"), accuracy: null, parameters: 1 };
    expect(designPrompt(input({ mode: "delta", parent })).prefill).toBe("```diff\n--- a/net.py\n+++ b/net.py\n@@");
  });
});

describe("repairPrompt", () => {
  const failure: Failure = {
    outcome: "forward",
    message: "RuntimeError: The size of tensor a (8) must match the size of tensor b (16)",
    line: 12,
    source: "  x = self.a(x)",
  };

  it("asks the same question, with the exact error, its line and advice, and begins the answer alike", () => {
    const first = designPrompt(input());
    const repair = repairPrompt(input(), failure);
    const added = whole(repair).replace(whole(first), "");
    expect(added).toContain("RuntimeError: The size of tensor a (8) must match the size of tensor b (16)");
    expect(added).toContain("x = self.a(x)");
    expect(added).toContain("stride must act exactly once");
    expect(repair.prefill).toBe(first.prefill);
  });

  it.each([
    ["too-large", "900,000 parameters", "fewer than 300,000 parameters"],
    [
      "forward",
      "RuntimeError: Given groups=1, expected input[2, 36, 32, 32] to have 24 channels, but got 36 channels instead",
      "declare it for 36",
    ],
    ["init", "AttributeError: module 'torch.nn' has no attribute 'Concatenate'", "There is no Concatenate"],
  ] as const)("says what usually mends %s: %s", (outcome, message, advice) => {
    const text = whole(repairPrompt(input(), { outcome, message, line: null, source: null }));
    expect(text).toContain(message);
    expect(text).toContain(advice);
  });
});

describe("architecture", () => {
  it.each(SEEDS)("leaves the frame out of %s, and complete puts it back", (name) => {
    const short = architecture(seed(name));
    expect(short).not.toMatch(/^import|train_setup|def learn|supported_hyperparameters/m);
    expect(short).toContain("def forward");
    const again = complete(short);
    expect(architecture(again)).toBe(short);
    for (const part of ["import torch.nn as nn\n", "def supported_hyperparameters", "def train_setup", "def learn"]) {
      expect(again.split(part)).toHaveLength(2);
    }
  });
});

describe("drawIdea", () => {
  const plan = (i: number, recent: string[] = [], parameterLimit = 500_000): string =>
    drawIdea(seeded(i), { mode: "full", parameterLimit, recent });

  it("is the same for the same seed and hardly ever for another", () => {
    expect(plan(3)).toBe(plan(3));
    expect(new Set(Array.from({ length: 300 }, (_, i) => plan(i))).size).toBeGreaterThan(290);
  });

  it("comes back to an ingredient only when the others were as recent", () => {
    const recent: string[] = [];
    for (let i = 0; i < INGREDIENTS.length; i++) recent.push(plan(i, recent));
    const uses = INGREDIENTS.map(({ name }) => recent.filter((idea) => idea.includes(` ${name}: `)).length);
    expect(Math.min(...uses)).toBeGreaterThan(0);
  });

  it("has smaller widths under a small limit than under a large one", () => {
    const widest = (limit: number): number => {
      const widths = Array.from({ length: 60 }, (_, i) =>
        [...plan(i, [], limit).matchAll(/\((\d+), \d, [12]\)/g)].map((m) => Number(m[1])),
      );
      return widths.flat().reduce((sum, width) => sum + width, 0) / widths.flat().length;
    };
    expect(widest(60_000)).toBeLessThan(0.8 * widest(2_000_000));
  });
});
