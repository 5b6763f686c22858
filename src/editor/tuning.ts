/** Fine-tuning the designer and choosing among its generations, with the editor's own dialogs. */
import * as vscode from "vscode";
import { fixFor, withoutCommands } from "../../webview/shared/fixes.ts";
import { roughDuration } from "../../webview/shared/format.ts";
import {
  currentGeneration,
  generationMark,
  generationName,
  isSpare,
  probeText,
} from "../../webview/shared/generations.ts";
import { TUNING_STAGES, tuningCount } from "../../webview/shared/work.ts";
import type { Tuning } from "../engine/events.ts";
import { DeleteGeneration, FineTune, PlanTuning, UseGeneration } from "../engine/protocol.ts";
import { isCancellation, UserError } from "../study/ports.ts";
import type { Generation } from "../study/types.ts";
import type { Dashboard } from "./pages.ts";
import { planText, planTitle } from "./plan-text.ts";
import type { Session } from "./session.ts";

/** Says what a LoRA run would take; null when the user does not want it. @throws UserError for what stands in its way. */
export async function askForTuning(session: Session): Promise<{ restart: boolean } | null> {
  const plan = await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title: "Looking at what there is to train on" },
    () => session.request(PlanTuning, null),
  );
  const startOver = "Start Over";
  const { obstacle, resumes } = plan;
  if (obstacle) {
    if (resumes === null || !/^(generation-base|tuner-(device|memory))$/.test(obstacle.code)) {
      throw new UserError(obstacle.code, obstacle.message);
    }
    // What stands in the way of going on may not stand in the way of a new run.
    const title = `The fine-tuning of generation ${resumes} cannot go on.`;
    const fix = fixFor(obstacle.code);
    const detail = withoutCommands(obstacle.message);
    const buttons = [startOver, ...(fix ? [fix.label] : [])];
    const answer = await vscode.window.showWarningMessage(title, { modal: true, detail }, ...buttons);
    if (fix?.message.type === "command" && answer === fix.label) {
      await vscode.commands.executeCommand(`netwright.${fix.message.command}`);
    }
    return answer === startOver ? { restart: true } : null;
  }
  const answers = resumes === null ? ["Fine-Tune"] : ["Continue", startOver];
  const options = { modal: true, detail: planText(plan) };
  const answer = await vscode.window.showInformationMessage(planTitle(plan), options, ...answers);
  return answer ? { restart: answer === startOver } : null;
}

/** Tunes; null when the user stopped it, or when somebody else goes on with it. */
export async function tune(session: Session, restart: boolean): Promise<Generation | null> {
  const options = { location: vscode.ProgressLocation.Notification, title: "Fine-tuning", cancellable: true };
  try {
    return await vscode.window.withProgress(options, async (progress, token) => {
      const shown = showProgress(session, progress);
      try {
        return await requestTuning(session, restart, token);
      } finally {
        shown.dispose();
      }
    });
  } catch (error) {
    if (!isCancellation(error)) throw error;
    vscode.window.setStatusBarMessage("$(debug-pause) Fine-tuning stopped. Fine-Tune Designer goes on with it.", 8000);
    return null;
  }
}

async function requestTuning(
  session: Session,
  restart: boolean,
  token: vscode.CancellationToken,
): Promise<Generation | null> {
  const study = await session.open();
  try {
    return await session.request(FineTune, { restart }, token);
  } catch (error) {
    if (!(error instanceof UserError) || error.code !== "engine-gone") throw error;
    // It goes on from its last checkpoint, unless somebody has seen to that already.
    if ((await session.open()) !== study || session.model?.activity.state !== "idle") return null;
    return session.request(FineTune, { restart: false }, token);
  }
}

/** Reports each step of the tuning until disposed. */
function showProgress(
  session: Session,
  progress: vscode.Progress<{ message?: string; increment?: number }>,
): vscode.Disposable {
  let done = 0;
  return session.onDidChange(() => {
    const { tuning, setup } = session.model?.activity ?? {};
    if (setup) progress.report({ message: setup.what });
    else if (tuning) {
      // The probe begins its own count; the bar stays full.
      const share = tuning.stage === "training" && tuning.steps > 0 ? (100 * tuning.step) / tuning.steps : done;
      progress.report({ message: progressText(tuning), increment: Math.max(0, share - done) });
      done = Math.max(done, share);
    }
  });
}

function progressText(tuning: Tuning): string {
  const { generation, stage, losses, secondsLeft } = tuning;
  const last = losses.at(-1);
  return [
    `generation ${generation}: ${TUNING_STAGES[stage].toLowerCase()}`,
    tuningCount(tuning),
    stage === "training" && last ? `loss ${last.training.toFixed(2)}` : "",
    secondsLeft === null ? "" : `${roughDuration(secondsLeft)} left`,
  ]
    .filter((part) => part !== "")
    .join(", ");
}

/** Says what came of the probe, and offers what follows. */
export async function offerResult(session: Session, made: Generation, dashboard: Dashboard): Promise<void> {
  const { generation, state, probe, parent } = made;
  const show = "Show";
  const figures = probe ? `: ${probeText(probe)}` : "";
  if (state === "published") {
    const text = `Generation ${generation} designs now${figures}.`;
    if ((await vscode.window.showInformationMessage(text, show)) === show) dashboard.showGeneration(generation);
    return;
  }
  const use = "Use Anyway";
  const text = `Generation ${generation} did worse than its parent in the probe, so ${generationName(parent)} goes on${figures}.`;
  const answer = await vscode.window.showWarningMessage(text, use, "Keep Parent", show);
  if (answer === use) await useGeneration(session, generation);
  if (answer === show) dashboard.showGeneration(generation);
}

async function useGeneration(session: Session, generation: number): Promise<void> {
  await session.request(UseGeneration, { generation });
  vscode.window.setStatusBarMessage(`$(check) Designs now: ${generationName(generation)}`, 4000);
}

/** Makes a generation the designer: the one that is named, or one that the user picks. Going back to a parent is the same. */
export async function chooseGeneration(session: Session, named: number | null): Promise<void> {
  await session.client();
  const generations = session.model?.generations ?? [];
  const current = currentGeneration(generations);
  const picked =
    named ??
    (await pick("Use Generation", "Which one designs the next cycles?", [
      ...generations.filter((each) => each.current || isSpare(each)).map((each) => item(each)),
      {
        label: `$(${current ? "circle-outline" : "check"}) Generation 0`,
        description: "the model itself, tuned on nothing",
        generation: 0,
      },
    ]));
  if (picked === null || picked === (current?.generation ?? 0)) return;
  await useGeneration(session, picked);
}

/** Deletes a generation's adapter after asking: the one that is named, or one that the user picks. */
export async function deleteGeneration(session: Session, named: number | null): Promise<void> {
  await session.client();
  const spare = (session.model?.generations ?? []).filter(isSpare);
  const picked = named ?? (await pick("Delete Generation", "Whose adapter is to go?", spare.map(item)));
  const generation = spare.find((each) => each.generation === picked);
  if (!generation) return;
  const copy = generation.ollama === null ? "" : ` Its model in Ollama, ${generation.ollama}, is deleted too.`;
  const confirm = "Delete";
  const answer = await vscode.window.showWarningMessage(
    `Delete the adapter of generation ${generation.generation}?`,
    { modal: true, detail: `It cannot design again.${copy} Its figures and the cycles it designed stay.` },
    confirm,
  );
  if (answer === confirm) await session.request(DeleteGeneration, { generation: generation.generation });
}

interface GenerationItem extends vscode.QuickPickItem {
  generation: number;
}

function item(generation: Generation): GenerationItem {
  const { generation: number, probe, cycle } = generation;
  const { icon, label, detail } = generationMark(generation, false);
  return {
    label: `$(${icon}) Generation ${number}`,
    description: `${label.toLowerCase()}, tuned after cycle ${cycle}`,
    detail: probe ? `Probe: ${probeText(probe)}` : detail,
    generation: number,
  };
}

async function pick(title: string, placeHolder: string, items: GenerationItem[]): Promise<number | null> {
  const picked = await vscode.window.showQuickPick(items, { title, placeHolder, matchOnDescription: true });
  return picked?.generation ?? null;
}
