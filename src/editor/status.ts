/** The status bar item: what the engine is doing, one click from the panel; and the context keys that enable commands. */
import * as vscode from "vscode";
import type { Activity } from "../engine/protocol.ts";
import type { Session } from "./session.ts";

export class Status implements vscode.Disposable {
  readonly #item = vscode.window.createStatusBarItem("netwright.status", vscode.StatusBarAlignment.Left, 0);
  readonly #session: Session;
  readonly #subscriptions: vscode.Disposable[];
  #keys = "";

  constructor(session: Session) {
    this.#session = session;
    this.#item.name = "Netwright";
    this.#item.command = "netwright.focusPanel";
    this.#subscriptions = [
      this.#item,
      session.onDidReset(() => this.#update()),
      session.onDidChange(() => this.#update()),
    ];
    this.#update();
  }

  dispose(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
  }

  #update(): void {
    const activity = this.#session.model?.activity ?? null;
    const running = activity !== null && activity.state !== "idle";
    this.#setKeys({
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

function stageText({ state, setup, progress, cycle }: Activity): string {
  if (state === "stopping") return "stopping";
  if (setup) return setup.total ? `${setup.what} ${Math.floor((100 * setup.done) / setup.total)} %` : setup.what;
  if (state === "starting" || !progress) return "starting";
  const { designed, trained, finished, planned } = progress;
  if (cycle === null) return `measuring seeds ${finished}/${planned}`;
  return designed < planned
    ? `designing ${designed}/${planned}, trained ${trained}`
    : `training, ${finished}/${planned} done`;
}

function tooltip({ cycle, progress, underway }: Activity): string {
  const left = progress?.secondsLeft ? `, about ${Math.max(1, Math.round(progress.secondsLeft / 60))} min left` : "";
  const lines = underway.map(({ name, stage }) => `${name}: ${stage}`);
  return [cycle === null ? "Netwright" : `Cycle ${cycle}${left}`, ...lines].join("\n");
}
