/** What every command shares: the study's folder, JSON or text, cancellation, errors and exit codes. */
import type { Emit } from "../engine/events.ts";
import { findStudy, openStudy, type Study } from "../engine/study.ts";
import { isCancellation, UserError } from "../study/ports.ts";
import { ProgressLine, printJson } from "./output.ts";

export interface Context {
  json: boolean;
  /** Fires on Ctrl-C and on termination. */
  signal: AbortSignal;
  /** Shows an event: on stderr for people, as a JSON line on stdout with `--json`. */
  emit: Emit;
  /** The folder that `--study` names; null when it names none. */
  asked: string | null;
  /** The study's folder as asked for, or the nearest one upward; null when there is none. */
  studyDir(): string | null;
  /** Opens the study. @throws UserError "no-study". The context closes it. */
  study(): Study;
}

/** Runs a command's body: 0 done, 1 failed, 130 cancelled. The exit code is set, not forced, so that output is flushed. */
export async function run(
  options: { study: string | null; json: boolean },
  body: (context: Context) => Promise<void>,
): Promise<void> {
  const cancelled = new AbortController();
  let cancelledAt = 0;
  const cancel = () => {
    // A later Ctrl-C means it; one at once is the same one, passed on by npm besides.
    if (cancelled.signal.aborted && Date.now() - cancelledAt > 500) process.exit(130);
    cancelledAt = Date.now();
    cancelled.abort();
  };
  process.on("SIGINT", cancel).on("SIGTERM", cancel);
  const progress = new ProgressLine();
  const studies: Study[] = [];
  const studyDir = () => options.study ?? findStudy(process.cwd());
  try {
    await body({
      json: options.json,
      asked: options.study,
      signal: cancelled.signal,
      emit: (event) => {
        if (!options.json) progress.handle(event);
        else if (event.type !== "text") printJson(event);
      },
      studyDir,
      study() {
        const dir = studyDir();
        if (!dir) {
          throw new UserError(
            "no-study",
            "There is no netwright.json here or above. Make a study with: netwright init, or name one with --study DIR.",
          );
        }
        const study = openStudy(dir);
        studies.push(study);
        return study;
      },
    });
  } catch (error) {
    progress.close();
    const stopped = cancelled.signal.aborted || isCancellation(error);
    // What goes on all the same says so.
    const goesOn = error instanceof UserError && error.code === "goes-on";
    const message = stopped && !goesOn ? "Cancelled. What was recorded is kept." : errorText(error);
    if (options.json) printJson({ type: "error", code: stopped ? "cancelled" : errorCode(error), message });
    process.stderr.write(`${message}\n`);
    process.exitCode = stopped ? 130 : 1;
  } finally {
    progress.close();
    for (const study of studies) study.close();
    process.off("SIGINT", cancel).off("SIGTERM", cancel);
  }
}

function errorCode(error: unknown): string {
  return error instanceof UserError ? error.code : "internal";
}

function errorText(error: unknown): string {
  if (error instanceof UserError) return error.message;
  return `Something unforeseen went wrong: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}
