/** The editor's copy of the engine's state when changes go missing. */
import { expect, it } from "vitest";
import { Replica } from "../../src/editor/replica.ts";
import type { Changes, Snapshot } from "../../src/engine/protocol.ts";
import { IDLE, idleSnapshot } from "../fixtures/snapshots.ts";

const start = idleSnapshot();
/** Changes `by` numbers after the snapshot, told apart by the cycle they name. */
const changes = (by: number): Changes => ({
  number: start.number + by,
  changes: [{ kind: "activity", activity: { ...IDLE, cycle: by } }],
});
const snapshot = (by: number): Snapshot => ({ ...start, number: start.number + by, activity: { ...IDLE, cycle: by } });

function replica() {
  const asked: PromiseWithResolvers<Snapshot>[] = [];
  const told: string[] = [];
  const ask = () => {
    const answer = Promise.withResolvers<Snapshot>();
    asked.push(answer);
    return answer.promise;
  };
  const copy = new Replica(start, ask, {
    changed: ({ number }) => told.push(`changed ${number - start.number}`),
    replaced: () => told.push("replaced"),
    failed: (error) => told.push(String(error)),
  });
  /** What happened once all that is settled has been heard of. */
  const settled = async () => {
    await new Promise(setImmediate);
    return [copy.model.activity.cycle, ...told];
  };
  return { copy, asked, settled };
}

it("applies changes in their order, and each once", async () => {
  const { copy, asked, settled } = replica();
  for (const by of [1, 2, 2, 1]) copy.take(changes(by));
  expect(await settled()).toEqual([2, "changed 1", "changed 2"]);
  expect(asked).toEqual([]);
});

it("asks for one snapshot after a gap, however much arrives meanwhile, and loses nothing of that", async () => {
  const { copy, asked, settled } = replica();
  for (const by of [2, 3, 4, 5]) copy.take(changes(by));
  expect(asked).toHaveLength(1);
  asked[0]?.resolve(snapshot(4));
  expect(await settled()).toEqual([5, "replaced", "changed 5"]);
  copy.take(changes(6));
  expect(await settled()).toEqual([6, "replaced", "changed 5", "changed 6"]);
  expect(asked).toHaveLength(1);
});

it("says that no snapshot came, and asks again with the next changes", async () => {
  const { copy, asked, settled } = replica();
  for (const by of [2, 3]) copy.take(changes(by));
  asked[0]?.reject(new Error("The engine ended"));
  expect(await settled()).toEqual([start.activity.cycle, "Error: The engine ended"]);
  copy.take(changes(4));
  asked[1]?.resolve(snapshot(4));
  expect(await settled()).toEqual([4, "Error: The engine ended", "replaced"]);
});
