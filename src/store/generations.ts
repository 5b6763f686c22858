/** The designer's generations: each LoRA run, its probe, and which of them designs. */
import { UserError } from "../study/ports.ts";
import type { Generation, GenerationState, TunerSettings, TuningRun } from "../study/types.ts";
import type { Database } from "./database.ts";
import { fromJson, now, toJson } from "./packing.ts";

export class Generations {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Writes down a LoRA run that is about to begin, and returns its generation. */
  begin(generation: Pick<Generation, "parent" | "cycle" | "accepted" | "base" | "settings">): number {
    const { parent, cycle, accepted, base, settings } = generation;
    return this.#db.run(
      "INSERT INTO generations (parent, cycle, accepted, state, base, settings, started) VALUES (?, ?, ?, 'tuning', ?, ?, ?)",
      parent,
      cycle,
      accepted,
      base,
      JSON.stringify(settings),
      now(),
    ).id;
  }

  /** The run has ended: what follows is the probe. */
  recordTuning(generation: number, run: TuningRun): void {
    const sql = "UPDATE generations SET state = 'probing', ended = ?, run = ? WHERE id = ?";
    this.#db.one(sql, now(), JSON.stringify(run), generation);
  }

  /** Published, or kept, as the probe said. `ollama` names the model that the generation is there. */
  recordProbe(generation: number, state: GenerationState, probe: Generation["probe"], ollama: string | null): void {
    const sql = "UPDATE generations SET state = ?, probe = ?, ollama = ? WHERE id = ?";
    this.#db.one(sql, state, toJson(probe), ollama, generation);
  }

  /** Ends a generation without a designer: its run cannot go on, or its adapter was deleted. */
  end(generation: number, state: "failed" | "deleted", error: string | null): void {
    const sql = "UPDATE generations SET state = ?, error = ?, ended = coalesce(ended, ?) WHERE id = ?";
    this.#db.one(sql, state, error, now(), generation);
  }

  /** From now on this generation designs; 0: the base model alone. */
  use(generation: number): void {
    this.#db.run("INSERT INTO designers (generation, at) VALUES (?, ?)", generation, now());
  }

  /** The generation that designs now. */
  current(): number {
    const sql = "SELECT generation FROM designers ORDER BY id DESC LIMIT 1";
    return this.#db.get<{ generation: number }>(sql)?.generation ?? 0;
  }

  /** All generations but 0, in order. */
  list(): Generation[] {
    const current = this.current();
    return this.#db.all<GenerationRow>("SELECT * FROM generations ORDER BY id").map((row) => ({
      generation: row.id,
      parent: row.parent,
      cycle: row.cycle,
      accepted: row.accepted,
      state: row.state,
      current: row.id === current,
      base: row.base,
      settings: JSON.parse(row.settings) as TunerSettings,
      started: row.started,
      ended: row.ended,
      run: fromJson<TuningRun>(row.run),
      probe: fromJson<Generation["probe"]>(row.probe),
      ollama: row.ollama,
      error: row.error,
    }));
  }

  /** @throws UserError "unknown-generation" */
  get(number: number): Generation {
    const found = this.list().find(({ generation }) => generation === number);
    if (!found) {
      throw new UserError(
        "unknown-generation",
        `There is no generation ${number}. List them with: netwright generations`,
      );
    }
    return found;
  }
}

interface GenerationRow {
  id: number;
  parent: number;
  cycle: number;
  accepted: number;
  state: GenerationState;
  base: string;
  settings: string;
  started: string;
  ended: string | null;
  run: string | null;
  probe: string | null;
  ollama: string | null;
  error: string | null;
}
