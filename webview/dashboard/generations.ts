/** The generations of the designer: a table of all, what can be done with each, and the losses of the one that is chosen. */
import { html, nothing, type TemplateResult } from "lit";
import type { Tuning } from "../../src/engine/events.ts";
import type { Generation } from "../../src/study/types.ts";
import type { FromWebview } from "../shared/contract.ts";
import { duration, EMPTY, loss, plural, quantity } from "../shared/format.ts";
import {
  currentGeneration,
  generationMark,
  generationName,
  IN_USE,
  isSpare,
  lossEnds,
  rollBackTarget,
} from "../shared/generations.ts";
import { icon, SPIN } from "../shared/icon.ts";
import type { Mark } from "../shared/outcomes.ts";
import { TUNING_STAGES, tuningCount } from "../shared/work.ts";
import { card } from "./card.ts";
import { lossesOf, type ShownLosses } from "./figures.ts";
import type { LineChartInput } from "./line-chart.ts";

export interface GenerationsInput {
  generations: readonly Generation[];
  /** The one that is being made. */
  tuning: Tuning | null;
  /** The engine is at work: nothing can be done with generations until it has ended. */
  busy: boolean;
  /** Whose losses are drawn; null: those of the newest that has any. */
  chosen: number | null;
  asTable: boolean;
  toggle: () => void;
  choose: (generation: number) => void;
  post: (message: FromWebview) => void;
}

const HEAD: { title: string; explained?: string }[] = [
  { title: "Generation" },
  { title: "State" },
  { title: "Parent" },
  { title: "Tuned on", explained: "Accepted nets, oldest first" },
  { title: "Loss", explained: "Mean loss per token of answer, at the first and at the last step" },
  { title: "Held-out loss", explained: "Of examples that it was not trained on" },
  { title: "Probe (parent)", explained: "Valid and new answers to the same questions, its own and its parent's" },
  { title: "Adapter" },
  { title: "Time" },
  { title: "Actions" },
];

export function generationsView(input: GenerationsInput): TemplateResult {
  return html`<section class="card wide generations" id="generations" aria-labelledby="generations-title">
    <div class="card-head"><h2 id="generations-title">Generations</h2></div>
    ${input.generations.length === 0 ? emptyView() : contentView(input)}
  </section>`;
}

const emptyView = (): TemplateResult => html`<p class="note">
  The model itself designs: generation 0. Accept nets, then <b>Fine-Tune Designer</b> trains a small adapter on the ones it wrote. The
  new generation and its parent answer the same questions; it designs the next cycles if at least as many of its answers are valid and
  new. Every generation is kept here with its figures, and you can go back to any.
</p>`;

function contentView(input: GenerationsInput): TemplateResult {
  const { generations, choose } = input;
  const shown = lossesOf(input);
  return html`<div class="table" tabindex="0" role="region" aria-label="Generations: table">
      <table>
        <caption class="unseen">Generations of the designer, newest first</caption>
        <thead><tr>${HEAD.map(({ title, explained }) => html`<th scope="col" title=${explained ?? nothing}>${title}</th>`)}</tr></thead>
        <tbody>
          ${generations.toReversed().map((each) => generationRow(each, input, shown?.generation ?? null, choose))}
          ${baseRow(input)}
        </tbody>
      </table>
    </div>
    ${shown ? lossesView(shown, input) : nothing}`;
}

function generationRow(
  generation: Generation,
  input: GenerationsInput,
  shown: number | null,
  choose: (generation: number) => void,
): TemplateResult {
  const { generation: number, parent, cycle, accepted, run, probe, error } = generation;
  const making = input.tuning?.generation === number ? input.tuning : null;
  const mark = generationMark(generation, making !== null);
  const losses = making?.losses ?? run?.losses ?? [];
  const { training, heldOut } = lossEnds(losses);
  const change = (ends: typeof training) => (ends ? `${ends.first.toFixed(2)} → ${ends.last.toFixed(2)}` : EMPTY);
  const name = `Generation ${number}`;
  return html`<tr>
    <th scope="row">${
      losses.length > 0
        ? html`<button type="button" class="link" aria-pressed=${shown === number} title="Show its losses" @click=${() => choose(number)}>${name}</button>`
        : name
    }</th>
    <td title=${error ?? mark.detail}>${stateView(making ? { ...mark, label: progressText(making) } : mark, making ? SPIN : "")}</td>
    <td>${parent}</td>
    <td title=${run ? `${plural(run.examples.training, "example")}, ${run.examples.heldOut} held out` : nothing}>${plural(accepted, "net")}, cycle ${cycle}</td>
    <td>${change(training)}</td>
    <td>${change(heldOut)}</td>
    <td>${probe ? `${probe.own.newAndValid}/${probe.own.questions} (${probe.parent.newAndValid}/${probe.parent.questions})` : EMPTY}</td>
    <td>${run ? quantity(run.adapterBytes, "bytes") : EMPTY}</td>
    <td>${run ? duration(run.seconds) : EMPTY}</td>
    <td>${actionsView(generation, input)}</td>
  </tr>`;
}

const stateView = ({ label, icon: name, tone }: Mark, className = ""): TemplateResult =>
  html`<span class="state">${icon(name, `tone-${tone} ${className}`)}${label}</span>`;

const progressText = (tuning: Tuning): string => {
  const count = tuningCount(tuning);
  return count ? `${TUNING_STAGES[tuning.stage]}, ${count}` : TUNING_STAGES[tuning.stage];
};

/** The model without an adapter. */
function baseRow(input: GenerationsInput): TemplateResult {
  const tuned = currentGeneration(input.generations) !== null;
  const use = action(input, "Use", "generation 0", { type: "useGeneration", generation: 0 });
  return html`<tr>
    <th scope="row">Generation 0</th>
    <td>${stateView(tuned ? { label: "The model itself", icon: "circle-outline", tone: "quiet" } : IN_USE)}</td>
    <td colspan="7"></td>
    <td>${tuned ? html`<span class="row-actions">${use}</span>` : nothing}</td>
  </tr>`;
}

function actionsView(generation: Generation, input: GenerationsInput): TemplateResult | typeof nothing {
  const { generation: number, state } = generation;
  const name = `generation ${number}`;
  const back = generation.current ? rollBackTarget(input.generations) : null;
  if (back !== null) {
    const message: FromWebview = { type: "useGeneration", generation: back };
    return html`<span class="row-actions">${action(input, "Roll Back", `to ${generationName(back)}`, message)}</span>`;
  }
  if (!isSpare(generation)) return nothing;
  const use = state === "kept" ? "Use Anyway" : "Use";
  return html`<span class="row-actions">
    ${action(input, use, name, { type: "useGeneration", generation: number })}
    ${action(input, "Delete", name, { type: "deleteGeneration", generation: number })}
  </span>`;
}

function action({ busy, post }: GenerationsInput, label: string, what: string, message: FromWebview): TemplateResult {
  const title = busy ? "Stop first what runs, or wait until it has ended" : `${label} ${what}`;
  return html`<button type="button" class="link" ?disabled=${busy} title=${title} aria-label="${label} ${what}" @click=${() => post(message)}>${label}</button>`;
}

/** More points than this run into each other. */
const MARKED_POINTS = 24;

function lossesView({ generation, losses, steps }: ShownLosses, { asTable, toggle }: GenerationsInput): TemplateResult {
  const title = `Losses of generation ${generation}`;
  const { training, heldOut } = lossEnds(losses);
  const words = (label: string, ends: typeof training) =>
    ends ? `${label}: ${loss(ends.first)} to ${loss(ends.last)}` : "";
  const summary = `Mean loss per token of answer, steps ${losses[0]?.step} to ${losses.at(-1)?.step}. ${[
    words("Trained on", training),
    words("Held out", heldOut),
  ]
    .filter((part) => part !== "")
    .join("; ")}.`;
  const highest = Math.max(...losses.flatMap((point) => [point.training, point.heldOut ?? 0]));
  const input: LineChartInput = {
    along: "Step",
    places: losses.map(({ step }) => step),
    series: [
      {
        label: "Trained on",
        values: losses.map((point) => point.training),
        color: "charts-blue",
        dash: [],
        shape: losses.length > MARKED_POINTS ? null : "circle",
      },
      {
        label: "Held out",
        values: losses.map((point) => point.heldOut),
        color: "charts-orange",
        dash: [8, 3],
        shape: "square",
      },
    ],
    marks: [],
    until: Math.max(steps, losses.at(-1)?.step ?? 1),
    top: 1.1 * highest,
    format: (value) => (value === null ? EMPTY : value.toFixed(2)),
    summary,
  };
  return card({
    id: "losses",
    title,
    summary,
    asTable,
    toggle,
    chart: () => html`<netwright-line-chart .input=${input}></netwright-line-chart>`,
    table: {
      head: ["Step", "Epoch", "Trained on", "Held out"],
      rows: losses.map((point) => [
        String(point.step),
        point.epoch.toFixed(2),
        loss(point.training),
        loss(point.heldOut),
      ]),
    },
  });
}
