/** What a LoRA run learns from: answers that became accepted nets, each after the question it answered. Pure. */
import type { Message } from "../study/types.ts";

/** An accepted net, asked for as the designer is asked. */
export interface Lesson {
  /** The first question of the candidate: that of a repair is another. */
  messages: Message[];
  /** The beginning of the answer that is given with the question. */
  prefill: string;
  /** The rest of the answer, without its closing fence. */
  answer: string;
  /** Equal for nets with equal operator graphs. */
  structure: string;
}

/** One example: the chat form that the designer is asked in, and the rest of the answer. Only `answer` carries loss. */
export interface Example {
  messages: Message[];
  prefill: string;
  answer: string;
  /** Measured, not learned from. */
  heldOut: boolean;
}

export interface Corpus {
  examples: Example[];
  /** Lessons whose structure another one has. */
  repeated: number;
}

/** With fewer examples than this none can be spared to measure with. */
const LEAST_TO_HOLD_OUT = 8;
/** One in so many is held out. */
const HELD_OUT = 8;

/**
 * The corpus of all lessons, oldest first. Of equal structures the first is taken, so that a corpus that grows keeps its examples, and
 * one that was held out is held out in every later corpus.
 */
export function corpusOf(lessons: readonly Lesson[]): Corpus {
  const seen = new Set<string>();
  const distinct = lessons.filter(({ structure }) => !seen.has(structure) && seen.add(structure));
  const holdsOut = distinct.length >= LEAST_TO_HOLD_OUT;
  const examples = distinct.map(({ messages, prefill, answer }, i) => ({
    messages,
    prefill,
    answer: `${answer.trimEnd()}\n\`\`\``,
    heldOut: holdsOut && i % HELD_OUT === HELD_OUT - 1,
  }));
  return { examples, repeated: lessons.length - distinct.length };
}

/** One example a line. */
export function corpusText(examples: readonly Example[]): string {
  return examples.map((example) => `${JSON.stringify(example)}\n`).join("");
}
