/** The status bar item: what the engine is doing, one click from the panel; and the context keys that enable commands. */
import * as vscode from "vscode";
import { roughDuration } from "../../webview/shared/format.ts";
import { runText, TUNING_STAGES, tuningCount } from "../../webview/shared/work.ts";
import type { Activity } from "../engine/protocol.ts";
import { codeOf } from "./documents.ts";
import { contextKeys } from "./keys.ts";
import type { Runs } from "./runs.ts";
import type { Session } from "./session.ts";

export class Status implements vscode.Disposable {
  readonly #item = vscode.window.createStatusBarItem("netwright.status", vscode.StatusBarAlignment.Left, 0);
  readonly #session: Session;
  readonly #runs: Runs;
  readonly #subscriptions: vscode.Disposable[];
  #keys: Record<string, boolean> = {};

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
      vscode.window.tabGroups.onDidChangeTabs(() => this.#update()),
      vscode.window.tabGroups.onDidChangeTabGroups(() => this.#update()),
    ];
  }

  dispose(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
  }

  #update(): void {
    const { model, dir } = this.#session;
    const activity = model?.activity ?? null;
    const shown = codeOf(activeResource());
    const document = shown?.study === dir ? (model?.candidates.get(shown?.id ?? -1) ?? null) : null;
    this.#setKeys(contextKeys(model, this.#runs.paused !== null, document));
    if (!activity || activity.state === "idle") {
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
    for (const [key, value] of Object.entries(keys)) {
      if (this.#keys[key] !== value) void vscode.commands.executeCommand("setContext", key, value);
    }
    this.#keys = keys;
  }
}

/** What the editor's title is about: of two that are compared the right one, whichever has the keyboard. */
function activeResource(): vscode.Uri | undefined {
  const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  if (input instanceof vscode.TabInputTextDiff) return input.modified;
  return input instanceof vscode.TabInputText ? input.uri : undefined;
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
