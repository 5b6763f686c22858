import type { Candidate, Outcome } from "../study/types.ts";
import { EMPTY, percent } from "../study/units.ts";
import type { Context } from "./context.ts";
import { candidateTable, printJson, printText, summaryLine } from "./output.ts";

interface ListOptions {
  cycle?: number;
  outcome?: Outcome;
  accepted?: boolean;
  proposed?: boolean;
}

export async function listCommand(context: Context, options: ListOptions): Promise<void> {
  const { cycle, outcome } = options;
  const candidates = context.study().store.list({
    ...(cycle === undefined ? {} : { cycle }),
    ...(outcome ? { outcome } : {}),
    ...(options.accepted ? { accepted: true } : {}),
    ...(options.proposed ? { proposed: true, accepted: null } : {}),
  });
  if (context.json) printJson(candidates);
  else if (candidates.length === 0) printText("No candidates. Run a cycle with: netwright cycle");
  else printText(candidateTable(candidates));
}

export async function statusCommand(context: Context): Promise<void> {
  const { dir, config, store } = context.study();
  const cycles = store.cycles();
  const open = store.openCycle();
  const waiting = store.list({ proposed: true, accepted: null }).length;
  if (context.json) {
    printJson({ study: dir, name: config.name, cycles, openCycle: open?.cycle ?? null, waitingForReview: waiting });
    return;
  }
  const { dataset } = config.data;
  const lines = [
    `Study ${config.name} in ${dir}`,
    `Protocol ${config.protocol.name}: ${dataset}, ${config.protocol.epochs} epoch(s), batch ${config.protocol.batch}, ` +
      `${config.protocol.trainImages ?? "all"} training images`,
    ...cycles.filter((c) => c.cycle > 0).map(summaryLine),
  ];
  if (open) lines.push(`Cycle ${open.cycle} is unfinished. Continue it with: netwright cycle --resume`);
  if (waiting > 0) lines.push(`${waiting} proposed and not yet reviewed: netwright list --proposed`);
  if (cycles.every((c) => c.cycle === 0)) lines.push("No cycle yet. Run one with: netwright cycle");
  printText(lines.join("\n"));
}

export async function showCommand(
  context: Context,
  id: number,
  options: { code?: boolean; prompt?: boolean; reply?: boolean },
): Promise<void> {
  const { store } = context.study();
  const candidate = store.candidate(id);
  const code = store.code(id);
  const attempts = store.attempts(id);
  if (context.json) {
    printJson({ ...candidate, code, attempts });
    return;
  }
  if (options.code) printText(code ?? "");
  if (options.prompt) {
    printText(
      attempts.map(({ prompt }) => prompt.messages.map((m) => `--- ${m.role}\n${m.content}`).join("\n")).join("\n\n"),
    );
  }
  if (options.reply) printText(attempts.map(({ reply }) => reply.text).join("\n\n--- repair\n"));
  if (options.code || options.prompt || options.reply) return;
  printText(`${describe(candidate)}\n\n${code ?? "(no code)"}`);
}

function describe(c: Candidate): string {
  const lines: [string, string][] = [
    ["candidate", `${c.id}, ${c.name}, cycle ${c.cycle}, ${c.mode}${c.parent === null ? "" : ` of ${c.parent}`}`],
    ["outcome", `${c.outcome ?? "under way"}${c.repaired ? ", repaired" : ""}`],
    ["accuracy", `validation ${percent(c.accuracy.validation)}, test ${percent(c.accuracy.test)}`],
    [
      "novelty",
      `text ${c.novelty.text?.toFixed(3) ?? EMPTY} (nearest ${c.nearest.text ?? EMPTY}), structure ${c.novelty.structure?.toFixed(3) ?? EMPTY} (nearest ${c.nearest.structure ?? EMPTY})`,
    ],
    ["parameters", c.parameters?.toLocaleString("en") ?? EMPTY],
    [
      "review",
      c.accepted === null
        ? c.proposed
          ? "proposed"
          : "none"
        : c.accepted
          ? "accepted"
          : `rejected${c.reason ? `: ${c.reason}` : ""}`,
    ],
  ];
  if (c.error)
    lines.splice(2, 0, [
      "error",
      `${c.error.message}${c.error.line ? ` (line ${c.error.line}: ${c.error.source?.trim()})` : ""}`,
    ]);
  return lines.map(([key, value]) => `${key.padEnd(11)} ${value}`).join("\n");
}

export async function acceptCommand(context: Context, ids: number[]): Promise<void> {
  const { store } = context.study();
  store.accept(ids, "user");
  if (context.json) printJson(ids.map((id) => store.candidate(id)));
  else printText(`Accepted: ${ids.map((id) => store.candidate(id).name).join(", ")}`);
}

export async function rejectCommand(context: Context, ids: number[], options: { reason?: string }): Promise<void> {
  const { store } = context.study();
  store.reject(ids, "user", options.reason ?? null);
  if (context.json) printJson(ids.map((id) => store.candidate(id)));
  else printText(`Rejected: ${ids.map((id) => store.candidate(id).name).join(", ")}`);
}
