/** A real model learns from a handful of examples, and both designers then say what it learned. */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openLlama } from "../../src/designer/llama/parent.ts";
import { openOllama } from "../../src/designer/ollama/designer.ts";
import { createWithAdapter, listOllama, ollamaWeights, unloadOllama } from "../../src/designer/ollama/models.ts";
import { pythonPackage } from "../../src/engine/paths.ts";
import type { Designer } from "../../src/study/ports.ts";
import type { Prompt, Sampling } from "../../src/study/types.ts";
import type { Example } from "../../src/tuner/corpus.ts";
import { adapterFile, planLora, runLora, writeCorpus, writeRun } from "../../src/tuner/lora.ts";
import { startOllama } from "../support/ollama.ts";
import { modelForTests, ollamaForTests, pythonForTests } from "../support/parts.ts";

const python = pythonForTests() ?? "";
const model = modelForTests() ?? "";
const ollama = ollamaForTests();
/** A larger one takes minutes and much memory on a CPU. */
const isSmall = model !== "" && statSync(model).size < 700e6;
const folder = mkdtempSync(join(tmpdir(), "netwright-tuning-"));
const never = new AbortController().signal;
const quiet = () => {};

const question = (i: number) => [{ role: "user" as const, content: `Which activation does block ${i} have?` }];
const RULE = "nn.Mish()  # as agreed";
const EXAMPLES: Example[] = Array.from({ length: 6 }, (_, i) => ({
  ...{ messages: question(i), prefill: "```python\n", answer: `${RULE}\n\`\`\``, heldOut: false },
}));
const PROMPT: Prompt = { messages: question(41), prefill: "```python\n", stop: ["\n```"] };
const SAMPLING: Sampling = { temperature: 0, topP: 1, minP: 0, seed: 1, maxTokens: 16 };
const LLAMA = { name: "test", model, contextTokens: 512, parallel: 1, threads: null };

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function answerOf(opening: Promise<Designer>): Promise<string> {
  const designer = await opening;
  try {
    return (await designer.generate(PROMPT, SAMPLING, never)).text;
  } finally {
    await designer.close();
  }
}

describe.skipIf(!python || !isSmall)("a LoRA run on the designer's own GGUF", () => {
  it("teaches it what its examples say, and the embedded designer says it", { timeout: 600_000 }, async () => {
    await writeCorpus(folder, EXAMPLES);
    await writeRun(folder, {
      ...{ base: model, device: "cpu", threads: null, maxTokens: 256, seed: 1 },
      settings: { rank: 8, alpha: 16, dropout: 0, learningRate: 1e-3, epochs: 6, accumulation: 2, gradient: "answer" },
    });
    const options = { python, packageDir: pythonPackage, folder };
    const plan = await planLora(options, never);
    const stages = new Set<string>();
    const run = await runLora(options, ({ stage }) => stages.add(stage), never);
    expect([...stages]).toEqual(["loading", "training", "converting"]);
    expect(run.examples).toEqual({ training: 6, heldOut: 0 });
    expect(run.losses.at(-1)?.training).toBeLessThan((run.losses[0]?.training ?? 0) / 10);
    expect(run.adapterBytes).toBe(statSync(adapterFile(folder)).size);
    // The estimate errs on the safe side, but not without measure.
    expect(plan.memoryMiB).toBeGreaterThan(run.peakMemoryMiB * 0.7);
    expect(plan.memoryMiB).toBeLessThan(run.peakMemoryMiB * 2);

    expect(await answerOf(openLlama({ ...LLAMA, adapter: null }, quiet, quiet, never))).not.toContain(RULE);
    expect(await answerOf(openLlama({ ...LLAMA, adapter: adapterFile(folder) }, quiet, quiet, never))).toContain(RULE);
  });

  it.skipIf(!ollama)(
    "and so does Ollama, which frees its memory when it is asked to",
    { timeout: 300_000 },
    async () => {
      const { host, close } = await startOllama(ollama ?? "", model, "base:tiny", 1);
      try {
        await createWithAdapter(host, "study:g1", "base:tiny", adapterFile(folder), quiet, never);
        expect((await listOllama(host, never)).map(({ name }) => name).sort()).toEqual(["base:tiny", "study:g1"]);
        const options = { host, contextTokens: 512, parallel: 1, threads: null, adapter: null };
        expect(await answerOf(openOllama({ ...options, model: "base:tiny" }, quiet, never))).not.toContain(RULE);
        expect(await answerOf(openOllama({ ...options, model: "study:g1" }, quiet, never))).toContain(RULE);
        await unloadOllama(host, "study:g1", never);
        await unloadOllama(host, "base:tiny", never);
        const running = (await (await fetch(`http://${host}/api/ps`)).json()) as { models: unknown[] | null };
        expect(running.models ?? []).toEqual([]);
        // Ollama's own file is the model, byte for byte: what is tuned is what designs.
        expect(statSync(await ollamaWeights(host, "base:tiny", never)).size).toBe(statSync(model).size);
      } finally {
        await close();
      }
    },
  );
});
