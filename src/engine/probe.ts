/** The probe: the same new questions to two designers, and what each makes of them. */
import pLimit from "p-limit";
import { type DesignInput, designPrompt } from "../designer/prompts.ts";
import { readReply } from "../designer/replies.ts";
import { structureKey } from "../novelty/structure.ts";
import type { Designer, NoveltyIndex } from "../study/ports.ts";
import { candidateSeed } from "../study/random.ts";
import type { Checked, ProbeScore, Sampling } from "../study/types.ts";
import { untraceable } from "./cycle.ts";
import { designInput, drawDesigns } from "./designs.ts";
import type { Loop } from "./loop.ts";

export interface Question {
  input: DesignInput;
  sampling: Sampling;
}

/** A net that passed its check; null for an answer that did not amount to one. */
export type Answer = { code: string; checked: Checked } | null;

/** Of candidate seeds, so far from any cycle's that no question is one of theirs. */
const PROBE_CYCLE = 1_000_000;

/** Questions as the next cycle would ask them, the same whenever they are drawn from the same archive for the same generation. */
export function questions(loop: Loop, count: number, generation: number): Question[] {
  const { designer, protocol } = loop.config;
  const { temperature, topP, minP, maxTokens, mode } = designer;
  const cycle = PROBE_CYCLE + generation;
  return drawDesigns(loop, { cycle, mode, planned: count, seed: protocol.seed }, 0).map(({ design, position }) => ({
    input: designInput(loop, design),
    sampling: { temperature, topP, minP, maxTokens, seed: candidateSeed(protocol.seed, cycle, position) },
  }));
}

/** Asks all of them once, without repair, and checks the answers. `onAnswer` is called after each. */
export async function ask(
  loop: Loop,
  designer: Designer,
  asked: readonly Question[],
  signal: AbortSignal,
  onAnswer: () => void,
): Promise<Answer[]> {
  const designing = pLimit(designer.info.parallel);
  const checking = pLimit(1);
  return Promise.all(
    asked.map(async ({ input, sampling }) => {
      const reply = await designing(() => designer.generate(designPrompt(input), sampling, signal));
      const read = readReply(reply, input.mode, input.parent?.code ?? null);
      const result =
        "code" in read ? await checking(() => loop.trainer.check(read.code, signal).catch(untraceable)) : null;
      onAnswer();
      return "code" in read && result?.ok ? { code: read.code, checked: result.checked } : null;
    }),
  );
}

/** How many of the answers are nets, and nets that neither the archive nor an answer before has. */
export function score(archive: NoveltyIndex, answers: readonly Answer[]): ProbeScore {
  const valid = answers.filter((answer) => answer !== null);
  const seen = new Set<string>();
  const isNew = ({ code, checked }: NonNullable<Answer>): boolean => {
    const key = structureKey(checked.graph);
    if (seen.has(key) || (archive.nearest({ code, checked }).structure?.similarity ?? 0) >= 1) return false;
    seen.add(key);
    return true;
  };
  return { questions: answers.length, valid: valid.length, newAndValid: valid.filter(isNew).length };
}
