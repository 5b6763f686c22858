/** The status bar item: what the engine is doing, one click from the panel; and the context keys that enable commands. */
import * as vscode from "vscode";
import { roughDuration } from "../../webview/shared/format.ts";
import { canFineTune, isSpare } from "../../webview/shared/generations.ts";
import { runText, TUNING_STAGES, tuningCount } from "../../webview/shared/work.ts";
import type { Activity } from "../engine/protocol.ts";
import type { Runs } from "./runs.ts";
import type { Session } from "./session.ts";

export class Status implements vscode.Disposable {
  readonly #item = vscode.window.createStatusBarItem("netwright.status", vscode.StatusBarAlignment.Left, 0);
  readonly #session: Session;
  readonly #runs: Runs;
  readonly #subscriptions: vscode.Disposable[];
  #keys = "";

  constructor(session: Session, runs: Runs) {
    this.#session = session;
    this.#runs = runs;
    this.#item.name = "Netwright";
    this.#item.command = "netwright.focusPanel";
    this.#subscriptions = [
      this.#item,
      session.onDidReset(() => this.#update()),
      session.onDidChange(() => this.#update()),
      runs.onDidChange(() => this.#update()),
    ];
    this.#update();
  }

  dispose(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
  }

  #update(): void {
    const model = this.#session.model;
    const activity = model?.activity ?? null;
    const running = activity !== null && activity.state !== "idle";
    const run = activity?.run ?? null;
    this.#setKeys({
      "netwright.cycling": run !== null && !run.pausing,
      "netwright.canContinueRun": run ? run.pausing : this.#runs.paused !== null && !running,
      // What is not known yet is not ruled out: the command finds out.
      "netwright.canFineTune": model === null || canFineTune(model.candidates.values(), model.generations),
      "netwright.canUseGeneration": model === null || model.generations.some((each) => each.current || isSpare(each)),
      "netwright.canDeleteGeneration": model === null || model.generations.some(isSpare),
      "netwright.running": running,
      "netwright.interrupted": activity !== null && activity.interrupted !== null && !running,
    });
    if (!activity || !running) {
      this.#item.hide();
      return;
    }
    this.#item.text = `$(loading~spin) Netwright: ${stageText(activity)}`;
    this.#item.tooltip = tooltip(activity);
    this.#item.accessibilityInformation = { label: `Netwright: ${stageText(activity)}` };
    this.#item.show();
  }

  /** Set only when they change: each is a message to the window. */
  #setKeys(keys: Record<string, boolean>): void {
    const text = JSON.stringify(keys);
    if (text === this.#keys) return;
    this.#keys = text;
    for (const [key, value] of Object.entries(keys)) void vscode.commands.executeCommand("setContext", key, value);
  }
}

function stageText({ state, setup, progress, cycle, tuning }: Activity): string {
  if (state === "stopping") return "stopping";
  if (setup) return setup.total ? `${setup.what} ${Math.floor((100 * setup.done) / setup.total)} %` : setup.what;
  if (tuning) return `fine-tuning, ${tuningCount(tuning) || TUNING_STAGES[tuning.stage].toLowerCase()}`;
  if (state === "starting" || !progress) return "starting";
  const { designed, trained, finished, planned } = progress;
  if (cycle === null) return `measuring seeds ${finished}/${planned}`;
  return designed < planned
    ? `designing ${designed}/${planned}, trained ${trained}`
    : `training, ${finished}/${planned} done`;
}

function tooltip({ cycle, progress, underway, tuning, run }: Activity): string {
  const seconds = tuning ? tuning.secondsLeft : progress?.secondsLeft;
  const left = seconds ? `, ${roughDuration(seconds)} left` : "";
  const what = tuning ? `Generation ${tuning.generation}` : cycle === null ? "Netwright" : `Cycle ${cycle}`;
  const lines = underway.map(({ name, stage }) => `${name}: ${stage}`);
  const runs = run ? [`Run: ${runText(run, tuning !== null, Date.now())}`] : [];
  return [`${what}${left}`, ...runs, ...lines].join("\n");
}
