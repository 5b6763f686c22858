import { describe, expect, it } from "vitest";
import type { FromWebview } from "../../webview/shared/contract.ts";
import { readFromWebview } from "../../webview/shared/read-message.ts";

describe("a message from a page", () => {
  const good: FromWebview[] = [
    { type: "ready" },
    { type: "refresh" },
    { type: "resume" },
    { type: "stop" },
    { type: "run", action: "accept", ids: [1, 2] },
    { type: "step", candidates: 8, mode: "delta" },
    { type: "watch", id: 3 },
    { type: "watch", id: null },
    { type: "select", ids: [] },
    { type: "command", command: "checkSetup" },
    { type: "command", command: "fineTune" },
    { type: "command", command: "pauseRun" },
    { type: "useGeneration", generation: 0 },
    { type: "deleteGeneration", generation: 3 },
    { type: "chooseStudy", dir: "/nets" },
  ];

  it.each(good)("of the contract is read: %j", (message) => {
    expect(readFromWebview(structuredClone(message))).toEqual(message);
  });

  it.each([
    null,
    undefined,
    "ready",
    42,
    [],
    {},
    { type: "toString" },
    { type: "run", action: "accept", ids: [] },
    { type: "run", action: "delete", ids: [1] },
    { type: "run", action: "accept", ids: ["1"] },
    { type: "run", action: "accept", ids: [1.5] },
    { type: "run", action: "accept", ids: { length: 1, 0: 1 } },
    { type: "step", candidates: 0, mode: "full" },
    { type: "step", candidates: 1e9, mode: "full" },
    { type: "step", candidates: Number.NaN, mode: "full" },
    { type: "step", candidates: 8, mode: null },
    { type: "watch" },
    { type: "watch", id: -1 },
    { type: "select" },
    { type: "command", command: "workbench.action.quit" },
    { type: "useGeneration" },
    { type: "useGeneration", generation: -1 },
    { type: "useGeneration", generation: "3" },
    // The model itself cannot be deleted.
    { type: "deleteGeneration", generation: 0 },
    { type: "deleteGeneration", generation: 1.5 },
    { type: "chooseStudy", dir: "" },
  ])("of another shape is none: %j", (message) => {
    expect(readFromWebview(message)).toBeNull();
  });

  it("keeps nothing that the contract does not name", () => {
    expect(readFromWebview({ type: "stop", force: true })).toEqual({ type: "stop" });
  });
});
