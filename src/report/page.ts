/** What a report says, in order. */
import { decisionAccuracy } from "../study/admission.ts";
import { PUBLISHED } from "../study/published.ts";
import type { Generation, ProbeScore } from "../study/types.ts";
import type { Block, LineChart, Page, Piece, Series, Table, Text } from "./blocks.ts";
import { counted, decimal, duration, EMPTY, mebibytes, moment, percent, plain, plural, rate, whole } from "./format.ts";
import type { Comparison, CycleRow, Report, ReportedNet, Totals } from "./types.ts";
import {
  admissionWords,
  DATASETS,
  gateWords,
  MODES,
  ORIGINS,
  OUTCOME_WORDS,
  protocolFacts,
  reviewerWords,
  samplingWords,
} from "./words.ts";

export function pageOf(report: Report): Page {
  return {
    title: `Study ${report.name}`,
    blocks: [
      opening(report),
      ...(report.cycles.length > 0 ? [tiles(report)] : []),
      settings(report),
      cycles(report),
      generations(report),
      accepted(report),
      failures(report),
    ],
  };
}

function opening({ protocol, designer, totals, span, cycles }: Report): Block {
  const tuned = cycles.some(({ generation }) => generation > 0) ? ", tuned between cycles," : "";
  // The first is the base model: its generations are named after it.
  const model = `${designer.models[0] ?? "A local model"}${tuned}`;
  const when = span ? ` From ${moment(span.first)}${span.last ? ` to ${moment(span.last)}` : ""}.` : "";
  const count =
    totals.cycles > 0 ? ` ${plural(totals.cycles, "cycle")}, ${plural(totals.candidates, "candidate")}.` : "";
  return {
    kind: "paragraph",
    text: `${model} designs networks for ${DATASETS[protocol.dataset]}; each is checked, compared and trained for ${plural(protocol.epochs, "epoch")}.${count}${when}`,
  };
}

function tiles({ totals, untuned, cycles, admission }: Report): Block {
  const { candidates, valid, newAndValid, measured, atLeastThreshold } = totals;
  // Over the same cycles, or not at all.
  const beside = untuned && cycles.length === untuned.totals.tuned.cycles ? untuned.totals.untuned : null;
  const more = (own: string, value: (of: Totals) => string) => (beside ? `untuned: ${value(beside)}` : own);
  return {
    kind: "tiles",
    tiles: [
      {
        label: "Valid",
        value: share(valid, candidates),
        more: more(`${valid} of ${candidates}`, (of) => share(of.valid, of.candidates)),
      },
      {
        label: "New and valid",
        value: share(newAndValid, candidates),
        more: more(`${newAndValid} of ${candidates}`, (of) => share(of.newAndValid, of.candidates)),
      },
      {
        label: "Mean accuracy",
        value: percent(totals.meanAccuracy),
        more: more(`of ${plural(measured, "net")}`, (of) => percent(of.meanAccuracy)),
      },
      {
        label: "Best accuracy",
        value: percent(totals.bestAccuracy),
        more: more(`${atLeastThreshold} at or above ${percent(admission.accuracy)}`, (of) => percent(of.bestAccuracy)),
      },
      {
        label: "New structures",
        value: whole(totals.newStructures),
        more: more("distinct operator graphs", (of) => whole(of.newStructures)),
      },
      {
        label: "Accepted",
        value: whole(totals.accepted),
        more: more("designed here", (of) => whole(of.accepted)),
      },
    ],
  };
}

const share = (part: number, of: number): string => (of > 0 ? percent(part / of) : EMPTY);

function settings(report: Report): Block {
  const { designer, parameterLimit, admission, gates, span, cycles, measuredOtherwise } = report;
  const asked: [string, Text][] = [
    ["Model", designer.models.length > 0 ? designer.models.join(", ") : "none has answered yet"],
    ["Generations", generationsOf(cycles)],
    ["Writes", designer.modes.map((mode) => MODES[mode]).join(", ") || EMPTY],
    ["Sampling", samplingWords(designer) || EMPTY],
    ["Nets shown with each question", String(designer.exemplars)],
    ["Repair", designer.repair ? "one second question, with the exact error" : "none"],
    ["Parameters", `at most ${whole(parameterLimit)}`],
    ["Duplicates", gateWords(gates)],
    ["Proposed", admissionWords(admission)],
    ["Accepted", admission.policy === "automatic" ? "what is proposed" : "by review"],
  ];
  const time: [string, Text][] = span
    ? [
        ["From", moment(span.first)],
        ["To", span.last ? moment(span.last) : "its last cycle has not ended"],
        ...(span.last ? [["In all", duration(secondsBetween(span.first, span.last))] as [string, Text]] : []),
        ["Designing", `${duration(span.seconds.design)}, several at once`],
        ["Checking", duration(span.seconds.check)],
        ["Training nets", `${duration(span.seconds.train)}, the seeds included`],
        ["Tuning the designer", duration(span.seconds.tune)],
      ]
    : [];
  const changed: Block = {
    kind: "note",
    text: `${plural(measuredOtherwise, "figure")} in this report ${measuredOtherwise === 1 ? "was" : "were"} measured under another protocol: netwright.json has changed since. Train those nets again to compare them.`,
  };
  return {
    kind: "section",
    id: "settings",
    title: "Settings",
    blocks: [
      { kind: "facts", title: "Protocol", facts: protocolFacts(report.protocol) },
      { kind: "facts", title: "Designer", facts: asked },
      ...(time.length > 0 ? [{ kind: "facts", title: "Time", facts: time } as const] : []),
      ...(measuredOtherwise > 0 ? [changed] : []),
    ],
  };
}

const secondsBetween = (first: string, last: string): number => (Date.parse(last) - Date.parse(first)) / 1000;

/** "base model (cycles 1, 2), generation 1 (cycles 3, 4)". */
function generationsOf(cycles: readonly CycleRow[]): string {
  const byGeneration = Map.groupBy(cycles, ({ generation }) => generation);
  const said = [...byGeneration].map(
    ([generation, rows]) =>
      `${designerName(generation)} (${rows.length === 1 ? "cycle" : "cycles"} ${rows.map(({ cycle }) => cycle).join(", ")})`,
  );
  return said.join("; ") || EMPTY;
}

const designerName = (generation: number): string => (generation === 0 ? "base model" : `generation ${generation}`);

function cycles(report: Report): Block {
  const { cycles: rows, untuned, admission, unlikePaper, totals } = report;
  if (rows.length === 0) {
    return {
      kind: "section",
      id: "cycles",
      title: "Cycles",
      blocks: [
        {
          kind: "note",
          text: ["No cycle has run yet. Run one with ", { code: "netwright cycle" }, ", then write this report again."],
        },
      ],
    };
  }
  const paper: Text =
    unlikePaper.length === 0
      ? `The protocol is that of ${PUBLISHED.label}: its figures are comparable. Its novelty is by text, this study's by structure.`
      : `The figures of ${PUBLISHED.label} are a reference, not a comparison: this study's protocol is another one (${unlikePaper.join("; ")}).`;
  return {
    kind: "section",
    id: "cycles",
    title: "Cycles",
    blocks: [
      {
        kind: "paragraph",
        text: `Valid: passed the check and, unless its structure was known, trained. New: an operator graph unlike every net before it, those of its own cycle included. Accuracy is that which decisions use; means are of valid nets that were trained. New structures: distinct operator graphs that no earlier cycle had.`,
      },
      cycleTable("Each cycle", rows, admission.accuracy, [totalRow("All", totals), paperRow(admission.accuracy)]),
      { kind: "note", text: paper },
      { kind: "charts", charts: cycleCharts(rows, untuned) },
      ...(untuned ? comparison(untuned, rows, admission.accuracy) : []),
    ],
  };
}

function cycleTable(caption: string, rows: readonly CycleRow[], threshold: number, foot: Text[][]): Table {
  return {
    kind: "table",
    caption,
    head: [
      "Cycle",
      "Generation",
      "Candidates",
      "Valid",
      "New and valid",
      "Mean accuracy",
      "Best",
      `≥ ${plain(100 * threshold)} %`,
      "New structures",
      "Accepted",
      "Tokens",
      "Designing",
      "Training",
    ],
    rows: rows.map((row) => [
      row.ended === null ? `${row.cycle} (not ended)` : String(row.cycle),
      row.generation === 0 ? "0 (base)" : String(row.generation),
      ...figures(row),
    ]),
    foot,
    words: [],
  };
}

/** The cells that a cycle and a sum of cycles have alike. */
function figures(row: CycleRow | Totals): string[] {
  return [
    whole(row.candidates),
    counted(row.valid, row.candidates),
    counted(row.newAndValid, row.candidates),
    percent(row.meanAccuracy),
    percent(row.bestAccuracy),
    counted(row.atLeastThreshold, row.measured),
    whole(row.newStructures),
    whole(row.accepted),
    whole(row.tokens),
    duration(row.seconds.design),
    duration(row.seconds.train),
  ];
}

const totalRow = (name: string, totals: Totals): Text[] => [name, "", ...figures(totals)];

function paperRow(threshold: number): Text[] {
  const { label, cycles, validRate, meanAccuracy, atLeastForty, admitted } = PUBLISHED;
  const arrow = (first: number, last: number) => `${percent(first)} → ${percent(last)}`;
  const forty = threshold === 0.4 ? arrow(atLeastForty.first, atLeastForty.last) : "";
  return [
    `${label}, ${cycles} cycles`,
    "",
    "",
    `${percent(validRate.mean)} on average, ${percent(validRate.best)} at best`,
    "",
    arrow(meanAccuracy.first.value, meanAccuracy.last.value),
    "",
    forty,
    "",
    `${admitted} novel nets`,
    "",
    "",
    "",
  ];
}

function cycleCharts(rows: readonly CycleRow[], untuned: Comparison | null): LineChart[] {
  const xs = [...new Set([...rows, ...(untuned?.cycles ?? [])].map(({ cycle }) => cycle))].sort((a, b) => a - b);
  const series = (label: string, color: Series["color"], value: (row: CycleRow) => number | null): Series[] => {
    const values = (of: readonly CycleRow[]) => {
      const byCycle = new Map(of.map((row) => [row.cycle, value(row)]));
      return xs.map((cycle) => byCycle.get(cycle) ?? null);
    };
    const own = { label, values: values(rows), color, beside: false };
    return untuned ? [own, { label: `${label}, untuned`, values: values(untuned.cycles), color, beside: true }] : [own];
  };
  const { validRate, meanAccuracy } = PUBLISHED;
  const of = (part: number, candidates: number) => (candidates > 0 ? part / candidates : null);
  return [
    {
      id: "chart-valid",
      title: "Valid candidates",
      axis: "Cycle",
      xs,
      series: [
        ...series("Valid", 0, (row) => of(row.valid, row.candidates)),
        ...series("New and valid", 1, (row) => of(row.newAndValid, row.candidates)),
      ],
      references: [
        { label: "Paper, valid on average", value: validRate.mean },
        { label: "Paper, best cycle", value: validRate.best },
      ],
      top: 0.8,
      format: percent,
    },
    {
      id: "chart-accuracy",
      title: "Accuracy",
      axis: "Cycle",
      xs,
      series: [...series("Mean", 0, (row) => row.meanAccuracy), ...series("Best", 1, (row) => row.bestAccuracy)],
      references: [
        { label: "Paper, mean of its first cycle", value: meanAccuracy.first.value },
        { label: "Paper, mean of its last cycle", value: meanAccuracy.last.value },
      ],
      top: 0.6,
      format: percent,
    },
  ];
}

function comparison(
  { name, cycles, totals, differences }: Comparison,
  own: readonly CycleRow[],
  threshold: number,
): Block[] {
  const { tuned, untuned } = totals;
  const line = (label: string, say: (of: Totals) => string): Text[] => [label, say(tuned), say(untuned)];
  const both = plural(tuned.cycles, "cycle");
  const table: Table = {
    kind: "table",
    caption: `Tuned and untuned, the first ${both} of each`,
    head: ["Figure", "Tuned between cycles", `Untuned (${name})`],
    rows: [
      line("Candidates", (of) => whole(of.candidates)),
      line("Valid", (of) => rate(of.valid, of.candidates)),
      line("New and valid", (of) => rate(of.newAndValid, of.candidates)),
      line("Mean accuracy", (of) => percent(of.meanAccuracy)),
      line("Best accuracy", (of) => percent(of.bestAccuracy)),
      line(`At or above ${plain(100 * threshold)} %`, (of) => rate(of.atLeastThreshold, of.measured)),
      line("New structures", (of) => whole(of.newStructures)),
      line("Accepted", (of) => whole(of.accepted)),
      line("Tokens", (of) => whole(of.tokens)),
    ],
    foot: [],
    words: [],
  };
  const notes = [
    ...(own.length === cycles.length
      ? []
      : [
          `This study has ${plural(own.length, "cycle")}, the untuned one ${cycles.length}: the table takes the first ${tuned.cycles} of each.`,
        ]),
    ...(differences.length === 0
      ? []
      : [
          `The two protocols differ, so that their accuracies are not comparable. The untuned study's: ${differences.join("; ")}.`,
        ]),
  ];
  return [
    table,
    {
      kind: "paragraph",
      text: "In brackets: the 95 % interval of a rate, in percent (Wilson). Rates whose intervals overlap widely are not told apart by so many candidates.",
    },
    ...notes.map((text): Block => ({ kind: "note", text })),
    cycleTable(`Each cycle of the untuned study, ${name}`, cycles, threshold, []),
  ];
}

function generations({ generations: all, cycles }: Report): Block {
  const blocks: Block[] =
    all.length > 0
      ? all.map((generation) => generationItem(generation, cycles))
      : [
          {
            kind: "note",
            text: [
              "The designer has not been tuned: every cycle was designed by the base model. Once nets are accepted, tune it with ",
              { code: "netwright tune" },
              ".",
            ],
          },
        ];
  return { kind: "section", id: "generations", title: "Generations of the designer", blocks };
}

const STATES: Record<Generation["state"], string> = {
  tuning: "its tuning has not ended",
  probing: "tuned, its probe has not ended",
  published: "published: its probe was as good as its parent's, or better",
  kept: "kept, not used: its probe was worse than its parent's",
  failed: "failed",
  deleted: "its adapter was deleted",
};

function generationItem(generation: Generation, cycles: readonly CycleRow[]): Block {
  const { parent, cycle, accepted: nets, state, current, base, settings: s, run, probe, ollama, error } = generation;
  const designed = cycles.filter((row) => row.generation === generation.generation).map((row) => row.cycle);
  const facts: [string, Text][] = [
    ["Outcome", `${STATES[state]}${current ? "; it designs now" : ""}${error === null ? "" : `: ${error}`}`],
    [
      "Designed",
      designed.length > 0 ? `${designed.length === 1 ? "cycle" : "cycles"} ${designed.join(", ")}` : "no cycle",
    ],
    [
      "Tuned on",
      `${plural(nets, "accepted net")} of the cycles up to ${cycle}${run ? `: ${plural(run.examples.training, "example")}, ${whole(run.examples.heldOut)} held out` : ""}`,
    ],
    ["Base", base],
    ["Parent", designerName(parent)],
    [
      "Settings",
      `rank ${s.rank}, alpha ${plain(s.alpha)}, dropout ${plain(s.dropout)}, learning rate ${plain(s.learningRate)}, at most ${plural(s.epochs, "epoch")}, ${plural(s.accumulation, "example")} a step, gradients through ${s.gradient === "answer" ? "the answer alone" : "question and answer"}`,
    ],
    ...(probe
      ? [
          [
            "Probe",
            `new and valid: ${score(probe.own)}, its parent ${score(probe.parent)} (valid: ${probe.own.valid}, its parent ${probe.parent.valid})`,
          ] as [string, Text],
        ]
      : []),
    ...(ollama === null ? [] : [["In Ollama", ollama] as [string, Text]]),
    ...(run
      ? ([
          ["Device", run.device],
          ["Steps", whole(run.steps)],
          [
            "Time",
            `${duration(run.seconds)}, ${whole(Math.round(run.tokens / Math.max(run.seconds, 1e-9)))} tokens per second`,
          ],
          ["Memory", `${whole(Math.round(run.peakMemoryMiB))} MiB at its peak`],
          ["Adapter", mebibytes(run.adapterBytes)],
        ] as [string, Text][])
      : []),
  ];
  return {
    kind: "item",
    id: `generation-${generation.generation}`,
    title: `Generation ${generation.generation}`,
    blocks: [
      { kind: "facts", title: null, facts },
      ...(run && run.losses.length > 0
        ? [{ kind: "charts", charts: [lossChart(generation.generation, run.losses)] } as const]
        : []),
    ],
  };
}

const score = ({ newAndValid, questions }: ProbeScore): string => `${newAndValid} of ${questions}`;

function lossChart(generation: number, losses: NonNullable<Generation["run"]>["losses"]): LineChart {
  return {
    id: `chart-loss-${generation}`,
    title: `Loss per token of answer, generation ${generation}`,
    axis: "Step",
    xs: losses.map(({ step }) => step),
    series: [
      { label: "Training", values: losses.map(({ training }) => training), color: 0, beside: false },
      ...(losses.some(({ heldOut }) => heldOut !== null)
        ? [{ label: "Held out", values: losses.map(({ heldOut }) => heldOut), color: 1, beside: false } as const]
        : []),
    ],
    references: [],
    top: 0,
    format: (value) => (value === null ? EMPTY : String(Number(value.toFixed(3)))),
  };
}

function accepted({ accepted: nets, ancestors, waiting }: Report): Block {
  if (nets.length === 0) {
    const next: Piece[] =
      waiting > 0
        ? [
            `${plural(waiting, "net")} ${waiting === 1 ? "is proposed and waits" : "are proposed and wait"} for a review: `,
            { code: "netwright list --proposed" },
            ", then ",
            { code: "netwright accept ID..." },
            ".",
          ]
        : ["What a cycle proposes can be accepted with ", { code: "netwright accept ID..." }, "."];
    return {
      kind: "section",
      id: "accepted",
      title: "Accepted nets",
      blocks: [{ kind: "note", text: ["No net is accepted yet. ", ...next] }],
    };
  }
  const linked = (net: ReportedNet): Text => [{ link: anchor(net.id), text: net.name }];
  const table: Table = {
    kind: "table",
    caption: `${plural(nets.length, "accepted net")}, best first`,
    head: ["Net", "Cycle", "Designer", "Written", "Accuracy", "Test", "Parameters", "New in text", "In structure"],
    rows: nets.map((net) => [
      linked(net),
      String(net.cycle),
      net.model === null ? EMPTY : designerName(net.generation),
      ORIGINS[net.mode] + (net.repaired ? ", repaired" : ""),
      percent(decisionAccuracy(net.accuracy)),
      percent(net.accuracy.test),
      whole(net.parameters),
      decimal(net.novelty.text),
      decimal(net.novelty.structure),
    ]),
    foot: [],
    words: [2, 3],
  };
  return {
    kind: "section",
    id: "accepted",
    title: "Accepted nets",
    blocks: [
      table,
      {
        kind: "paragraph",
        text: "New: 1 less the highest similarity to any net before. Test accuracy is that of the same training, on the test set: it is shown, never decided on unless the protocol is the paper's.",
      },
      ...nets.map(netItem),
      ...(ancestors.length > 0
        ? [
            { kind: "paragraph", text: "In their lineages, and not accepted themselves:" } as const,
            ...ancestors.map(netItem),
          ]
        : []),
    ],
  };
}

const anchor = (id: number): string => `net-${id}`;

function netItem(net: ReportedNet): Block {
  const { id, name, cycle, generation, mode, model, repaired, accuracy, parameters, novelty, lineage, code } = net;
  const written = `${ORIGINS[mode]}${repaired ? ", repaired" : ""}${model === null ? "" : `, by ${model}${generation > 0 ? `, ${designerName(generation)}` : ""}`}`;
  const facts: [string, Text][] = [
    [
      "Accuracy",
      `${percent(decisionAccuracy(accuracy))}${accuracy.validation !== null && accuracy.test !== null ? `, on the test set ${percent(accuracy.test)}` : ""}`,
    ],
    ["Parameters", whole(parameters)],
    ["New", `in structure ${decimal(novelty.structure)}, in text ${decimal(novelty.text)}`],
    ["Origin", `${written}${cycle > 0 ? `, in cycle ${cycle}` : ""}`],
    ...(lineage.length > 0
      ? [
          [
            "Lineage",
            lineage.flatMap(({ id, name, mode, accuracy }, i): Piece[] => [
              i === 0 ? "" : " ← ",
              { link: anchor(id), text: name },
              ` (${mode === "seed" || mode === "import" ? `${ORIGINS[mode]}, ` : ""}${percent(accuracy)})`,
            ]),
          ] as [string, Text],
        ]
      : []),
  ];
  return {
    kind: "item",
    id: anchor(id),
    title: name,
    blocks: [
      { kind: "facts", title: null, facts },
      ...(code === null ? [] : [{ kind: "code", summary: `Code of ${name}`, code } as const]),
    ],
  };
}

function failures({ outcomes, totals, repairs, rejected }: Report): Block {
  const candidates = outcomes.reduce((sum, { count }) => sum + count, 0);
  const known = totals.valid - totals.newAndValid;
  const table: Table = {
    kind: "table",
    caption: `How ${plural(candidates, "candidate")} ended`,
    head: ["Outcome", "Candidates", "What it means", "Most frequent message"],
    rows: outcomes.map(({ outcome, count, example }) => [
      outcome,
      counted(count, candidates),
      OUTCOME_WORDS[outcome],
      example
        ? [{ code: example.message }, ` (${example.name}${example.count > 1 ? ` and ${example.count - 1} more` : ""})`]
        : "",
    ]),
    foot: [],
    words: [2, 3],
  };
  const rejections: Table = {
    kind: "table",
    caption: plural(rejected.length, "rejected net"),
    head: ["Net", "Outcome", "Accuracy", "Rejected", "Why"],
    rows: rejected.map(({ name, outcome, accuracy, reviewer, reason }) => [
      name,
      outcome,
      percent(accuracy),
      reviewerWords(reviewer),
      reason ?? "no reason was given",
    ]),
    foot: [],
    words: [1, 3, 4],
  };
  const blocks: Block[] =
    candidates === 0
      ? [{ kind: "note", text: "Nothing has been tried yet." }]
      : [
          table,
          {
            kind: "paragraph",
            text: `${known === 0 ? "No valid net had a known structure" : `${plural(known, "valid net")} had a structure that was known`}. ${repairs.asked === 0 ? "No candidate was asked for a repair" : `${repairs.asked} were asked for a repair, ${repairs.valid} of them became valid`}.`,
          },
        ];
  return {
    kind: "section",
    id: "failures",
    title: "What was tried and failed",
    blocks: [
      ...blocks,
      ...(rejected.length > 0
        ? [rejections]
        : candidates === 0
          ? []
          : [{ kind: "paragraph", text: "No net was rejected." } as const]),
    ],
  };
}
