/** The copy of an engine's state: numbered changes keep it current, and a new snapshot replaces it when some are missing. */
import { applyChanges, fromSnapshot, type Model } from "../../webview/shared/model.ts";
import type { Changes, Snapshot } from "../engine/protocol.ts";

export interface ReplicaEvents {
  changed(changes: Changes): void;
  /** All of it is new. */
  replaced(): void;
  /** No new snapshot came. The state stays as it was, and the next changes ask again. */
  failed(error: unknown): void;
}

export class Replica {
  readonly #ask: () => Promise<Snapshot>;
  readonly #events: ReplicaEvents;
  #model: Model;
  /** What arrives while a new snapshot is on its way; null while none is. */
  #held: Changes[] | null = null;

  constructor(snapshot: Snapshot, ask: () => Promise<Snapshot>, events: ReplicaEvents) {
    this.#model = fromSnapshot(snapshot);
    this.#ask = ask;
    this.#events = events;
  }

  get model(): Model {
    return this.#model;
  }

  take(changes: Changes): void {
    if (this.#held) {
      this.#held.push(changes);
      return;
    }
    const applied = applyChanges(this.#model, changes);
    if (applied === "gap") void this.#renew();
    else if (applied !== "stale") this.#events.changed(changes);
  }

  async #renew(): Promise<void> {
    const held: Changes[] = [];
    this.#held = held;
    try {
      this.#model = fromSnapshot(await this.#ask());
    } catch (error) {
      this.#held = null;
      this.#events.failed(error);
      return;
    }
    this.#held = null;
    this.#events.replaced();
    for (const changes of held) this.take(changes);
  }
}
