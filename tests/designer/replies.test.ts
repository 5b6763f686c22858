import { describe, expect, it } from "vitest";
import { fences, readReply } from "../../src/designer/replies.ts";
import type { Reply } from "../../src/study/types.ts";

const HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n";

const reply = (text: string, finish: Reply["finish"] = "stop"): Reply => ({
  text,
  promptTokens: 10,
  tokens: 99,
  seconds: 1,
  finish,
});

const NET = `class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.head = nn.Linear(in_shape[1], out_shape[0])

    def forward(self, x):
        return self.head(x.mean((2, 3)))
`;

/** The module in a reply; fails the test when there is none. */
function code(text: string, finish: Reply["finish"] = "stop"): string {
  const read = readReply(reply(text, finish), "full", null);
  if ("failure" in read) throw new Error(read.failure.message);
  return read.code;
}

describe("a whole-file reply", () => {
  it("gets the frame that it was told to leave out", () => {
    const module = code(`\`\`\`python\n${HEAD}\n\n${NET}\n`);
    expect(module.match(/^import torch$/gm)).toHaveLength(1);
    expect(module.match(/^def supported_hyperparameters/gm)).toHaveLength(1);
    expect(module.match(/^ {4}def train_setup\(self, prm\):/gm)).toHaveLength(1);
    expect(module.match(/^ {4}def learn\(self, train_data\):/gm)).toHaveLength(1);
    expect(module.indexOf("def forward")).toBeLessThan(module.indexOf("def train_setup"));
  });

  it("keeps a frame of its own", () => {
    const own = `${NET}\n    def train_setup(self, prm):\n        self.mine = 1\n`;
    const module = code(`\`\`\`python\n${own}\`\`\``);
    expect(module).toContain("self.mine = 1");
    expect(module.match(/def train_setup/g)).toHaveLength(1);
    expect(module).toContain("def learn");
  });

  it("is the same module with a fence, without one, with prose around, and with the prefill written twice", () => {
    const plain = code(NET);
    expect(code(`\`\`\`python\n${NET}\`\`\``)).toBe(plain);
    expect(code(`\`\`\`\n${NET}`)).toBe(plain);
    expect(code(`Sure! Here it is:\n\n\`\`\`python\n${NET}\`\`\`\nIt has a head.`)).toBe(plain);
    expect(code(`Here you are.\n${NET}`)).toBe(plain);
    expect(code(`\`\`\`python\n${HEAD}\n\n\`\`\`python\n${HEAD}\n\n${NET}\`\`\``)).toBe(plain);
    expect(code(`\`\`\`python\r\n${NET.replaceAll("\n", "\r\n")}\`\`\``)).toBe(plain);
  });

  it("is the fence with class Net when there are several", () => {
    expect(
      code(`\`\`\`bash\npip install torch\n\`\`\`\n\`\`\`python\n${NET}\`\`\`\n\`\`\`python\nnet = build()\n\`\`\``),
    ).toBe(code(NET));
  });

  it("may call its net otherwise", () => {
    const module = code(
      NET.replace("class Net(", "class TinyNet(").replace("super().__init__()", "super(TinyNet, self).__init__()"),
    );
    expect(module).toContain("class Net(nn.Module)");
    expect(module).toContain("super(Net, self)");
    expect(module).not.toContain("TinyNet");
  });

  it("puts Net after the blocks it is built of, with the methods in it", () => {
    const module = code(`${NET}\n\nclass Block(nn.Module):\n    def forward(self, x):\n        return x\n`);
    expect(module.indexOf("class Block")).toBeLessThan(module.indexOf("class Net"));
    expect(module.indexOf("def learn")).toBeGreaterThan(module.indexOf("class Net"));
  });

  it("loses its example calls, and keeps its own imports, helpers and constants", () => {
    const module = code(
      `import math\nWIDTHS = [8,\n    16,\n]\n\n\n@torch.jit.ignore\ndef scale(x):\n    return x\n\n\n${NET}\n\n# Example usage:\nimport torch\nnet = Net((1, 3, 32, 32), (10,), {}, None)\nprint(net)\nif __name__ == "__main__":\n    main()\n`,
    );
    for (const part of [
      "import math\n",
      "WIDTHS = [8,\n    16,\n]\n",
      "@torch.jit.ignore\ndef scale(x):\n    return x\n",
    ])
      expect(module).toContain(part);
    for (const part of ["net = Net", "print", "__main__", "Example"]) expect(module).not.toContain(part);
    expect(module.match(/^import torch$/gm)).toHaveLength(1);
  });

  it("may call layers by their bare names", () => {
    const module = code(
      NET.replace("nn.Linear(", "Linear(").replace(
        "device\n",
        "device\n        self.act = Mish()\n        self.b = Swish()\n",
      ),
    );
    expect(module).toContain("= nn.Linear(");
    expect(module).toContain("= nn.Mish()");
    expect(module).toContain("= Swish()");
    expect(
      code(`class Mish(nn.Module):\n    pass\n\n\n${NET.replace("device\n", "device\n        self.act = Mish()\n")}`),
    ).toContain("= Mish()");
  });

  it("survives being cut off after Net is finished, and says so when it is not", () => {
    expect(code(`\`\`\`python\n${NET}\n`, "length")).toContain("def learn");
    const half = NET.slice(0, NET.indexOf("return") - 1);
    const block =
      "class Block(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.a = nn.Conv2d(1, 1, 1)\n";
    for (const [text, name] of [
      [half, "Net"],
      [`${NET}\n\n${block}        self.b = nn.Co`, "Block"],
    ] as const) {
      const read = readReply(reply(`\`\`\`python\n${text}`, "length"), "full", null);
      expect(read).toMatchObject({ failure: { outcome: "no-code", message: expect.stringMatching(/99 tokens/) } });
      expect(read).toMatchObject({ failure: { message: expect.stringContaining(name) } });
    }
  });

  it("without a net is no-code, and says what it begins with", () => {
    for (const text of [
      "",
      "I cannot help with that.",
      "```python\nx = 1\n```",
      "```python\nclass Block(nn.Module):\n    pass\n```",
    ]) {
      const read = readReply(reply(text), "full", null);
      expect(read).toMatchObject({ failure: { outcome: "no-code", message: expect.stringContaining("no class Net") } });
    }
  });
});

describe("a delta reply", () => {
  const parent = code(NET);

  it("changes the parent", () => {
    const diff =
      "```diff\n--- a/net.py\n+++ b/net.py\n@@ -1,2 +1,2 @@\n-        return self.head(x.mean((2, 3)))\n+        return self.head(x.amax((2, 3)))\n```";
    expect(readReply(reply(diff), "delta", parent)).toEqual({ code: parent.replace("x.mean", "x.amax") });
  });

  it("may be a whole module instead", () => {
    const other = NET.replace("x.mean", "x.amax");
    expect(readReply(reply(`\`\`\`python\n${other}\`\`\``), "delta", parent)).toEqual({ code: code(other) });
  });

  it("may be single classes, which take the place of the parent's or come before Net", () => {
    const gate = "class Gate(nn.Module):\n    def forward(self, x):\n        return x\n";
    const once = readReply(reply(`\`\`\`python\n${gate}\`\`\``), "delta", parent);
    if (!("code" in once)) throw new Error(once.failure.message);
    expect(once.code.indexOf("class Gate")).toBeLessThan(once.code.indexOf("class Net"));
    const twice = readReply(
      reply(`\`\`\`python\n${gate.replace("return x", "return 2 * x")}\`\`\``),
      "delta",
      once.code,
    );
    expect(twice).toEqual({ code: once.code.replace("        return x\n", "        return 2 * x\n") });
  });

  it("that fits nowhere or changes nothing says so", () => {
    const lost = readReply(reply("```diff\n@@\n-        return self.tail(x)\n+        return x\n```"), "delta", parent);
    expect(lost).toMatchObject({
      failure: { outcome: "no-code", message: expect.stringContaining("return self.tail(x)") },
    });
    const idle = readReply(
      reply("```diff\n@@\n-        self.device = device\n+        self.device = device\n```"),
      "delta",
      parent,
    );
    expect(idle).toMatchObject({
      failure: { outcome: "no-code", message: expect.stringContaining("changes nothing") },
    });
    expect(readReply(reply("No."), "delta", parent)).toMatchObject({ failure: { outcome: "no-code" } });
  });
});

describe("fences", () => {
  it("reads closed and unclosed ones", () => {
    expect(fences("a\n```python\nb\n```\nc\n```\nd")).toEqual(["b", "d"]);
    expect(fences("no fence")).toEqual(["no fence"]);
  });
});
