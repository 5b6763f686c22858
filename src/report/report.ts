/** From the record to the account of it. Pure. */
import { decisionAccuracy } from "../study/admission.ts";
import { PAPER, protocolOf } from "../study/config.ts";
import { type CycleSummary, OUTCOMES, type Protocol } from "../study/types.ts";
import type {
  Ancestor,
  Comparison,
  CycleRow,
  DesignerAccount,
  NetRecord,
  OutcomeCount,
  Report,
  ReportedNet,
  Span,
  StudyRecord,
  Totals,
} from "./types.ts";
import { protocolDifferences } from "./words.ts";

/** The account of a study; `untuned` is the record of one whose designer was never tuned, to be shown beside it. */
export function reportOf(study: StudyRecord, untuned: StudyRecord | null): Report {
  const { config, nets, generations } = study;
  const protocol = protocolOf(config);
  const designed = nets.filter(({ candidate }) => candidate.cycle > 0);
  const cycles = cycleRows(study);
  const known = new Map(nets.map((net) => [net.candidate.id, net]));
  const generationOf = new Map(cycles.map(({ cycle, generation }) => [cycle, generation]));
  const reported = (net: NetRecord) => reportedNet(net, known, generationOf.get(net.candidate.cycle) ?? 0);
  const accepted = nets
    .filter(({ candidate }) => candidate.accepted === true)
    .map(reported)
    .sort((a, b) => (decisionAccuracy(b.accuracy) ?? 0) - (decisionAccuracy(a.accuracy) ?? 0) || a.id - b.id);
  const shown = new Set(accepted.map(({ id }) => id));
  const inLineages = new Set(accepted.flatMap(({ lineage }) => lineage.map(({ id }) => id)));
  return {
    name: config.name,
    protocol,
    unlikePaper: protocolDifferences(protocol, { ...protocol, ...PAPER.protocol, dataset: "cifar10" }),
    measuredOtherwise: designed.filter((net) => net.protocol && !sameProtocol(net.protocol, protocol)).length,
    admission: config.admission,
    gates: config.novelty,
    parameterLimit: config.limits.parameters,
    designer: designerOf(study),
    span: spanOf(study),
    cycles,
    totals: totalsOf(cycles),
    untuned: untuned && compare(protocol, cycles, untuned),
    generations,
    accepted,
    ancestors: nets.filter(({ candidate: { id } }) => inLineages.has(id) && !shown.has(id)).map(reported),
    outcomes: outcomesOf(designed),
    repairs: {
      asked: designed.filter(({ candidate }) => candidate.repaired).length,
      valid: designed.filter(({ candidate }) => candidate.repaired && candidate.outcome === "valid").length,
    },
    rejected: nets.flatMap(({ candidate, reviewer }) => {
      const { id, name, outcome, accuracy, reason } = candidate;
      if (candidate.accepted !== false || outcome === null) return [];
      return [{ id, name, outcome, accuracy: decisionAccuracy(accuracy), reason, reviewer }];
    }),
    waiting: nets.filter(({ candidate }) => candidate.proposed && candidate.accepted === null).length,
  };
}

function cycleRows({ config, cycles, nets }: StudyRecord): CycleRow[] {
  const byCycle = Map.groupBy(nets, ({ candidate }) => candidate.cycle);
  const fresh = newStructures(nets);
  return cycles
    .filter(({ cycle }) => cycle > 0)
    .map((summary) => cycleRow(summary, byCycle.get(summary.cycle) ?? [], fresh, config.admission.accuracy));
}

function cycleRow(
  { cycle, started, ended, candidates, valid, newAndValid, meanAccuracy, bestAccuracy, ...summary }: CycleSummary,
  nets: readonly NetRecord[],
  fresh: ReadonlyMap<number, number>,
  threshold: number,
): CycleRow {
  const accuracies = nets
    .filter(({ candidate }) => candidate.outcome === "valid")
    .map(({ candidate }) => decisionAccuracy(candidate.accuracy))
    .filter((accuracy) => accuracy !== null);
  return {
    cycle,
    started,
    ended,
    candidates,
    valid,
    newAndValid,
    measured: accuracies.length,
    meanAccuracy,
    bestAccuracy,
    atLeastThreshold: accuracies.filter((accuracy) => accuracy >= threshold).length,
    newStructures: fresh.get(cycle) ?? 0,
    accepted: summary.accepted,
    generation: summary.generation,
    tokens: sum(nets.flatMap(({ answers }) => answers.map(({ tokens }) => tokens))),
    seconds: {
      design: sum(nets.map(({ candidate }) => candidate.seconds.design)),
      train: sum(nets.map(({ candidate }) => candidate.seconds.train)),
    },
  };
}

/** For each cycle, the distinct structures of its valid nets that no net of an earlier cycle had, valid or not. */
function newStructures(nets: readonly NetRecord[]): Map<number, number> {
  const firstCycle = new Map<string, number>();
  for (const { structure, candidate } of nets) {
    if (structure !== null && !firstCycle.has(structure)) firstCycle.set(structure, candidate.cycle);
  }
  const found = new Map<number, Set<string>>();
  for (const { structure, candidate } of nets) {
    if (structure === null || candidate.outcome !== "valid" || firstCycle.get(structure) !== candidate.cycle) continue;
    found.set(candidate.cycle, (found.get(candidate.cycle) ?? new Set()).add(structure));
  }
  return new Map([...found].map(([cycle, structures]) => [cycle, structures.size]));
}

/** Several cycles as one; means are those of all their measured nets. */
export function totalsOf(cycles: readonly CycleRow[]): Totals {
  const total = (value: (row: CycleRow) => number) => sum(cycles.map(value));
  const measured = total((row) => row.measured);
  const best = cycles.map(({ bestAccuracy }) => bestAccuracy).filter((accuracy) => accuracy !== null);
  return {
    cycles: cycles.length,
    candidates: total((row) => row.candidates),
    valid: total((row) => row.valid),
    newAndValid: total((row) => row.newAndValid),
    measured,
    meanAccuracy: measured > 0 ? total((row) => (row.meanAccuracy ?? 0) * row.measured) / measured : null,
    bestAccuracy: best.length > 0 ? Math.max(...best) : null,
    atLeastThreshold: total((row) => row.atLeastThreshold),
    newStructures: total((row) => row.newStructures),
    accepted: total((row) => row.accepted),
    tokens: total((row) => row.tokens),
    seconds: { design: total((row) => row.seconds.design), train: total((row) => row.seconds.train) },
  };
}

function compare(protocol: Protocol, tuned: readonly CycleRow[], untuned: StudyRecord): Comparison {
  const cycles = cycleRows(untuned);
  const both = Math.min(tuned.length, cycles.length);
  return {
    name: untuned.config.name,
    cycles,
    totals: { tuned: totalsOf(tuned.slice(0, both)), untuned: totalsOf(cycles.slice(0, both)) },
    differences: protocolDifferences(protocolOf(untuned.config), protocol),
  };
}

function designerOf({ config, nets }: StudyRecord): DesignerAccount {
  const answers = nets.flatMap((net) => net.answers);
  const asked = nets.filter((net) => net.answers.length > 0);
  return {
    models: [...new Set(answers.map(({ model }) => model))],
    modes: [...new Set(asked.map(({ candidate }) => candidate.mode))],
    sampling: distinct(answers.map(({ sampling: { seed: _, ...settings } }) => settings)),
    exemplars: config.designer.exemplars,
    repair: config.designer.repair,
  };
}

function spanOf({ cycles, nets, generations }: StudyRecord): Span | null {
  const designing = cycles.filter(({ cycle }) => cycle > 0);
  const [first, last] = [designing[0], designing.at(-1)];
  if (!first || !last) return null;
  const total = (part: "design" | "check" | "train") => sum(nets.map(({ candidate }) => candidate.seconds[part]));
  return {
    first: first.started,
    last: last.ended,
    seconds: {
      design: total("design"),
      check: total("check"),
      train: total("train"),
      tune: sum(generations.map(({ run }) => run?.seconds ?? 0)),
    },
  };
}

function reportedNet(
  { candidate, answers, code, reviewer }: NetRecord,
  known: ReadonlyMap<number, NetRecord>,
  generation: number,
): ReportedNet {
  const { id, name, cycle, mode, repaired, accuracy, parameters, novelty } = candidate;
  const lineage: Ancestor[] = [];
  for (let next = candidate.parent; next !== null; ) {
    const parent: NetRecord["candidate"] | undefined = known.get(next)?.candidate;
    if (!parent) break;
    lineage.push({ id: parent.id, name: parent.name, mode: parent.mode, accuracy: decisionAccuracy(parent.accuracy) });
    next = parent.parent;
  }
  const model = answers.at(-1)?.model ?? null;
  return { id, name, cycle, generation, mode, model, repaired, accuracy, parameters, novelty, lineage, reviewer, code };
}

function outcomesOf(nets: readonly NetRecord[]): OutcomeCount[] {
  const byOutcome = Map.groupBy(nets, ({ candidate }) => candidate.outcome);
  return OUTCOMES.flatMap((outcome) => {
    const those = byOutcome.get(outcome) ?? [];
    return those.length > 0 ? [{ outcome, count: those.length, example: exampleOf(those) }] : [];
  });
}

/** The message that most of them gave, the earliest of equally frequent ones. */
function exampleOf(nets: readonly NetRecord[]): OutcomeCount["example"] {
  const byMessage = Map.groupBy(nets, ({ candidate }) => candidate.error?.message ?? null);
  let example: OutcomeCount["example"] = null;
  for (const [message, { length: count, 0: first }] of byMessage) {
    if (message === null || !first || count <= (example?.count ?? 0)) continue;
    example = { name: first.candidate.name, message, count };
  }
  return example;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

const sameProtocol = (a: Protocol, b: Protocol): boolean => protocolDifferences(a, b).length === 0;

function distinct<T>(values: readonly T[]): T[] {
  return [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];
}
