/** Errors for people: the cause, and the fix as a button. */
import * as vscode from "vscode";
import { fixFor, withoutCommands } from "../../webview/shared/fixes.ts";
import { isCancellation, UserError } from "../study/ports.ts";

/** The button that helps with an error code: the one that the panel offers. */
function fixOf(code: string): { title: string; command: string } {
  if (code === "untrusted") return { title: "Manage Workspace Trust", command: "netwright.manageTrust" };
  if (code === "busy") return { title: "Stop", command: "netwright.stop" };
  if (code === "other-study") return { title: "Choose Study...", command: "netwright.chooseStudy" };
  if (code === "no-accepted") return { title: "Accept Candidates...", command: "netwright.accept" };
  // A cycle, or a tuning, that is to be ended first: the panel has the button for whichever it is.
  if (code === "generation-needed") return { title: "Show Panel", command: "netwright.focusPanel" };
  const fix = fixFor(code);
  if (fix?.message.type === "resume") return { title: fix.label, command: "netwright.resumeCycle" };
  if (fix?.message.type === "command") return { title: fix.label, command: `netwright.${fix.message.command}` };
  return { title: "Show Log", command: "netwright.showLog" };
}

function isCancelled(error: unknown): boolean {
  return error instanceof vscode.CancellationError || isCancellation(error);
}

/** Shows an error with its fix. Cancellations are no errors. */
export async function showError(error: unknown, log: vscode.LogOutputChannel): Promise<void> {
  if (isCancelled(error)) return;
  log.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
  const code = error instanceof UserError ? error.code : "internal";
  const fix = fixOf(code);
  const message =
    error instanceof UserError
      ? withoutCommands(error.message)
      : `Something unforeseen went wrong: ${String((error as Error).message ?? error)}`;
  const chosen = await vscode.window.showErrorMessage(message, fix.title);
  if (chosen) await vscode.commands.executeCommand(fix.command);
}
