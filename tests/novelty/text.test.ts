import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { pythonTokens } from "../../src/novelty/python-tokens.ts";
import { jaccard } from "../../src/novelty/sets.ts";
import { textSet } from "../../src/novelty/text.ts";
import { pythonForTests } from "../support/parts.ts";
import { oracle } from "./oracle.ts";

const NET = `import torch
import torch.nn as nn


def supported_hyperparameters():
    return {"lr", "momentum"}


class Net(nn.Module):
    def __init__(self, in_shape: tuple, out_shape: tuple, prm: dict, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.features = nn.Sequential(
            nn.Conv2d(in_shape[1], 32, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(32, out_shape[0])
        if prm["dropout"] > 0:
            self.dropout = nn.Dropout(prm["dropout"])
        else:
            self.dropout = nn.Identity()

    def forward(self, x):
        x = self.features(x)
        x = x.mean(dim=(2, 3))
        return self.classifier(self.dropout(x))

    def learn(self, train_data):
        self.train()
        for inputs, labels in train_data:
            self.optimizer.zero_grad()
            loss = self.criterion(self(inputs.to(self.device)), labels.to(self.device))
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters(), 3)
            self.optimizer.step()
`;

const REWRITINGS: Record<string, (code: string) => string> = {
  "comments are added": (code) => code.replaceAll(/$/gm, "  # why not").replaceAll(/^( *)(self|x)/gm, "$1# so\n$1$2"),
  "docstrings are added": (code) =>
    `"""A net."""\n${code.replaceAll(/^( *)((def|class) .*:)$/gm, '$1$2\n$1    """Says what\n\nit does."""')}`,
  "names change": (code) => code.replaceAll(/\b(Net|features|classifier|x|prm|labels)\b/g, "renamed_$1_ü"),
  "numbers change": (code) => code.replaceAll("32", "0x40").replaceAll("3,", "1_0e-2,"),
  "strings change": (code) => code.replaceAll(/"(\w+)"/g, "r'''it's\n# \"$1'''"),
  "strings are split and formatted": (code) => code.replace('"lr"', '"l" f"{1 + 1:>{3}}"\\\n "r"'),
  "indentation is wider": (code) => code.replaceAll("    ", "       "),
  "indentation is by tabs": (code) => code.replaceAll("    ", "\t"),
  "lines end as on Windows": (code) => code.replaceAll("\n", "\r\n"),
  "blank lines come and go": (code) => code.replaceAll("\n\n", "\n").replaceAll(":\n", ":\n\n  \n\t\n"),
  "arguments stand on lines of their own": (code) =>
    code.replaceAll("(", "(\n  ").replaceAll(", ", ",\n").replaceAll(")", "\n)"),
  "trailing commas are added": (code) => code.replaceAll(/(\w)\)/g, "$1,)").replaceAll("(self,)", "(self)"),
  "lines are joined by backslashes": (code) => code.replaceAll(" = ", " = \\\n "),
  "lines are joined by semicolons": (code) => code.replaceAll(/\n {8}(self\.\w+ = nn\.L)/g, "; $1"),
  "bodies stand beside their heads": (code) => code.replaceAll(/(if|else)(.*):\n +/g, "$1$2: "),
  "spaces come and go": (code) => code.replaceAll(" = ", "=").replaceAll("(", "( ").replaceAll(".", " . "),
  "the last newline is missing": (code) => code.trimEnd(),
};

const CHANGES: Record<string, (code: string) => string> = {
  "a layer is added": (code) => code.replace("nn.BatchNorm2d(32),", "nn.BatchNorm2d(32),\n nn.Conv2d(32, 32, 3),"),
  "an operator changes": (code) => code.replace("> 0", ">= 0"),
  "a keyword changes": (code) => code.replace("bias=False", "bias=None"),
  "a branch is lost": (code) => code.replace(/ {8}else:\n.*\n/, ""),
  "a statement leaves its body": (code) => code.replace("    loss.backward()", "loss.backward()"),
};

describe("text similarity", () => {
  const set = textSet(NET);

  it.each(Object.entries(REWRITINGS))("stays 1 when %s", (_, rewrite) => {
    const code = rewrite(NET);
    expect(code).not.toBe(NET);
    expect(jaccard(textSet(code), set)).toBe(1);
  });

  it.each(Object.entries(CHANGES))("falls below 1, a little, when %s", (_, change) => {
    const code = change(NET);
    expect(code).not.toBe(NET);
    const similarity = jaccard(textSet(code), set);
    expect(similarity).toBeLessThan(1);
    expect(similarity).toBeGreaterThan(0.6);
  });

  it("is low for a different program", () => {
    const other = "def f(n):\n    while n > 1:\n        yield n\n        n = n // 2 if n % 2 == 0 else 3 * n + 1\n";
    expect(jaccard(textSet(other), set)).toBeLessThan(0.1);
  });

  it("compares modules of fewer tokens than a shingle has", () => {
    expect(jaccard(textSet("x = 1"), textSet("y = 2  # two"))).toBe(1);
    expect(jaccard(textSet("x = 1"), textSet("x += 1"))).toBe(0);
    expect(jaccard(textSet(""), textSet("# nothing\n"))).toBe(1);
  });
});

describe("Python tokens", () => {
  it("collapse names, numbers and strings, and keep keywords, operators and indentation", () => {
    const code = 'def f(a, /, b: int = 1) -> None:\n    "doc"\n    return not a[b"x"] @ 2.5j\n';
    expect(pythonTokens(code).join(" ")).toBe(
      "def NAME ( NAME , / , NAME : NAME = NUMBER ) -> None : NEWLINE INDENT return not NAME [ STRING ] @ NUMBER NEWLINE DEDENT",
    );
  });

  it("keep what a broken line says", () => {
    expect(pythonTokens("x = $ ? 3\ny = (1\n").join(" ")).toMatch(/NAME = \$ \? NUMBER NEWLINE NAME = \( NUMBER/);
  });

  it.each([
    ["nothing", ""],
    ["prose", "Sure! Here is the network you asked for:\n".repeat(200)],
    ["open brackets", "([{".repeat(5000)],
    ["an open string", `x = """${"y".repeat(50_000)}`],
    ["deep nesting", Array.from({ length: 300 }, (_, i) => `${" ".repeat(i)}if x:\n`).join("")],
    ["inconsistent indentation", "if x:\n        y\n    z\n  \tw\n"],
    ["any characters", Array.from({ length: 20_000 }, (_, i) => String.fromCharCode((i * 7919) % 65536)).join("")],
    ["two million characters", "x = f(1)\n".repeat(220_000)],
  ])("are found in %s", (_, code) => {
    const tokens = pythonTokens(code);
    expect(tokens.length).toBeLessThanOrEqual(code.length + 700);
    expect(tokens.length > 0).toBe(code.length > 0);
    expect(jaccard(textSet(code), textSet(code))).toBe(1);
  });
});

const python = pythonForTests();

describe.skipIf(!python)("beside Python's own tokenizer", () => {
  const folder = join(import.meta.dirname, "../../python/netwright");
  const sources = [
    NET,
    ...readdirSync(folder)
      .filter((name) => name.endsWith(".py"))
      .map((name) => readFileSync(join(folder, name), "utf8")),
  ];

  it("the tokens are the same", () => {
    const expected = oracle<string[]>(python as string, { tokens: sources });
    for (const [i, source] of sources.entries()) expect(pythonTokens(source)).toEqual(expected[i]);
  });

  it("so is the similarity", () => {
    const pairs = sources.flatMap((a, i) => sources.slice(i).map((b) => [a, b] as const));
    const expected = oracle<number>(python as string, { jaccard: pairs });
    for (const [i, [a, b]] of pairs.entries())
      expect(jaccard(textSet(a), textSet(b))).toBeCloseTo(expected[i] as number, 12);
  });
});
