import { createTwoFilesPatch } from "diff";
import { describe, expect, it } from "vitest";
import { applyDiff, parseHunks } from "../../src/designer/diffs.ts";
import { seeded } from "../../src/study/random.ts";

const NET = `class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.act = nn.ReLU()
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        x = self.act(self.conv1(x))
        x = self.act(self.conv2(x))
        return self.head(x.mean((2, 3)))
`;
const CHANGED = NET.replace("nn.ReLU()", "nn.SiLU()");

describe("applyDiff", () => {
  it("does what a correct diff says, for random edits", () => {
    const random = seeded(7);
    for (let round = 0; round < 200; round++) {
      const lines = Array.from({ length: 30 }, (_, i) => `    line ${i} ${Math.floor(random() * 1000)}`);
      const edited = lines.flatMap((line, i) => {
        const dice = random();
        if (dice < 0.05) return [];
        if (dice < 0.1) return [line, `    new ${round} ${i}`];
        return [dice < 0.15 ? `    other ${round} ${i}` : line];
      });
      if (edited.join() === lines.join()) continue;
      // A hunk that only adds at the very top has nothing above it: the two first lines stay.
      const [before, after] = [lines, [...lines.slice(0, 1), ...edited.slice(1)]].map((l) => `${l.join("\n")}\n`) as [
        string,
        string,
      ];
      if (before === after) continue;
      const patch = createTwoFilesPatch("a/net.py", "b/net.py", before, after);
      expect(applyDiff(before, patch)).toEqual({ text: after });
    }
  });

  it.each([
    [
      "wrong numbers and counts",
      "@@ -90,1 +7,44 @@\n         self.conv2 = nn.Conv2d(16, 32, 3, padding=1)\n-        self.act = nn.ReLU()\n+        self.act = nn.SiLU()\n",
    ],
    ["no numbers", "@@\n-        self.act = nn.ReLU()\n+        self.act = nn.SiLU()\n"],
    ["no headers at all", "-        self.act = nn.ReLU()\n+        self.act = nn.SiLU()\n"],
    [
      "no leading space on context",
      "@@\nself.conv2 = nn.Conv2d(16, 32, 3, padding=1)\n-self.act = nn.ReLU()\n+self.act = nn.SiLU()\n",
    ],
    [
      "another indentation",
      "@@\n   self.conv2 = nn.Conv2d(16,32,3,padding=1)\n-  self.act = nn.ReLU()\n+  self.act = nn.SiLU()\n",
    ],
    [
      "context that is not there",
      "@@\n         self.conv2 = nn.Conv2d(16, 32, 3, padding=1)\n         self.norm = nn.BatchNorm2d(32)\n-        self.act = nn.ReLU()\n+        self.act = nn.SiLU()\n",
    ],
    [
      "context left out between",
      "@@\n     def __init__(self, in_shape, out_shape, prm, device):\n         super().__init__()\n-        self.act = nn.ReLU()\n+        self.act = nn.SiLU()\n",
    ],
    ["Windows line ends", "@@\r\n-        self.act = nn.ReLU()\r\n+        self.act = nn.SiLU()\r\n"],
  ])("tolerates %s", (_, diff) => {
    expect(applyDiff(NET, diff)).toEqual({ text: CHANGED });
  });

  it("takes hunks in any order", () => {
    const diff =
      "@@\n-        x = self.act(self.conv2(x))\n+        x = self.conv2(x)\n@@\n-        self.act = nn.ReLU()\n+        self.act = nn.SiLU()\n";
    expect(applyDiff(NET, diff)).toEqual({ text: CHANGED.replace("self.act(self.conv2(x))", "self.conv2(x)") });
  });

  it("adds lines with the indentation of their neighbours", () => {
    const diff = "@@\n self.act = nn.ReLU()\n+if prm:\n+    self.more = 1\n";
    expect(applyDiff(NET, diff)).toEqual({
      text: NET.replace("nn.ReLU()\n", "nn.ReLU()\n        if prm:\n            self.more = 1\n"),
    });
  });

  it("takes a bracket that ends what was added for added, though it is written as context", () => {
    const diff =
      "@@\n-        self.act = nn.ReLU()\n+        self.act = nn.Sequential(\n+            nn.SiLU(),\n         )\n";
    expect(applyDiff(NET, diff)).toEqual({
      text: NET.replace("nn.ReLU()\n", "nn.Sequential(\n            nn.SiLU(),\n        )\n"),
    });
  });

  it("refuses what fits nowhere, changes nothing or has no hunk", () => {
    expect(applyDiff(NET, "@@\n-        self.pool = nn.MaxPool2d(2)\n+        pass\n")).toEqual({
      problem: expect.stringContaining("self.pool = nn.MaxPool2d(2)"),
    });
    expect(applyDiff(NET, "@@\n-        self.act = nn.ReLU()\n+        self.act  =  nn.ReLU()\n")).toEqual({
      problem: "it changes nothing",
    });
    expect(applyDiff(NET, "--- a/net.py\n+++ b/net.py\n@@\n         self.act = nn.ReLU()\n")).toEqual({
      problem: "it has no hunk",
    });
  });
});

describe("parseHunks", () => {
  it("keeps the order of lines and drops headers", () => {
    expect(
      parseHunks("diff --git a b\n--- a\n+++ b\n@@ -1 +1 @@ class Net:\n a\n-b\n+c\n\\ No newline at end of file"),
    ).toEqual([
      [
        { kind: "context", text: "a" },
        { kind: "removed", text: "b" },
        { kind: "added", text: "c" },
      ],
    ]);
  });
});
