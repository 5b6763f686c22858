import type { StudyStore } from "../store/store.ts";
import type { StudyConfig } from "../study/config.ts";
import type { NoveltyIndex, Trainer } from "../study/ports.ts";
import type { Emit } from "./events.ts";

/** What the loop works with. */
export interface Loop {
  config: StudyConfig;
  store: StudyStore;
  trainer: Trainer;
  index: NoveltyIndex;
  emit: Emit;
  /** Of the designer. */
  generation: number;
}
