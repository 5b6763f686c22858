/** The palette's commands: what each does, in one table. */
import { basename } from "node:path";
import * as vscode from "vscode";
import {
  type CandidateAction,
  type CandidateContext,
  type PageCommand,
  RESTRICTED,
} from "../../webview/shared/contract.ts";
import {
  Accept,
  Evaluate,
  EvaluateAgain,
  ExportLemur,
  Reject,
  type RunParameters,
  Step,
  type StepParameters,
  Stop,
} from "../engine/protocol.ts";
import { decisionAccuracy } from "../study/admission.ts";
import { UserError } from "../study/ports.ts";
import type { Candidate, Generation } from "../study/types.ts";
import { percent } from "../study/units.ts";
import { runEndText } from "./budget.ts";
import { candidateOf, candidateUri, promptUri, requireStudy } from "./documents.ts";
import { showError } from "./errors.ts";
import { type CandidateCommand, fits } from "./keys.ts";
import type { Dashboard, PageActions, Panel, Selection } from "./pages.ts";
import { busy, waitFor } from "./progress.ts";
import { writeReport } from "./report.ts";
import { askForRun, type Runs } from "./runs.ts";
import type { Session } from "./session.ts";
import type { Setup } from "./setup.ts";
import type { Studies } from "./studies.ts";
import { askForTuning, chooseGeneration, deleteGeneration, offerResult, tune } from "./tuning.ts";

export interface CommandContext {
  session: Session;
  studies: Studies;
  selection: Selection;
  setup: Setup;
  runs: Runs;
  panel(): Panel;
  dashboard(): Dashboard;
  log: vscode.LogOutputChannel;
}

/**
 * What a command gets: nothing from the palette, rows or a generation from a webview, the document from an editor's title; a key that
 * is pressed in an editor means what that shows.
 */
type Target =
  | Pick<CandidateContext, "ids">
  | Pick<Generation, "generation">
  | vscode.Uri
  | { activeDocument: true }
  | undefined;

/** What neither runs nor reads anything of the workspace: it works where that is not trusted. */
const HARMLESS = new Set(["openFolder", "manageTrust", "showLog", "focusPanel"]);

export function registerCommands(context: CommandContext): vscode.Disposable {
  const commands = commandTable(context);
  const registered = Object.entries(commands).map(([name, run]) =>
    vscode.commands.registerCommand(`netwright.${name}`, (target?: Target) =>
      carryOut(context, () => run(target), HARMLESS.has(name)),
    ),
  );
  return vscode.Disposable.from(...registered);
}

/** What the pages ask for: the same commands. */
export function pageActions(context: CommandContext): PageActions {
  const run = (work: () => Promise<unknown>) => void carryOut(context, work);
  const command = (name: string, target?: Target) => void vscode.commands.executeCommand(`netwright.${name}`, target);
  return {
    step: (candidates, mode) => run(() => stepCycle(context, { candidates, mode, seed: null, resume: false })),
    resume: () => run(() => resumeCycle(context)),
    stop: () => run(() => stop(context)),
    run: (action: CandidateAction, ids) => command(action, { ids }),
    command: (name: PageCommand) => command(name),
    useGeneration: (generation) => command("useGeneration", { generation }),
    deleteGeneration: (generation) => command("deleteGeneration", { generation }),
  };
}

/** Shows how work failed. A command's `enablement` holds for menus only: links and other extensions run it all the same. */
async function carryOut(context: CommandContext, work: () => unknown, harmless = false): Promise<void> {
  try {
    if (!harmless && !vscode.workspace.isTrusted) throw new UserError("untrusted", RESTRICTED);
    await context.studies.ready;
    await work();
  } catch (error) {
    await showError(error, context.log);
  }
}

function commandTable(context: CommandContext): Record<string, (target?: Target) => Promise<unknown> | unknown> {
  const { studies, setup, log } = context;
  return {
    newStudy: () => setup.newStudy(),
    openFolder: () => vscode.commands.executeCommand("vscode.openFolder"),
    manageTrust: () => vscode.commands.executeCommand("workbench.trust.manage"),
    chooseStudy: () => chooseStudy(studies),
    openConfig: () => openConfig(studies),
    stepCycle: () => stepCycle(context, defaultStep()),
    runCycles: () => runCycles(context),
    pauseRun: () => context.runs.setPausing(true),
    continueRun: () => continueRun(context),
    fineTune: () => fineTune(context),
    useGeneration: (target) => chooseGeneration(context.session, generationOf(target)),
    deleteGeneration: (target) => deleteGeneration(context.session, generationOf(target)),
    writeReport: () => writeReport(context.session, studies.current),
    resumeCycle: () => resumeCycle(context),
    stop: () => stop(context),
    open: (target) => open(context, target),
    showPrompt: (target) => showPrompt(context, target),
    accept: (target) => review(context, target, true),
    reject: (target) => review(context, target, false),
    compare: (target) => compareWithNearest(context, target),
    evaluateAgain: (target) => evaluateAgain(context, target),
    evaluateFile: (target) => evaluateFile(context, target),
    exportDataSet: () => exportDataSet(context),
    openDashboard: () => context.dashboard().show(),
    checkSetup: () => setup.check(),
    showLog: () => log.show(),
    focusPanel: () => vscode.commands.executeCommand("netwright.panel.focus"),
  };
}

function defaultStep(): StepParameters {
  const candidates = vscode.workspace.getConfiguration("netwright").get<number>("candidatesPerCycle", 8);
  return { candidates, mode: null, seed: null, resume: false };
}

/** Runs one cycle. The panel and the status bar show how it goes; stopping is theirs too. */
async function stepCycle(context: CommandContext, parameters: StepParameters): Promise<void> {
  if (!(await context.setup.ensure())) return;
  await shownByPanel(context, follow(context.session, parameters));
}

/** The panel says how work failed, with the next step as a button: nothing else does while it is in sight. Null: it failed. */
async function shownByPanel<T>(context: CommandContext, work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    const shown = context.panel().visible && error instanceof UserError && error.code !== "busy";
    if (!shown) throw error;
    context.log.error(error.message);
    return null;
  }
}

/** Answers when the cycle has ended, also when its engine is killed: the next one resumes the cycle, and this goes on following it. */
async function follow(session: Session, parameters: StepParameters): Promise<void> {
  const study = await busy("Starting the engine", () => session.open());
  for (let attempt = 1; ; attempt++) {
    try {
      await session.request(Step, attempt === 1 ? parameters : { ...parameters, resume: true });
      return;
    } catch (error) {
      const gone = error instanceof UserError && error.code === "engine-gone";
      if (!gone || attempt === 3) throw error;
      // Whoever looks at another study now has stopped following.
      if ((await session.open()) !== study) return;
    }
  }
}

async function resumeCycle(context: CommandContext): Promise<void> {
  await stepCycle(context, { ...defaultStep(), resume: true });
}

async function runCycles(context: CommandContext): Promise<void> {
  await context.session.client();
  const { resume: _, ...design } = defaultStep();
  const parameters = await askForRun(design, context.session.model?.study.policy ?? null);
  if (parameters) await startRun(context, parameters);
}

/** Takes a pause back, or goes on with the run that has paused. */
async function continueRun(context: CommandContext): Promise<void> {
  const { runs, session } = context;
  if (session.model?.activity.run) await runs.setPausing(false);
  else if (runs.paused) await startRun(context, runs.paused);
}

async function startRun(context: CommandContext, parameters: RunParameters): Promise<void> {
  if (!(await context.setup.ensure())) return;
  const result = await shownByPanel(context, context.runs.start(parameters));
  // How to go on with a paused one is offered wherever it is shown.
  if (result?.ended !== "budget") return;
  const [show, report] = ["Open Dashboard", "Write Report..."];
  const answer = await vscode.window.showInformationMessage(`The run has ended. ${runEndText(result)}`, show, report);
  if (answer === show) context.dashboard().show();
  if (answer === report) await writeReport(context.session, context.studies.current);
}

async function fineTune(context: CommandContext): Promise<void> {
  const { session } = context;
  const agreed = (await context.setup.ensure()) ? await askForTuning(session) : null;
  const made = agreed && (await shownByPanel(context, tune(session, agreed.restart)));
  if (made) await offerResult(session, made, context.dashboard());
}

async function stop({ session }: CommandContext): Promise<void> {
  await session.request(Stop, null);
}

async function open(context: CommandContext, target: Target): Promise<void> {
  const candidates = await chosen(context, target, "open", "Open");
  const study = await context.session.open();
  await openAll(candidates.map((candidate) => candidateUri(study, candidate)));
}

async function showPrompt(context: CommandContext, target: Target): Promise<void> {
  const candidates = await chosen(context, target, "showPrompt", "Show Prompt and Reply");
  const study = await context.session.open();
  await openAll(candidates.map((candidate) => promptUri(study, candidate)));
}

/** One is a preview, as from the explorer; of several each keeps its tab. */
async function openAll(uris: vscode.Uri[]): Promise<void> {
  for (const uri of uris) await vscode.window.showTextDocument(uri, { preview: uris.length === 1 });
}

async function review(context: CommandContext, target: Target, accept: boolean): Promise<void> {
  const candidates = accept
    ? await chosen(context, target, "accept", "Accept Candidates")
    : await chosen(context, target, "reject", "Reject Candidates");
  if (candidates.length === 0) return;
  const ids = candidates.map(({ id }) => id);
  await (accept ? context.session.request(Accept, { ids }) : context.session.request(Reject, { ids, reason: null }));
  const names = candidates.length === 1 ? candidates[0]?.name : `${candidates.length} candidates`;
  vscode.window.setStatusBarMessage(`$(check) ${accept ? "Accepted" : "Rejected"} ${names}`, 4000);
}

async function compareWithNearest(context: CommandContext, target: Target): Promise<void> {
  const [candidate] = await chosen(context, target, "compare", "Compare with Nearest", false);
  const nearest = candidate && context.session.model?.candidates.get(nearestOf(candidate) ?? -1);
  if (!nearest) return;
  const { structure, text } = candidate.novelty;
  const figures = `structure ${(structure ?? 1).toFixed(2)}, text ${(text ?? 1).toFixed(2)}`;
  const title = `${nearest.name} ↔ ${candidate.name} (novelty: ${figures})`;
  const study = await context.session.open();
  await vscode.commands.executeCommand(
    "vscode.diff",
    candidateUri(study, nearest),
    candidateUri(study, candidate),
    title,
  );
}

const nearestOf = (candidate: Candidate) => candidate.nearest.structure ?? candidate.nearest.text;

async function evaluateAgain(context: CommandContext, target: Target): Promise<void> {
  const candidates = await chosen(context, target, "evaluateAgain", "Evaluate Again");
  if (candidates.length === 0 || !(await context.setup.ensure())) return;
  await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title: "Evaluating", cancellable: true },
    async (progress, token) => {
      for (const { id, name } of candidates) {
        progress.report({ message: name });
        await context.session.request(EvaluateAgain, { id }, token);
      }
    },
  );
}

async function evaluateFile(context: CommandContext, target: Target): Promise<void> {
  const uri = target instanceof vscode.Uri ? target : vscode.window.activeTextEditor?.document.uri;
  if (!uri) return;
  const document = await vscode.workspace.openTextDocument(uri);
  if (!(await context.setup.ensure())) return;
  const result = await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title: `Evaluating ${basename(uri.path)}`, cancellable: true },
    (_, token) => context.session.request(Evaluate, { code: document.getText(), data: null, protocol: null }, token),
  );
  const { outcome, error, accuracy, parameters, seconds } = result;
  if (outcome === "valid") {
    const reached = percent(decisionAccuracy(accuracy));
    vscode.window.showInformationMessage(
      `${basename(uri.path)} is valid: first-epoch accuracy ${reached}, ${parameters?.toLocaleString()} parameters, ${seconds.train.toFixed(1)} s.`,
    );
    return;
  }
  const message = `${basename(uri.path)}: ${outcome}. ${error?.message ?? ""}`;
  const picked = await vscode.window.showWarningMessage(message, ...(error?.line ? ["Go to Line"] : []));
  if (picked && error?.line) {
    const at = new vscode.Position(error.line - 1, 0);
    await vscode.window.showTextDocument(document, { selection: new vscode.Range(at, at) });
  }
}

async function exportDataSet({ session, studies }: CommandContext): Promise<void> {
  const { current } = studies;
  const picked = await vscode.window.showOpenDialog({
    title: "Export Data Set (LEMUR)",
    openLabel: "Export Here",
    canSelectFiles: false,
    canSelectFolders: true,
    ...(current ? { defaultUri: vscode.Uri.file(current) } : {}),
  });
  const dir = picked?.[0]?.fsPath;
  if (!dir) return;
  const { nets } = await waitFor("Exporting the data set", () => session.request(ExportLemur, { dir }));
  const message = nets === 0 ? "Nothing is accepted yet: accept candidates first." : `Exported ${nets} nets.`;
  const answer = await vscode.window.showInformationMessage(message, ...(nets > 0 ? ["Open in New Window"] : []));
  if (answer) await vscode.commands.executeCommand("vscode.openFolder", vscode.Uri.file(dir), { forceNewWindow: true });
}

const generationOf = (target: Target): number | null => (target && "generation" in target ? target.generation : null);

async function chooseStudy(studies: Studies): Promise<void> {
  const picked = await vscode.window.showQuickPick(
    studies.all.map(({ dir, name }) => ({ label: name, description: dir, dir })),
    { title: "Choose Study" },
  );
  if (picked) await studies.choose(picked.dir);
}

async function openConfig(studies: Studies): Promise<void> {
  if (!studies.current) return;
  await vscode.window.showTextDocument(vscode.Uri.joinPath(vscode.Uri.file(studies.current), "netwright.json"));
}

/** Why a command can do nothing with a candidate. */
const UNFIT: Record<CandidateCommand, string> = {
  accept: "Only valid nets that are not accepted yet can be accepted.",
  reject: "Only candidates that have ended, and are not rejected yet, can be rejected.",
  open: "There is no code to open yet.",
  compare: "There is no nearest net: nothing was seen before it.",
  evaluateAgain: "Only nets whose code passed the check can be evaluated again.",
  showPrompt: "The designer was not asked for it.",
};

/**
 * The candidates a command is for, as far as it can do anything with them: those it is called with, or the latest of the active editor's
 * document and the pages' selection, or else those that the user picks.
 */
async function chosen(
  { session, selection }: CommandContext,
  target: Target,
  command: CandidateCommand,
  title: string,
  many = true,
): Promise<Candidate[]> {
  await session.client();
  const all = session.model?.candidates ?? new Map<number, Candidate>();
  const fitting = (ids: readonly number[]) => ids.flatMap((id) => all.get(id) ?? []).filter((c) => fits(command, c));
  const ofDocument = (uri: vscode.Uri | undefined) => {
    const document = candidateOf(uri);
    if (document) requireStudy(document.study, session);
    return document && [document.id];
  };
  const active = vscode.window.activeTextEditor?.document.uri;
  if (target) {
    const named = "ids" in target ? target.ids : ofDocument(target instanceof vscode.Uri ? target : active);
    const candidates = fitting(named ?? []);
    if (candidates.length === 0) vscode.window.showInformationMessage(`${title}: ${UNFIT[command]}`);
    return candidates;
  }
  const latest = selection.latest ? selection.ids : (ofDocument(active) ?? selection.ids);
  const candidates = fitting(latest);
  if (candidates.length > 0) return candidates;
  const items = [...all.values()]
    .filter((candidate) => fits(command, candidate))
    .sort((a, b) => Number(b.proposed) - Number(a.proposed) || b.id - a.id)
    .map((candidate) => ({
      label: candidate.name,
      description: `${candidate.outcome ?? "under way"}, accuracy ${percent(decisionAccuracy(candidate.accuracy))}${candidate.proposed ? ", proposed" : ""}`,
      candidate,
    }));
  if (items.length === 0) {
    vscode.window.showInformationMessage(`${title}: no candidate fits. Run a cycle first.`);
    return [];
  }
  const options = { title, placeHolder: "Candidates, proposed ones first", matchOnDescription: true };
  if (!many) {
    const picked = await vscode.window.showQuickPick(items, options);
    return picked ? [picked.candidate] : [];
  }
  const picked = await vscode.window.showQuickPick(items, { ...options, canPickMany: true });
  return picked?.map(({ candidate }) => candidate) ?? [];
}
