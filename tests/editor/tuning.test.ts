/** A tuning that was stopped can always be begun anew, whatever stands in the way of going on. */
import { beforeEach, expect, it, vi } from "vitest";
import { askForTuning } from "../../src/editor/tuning.ts";
import type { TuningPlan } from "../../src/engine/protocol.ts";
import * as editor from "./vscode.ts";

vi.mock("vscode", () => import("./vscode.ts"));

const BLOCKED: TuningPlan = {
  ...{ resumes: 2, accepted: 9, newAccepted: 1, examples: 8, leftOut: { tooLong: 0, repeated: 0 }, base: "small" },
  ...{ device: "cpu", memoryMiB: 0, freeMemoryMiB: 0, seconds: null },
  obstacle: {
    code: "tuner-device",
    message: "It is tuned on a GPU. Mend that, or start over: netwright tune --restart",
  },
};
const asked = (plan: TuningPlan) => askForTuning({ request: async () => plan } as never);

beforeEach(() => vi.clearAllMocks());

it("what keeps a stopped run from going on is said with the way out", async () => {
  editor.window.showWarningMessage.mockResolvedValueOnce("Start Over");
  expect(await asked(BLOCKED)).toEqual({ restart: true });
  expect(editor.window.showWarningMessage).toHaveBeenCalledExactlyOnceWith(
    "The fine-tuning of generation 2 cannot go on.",
    { modal: true, detail: "It is tuned on a GPU. Mend that, or start over." },
    "Start Over",
    "Open netwright.json",
  );
});

it("which can be left, or mended in the study", async () => {
  expect(await asked(BLOCKED)).toBeNull();
  editor.window.showWarningMessage.mockResolvedValueOnce("Open netwright.json");
  expect(await asked(BLOCKED)).toBeNull();
  expect(editor.commands.executeCommand).toHaveBeenCalledExactlyOnceWith("netwright.openConfig");
});

it("what starting over cannot help with is an error", async () => {
  await expect(asked({ ...BLOCKED, resumes: null })).rejects.toMatchObject({ code: "tuner-device" });
  const obstacle = { code: "no-accepted", message: "Nothing is accepted." };
  await expect(asked({ ...BLOCKED, obstacle })).rejects.toMatchObject({ code: "no-accepted" });
});
