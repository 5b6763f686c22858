/** The study as a page sees it: one snapshot, and numbered changes applied to it. */
import type { Activity, Changes, Snapshot, StudyView } from "../../src/engine/protocol.ts";
import type { Candidate, CycleSummary, Generation } from "../../src/study/types.ts";

export interface Model {
  number: number;
  study: StudyView;
  activity: Activity;
  cycles: CycleSummary[];
  generations: Generation[];
  candidates: Map<number, Candidate>;
}

export function fromSnapshot(snapshot: Snapshot): Model {
  return { ...snapshot, candidates: new Map(snapshot.candidates.map((c) => [c.id, c])) };
}

/**
 * Applies changes in place. "gap": some are missing, nothing was applied, a new snapshot is needed. "stale": the snapshot has them already.
 * Otherwise the candidates that changed, each as it was before (null: new).
 */
export function applyChanges(
  model: Model,
  { number, changes }: Changes,
): "gap" | "stale" | Map<number, Candidate | null> {
  if (number <= model.number) return "stale";
  if (number !== model.number + 1) return "gap";
  model.number = number;
  const before = new Map<number, Candidate | null>();
  for (const change of changes) {
    switch (change.kind) {
      case "activity":
        model.activity = change.activity;
        break;
      case "cycles":
        model.cycles = change.cycles;
        break;
      case "generations":
        model.generations = change.generations;
        break;
      case "study":
        model.study = change.study;
        break;
      case "candidate": {
        const { candidate } = change;
        if (!before.has(candidate.id)) before.set(candidate.id, model.candidates.get(candidate.id) ?? null);
        model.candidates.set(candidate.id, candidate);
        break;
      }
    }
  }
  return before;
}
