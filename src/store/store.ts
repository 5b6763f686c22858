/** The record of a study: every prompt, reply, seed, outcome and figure, in one SQLite file. Each method is durable when it returns. */
import type { Work } from "../study/cycle.ts";
import { type CheckResult, type TrainResult, UserError } from "../study/ports.ts";
import type {
  Attempt,
  Candidate,
  Checked,
  CycleSummary,
  DesignMode,
  Failure,
  OperatorGraph,
  Origin,
  Outcome,
  Protocol,
} from "../study/types.ts";
import { Database } from "./database.ts";
import { Fingerprints } from "./fingerprints.ts";
import { Generations } from "./generations.ts";
import { MIGRATIONS } from "./migrations.ts";
import { fromJson, now, pack, toJson, unpack } from "./packing.ts";
import {
  type AttemptRow,
  type CandidateRow,
  type Training,
  type TrainingRow,
  toAttempt,
  toCandidate,
  toTraining,
  type WorkRow,
} from "./rows.ts";

export type Reviewer = "user" | "policy";

export interface OpenCycle {
  cycle: number;
  mode: DesignMode;
  planned: number;
  seed: number;
  started: string;
  /** Of the designer that began it. */
  generation: number;
}

export interface NewCandidate {
  cycle: number;
  /** Unique in the study. */
  name: string;
  mode: Origin;
  parent: number | null;
  seed: number;
  idea: string | null;
  /** The module of a seed or import; null for what the designer will write. */
  code: string | null;
}

export interface Review {
  at: string;
  accepted: boolean;
  by: Reviewer;
  reason: string | null;
}

export interface Filter {
  cycle?: number;
  /** Null: under way. */
  outcome?: Outcome | null;
  /** Null: not reviewed. */
  accepted?: boolean | null;
  proposed?: boolean;
  /** Only so many, the latest. */
  limit?: number;
}

/** @throws UserError as the constructor of Database says. */
export function openStore(file: string): StudyStore {
  return new StudyStore(new Database(file, MIGRATIONS));
}

export class StudyStore {
  readonly #db: Database;
  /** What the novelty index keeps. */
  readonly fingerprints: Fingerprints;
  /** Of the designer. */
  readonly generations: Generations;

  constructor(db: Database) {
    this.#db = db;
    this.fingerprints = new Fingerprints(db);
    this.generations = new Generations(db);
  }

  /** Begins the next cycle and returns its number. */
  beginCycle(cycle: { mode: DesignMode; planned: number; seed: number; generation: number }): number {
    return this.#db.run(
      "INSERT INTO cycles (mode, planned, seed, generation, started) VALUES (?, ?, ?, ?, ?)",
      cycle.mode,
      cycle.planned,
      cycle.seed,
      cycle.generation,
      now(),
    ).id;
  }

  /** The latest cycle that has not ended. */
  openCycle(): OpenCycle | null {
    const sql = `SELECT id AS cycle, mode, planned, seed, started, generation FROM cycles WHERE ended IS NULL ORDER BY id DESC LIMIT 1`;
    return this.#db.get<OpenCycle>(sql) ?? null;
  }

  /** The generation of the cycle that is to go on, or of the next: one that was interrupted ends with the designer that began it. */
  designingGeneration(): number {
    return this.openCycle()?.generation ?? this.generations.current();
  }

  endCycle(cycle: number): void {
    this.#db.one("UPDATE cycles SET ended = ? WHERE id = ? AND ended IS NULL", now(), cycle);
  }

  /** All cycles in order, cycle 0 (seeds and imports) first. */
  cycles(): CycleSummary[] {
    return this.#db.all<CycleSummary>(`
      SELECT y.id AS cycle, y.started, y.ended, y.planned,
        count(c.id) AS candidates,
        count(*) FILTER (WHERE c.outcome = 'valid') AS valid,
        count(*) FILTER (WHERE c.outcome = 'valid' AND c.novelty_structure > 0) AS newAndValid,
        avg(coalesce(t.validation, t.test)) FILTER (WHERE c.outcome = 'valid') AS meanAccuracy,
        max(coalesce(t.validation, t.test)) FILTER (WHERE c.outcome = 'valid') AS bestAccuracy,
        count(*) FILTER (WHERE c.proposed) AS proposed,
        count(*) FILTER (WHERE r.accepted) AS accepted,
        y.generation
      FROM cycles y
      LEFT JOIN candidates c ON c.cycle = y.id
      LEFT JOIN trainings t ON t.id = c.training
      LEFT JOIN reviews r ON r.id = c.review
      GROUP BY y.id ORDER BY y.id`);
  }

  addCandidate(candidate: NewCandidate): number {
    const { cycle, name, mode, parent, seed, idea, code } = candidate;
    return this.#db.run(
      "INSERT INTO candidates (cycle, name, mode, parent, seed, created, idea, code) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      cycle,
      name,
      mode,
      parent,
      seed,
      now(),
      idea,
      code,
    ).id;
  }

  /** Records a question and its answer. What the check says of it follows by {@link recordCheck}. */
  addAttempt(id: number, attempt: Omit<Attempt, "checked" | "checkSeconds">): void {
    const { number, prompt, sampling, model, reply, code, failure } = attempt;
    this.#db.run(
      `INSERT INTO attempts (candidate, number, at, model, sampling, prompt_tokens, tokens, seconds, finish, failure, code, reply, prompt)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      id,
      number,
      now(),
      model,
      JSON.stringify(sampling),
      reply.promptTokens,
      reply.tokens,
      reply.seconds,
      reply.finish,
      toJson(failure),
      code,
      reply.text,
      pack(prompt),
    );
  }

  /** Records what the check said of an attempt's module; `attempt` is null for a seed or import. */
  recordCheck(id: number, attempt: Attempt["number"] | null, result: CheckResult): void {
    this.#db.transaction(() => {
      this.#db.run(
        "INSERT INTO checks (candidate, attempt, at, seconds, parameters, failure) VALUES (?, ?, ?, ?, ?, ?)",
        id,
        attempt ?? 0,
        now(),
        result.seconds,
        result.ok ? result.checked.parameters : result.parameters,
        result.ok ? null : toJson(result.failure),
      );
      if (result.ok) {
        this.#db.run("INSERT INTO graphs (candidate, graph) VALUES (?, ?)", id, pack(result.checked.graph));
      }
    });
  }

  recordNovelty(id: number, found: Pick<Candidate, "novelty" | "nearest">): void {
    this.#db.one(
      `UPDATE candidates SET compared = 1, novelty_text = ?, novelty_structure = ?, nearest_text = ?, nearest_structure = ?
       WHERE id = ?`,
      found.novelty.text,
      found.novelty.structure,
      found.nearest.text,
      found.nearest.structure,
      id,
    );
  }

  /** Records one training. `figure`: it ran under the study's protocol, so it is the candidate's figure from now on. */
  recordTraining(id: number, protocol: Protocol, result: TrainResult, figure: boolean): void {
    this.#db.transaction(() => {
      const training = this.#db.run(
        `INSERT INTO trainings (candidate, at, protocol, validation, test, seconds, peak_memory_mib, failure)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
        id,
        now(),
        JSON.stringify(protocol),
        result.accuracy.validation,
        result.accuracy.test,
        result.seconds,
        result.ok ? result.peakMemoryMiB : null,
        result.ok ? null : toJson(result.failure),
      ).id;
      if (figure) this.#db.one("UPDATE candidates SET training = ? WHERE id = ?", training, id);
    });
  }

  finish(id: number, end: { outcome: Outcome; error: Candidate["error"]; proposed: boolean }): void {
    this.#db.one(
      `UPDATE candidates SET outcome = ?, error_message = ?, error_line = ?, error_source = ?, proposed = ?
       WHERE id = ? AND outcome IS NULL`,
      end.outcome,
      end.error?.message ?? null,
      end.error?.line ?? null,
      end.error?.source ?? null,
      Number(end.proposed),
      id,
    );
  }

  /** Proposes candidates that have ended. */
  propose(ids: readonly number[]): void {
    for (const id of ids) this.#db.one("UPDATE candidates SET proposed = 1 WHERE id = ? AND outcome IS NOT NULL", id);
  }

  /** Candidates of a cycle that are under way, in the order they were added. */
  unfinished(cycle: number): number[] {
    return this.#db
      .all<{ id: number }>("SELECT id FROM candidates WHERE cycle = ? AND outcome IS NULL ORDER BY id", cycle)
      .map((row) => row.id);
  }

  /** How far a candidate has come: what the next step follows from. */
  work(id: number): Work {
    const row = this.#db.get<WorkRow>(
      `SELECT id, cycle, name, mode, parent, seed, idea, code, outcome, compared, novelty_text, novelty_structure
       FROM candidates WHERE id = ?`,
      id,
    );
    if (!row) throw unknownCandidate(id);
    const attempts = this.attempts(id);
    const check = this.#db.get<{ failure: string | null }>(
      "SELECT failure FROM checks WHERE candidate = ? AND attempt = 0",
      id,
    );
    return {
      id: row.id,
      cycle: row.cycle,
      name: row.name,
      mode: row.mode,
      parent: row.parent,
      seed: row.seed,
      idea: row.idea,
      attempts,
      code: row.code ?? attempts.findLast((a) => a.code !== null)?.code ?? null,
      checked: this.#checked(id),
      failure: fromJson<Failure>(check?.failure ?? null),
      novelty: row.compared ? { text: row.novelty_text, structure: row.novelty_structure } : null,
      trained: this.trainings(id).find((t) => t.figure)?.result ?? null,
      outcome: row.outcome,
    };
  }

  /** Candidates in the order they were added. */
  list(filter: Filter = {}): Candidate[] {
    const conditions: string[] = [];
    const values: (string | number)[] = [];
    const where = (condition: string, ...value: (string | number)[]) => {
      conditions.push(condition);
      values.push(...value);
    };
    if (filter.cycle !== undefined) where("c.cycle = ?", filter.cycle);
    if (filter.outcome === null) where("c.outcome IS NULL");
    else if (filter.outcome !== undefined) where("c.outcome = ?", filter.outcome);
    if (filter.accepted === null) where("c.review IS NULL");
    else if (filter.accepted !== undefined) where("r.accepted = ?", Number(filter.accepted));
    if (filter.proposed !== undefined) where(filter.proposed ? "c.proposed" : "NOT c.proposed");
    return this.#candidates(conditions.join(" AND ") || "true", values, filter.limit ?? -1);
  }

  /** @throws UserError "unknown-candidate" */
  candidate(id: number): Candidate {
    const [candidate] = this.#candidates("c.id = ?", [id]);
    if (!candidate) throw unknownCandidate(id);
    return candidate;
  }

  candidateByName(name: string): Candidate | null {
    return this.#candidates("c.name = ?", [name])[0] ?? null;
  }

  /** The latest module of a candidate: the last attempt's that held one, or the given one of a seed or import. */
  code(id: number): string | null {
    const row = this.#db.get<{ code: string | null }>(
      `SELECT coalesce(
         c.code,
         (SELECT a.code FROM attempts a WHERE a.candidate = c.id AND a.code IS NOT NULL ORDER BY a.number DESC LIMIT 1)
       ) AS code FROM candidates c WHERE c.id = ?`,
      id,
    );
    return row?.code ?? null;
  }

  graph(id: number): OperatorGraph | null {
    const row = this.#db.get<{ graph: Uint8Array }>("SELECT graph FROM graphs WHERE candidate = ?", id);
    return row ? unpack<OperatorGraph>(row.graph) : null;
  }

  attempts(id: number): Attempt[] {
    return this.#db
      .all<AttemptRow>(
        `SELECT a.*, k.attempt AS checked, k.seconds AS check_seconds, k.failure AS check_failure
         FROM attempts a LEFT JOIN checks k ON k.candidate = a.candidate AND k.attempt = a.number
         WHERE a.candidate = ? ORDER BY a.number`,
        id,
      )
      .map(toAttempt);
  }

  /** Every training of a candidate, oldest first. */
  trainings(id: number): Training[] {
    return this.#db
      .all<TrainingRow>(
        `SELECT t.*, t.id = c.training AS figure FROM trainings t JOIN candidates c ON c.id = t.candidate
         WHERE t.candidate = ? ORDER BY t.id`,
        id,
      )
      .map(toTraining);
  }

  /** Every review of a candidate, oldest first; the last one counts. */
  reviews(id: number): Review[] {
    return this.#db
      .all<{ at: string; accepted: number; reviewer: Reviewer; reason: string | null }>(
        "SELECT at, accepted, reviewer, reason FROM reviews WHERE candidate = ? ORDER BY id",
        id,
      )
      .map((row) => ({ at: row.at, accepted: row.accepted === 1, by: row.reviewer, reason: row.reason }));
  }

  /**
   * Accepts candidates: all of them, or none.
   * @throws UserError "unknown-candidate", or "not-acceptable" for one under way or not valid.
   */
  accept(ids: readonly number[], by: Reviewer): void {
    this.#review(ids, true, by, null);
  }

  /**
   * Rejects candidates: all of them, or none.
   * @throws UserError "unknown-candidate", or "not-acceptable" for one under way.
   */
  reject(ids: readonly number[], by: Reviewer, reason: string | null): void {
    this.#review(ids, false, by, reason);
  }

  /** Compared nets of which there are no fingerprints of `version`, oldest first. */
  *unindexed(version: number): Iterable<{ id: number; code: string; checked: Checked }> {
    const rows = this.#db.all<{ id: number }>(
      `SELECT g.candidate AS id FROM graphs g
       JOIN candidates c ON c.id = g.candidate AND c.compared
       LEFT JOIN signatures s ON s.candidate = g.candidate AND s.version = ?
       WHERE s.candidate IS NULL ORDER BY g.candidate`,
      version,
    );
    for (const { id } of rows) {
      const code = this.code(id);
      const checked = this.#checked(id);
      if (code !== null && checked) yield { id, code, checked };
    }
  }

  /** Does several steps as one: all are recorded, or none when `work` throws. Faster than one by one, for imports. */
  transaction<T>(work: () => T): T {
    return this.#db.transaction(work);
  }

  /** Another number after each change that another client made; its own leave it as it is. Cheap: meant for polling. */
  othersVersion(): number {
    return this.#db.othersVersion();
  }

  /** The number of the newest review; 0: there is none. */
  lastReview(): number {
    return this.#db.get<{ id: number | null }>("SELECT max(id) AS id FROM reviews")?.id ?? 0;
  }

  /** The candidates with reviews after the one of that number. */
  reviewedSince(review: number): Candidate[] {
    const rows = this.#db.all<{ id: number }>("SELECT DISTINCT candidate AS id FROM reviews WHERE id > ?", review);
    return rows.map(({ id }) => this.candidate(id));
  }

  close(): void {
    this.#db.close();
  }

  #review(ids: readonly number[], accepted: boolean, by: Reviewer, reason: string | null): void {
    this.#db.transaction(() => {
      for (const id of new Set(ids)) {
        const row = this.#db.get<{ name: string; outcome: Outcome | null }>(
          "SELECT name, outcome FROM candidates WHERE id = ?",
          id,
        );
        if (!row) throw unknownCandidate(id);
        refuseUnreviewable(id, row.name, row.outcome, accepted);
        const review = this.#db.run(
          "INSERT INTO reviews (candidate, at, accepted, reviewer, reason) VALUES (?, ?, ?, ?, ?)",
          id,
          now(),
          Number(accepted),
          by,
          reason,
        ).id;
        this.#db.one("UPDATE candidates SET review = ? WHERE id = ?", review, id);
      }
    });
  }

  #checked(id: number): Checked | null {
    const graph = this.graph(id);
    if (!graph) return null;
    const row = this.#db.get<{ parameters: number }>(
      "SELECT parameters FROM checks WHERE candidate = ? AND failure IS NULL",
      id,
    );
    return row ? { parameters: row.parameters, graph } : null;
  }

  #candidates(where: string, values: (string | number)[], limit = -1): Candidate[] {
    return this.#db
      .all<CandidateRow>(
        `SELECT c.id, c.cycle, c.name, c.mode, c.parent, c.outcome, c.error_message, c.error_line, c.error_source,
           c.novelty_text, c.novelty_structure, c.nearest_text, c.nearest_structure, c.proposed,
           t.validation, t.test, t.seconds AS train_seconds, r.accepted, r.reason,
           (SELECT count(*) FROM attempts a WHERE a.candidate = c.id) AS attempts,
           (SELECT total(a.seconds) FROM attempts a WHERE a.candidate = c.id) AS design_seconds,
           (SELECT total(k.seconds) FROM checks k WHERE k.candidate = c.id) AS check_seconds,
           (SELECT k.parameters FROM checks k WHERE k.candidate = c.id ORDER BY k.attempt DESC LIMIT 1) AS parameters
         FROM candidates c
         LEFT JOIN trainings t ON t.id = c.training
         LEFT JOIN reviews r ON r.id = c.review
         WHERE ${where} ORDER BY c.id DESC LIMIT ?`,
        ...values,
        limit,
      )
      .map(toCandidate)
      .reverse();
  }
}

function unknownCandidate(id: number): UserError {
  return new UserError(
    "unknown-candidate",
    `There is no candidate ${id} in this study. "netwright list" shows what there is.`,
  );
}

function refuseUnreviewable(id: number, name: string, outcome: Outcome | null, accepting: boolean): void {
  if (outcome === null) {
    throw new UserError(
      "not-acceptable",
      `Candidate ${id} (${name}) is still under way: let its cycle end ("netwright cycle --resume"), then review it. Nothing was changed.`,
    );
  }
  if (accepting && outcome !== "valid") {
    throw new UserError(
      "not-acceptable",
      `Candidate ${id} (${name}) ended as "${outcome}": only valid nets can be accepted. Nothing was changed.`,
    );
  }
}
