/** Composes the loop: starts the trainer, the novelty index and, when asked for, the designer. */
import { openNoveltyIndex } from "../novelty/index.ts";
import type { StudyConfig } from "../study/config.ts";
import type { Designer, Trainer } from "../study/ports.ts";
import { openTrainer } from "../trainer/index.ts";
import { openGeneration } from "./designer.ts";
import type { Emit } from "./events.ts";
import type { Loop } from "./loop.ts";
import { pythonPackage } from "./paths.ts";
import { addSeeds } from "./seeds.ts";
import { prepareStudyData } from "./setup.ts";
import type { Study } from "./study.ts";

export interface RunningLoop {
  loop: Loop;
  /** Null unless asked for. */
  designer: Designer | null;
  close(): Promise<void>;
}

/** Starts what a cycle needs; installs and downloads what is missing, telling so through `emit`. */
export async function startLoop(
  study: Study,
  need: { designer: boolean },
  emit: Emit,
  signal: AbortSignal,
): Promise<RunningLoop> {
  const opened: { close(): Promise<void> }[] = [];
  const close = async () => {
    await Promise.allSettled(opened.map((part) => part.close()));
  };
  const keep = async <T extends { close(): Promise<void> }>(starting: Promise<T>): Promise<T> => {
    const part = await starting;
    opened.push(part);
    return part;
  };
  try {
    const { config, store } = study;
    const generation = store.designingGeneration();
    addSeeds(store);
    const index = openNoveltyIndex(store.fingerprints);
    store.transaction(() => {
      for (const net of store.unindexed(index.version)) index.add(net.id, net);
    });
    // Both are started at once; when one fails the other is still waited for, so that it can be closed.
    const starting = await Promise.allSettled([
      keep(startTrainer(config, study.dir, emit, signal)),
      need.designer ? keep(openGeneration(study, generation, emit, signal)) : null,
    ]);
    for (const result of starting) if (result.status === "rejected") throw result.reason;
    const [trainer, designer] = starting.map((result) => (result as PromiseFulfilledResult<unknown>).value) as [
      Trainer,
      Designer | null,
    ];
    emit({ type: "ready", designer: designer?.info ?? null, trainer: trainer.info });
    return { loop: { config, store, trainer, index, emit, generation }, designer, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The trainer under the study's protocol: Python, then the prepared data, then the worker. */
export async function startTrainer(
  config: StudyConfig,
  studyDir: string,
  emit: Emit,
  signal: AbortSignal,
): Promise<Trainer> {
  const { python, path } = await prepareStudyData(config, studyDir, emit, signal);
  const { device, threads, sandbox } = config.trainer;
  return openTrainer(
    { python, packageDir: pythonPackage, cache: path, device, threads, sandbox, limits: config.limits },
    signal,
  );
}
