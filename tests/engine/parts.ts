/** The parts of a loop, scripted: a designer whose nets are all new, and a trainer that says yes to all of them. Both say where they run. */
import type { Loop } from "../../src/engine/loop.ts";
import { addSeeds } from "../../src/engine/seeds.ts";
import { MemoryFingerprints, openNoveltyIndex } from "../../src/novelty/index.ts";
import { parseStudyConfig } from "../../src/study/config.ts";
import type { Designer, Trainer } from "../../src/study/ports.ts";
import { freshStore, GRAPH } from "../store/fixtures.ts";
import { netReply } from "./scripted-ollama.ts";

export function parts(device: { designer: string; trainer: string }) {
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
