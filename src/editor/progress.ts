/** Shows that something is under way, wherever the user looks. */
import * as vscode from "vscode";

/** For what takes seconds: a bar over the panel, and a word in the status bar for who does not see that. */
export function busy<T>(title: string, work: () => Promise<T>): Promise<T> {
  return Promise.resolve(
    vscode.window.withProgress({ location: { viewId: "netwright.panel" } }, () =>
      vscode.window.withProgress({ location: vscode.ProgressLocation.Window, title }, work),
    ),
  );
}

/** For what may take long and cannot be taken back: cancelling ends the wait, not the work. @throws CancellationError */
export function waitFor<T>(title: string, work: () => Promise<T>): Promise<T> {
  const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
  return Promise.resolve(
    vscode.window.withProgress(options, (_, token) => {
      const cancelled = new Promise<never>((_, reject) => {
        token.onCancellationRequested(() => reject(new vscode.CancellationError()));
      });
      return Promise.race([work(), cancelled]);
    }),
  );
}
