/** How far a batch of candidates has come. */
import { nextStep } from "../study/cycle.ts";
import { secondsLeft } from "../study/estimate.ts";
import type { Designer } from "../study/ports.ts";
import type { Candidate } from "../study/types.ts";
import type { Loop } from "./loop.ts";

/** Counts and time left of a running batch of candidates, from the store: it is right after a resume too. */
export class CycleProgress {
  readonly #loop: Loop;
  readonly #designer: Designer | null;
  readonly #ids: number[];
  readonly #state = new Map<
    number,
    {
      designed: boolean;
      /** It needs no more of the designer. */
      settled: boolean;
      checked: boolean;
      trained: boolean;
      finished: boolean;
      seconds: Candidate["seconds"];
    }
  >();

  constructor(loop: Loop, designer: Designer | null, ids: number[]) {
    this.#loop = loop;
    this.#designer = designer;
    this.#ids = ids;
  }

  update(id: number): void {
    const work = this.#loop.store.work(id);
    const step = nextStep(work, this.#loop.config).do;
    const finished = work.outcome !== null;
    this.#state.set(id, {
      designed: finished || step !== "design",
      settled: finished || (step !== "design" && step !== "repair"),
      checked: finished || work.checked !== null,
      trained: work.trained !== null,
      finished,
      seconds: this.#loop.store.candidate(id).seconds,
    });
    const states = [...this.#state.values()];
    const counted = (key: "designed" | "checked" | "trained" | "finished") => states.filter((s) => s[key]).length;
    const counts = {
      planned: this.#ids.length,
      designed: counted("designed"),
      checked: counted("checked"),
      trained: counted("trained"),
      finished: counted("finished"),
    };
    const settled = states.filter((s) => s.settled);
    const left = secondsLeft({
      ...counts,
      designed: settled.length,
      designSeconds: settled.filter((s) => s.seconds.design > 0).map((s) => s.seconds.design),
      trainSeconds: states.filter((s) => s.trained).map((s) => s.seconds.train),
      designParallel: this.#designer?.info.parallel ?? 1,
      trainParallel: this.#loop.config.trainer.parallel,
    });
    this.#loop.emit({ type: "progress", ...counts, secondsLeft: left });
  }
}
