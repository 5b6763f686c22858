/** What the designer is asked: which idea, on which parent, beside which examples. */
import { drawIdea } from "../designer/briefs.ts";
import type { DesignInput } from "../designer/prompts.ts";
import type { StudyStore } from "../store/store.ts";
import { decisionAccuracy } from "../study/admission.ts";
import { drawExemplars, exemplarPool, lessons } from "../study/exemplars.ts";
import { candidateSeed, seeded } from "../study/random.ts";
import type { Candidate, DesignMode } from "../study/types.ts";
import type { Loop } from "./loop.ts";

/** A new idea differs from so many before it. */
const REMEMBERED_IDEAS = 6;

export interface Plan {
  cycle: number;
  mode: DesignMode;
  planned: number;
  seed: number;
}

/** What one candidate is to be. */
export interface Design {
  cycle: number;
  mode: DesignMode;
  parent: number | null;
  idea: string | null;
}

/** What a cycle asks for: of each candidate from position `first` on its seed, its idea and, for a diff, its parent. */
export function drawDesigns(
  loop: Loop,
  cycle: Plan,
  first: number,
): { position: number; seed: number; design: Design }[] {
  const { store, config } = loop;
  const drawn = [];
  const pool = exemplars(store);
  const ideas = store.list({ limit: REMEMBERED_IDEAS }).map((c) => store.work(c.id).idea ?? "");
  for (let position = first; position < cycle.planned; position++) {
    const seed = candidateSeed(cycle.seed, cycle.cycle, position);
    const random = seeded(seed);
    const [parent] = cycle.mode === "delta" ? drawExemplars(pool, 1, random) : [];
    const mode: DesignMode = parent ? "delta" : "full";
    const idea = drawIdea(random, {
      mode,
      parameterLimit: config.limits.parameters,
      recent: ideas.slice(-REMEMBERED_IDEAS),
      parent: parent ? store.code(parent.id) : null,
    });
    ideas.push(idea);
    drawn.push({ position, seed, design: { cycle: cycle.cycle, mode, parent: parent?.id ?? null, idea } });
  }
  return drawn;
}

/** A diff needs a parent: where there is none yet, whole files are asked for, and that is said. */
export function possibleMode({ store, emit }: Loop, mode: DesignMode): DesignMode {
  if (mode === "full" || exemplars(store).length > 0) return mode;
  const message =
    "This study has no accepted net and no seed that trained, so there is no parent: whole files are asked for.";
  emit({ type: "note", message });
  return "full";
}

/** Nets that may be shown. They are few among many candidates: only those are read, for each question anew. */
function exemplars(store: StudyStore): Candidate[] {
  const archive = store.list({ cycle: 0 }).filter(({ accepted }) => accepted === null);
  return exemplarPool([...archive, ...store.list({ accepted: true })].sort((a, b) => a.id - b.id));
}

/** The question for a design, as things stand. */
export function designInput(loop: Loop, design: Design): DesignInput {
  const { store, config, trainer } = loop;
  const shown = (candidate: Candidate) => ({
    name: candidate.name,
    code: store.code(candidate.id) ?? "",
    accuracy: decisionAccuracy(candidate.accuracy),
    parameters: candidate.parameters ?? 0,
  });
  const pool = exemplars(store).filter((c) => c.id !== design.parent);
  // The same for the whole cycle: its prompts then begin alike, and the designer reads that beginning once.
  const drawn = drawExemplars(
    pool,
    config.designer.exemplars,
    seeded(candidateSeed(config.protocol.seed, design.cycle, -1)),
  );
  return {
    shape: trainer.info.shape,
    parameterLimit: config.limits.parameters,
    mode: design.mode,
    exemplars: drawn.map(shown),
    parent: design.parent === null ? null : shown(store.candidate(design.parent)),
    lessons: lessons(store.list({ limit: 32 }), 3),
    idea: design.idea ?? "",
  };
}
