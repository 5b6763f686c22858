/** One GPU for two: the designer's model and the nets take turns in its memory. */
import type { Designer, Trainer } from "../study/ports.ts";

/** Whether model and nets would take memory of the same GPU. */
export const sharesGpu = (trainer: Trainer, designer: Designer): boolean =>
  trainer.info.device !== "cpu" && !designer.info.device.startsWith("CPU");

/** Before nets are trained: a designer that holds memory of the trainer's GPU gives it back. It loads again when it is asked. */
export async function freeGpu(trainer: Trainer, designer: Designer | null): Promise<void> {
  if (designer && sharesGpu(trainer, designer)) await designer.release();
}

/** The designer's turn on a shared GPU, then the trainer's: training begins once all is designed and the model's memory is free. */
export class Turn {
  readonly #designed = new Set<number>();
  #left: number;
  readonly #release: () => Promise<void>;
  readonly #released: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(candidates: number, release: () => Promise<void>) {
    this.#left = candidates;
    this.#release = release;
    // Nobody may be waiting for it: what no net needs costs no cycle.
    this.#released.promise.catch(() => undefined);
  }

  /** The designer's memory is free, or cannot be had; the next question must not meet a release under way. */
  async released(): Promise<void> {
    if (this.#left === 0) await this.#released.promise.catch(() => undefined);
  }

  /** A candidate needs no more of the designer. */
  done(id: number): void {
    if (this.#designed.has(id)) return;
    this.#designed.add(id);
    if (--this.#left === 0) this.#release().then(this.#released.resolve, this.#released.reject);
  }

  /** Waits for the trainer's turn. */
  async trainerOf(id: number, signal: AbortSignal): Promise<void> {
    this.done(id);
    const stopped = Promise.withResolvers<never>();
    const stop = () => stopped.reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    try {
      signal.throwIfAborted();
      await Promise.race([this.#released.promise, stopped.promise]);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }
}
