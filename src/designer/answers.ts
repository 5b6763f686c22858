/** What the designer should have answered: an accepted net as the shortest answer to its question. */
import { structuredPatch } from "diff";
import type { Prompt } from "../study/types.ts";
import { applyDiff } from "./diffs.ts";
import { architecture } from "./frame.ts";

/** Unchanged lines around a change, as the designer's own diffs have them. */
const CONTEXT = 2;

/** An answer in two parts: what is given of it, and what follows. */
export interface IdealAnswer {
  prefill: string;
  answer: string;
}

/**
 * The answer that makes `code` of its parent, without the closing fence. A diff is written anew: what a model wrote has hunks that change
 * nothing and lines that fit nowhere. Where the diff does not begin as the prefill does, or the question was for a whole net, it is what
 * the model wrote; all of it, where a model began its answer anew instead of going on from the prefill.
 */
export function idealAnswer({ prefill }: Prompt, reply: string, code: string, parent: string | null): IdealAnswer {
  const diff = parent === null ? null : cleanDiff(prefill, architecture(parent), architecture(code));
  if (diff !== null) return { prefill, answer: diff };
  const goesOn = reply.startsWith(prefill);
  const written = (goesOn ? reply.slice(prefill.length) : reply).trimEnd();
  return { prefill: goesOn ? prefill : "", answer: written.replace(/\n```$/, "") };
}

function cleanDiff(prefill: string, from: string, to: string): string | null {
  const at = prefill.indexOf("@@ -");
  if (at < 0) return null;
  const { hunks } = structuredPatch("a/net.py", "b/net.py", from, to, "", "", { context: CONTEXT });
  // The header's numbers are a formality that the prefill has its own way with.
  const [header, ...opened] = prefill.slice(at).split("\n");
  const written = hunks.map(({ oldStart, oldLines, newStart, newLines, lines }, i) => {
    const head = `@@ -${oldStart},${oldLines} +${newStart},${newLines} @@`;
    const shown = lines.filter((line) => !line.startsWith("\\"));
    return [i === 0 ? header : head, ...shown].join("\n");
  });
  const text = written.join("\n");
  const opening = [header, ...opened].join("\n");
  if (!text.startsWith(opening)) return null;
  const answer = text.slice(opening.length);
  const applied = applyDiff(from, prefill + answer);
  return "text" in applied && applied.text.trim() === to.trim() ? answer : null;
}
