import { describe, expect, it } from "vitest";
import { corpusOf, corpusText, type Lesson } from "../../src/tuner/corpus.ts";

const prompt = { messages: [{ role: "user" as const, content: "Change it." }], prefill: "```diff\n" };
const lessons = (count: number, structure = (i: number) => `s${i}`): Lesson[] =>
  Array.from({ length: count }, (_, i) => ({ ...prompt, answer: `+ line ${i}\n`, structure: structure(i) }));

describe("corpusOf", () => {
  it("asks as the designer is asked, and ends each answer where the designer's is ended", () => {
    const { examples } = corpusOf(lessons(1));
    expect(examples).toEqual([
      { messages: prompt.messages, prefill: prompt.prefill, answer: "+ line 0\n```", heldOut: false },
    ]);
  });

  it("takes a structure once, the oldest of it", () => {
    const { examples, repeated } = corpusOf(lessons(6, (i) => `s${i % 2}`));
    expect(repeated).toBe(4);
    expect(examples.map(({ answer }) => answer)).toEqual(["+ line 0\n```", "+ line 1\n```"]);
  });

  it("holds nothing out of a few, and one in eight of more", () => {
    const heldOut = (count: number) => corpusOf(lessons(count)).examples.filter((example) => example.heldOut).length;
    expect([0, 1, 7, 8, 15, 16, 1000].map(heldOut)).toEqual([0, 0, 0, 1, 1, 2, 125]);
  });

  it("grows without moving an example from one side to the other", () => {
    const before = corpusOf(lessons(20)).examples;
    expect(corpusOf(lessons(40)).examples.slice(0, 20)).toEqual(before);
  });
});

it("writes one example a line, whatever it holds", () => {
  const { examples } = corpusOf([{ ...prompt, answer: 'a "quoted"\nline\u2028more', structure: "s" }, ...lessons(1)]);
  const lines = corpusText(examples).trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toEqual(examples);
});
