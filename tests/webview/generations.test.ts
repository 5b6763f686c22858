import { describe, expect, it } from "vitest";
import type { RunState } from "../../src/engine/protocol.ts";
import type { Candidate, Generation } from "../../src/study/types.ts";
import { cycleFigures, generationMarks, lossesOf } from "../../webview/dashboard/figures.ts";
import { generationNews } from "../../webview/panel/announce.ts";
import { curvePath, lossText } from "../../webview/panel/losses.ts";
import { fixFor, withoutCommands } from "../../webview/shared/fixes.ts";
import { duration } from "../../webview/shared/format.ts";
import {
  canFineTune,
  designerName,
  generationMark,
  isSpare,
  lessonCounts,
  probeText,
  rollBackTarget,
  tuningOffer,
} from "../../webview/shared/generations.ts";
import { runText, tuningCount } from "../../webview/shared/work.ts";
import { GENERATIONS, generationsSnapshot, IDLE, idleSnapshot, losses, tuningSnapshot } from "../fixtures/snapshots.ts";

const [first, second, third] = GENERATIONS as [Generation, Generation, Generation];
const made = tuningSnapshot().generations.at(-1) as Generation;
const nets = (count: number, part: Partial<Candidate> = {}): Candidate[] =>
  Array.from({ length: count }, (_, i) => ({
    ...(idleSnapshot().candidates[10] as Candidate),
    id: i,
    mode: "delta",
    accepted: true,
    ...part,
  }));
const byId = (candidates: Candidate[]) => new Map(candidates.map((each) => [each.id, each]));

describe("what a generation can learn from", () => {
  it("are accepted designs: neither seeds nor imports, nor what is only proposed", () => {
    const candidates = [
      ...nets(3),
      ...nets(2, { mode: "seed" }),
      ...nets(1, { mode: "import" }),
      ...nets(4, { accepted: null }),
    ];
    expect(lessonCounts(candidates, [])).toEqual({ accepted: 3, newAccepted: 3 });
    expect(canFineTune(candidates.slice(3), [])).toBe(false);
    expect(canFineTune(candidates, [])).toBe(true);
    expect(canFineTune([], [made])).toBe(true);
  });

  it("are new since the newest corpus that led to a generation", () => {
    const tuned = { ...second, accepted: 8 };
    const failed = { ...third, state: "failed" as const, accepted: 12 };
    expect(lessonCounts(nets(13), [tuned, failed])).toEqual({ accepted: 13, newAccepted: 5 });
    expect(lessonCounts(nets(6), [tuned]).newAccepted).toBe(0);
  });

  it("decide what the panel offers", () => {
    const offer = (candidates: Candidate[], generations: Generation[]) =>
      tuningOffer({ candidates: byId(candidates), generations });
    expect(offer([], [])).toMatchObject({ text: "No accepted net yet", enabled: false });
    expect(offer(nets(1), [])).toMatchObject({ text: "1 new accepted net", enabled: true });
    expect(offer(nets(8), [second])).toMatchObject({ text: "No new accepted net", enabled: false });
    expect(offer([], [made])).toMatchObject({ label: "Continue…", enabled: true });
    expect(offer([], [{ ...made, state: "probing" }]).why).toContain("Its probe was stopped");
  });
});

describe("generations", () => {
  it("can be used or deleted when they have an adapter and do not design", () => {
    expect([first, second, third, made].map(isSpare)).toEqual([false, false, true, false]);
  });

  it("roll back to the nearest ancestor that still can design", () => {
    expect(rollBackTarget([])).toBeNull();
    expect(rollBackTarget([first, { ...second, current: false }])).toBeNull();
    // Its parent is deleted.
    expect(rollBackTarget(GENERATIONS)).toBe(0);
    expect(rollBackTarget([{ ...first, state: "published" }, second])).toBe(1);
    expect(
      rollBackTarget([
        { ...first, state: "kept" },
        { ...second, current: false, state: "deleted" },
        { ...third, current: true },
      ]),
    ).toBe(1);
  });

  it("name the designer, with the model they are made of", () => {
    expect(designerName([], null)).toBeNull();
    expect(designerName([], IDLE.designer)).toBe("qwen2.5-coder:1.5b (Ollama)");
    expect(designerName([first], IDLE.designer)).toBe("qwen2.5-coder:1.5b, generation 0");
    expect(designerName([first], null)).toBe("qwen2.5-coder:1.5b, generation 0");
    // The engine has let go of the designer: which it is stays known.
    expect(designerName(GENERATIONS, null)).toBe("qwen2.5-coder:1.5b, generation 2");
  });

  it("say where they stand", () => {
    expect(generationMark(second, false).label).toBe("In use");
    expect(generationMark(made, true)).toMatchObject({ label: "Being tuned", tone: "busy" });
    expect(generationMark(made, false).label).toBe("Stopped");
    expect(probeText(third.probe as NonNullable<Generation["probe"]>)).toBe(
      "5 of 16 answers valid and new, its parent 8",
    );
  });

  it("are announced when their state changes, and when another designs", () => {
    expect(generationNews(GENERATIONS, GENERATIONS)).toBe("");
    expect(generationNews(GENERATIONS, [...GENERATIONS, made])).toBe("Generation 4 is being tuned.");
    const published = { ...made, state: "published" as const, current: true, probe: second.probe };
    const others = GENERATIONS.map((each) => ({ ...each, current: false }));
    expect(generationNews([...GENERATIONS, made], [...others, published])).toBe(
      "Generation 4 is published: 8 of 16 answers valid and new, its parent 6. Designs now: generation 4.",
    );
  });

  it("mark the cycle from which each designed", () => {
    const { cycles, candidates } = generationsSnapshot();
    expect(generationMarks(cycleFigures(cycles, candidates, 0.4))).toEqual([
      { at: 2, generation: 1 },
      { at: 4, generation: 2 },
    ]);
    expect(generationMarks(cycleFigures(idleSnapshot().cycles, candidates, 0.4))).toEqual([]);
  });
});

describe("losses", () => {
  it("shown are those of the chosen generation, else of the one in the making, else of the newest", () => {
    const { generations, activity } = tuningSnapshot();
    expect(lossesOf({ generations, tuning: activity.tuning, chosen: 2 })?.generation).toBe(2);
    expect(lossesOf({ generations, tuning: activity.tuning, chosen: null })).toMatchObject({
      generation: 4,
      steps: 36,
    });
    expect(lossesOf({ generations, tuning: null, chosen: 4 })?.generation).toBe(3);
    expect(lossesOf({ generations: [made], tuning: null, chosen: null })).toBeNull();
  });

  it("become a line over the whole run's width, and words", () => {
    const scale = { last: 4, highest: 2 };
    expect(curvePath([{ step: 1, value: 2 }], scale)).toBe("M24,0h1");
    expect(
      curvePath(
        [
          { step: 1, value: 2 },
          { step: 2, value: 1 },
          { step: 4, value: 0 },
        ],
        scale,
      ),
    ).toBe("M25,0L50,20L100,40");
    expect(lossText([])).toBe("No loss is measured yet.");
    const points = losses(2).map((point, i) => ({ ...point, training: 1 - 0.5 * i, heldOut: i === 1 ? 0.75 : null }));
    expect(lossText(points)).toBe("Loss over 2 steps: from 1.000 to 0.500; held-out loss from 0.750 to 0.750.");
  });
});

describe("a run of cycles in words", () => {
  const run: RunState = {
    started: "2026-01-05T20:00:00.000Z",
    cyclesDone: 1,
    candidatesDone: 8,
    budget: { cycles: 5, hours: null, candidates: null },
    pausing: false,
  };
  const text = (budget: Partial<RunState["budget"]>, tuning = false, hours = 1) =>
    runText(
      { ...run, budget: { cycles: null, hours: null, candidates: null, ...budget } },
      tuning,
      Date.parse(run.started) + hours * 3_600_000,
    );

  it("says how far it is in what it was given", () => {
    expect(text({ cycles: 5 })).toBe("cycle 2 of 5");
    expect(text({ cycles: 5 }, true)).toBe("after cycle 1 of 5");
    expect(text({ candidates: 64 })).toBe("cycle 2, 8 of 64 candidates");
    expect(text({ hours: 3 })).toBe("cycle 2, about 2 h left");
    expect(text({ hours: 3 }, false, 4)).toBe("cycle 2, its time is over");
  });

  it("counts what a tuning counts", () => {
    const tuning = tuningSnapshot().activity.tuning as NonNullable<
      ReturnType<typeof tuningSnapshot>["activity"]["tuning"]
    >;
    expect(tuningCount(tuning)).toBe("step 14 of 36");
    expect(tuningCount({ ...tuning, stage: "probing", step: 3, steps: 16 })).toBe("answer 3 of 16");
    expect(tuningCount({ ...tuning, stage: "loading" })).toBe("");
  });

  it.each([
    [48, "48 s"],
    [59.7, "1 min"],
    [790, "13 min"],
    [3600, "1 h"],
    [4200, "1 h 10 min"],
  ])("%d s took %s", (seconds, words) => expect(duration(seconds)).toBe(words));
});

describe("the fix of a failure", () => {
  it.each([
    ["tuner-memory", "Open netwright.json"],
    ["generation-base", "Open netwright.json"],
    ["tuner-device", "Open netwright.json"],
    ["adapter-unreadable", "Use Generation..."],
    ["tuner-failed", "Fine-Tune Designer"],
    ["study-config", "Open netwright.json"],
    ["python-missing", "Check Setup"],
  ])("%s is %s", (code, label) => expect(fixFor(code)?.label).toBe(label));

  it.each([
    ["PyTorch does not work in /py. See: netwright doctor\nThe log", "PyTorch does not work in /py.\nThe log"],
    ["Name m there again, or start over: netwright tune --restart", "Name m there again, or start over."],
    ["Cycle 3 was interrupted. Continue it with: netwright cycle --resume", "Cycle 3 was interrupted. Continue it."],
    ["There is no netwright.json in /a b. Correct it.", "There is no netwright.json in /a b. Correct it."],
  ])("is told without what would be typed in a terminal: %j", (message, words) => {
    expect(withoutCommands(message)).toBe(words);
  });
});
