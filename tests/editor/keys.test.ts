/** Which commands are offered: the keys that the manifest's conditions name. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { contextKeys } from "../../src/editor/keys.ts";
import type { Candidate } from "../../src/study/types.ts";
import { fromSnapshot, type Model } from "../../webview/shared/model.ts";
import { emptySnapshot, idleSnapshot, runningSnapshot } from "../fixtures/snapshots.ts";

const COMMANDS = ["Accept", "Reject", "Open", "Compare", "EvaluateAgain", "ShowPrompt"];
const on = (keys: Record<string, boolean>, prefix: string) =>
  COMMANDS.filter((command) => keys[`netwright.${prefix}${command}`]);

const model = fromSnapshot(idleSnapshot());
const find = (test: (candidate: Candidate) => boolean): Candidate => {
  const found = [...model.candidates.values()].find(test);
  if (!found) throw new Error("The fixture has changed");
  return found;
};
const only = (candidate: Candidate): Model => ({ ...model, candidates: new Map([[candidate.id, candidate]]) });

describe("the keys of a study", () => {
  it("rule nothing out that is not known yet", () => {
    const keys = contextKeys(null, false, null);
    expect(on(keys, "can")).toEqual(COMMANDS);
    expect(keys).toMatchObject({
      "netwright.canExport": true,
      "netwright.canReport": true,
      "netwright.running": false,
    });
  });

  it("offer nothing in an empty one", () => {
    const keys = contextKeys(fromSnapshot(emptySnapshot()), false, null);
    expect(on(keys, "can")).toEqual([]);
    expect(keys).toMatchObject({ "netwright.canExport": false, "netwright.canReport": false });
  });

  it("follow from what can be done with its candidates", () => {
    const failed = find(({ outcome, mode }) => outcome === "syntax" && mode === "full");
    expect(on(contextKeys(only({ ...failed, accepted: false }), false, null), "can")).toEqual(["Open", "ShowPrompt"]);
    const valid = find(({ outcome }) => outcome === "valid");
    const taken = contextKeys(only({ ...valid, accepted: true, mode: "seed" }), false, null);
    expect(on(taken, "can")).not.toContain("Accept");
    expect(on(taken, "can")).not.toContain("ShowPrompt");
    expect(taken).toMatchObject({ "netwright.canExport": true });
    expect(contextKeys(only({ ...valid, accepted: null }), false, null)).toMatchObject({
      "netwright.canExport": false,
    });
  });

  it("say that it runs, and that a paused run can go on only while it does not", () => {
    const running = contextKeys(fromSnapshot(runningSnapshot()), true, null);
    expect(running).toMatchObject({ "netwright.running": true, "netwright.canContinueRun": false });
    expect(contextKeys(model, true, null)).toMatchObject({ "netwright.canContinueRun": true });
  });
});

it("the keys of the active document are its own", () => {
  const failed = find(({ outcome, parameters }) => outcome === "syntax" && parameters === null);
  const keys = on(contextKeys(model, false, failed), "documentCan");
  expect(keys).not.toContain("Accept");
  expect(keys).not.toContain("EvaluateAgain");
  expect(keys).toContain("Open");
  expect(on(contextKeys(model, false, null), "documentCan")).toEqual([]);
});

it("every key that the manifest names is set", () => {
  const manifest = readFileSync(resolve(import.meta.dirname, "../../package.json"), "utf8");
  const conditions = [...manifest.matchAll(/"(?:when|enablement)": "([^"]*)"/g)].map(([, text]) => text ?? "");
  const named = conditions.flatMap((text) => [...text.matchAll(/netwright\.\w+/g)].map(([key]) => key));
  // The first two are set by whoever looks for studies; the third is the panel's name.
  const set = [...Object.keys(contextKeys(null, false, null)), "netwright.hasStudy", "netwright.severalStudies"];
  expect([...new Set(named)].filter((key) => key !== "netwright.panel" && !set.includes(key))).toEqual([]);
});
