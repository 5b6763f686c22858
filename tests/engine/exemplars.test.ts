/** What a question shows, in a study of many nets. */
import { expect, test } from "vitest";
import { designInput } from "../../src/engine/designs.ts";
import type { Loop } from "../../src/engine/loop.ts";
import { parseStudyConfig } from "../../src/study/config.ts";
import type { Trainer } from "../../src/study/ports.ts";
import { addValid, freshStore } from "../store/fixtures.ts";

test("a question shows accepted nets and seeds, and reads few of the rest, however many there are", () => {
  const store = freshStore();
  store.transaction(() => {
    addValid(store, 0, "Seed", 0.3);
    addValid(store, 0, "RefusedSeed", 0.9);
    const cycle = store.beginCycle({ mode: "full", planned: 500, seed: 1, generation: 0 });
    for (let n = 1; n <= 500; n++) addValid(store, cycle, `Net_${n}`, 0.5);
  });
  store.accept([1, 7], "user");
  store.reject([2], "user", null);
  store.accept([9], "user");
  store.reject([9], "user", "taken back");
  let read = 0;
  const list = store.list.bind(store);
  store.list = (filter) => {
    const found = list(filter);
    read += found.length;
    return found;
  };
  const config = parseStudyConfig(
    '{"name": "test", "data": {"dataset": "cifar10"}, "designer": {"exemplars": 8}}',
    "netwright.json",
  );
  const trainer = { info: { shape: { channels: 3, height: 32, width: 32, classes: 10 } } } as Trainer;
  const loop = { config, store, trainer, emit: () => undefined, generation: 0 } as unknown as Loop;
  const { exemplars } = designInput(loop, { cycle: 1, mode: "full", parent: null, idea: null });
  expect(exemplars.map(({ name }) => name).sort()).toEqual(["Net_5", "Seed"]);
  expect(read).toBeLessThan(50);
});
