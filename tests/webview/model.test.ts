import { describe, expect, it } from "vitest";
import type { Candidate } from "../../src/study/types.ts";
import { cycleEnds, endings } from "../../webview/panel/announce.ts";
import { can, contextOf } from "../../webview/shared/actions.ts";
import { amount, quantity, roughDuration, shortName } from "../../webview/shared/format.ts";
import { applyChanges, fromSnapshot } from "../../webview/shared/model.ts";
import { IDLE, idleSnapshot, runningSnapshot, summarise } from "../fixtures/snapshots.ts";

describe("a page's copy of the study", () => {
  it("takes changes in their order, and says which candidates changed and what they were", () => {
    const model = fromSnapshot(idleSnapshot());
    const before = model.candidates.get(5) as Candidate;
    const after = { ...before, accepted: true };
    const activity = { ...IDLE, state: "running" as const };
    const changed = applyChanges(model, {
      number: 2,
      changes: [
        { kind: "candidate", candidate: after },
        { kind: "activity", activity },
      ],
    });
    expect(changed).toEqual(new Map([[5, before]]));
    expect(model.candidates.get(5)).toBe(after);
    expect(model.activity).toBe(activity);
    expect(model.number).toBe(2);
  });

  it("applies nothing when some are missing", () => {
    const model = fromSnapshot(idleSnapshot());
    const candidate = { ...(model.candidates.get(5) as Candidate), accepted: true };
    expect(applyChanges(model, { number: 3, changes: [{ kind: "candidate", candidate }] })).toBe("gap");
    expect(model.candidates.get(5)).not.toBe(candidate);
    expect(model.number).toBe(1);
  });

  it("passes over what its snapshot has already", () => {
    const model = fromSnapshot({ ...idleSnapshot(), number: 9 });
    expect(applyChanges(model, { number: 9, changes: [{ kind: "cycles", cycles: [] }] })).toBe("stale");
    expect(model.cycles).not.toEqual([]);
  });

  it("shares no list with its snapshot", () => {
    const snapshot = idleSnapshot();
    const model = fromSnapshot(snapshot);
    applyChanges(model, {
      number: 2,
      changes: [{ kind: "candidate", candidate: { ...(snapshot.candidates[0] as Candidate), id: 9999 } }],
    });
    expect(snapshot.candidates.some(({ id }) => id === 9999)).toBe(false);
  });
});

describe("announcements", () => {
  const { candidates } = runningSnapshot();
  const now = new Map(candidates.map((each) => [each.id, each]));
  const waiting = candidates.find(({ outcome }) => outcome === null) as Candidate;
  const valid = candidates.find(({ outcome }) => outcome === "valid") as Candidate;
  const ended: Candidate = {
    ...valid,
    id: waiting.id,
    name: waiting.name,
    accuracy: { validation: 0.4731, test: null },
  };

  it("say how a candidate ended, once", () => {
    const after = new Map(now).set(waiting.id, ended);
    expect(endings(new Map([[waiting.id, waiting]]), after)).toBe(`${waiting.name}: valid, accuracy 47 %.`);
    // A review is no ending.
    expect(endings(new Map([[waiting.id, ended]]), after)).toBe("");
    expect(endings(new Map([[waiting.id, null]]), now)).toBe("");
  });

  it("only count many endings", () => {
    const before = new Map(candidates.slice(0, 5).map(({ id }) => [id, null]));
    expect(endings(before, now)).toBe("5 candidates ended.");
  });

  it("say how a cycle did when it ends", () => {
    const running = { ...summarise(4, candidates), ended: null };
    const done = summarise(4, candidates);
    expect(cycleEnds([running], [done])).toMatch(/^Cycle 4 ended: \d+ of 10 valid, best accuracy \d+ %\.$/);
    expect(cycleEnds([done], [done])).toBe("");
  });
});

describe("actions", () => {
  const { candidates } = idleSnapshot();
  const valid = candidates.find(
    (each) => each.outcome === "valid" && each.cycle > 0 && each.accepted === null,
  ) as Candidate;
  const failed = candidates.find(({ outcome }) => outcome === "syntax") as Candidate;

  it("are those that the state allows", () => {
    expect(can("accept", valid)).toBe(true);
    expect(can("accept", { ...valid, accepted: true })).toBe(false);
    expect(can("accept", failed)).toBe(false);
    expect(can("reject", failed)).toBe(true);
    expect(can("evaluateAgain", failed)).toBe(false);
    expect(can("compare", { ...valid, nearest: { text: null, structure: null } })).toBe(false);
    expect(can("open", { ...valid, outcome: null })).toBe(false);
  });

  it("of a selection are those that all of it allows", () => {
    expect(contextOf([valid])).toMatchObject({ ids: [valid.id], single: true, canAccept: true, canCompare: true });
    expect(contextOf([valid, failed])).toMatchObject({
      ids: [valid.id, failed.id],
      single: false,
      canAccept: false,
      canReject: true,
      canCompare: false,
    });
  });
});

describe("figures as people read them", () => {
  it.each([
    [0, "0"],
    [999, "999"],
    [1000, "1.0 K"],
    [312_345, "312 K"],
    [999_600, "1.0 M"],
    [1_250_000, "1.3 M"],
    [9_990_000, "10 M"],
    [null, "–"],
  ])("%j parameters: %s", (count, text) => expect(amount(count)).toBe(text));

  it.each([
    [12, "less than a minute"],
    [172, "about 3 min"],
    [3570, "about 1 h"],
    [7900, "about 2 h 10 min"],
  ])("%d s left: %s", (seconds, text) => expect(roughDuration(seconds)).toBe(text));

  it("name amounts of data, and nets without their study", () => {
    expect(quantity(412 * 2 ** 20, "bytes")).toBe("412 MiB");
    expect(quantity(12_000, "images")).toBe("12,000 images");
    expect(shortName("Demo_c3_07")).toBe("c3_07");
    expect(shortName("seed_plain")).toBe("seed_plain");
  });
});
