/** The context keys that enable commands: what each can do now, so that the editor offers nothing that cannot work. Pure. */
import { can } from "../../webview/shared/actions.ts";
import { CANDIDATE_ACTIONS, type CandidateAction } from "../../webview/shared/contract.ts";
import { canFineTune, isSpare } from "../../webview/shared/generations.ts";
import type { Model } from "../../webview/shared/model.ts";
import type { Candidate } from "../study/types.ts";

export type CandidateCommand = CandidateAction | "showPrompt";

/** Whether a command can do anything with a candidate. Seeds and imports were never asked for, so they have no prompt. */
export function fits(command: CandidateCommand, candidate: Candidate): boolean {
  if (command !== "showPrompt") return can(command, candidate);
  return candidate.mode === "full" || candidate.mode === "delta";
}

/** `paused`: a run of cycles was paused. `document`: the candidate whose code is in the active editor. */
export function contextKeys(
  model: Model | null,
  paused: boolean,
  document: Candidate | null,
): Record<`netwright.${string}`, boolean> {
  const activity = model?.activity ?? null;
  const running = activity !== null && activity.state !== "idle";
  const run = activity?.run ?? null;
  // What is not known yet is not ruled out: the command finds out.
  const any = (test: (candidate: Candidate) => boolean) => model === null || some(model.candidates.values(), test);
  const commands: CandidateCommand[] = [...CANDIDATE_ACTIONS, "showPrompt"];
  return {
    "netwright.running": running,
    "netwright.cycling": run !== null && !run.pausing,
    "netwright.canContinueRun": run ? run.pausing : paused && !running,
    "netwright.interrupted": activity !== null && activity.interrupted !== null && !running,
    "netwright.canFineTune": model === null || canFineTune(model.candidates.values(), model.generations),
    "netwright.canUseGeneration": model === null || model.generations.some((each) => each.current || isSpare(each)),
    "netwright.canDeleteGeneration": model === null || model.generations.some(isSpare),
    "netwright.canExport": any(({ accepted }) => accepted === true),
    "netwright.canReport": any(({ outcome }) => outcome !== null),
    ...Object.fromEntries(
      commands.flatMap((command) => [
        [`netwright.can${capital(command)}`, any((candidate) => fits(command, candidate))],
        [`netwright.documentCan${capital(command)}`, document !== null && fits(command, document)],
      ]),
    ),
  };
}

function some<T>(values: Iterable<T>, test: (value: T) => boolean): boolean {
  for (const value of values) if (test(value)) return true;
  return false;
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
