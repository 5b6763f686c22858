/** Writes the study's report and offers to open it. */
import { basename } from "node:path";
import * as vscode from "vscode";
import { WriteReport } from "../engine/protocol.ts";
import { waitFor } from "./progress.ts";
import type { Session } from "./session.ts";

export async function writeReport(session: Session, study: string | null): Promise<void> {
  const picked = await vscode.window.showOpenDialog({
    title: "Write Report",
    openLabel: "Write Here",
    canSelectFiles: false,
    canSelectFolders: true,
    ...(study ? { defaultUri: vscode.Uri.file(study) } : {}),
  });
  const dir = picked?.[0]?.fsPath;
  if (!dir) return;
  const { files } = await waitFor("Writing the report", () => session.request(WriteReport, { dir }));
  const open = "Open";
  const names = files.map((file) => basename(file)).join(", ");
  const answer = await vscode.window.showInformationMessage(`Wrote ${names} into ${dir}.`, open);
  if (answer !== open) return;
  // A browser reaches the page only where the files are on the machine that shows the editor.
  const local = vscode.env.remoteName === undefined && vscode.env.uiKind === vscode.UIKind.Desktop;
  const fileOf = (ending: string) => vscode.Uri.file(files.find((file) => file.endsWith(ending)) ?? dir);
  if (local) await vscode.env.openExternal(fileOf(".html"));
  else await vscode.commands.executeCommand("markdown.showPreview", fileOf(".md"));
}
