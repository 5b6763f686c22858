/** Errors for people: the cause, and the fix as a button. */
import * as vscode from "vscode";
import { isCancellation, UserError } from "../study/ports.ts";

/** The button that helps with an error code. */
const FIXES: Record<string, { title: string; command: string; arguments?: unknown[] }> = {
  "study-config": { title: "Open netwright.json", command: "netwright.openConfig" },
  "no-study": { title: "New Study", command: "netwright.newStudy" },
  "python-missing": { title: "Check Setup", command: "netwright.checkSetup" },
  "python-unsuitable": { title: "Check Setup", command: "netwright.checkSetup" },
  "setup-needed": { title: "Check Setup", command: "netwright.checkSetup" },
  "ollama-not-running": { title: "Check Setup", command: "netwright.checkSetup" },
  "ollama-model-missing": { title: "Check Setup", command: "netwright.checkSetup" },
  "cycle-unfinished": { title: "Resume Cycle", command: "netwright.resumeCycle" },
  busy: { title: "Stop", command: "netwright.stop" },
  "engine-start": { title: "Show Log", command: "netwright.showLog" },
  "engine-gone": { title: "Show Log", command: "netwright.showLog" },
};

export function isCancelled(error: unknown): boolean {
  return error instanceof vscode.CancellationError || isCancellation(error);
}

/** Shows an error with its fix. Cancellations are no errors. */
export async function showError(error: unknown, log: vscode.LogOutputChannel): Promise<void> {
  if (isCancelled(error)) return;
  log.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
  const code = error instanceof UserError ? error.code : "internal";
  const fix = FIXES[code] ?? { title: "Show Log", command: "netwright.showLog" };
  const message =
    error instanceof UserError
      ? error.message
      : `Something unforeseen went wrong: ${String((error as Error).message ?? error)}`;
  const chosen = await vscode.window.showErrorMessage(message, fix.title);
  if (chosen) await vscode.commands.executeCommand(fix.command, ...(fix.arguments ?? []));
}
