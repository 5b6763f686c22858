import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { idealAnswer } from "../../src/designer/answers.ts";
import { drawIdea } from "../../src/designer/briefs.ts";
import { designPrompt } from "../../src/designer/prompts.ts";
import { readReply } from "../../src/designer/replies.ts";
import { seeded } from "../../src/study/random.ts";
import type { Prompt } from "../../src/study/types.ts";

const parent = readFileSync(join(import.meta.dirname, "../../python/seeds/ResidualNet.py"), "utf8");

function deltaPrompt(seed: number): Prompt {
  const idea = drawIdea(seeded(seed), { mode: "delta", parameterLimit: 500_000, recent: [], parent });
  return designPrompt({
    shape: { channels: 3, height: 32, width: 32, classes: 10 },
    ...{ parameterLimit: 500_000, mode: "delta", exemplars: [], lessons: [], idea },
    parent: { name: "ResidualNet", code: parent, accuracy: 0.5, parameters: 300_000 },
  });
}

function netOf(reply: string): string {
  const told = { text: reply, promptTokens: 0, tokens: 0, seconds: 0, finish: "stop" as const };
  const read = readReply(told, "delta", parent);
  if (!("code" in read)) throw new Error(read.failure.message);
  return read.code;
}

describe("idealAnswer", () => {
  it("is the diff alone, without the hunks and lines that change nothing", () => {
    for (let seed = 0; seed < 12; seed++) {
      const prompt = deltaPrompt(seed);
      const noise = "\n@@ -50,5 +50,5 @@\n     def forward(self, x):\n         x = self.stages(self.stem(x))\n";
      const written = `${prompt.prefill} changed()`;
      const code = netOf(`${written}${noise}\n\`\`\``);
      const { prefill, answer } = idealAnswer(prompt, written + noise, code, parent);
      expect(prefill).toBe(prompt.prefill);
      expect(answer.split("\n")[0]).toBe(" changed()");
      expect(answer).not.toContain("@@");
      // It makes the same net.
      expect(netOf(`${prompt.prefill}${answer}\n\`\`\``)).toBe(code);
    }
  });

  it("is what the model wrote where a clean diff does not begin as the question does", () => {
    const prompt = { ...deltaPrompt(1), prefill: "```diff\n@@ -1,5 +1,5 @@\n no such line\n" };
    expect(idealAnswer(prompt, `${prompt.prefill}+x\n`, parent, parent)).toEqual({
      prefill: prompt.prefill,
      answer: "+x",
    });
  });

  it("is what follows the prefill of a whole net, and the whole reply of a model that began anew", () => {
    const prompt: Prompt = { messages: [], prefill: "```python\nclass", stop: [] };
    const went = idealAnswer(prompt, "```python\nclass Net: pass\n", "class Net: pass", null);
    expect(went).toEqual({ prefill: prompt.prefill, answer: " Net: pass" });
    const anew = "```python\nimport torch\nclass Net: pass";
    expect(idealAnswer(prompt, `${anew}\n\`\`\`\n`, "class Net: pass", null)).toEqual({ prefill: "", answer: anew });
  });
});
