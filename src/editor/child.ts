/** Runs the command line as a child, for what needs no engine: heavy libraries stay out of the extension host. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import * as vscode from "vscode";
import { UserError } from "../study/ports.ts";

export interface ChildOptions {
  /** dist/cli.js */
  program: string;
  env: NodeJS.ProcessEnv;
  cwd?: string;
  token?: vscode.CancellationToken | undefined;
  /** Called with every object that the command prints. */
  onObject?: (object: { type?: string } & Record<string, unknown>) => void;
}

/** Runs `netwright ARGS --json` and answers the last object it prints. @throws UserError as the command says; CancellationError. */
export function runCommand<T>(args: string[], options: ChildOptions): Promise<T> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [options.program, ...args, "--json"], {
      env: { ...options.env, ELECTRON_RUN_AS_NODE: "1" },
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
      ...(options.cwd ? { cwd: options.cwd } : {}),
    });
    let last: ({ type?: string } & Record<string, unknown>) | null = null;
    let said = "";
    createInterface(child.stdout).on("line", (line) => {
      last = JSON.parse(line);
      if (last) options.onObject?.(last);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-4000);
    });
    const cancelling = options.token?.onCancellationRequested(() => child.kill("SIGTERM"));
    child.once("error", reject);
    child.once("close", (code) => {
      cancelling?.dispose();
      if (options.token?.isCancellationRequested) reject(new vscode.CancellationError());
      else if (last?.type === "error") reject(new UserError(String(last.code), String(last.message)));
      else if (last) resolve(last as T);
      else reject(new Error(`netwright ${args[0]} ended with exit code ${code}: ${said}`));
    });
  });
}
