/** Who holds a shared GPU when. No GPU is needed: the parts say that they are on one, and the order of what they are asked is what counts. */
import { expect, test } from "vitest";
import { freeGpu, type Loop, prepareArchive, runCycle } from "../../src/engine/cycle.ts";
import { addSeeds } from "../../src/engine/seeds.ts";
import { MemoryFingerprints, openNoveltyIndex } from "../../src/novelty/index.ts";
import { parseStudyConfig } from "../../src/study/config.ts";
import type { Designer, Trainer } from "../../src/study/ports.ts";
import { freshStore, GRAPH } from "../store/fixtures.ts";
import { netReply } from "./scripted-ollama.ts";
import { never } from "./study.ts";

function parts(device: { designer: string; trainer: string }) {
  const asked: string[] = [];
  const designer: Designer = {
    info: { provider: "ollama", model: "m", parallel: 2, device: device.designer },
    async generate() {
      asked.push("design");
      const text = netReply(8 + asked.length);
      return { text, tokens: 9, promptTokens: 9, seconds: 1, finish: "stop" };
    },
    async release() {
      asked.push("release");
    },
    async close() {},
  };
  let width = 0;
  const trainer: Trainer = {
    info: {
      ...{
        device: device.trainer,
        deviceName: "",
        torch: "",
        sandbox: [],
        trainImages: 9,
        validationImages: 9,
        testImages: 9,
      },
      shape: { channels: 3, height: 32, width: 32, classes: 10 },
    },
    async check() {
      // Each another structure: none is a known one that need not be trained.
      const nodes = GRAPH.nodes.map((node) => ({ ...node, attributes: `${node.attributes} ${width}` }));
      width++;
      return { ok: true, checked: { parameters: 9, graph: { ...GRAPH, nodes } }, seconds: 1 };
    },
    async train() {
      asked.push("train");
      return { ok: true, accuracy: { validation: 0.5, test: 0.5 }, seconds: 1, peakMemoryMiB: 9 };
    },
    async close() {},
  };
  const store = freshStore();
  addSeeds(store);
  const config = parseStudyConfig(
    '{"name": "test", "data": {"dataset": "cifar10"}, "designer": {"mode": "full"}}',
    "netwright.json",
  );
  const index = openNoveltyIndex(new MemoryFingerprints());
  const loop: Loop = { config, store, trainer, index, emit: () => undefined, generation: 0 };
  return { asked, designer, loop };
}

const cycle = { candidates: 3, mode: "full", seed: 1, resume: false } as const;

test("on a shared GPU the designer gives its memory back before the seeds train, and again before its designs do", async () => {
  const { asked, designer, loop } = parts({ designer: "GPU", trainer: "cuda:0" });
  await prepareArchive(loop, designer, never);
  expect(asked).toEqual(["release", ...Array(5).fill("train")]);
  asked.length = 0;
  await runCycle(loop, designer, cycle, never);
  expect(asked).toEqual(["design", "design", "design", "release", "train", "train", "train"]);
});

test("with nothing to train, a loaded model stays", async () => {
  const { asked, designer, loop } = parts({ designer: "GPU", trainer: "cuda:0" });
  await prepareArchive(loop, designer, never);
  asked.length = 0;
  await prepareArchive(loop, designer, never);
  expect(asked).toEqual([]);
});

test("a designer on the processor keeps its memory, and nets train while others are designed", async () => {
  const { asked, designer, loop } = parts({ designer: "CPU, 2 threads", trainer: "cuda:0" });
  await freeGpu(loop.trainer, designer);
  await runCycle(loop, designer, cycle, never);
  expect(asked).not.toContain("release");
});

test("a designer that does not give its memory back costs a cycle in which no net trains nothing", async () => {
  const { asked, designer, loop } = parts({ designer: "GPU", trainer: "cuda:0" });
  await prepareArchive(loop, designer, never);
  designer.generate = async () => ({ text: "I cannot.", tokens: 9, promptTokens: 9, seconds: 1, finish: "stop" });
  designer.release = async () => {
    asked.push("refused");
    throw new Error("the server keeps its model");
  };
  asked.length = 0;
  const { candidates } = await runCycle(loop, designer, cycle, never);
  expect(candidates.every(({ outcome }) => outcome !== null && outcome !== "valid")).toBe(true);
  expect(asked).toEqual(["refused"]);
});
