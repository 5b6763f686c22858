/** Who holds a shared GPU when. No GPU is needed: the parts say that they are on one, and the order of what they are asked is what counts. */
import { expect, test } from "vitest";
import { prepareArchive, runCycle } from "../../src/engine/cycle.ts";
import { freeGpu } from "../../src/engine/gpu.ts";
import { parts } from "./parts.ts";
import { never } from "./study.ts";

const cycle = { candidates: 3, mode: "full", seed: 1, resume: false } as const;

test("on a shared GPU the designer gives its memory back before the seeds train, and again before its designs do", async () => {
  const { asked, designer, loop } = parts({ designer: "GPU", trainer: "cuda:0" });
  await prepareArchive(loop, designer, never);
  expect(asked).toEqual(["release", ...Array(5).fill("train")]);
  asked.length = 0;
  await runCycle(loop, designer, cycle, never);
  expect(asked).toEqual(["design", "design", "design", "release", "train", "train", "train"]);
});

test("a net that waits for the trainer's turn is in no stage but that", async () => {
  const { designer, loop } = parts({ designer: "GPU", trainer: "cuda:0" });
  await prepareArchive(loop, designer, never);
  const stages = new Map<number, string>();
  loop.emit = (event) => {
    if (event.type === "stage") stages.set(event.id, event.stage);
  };
  let meanwhile: string[] = [];
  designer.release = async () => {
    meanwhile = [...stages.values()];
  };
  await runCycle(loop, designer, cycle, never);
  expect(meanwhile).toEqual(["waiting", "waiting", "waiting"]);
  expect([...stages.values()]).toEqual(["training", "training", "training"]);
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
