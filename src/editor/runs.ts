/** Runs of cycles: asking for their budget, starting them, and going on with one that was paused. The engine does the running. */
import * as vscode from "vscode";
import { plural } from "../../webview/shared/format.ts";
import { Pause, Run, type RunParameters, type RunResult, type RunState } from "../engine/protocol.ts";
import { UserError } from "../study/ports.ts";
import {
  amountProblem,
  type BudgetKind,
  budgetLeft,
  budgetOf,
  cyclesOf,
  readAmount,
  suggestedAmount,
} from "./budget.ts";
import type { Session } from "./session.ts";

const KEY = "netwright.run";

/** What the last run of a study was asked for; once it is paused, with what is left of its budget. */
interface Kept {
  dir: string;
  parameters: RunParameters;
  paused: boolean;
}

/** Remembers what the engine forgets when a run has ended: how a paused one would go on. */
export class Runs implements vscode.Disposable {
  readonly #session: Session;
  readonly #memory: vscode.Memento;
  readonly #changed = new vscode.EventEmitter<void>();
  readonly #subscriptions: vscode.Disposable[];
  #last: { dir: string; run: RunState } | null = null;
  readonly onDidChange = this.#changed.event;

  constructor(session: Session, memory: vscode.Memento) {
    this.#session = session;
    this.#memory = memory;
    this.#subscriptions = [
      this.#changed,
      session.onDidReset(() => this.#observe()),
      session.onDidChange(() => this.#observe()),
    ];
  }

  /** The rest of the run that was paused; null when none was. */
  get paused(): RunParameters | null {
    const kept = this.#kept;
    return kept?.paused ? kept.parameters : null;
  }

  /** Runs, and answers when the run has ended; null when its engine was killed: the next one goes on with it by itself. */
  async start(parameters: RunParameters): Promise<RunResult | null> {
    const dir = await this.#session.open();
    await this.#keep({ dir, parameters, paused: false });
    try {
      return await this.#session.request(Run, parameters);
    } catch (error) {
      if (error instanceof UserError && error.code === "engine-gone") return null;
      throw error;
    }
  }

  async setPausing(pausing: boolean): Promise<void> {
    await this.#session.request(Pause, { pausing });
  }

  dispose(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
  }

  get #kept(): Kept | null {
    const kept = this.#memory.get<Kept>(KEY);
    return kept && kept.dir === this.#session.dir ? kept : null;
  }

  async #keep(kept: Kept | undefined): Promise<void> {
    await this.#memory.update(KEY, kept);
    this.#changed.fire();
  }

  /** Notices how a run ends, whichever window asked for it. */
  #observe(): void {
    const { model, dir } = this.#session;
    if (!model || !dir) return;
    const { run, state, interrupted, error } = model.activity;
    if (run) {
      this.#last = { dir, run };
      return;
    }
    const last = this.#last;
    if (!last || state !== "idle") return;
    this.#last = null;
    const kept = this.#kept;
    if (!kept || last.dir !== dir) return;
    // Stopped in mid-cycle: Resume Cycle is the way on.
    const paused = last.run.pausing && interrupted === null && error === null;
    const done = cyclesOf(last.run, model.cycles);
    const budget = paused ? budgetLeft(last.run, done, Date.now()) : null;
    if (!budget) {
      void this.#keep(undefined);
      return;
    }
    void this.#keep({ dir, parameters: { ...kept.parameters, budget }, paused: true }).then(() =>
      this.#offer(done.length),
    );
  }

  async #offer(cycles: number): Promise<void> {
    const again = "Continue";
    const answer = await vscode.window.showInformationMessage(
      `The run paused after ${plural(cycles, "cycle")}.`,
      again,
    );
    if (answer === again) await vscode.commands.executeCommand("netwright.continueRun");
  }
}

/** Asks how long to go on, and whether to tune in between; null when the user left. */
export async function askForRun(
  design: Pick<RunParameters, "candidates" | "mode" | "seed">,
  policy: "review" | "automatic" | null,
): Promise<RunParameters | null> {
  const kinds: { label: string; description: string; budget: BudgetKind }[] = [
    {
      label: "$(sync) For a Number of Cycles",
      description: `of ${plural(design.candidates, "candidate")} each`,
      budget: "cycles",
    },
    { label: "$(clock) For Some Hours", description: "the cycle under way then is ended", budget: "hours" },
    { label: "$(symbol-numeric) For a Number of Candidates", description: "over all cycles", budget: "candidates" },
  ];
  const until = await vscode.window.showQuickPick(kinds, {
    title: "Run Cycles (1/3)",
    placeHolder: "How long? You can pause and stop at any time, and close the window",
  });
  if (!until) return null;
  const { budget } = until;
  const text = await vscode.window.showInputBox({
    title: "Run Cycles (2/3)",
    prompt: PROMPTS[budget],
    value: suggestedAmount(budget),
    validateInput: (typed) => amountProblem(budget, typed),
  });
  const amount = text === undefined ? null : readAmount(budget, text);
  if (amount === null) return null;
  const waits =
    policy === "review" ? "Only nets that you accept meanwhile count: this study waits for your review" : "";
  const tuning = await vscode.window.showQuickPick(
    [
      {
        label: "$(mortar-board) Fine-Tune Between Cycles",
        description: "once enough is accepted",
        detail: waits,
        tune: true,
      },
      { label: "$(circle-slash) Do Not Fine-Tune", description: "the designer stays as it is", tune: false },
    ],
    { title: "Run Cycles (3/3)", placeHolder: "Does the designer learn from what is accepted?" },
  );
  return tuning ? { ...design, budget: budgetOf(budget, amount), tune: tuning.tune } : null;
}

const PROMPTS: Record<BudgetKind, string> = {
  cycles: "How many cycles?",
  hours: "How many hours?",
  candidates: "How many candidates, over all cycles?",
};
