/** What clients see of the work under way: the activity, the nets in their stages, the text being written. */
import type { EngineEvent } from "./events.ts";
import type { Activity, Change, Underway } from "./protocol.ts";
import { lastReady, rememberReady } from "./ready.ts";
import type { Study } from "./study.ts";

export interface Listener {
  changes(changes: Change[]): void;
  event(event: EngineEvent): void;
}

/** What the activity says of the work when there is none. */
const AT_REST: Pick<Activity, "state" | "setup" | "cycle" | "mode" | "progress" | "underway" | "tuning" | "run"> = {
  state: "idle",
  setup: null,
  cycle: null,
  mode: null,
  progress: null,
  underway: [],
  tuning: null,
  run: null,
};

function startOf({ planned, resumed }: Extract<EngineEvent, { type: "cycle-started" }>): Activity["progress"] {
  return resumed ? null : { planned, designed: 0, checked: 0, trained: 0, finished: 0, secondsLeft: null };
}

export class Live {
  readonly #study: Study;
  readonly #listener: Listener;
  #activity: Activity;
  readonly #underway = new Map<number, Underway>();
  readonly #texts = new Map<number, string>();

  constructor(study: Study, listener: Listener) {
    this.#study = study;
    this.#listener = listener;
    this.#activity = {
      ...AT_REST,
      ...lastReady(study.stateDir),
      error: null,
      interrupted: study.store.openCycle()?.cycle ?? null,
    };
  }

  get activity(): Activity {
    return this.#activity;
  }

  /** What is written so far of a candidate that is being designed. */
  text(id: number): string {
    return this.#texts.get(id) ?? "";
  }

  set(part: Partial<Activity>): void {
    this.#activity = { ...this.#activity, ...part };
    this.#listener.changes([{ kind: "activity", activity: this.#activity }]);
  }

  /** The work has ended. */
  rest(): void {
    const { store } = this.#study;
    this.#underway.clear();
    this.#texts.clear();
    this.set({ ...AT_REST, interrupted: store.openCycle()?.cycle ?? null });
    this.#listener.changes([{ kind: "cycles", cycles: store.cycles() }]);
  }

  /** Shows what an event tells, and hands it on. */
  readonly hear = (event: EngineEvent): void => {
    this.#listener.event(event);
    const { store } = this.#study;
    switch (event.type) {
      case "setup": {
        const { what, done, total, unit } = event;
        this.set({ setup: { what, done, total, unit } });
        break;
      }
      case "ready":
        this.set({ designer: event.designer ?? this.#activity.designer, trainer: event.trainer, setup: null });
        rememberReady(this.#study.stateDir, this.#activity);
        break;
      case "cycle-started":
        // The seeds' counts were shown until now; those of a resumed cycle come with its next step.
        this.set({ cycle: event.cycle, mode: event.mode, interrupted: null, progress: startOf(event) });
        this.#listener.changes([{ kind: "cycles", cycles: store.cycles() }]);
        break;
      case "stage": {
        const { id, name, stage, because } = event;
        this.#underway.set(id, { id, name, stage, because, training: null });
        if (stage === "repairing") this.#texts.delete(id);
        this.set({ underway: [...this.#underway.values()] });
        this.#listener.changes([{ kind: "candidate", candidate: store.candidate(id) }]);
        break;
      }
      case "training": {
        const underway = this.#underway.get(event.id);
        if (!underway) break;
        const { batch, batches, secondsLeft } = event;
        this.#underway.set(event.id, { ...underway, training: { batch, batches, secondsLeft } });
        this.set({ underway: [...this.#underway.values()] });
        break;
      }
      case "candidate":
        this.#underway.delete(event.candidate.id);
        this.#texts.delete(event.candidate.id);
        this.set({ underway: [...this.#underway.values()] });
        this.#listener.changes([
          { kind: "candidate", candidate: event.candidate },
          { kind: "cycles", cycles: store.cycles() },
        ]);
        break;
      case "progress": {
        const { type: _, ...progress } = event;
        this.set({ progress });
        break;
      }
      case "text":
        this.#texts.set(event.id, (this.#texts.get(event.id) ?? "") + event.piece);
        break;
      case "tuning": {
        const { type: _, ...tuning } = event;
        this.set({ tuning, setup: null });
        break;
      }
      case "generation":
        this.set({ tuning: null });
        this.#listener.changes([{ kind: "generations", generations: store.generations.list() }]);
        break;
      case "note":
        break;
    }
  };
}
