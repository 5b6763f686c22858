/** The dashboard: how the study goes, cycle by cycle. */
import { html, LitElement, type TemplateResult } from "lit";
import type { Activity } from "../../src/engine/protocol.ts";
import { decisionAccuracy } from "../../src/study/admission.ts";
import { PUBLISHED } from "../../src/study/published.ts";
import type { Candidate } from "../../src/study/types.ts";
import { blockedView } from "../shared/blocked.ts";
import type { Blocked, ToWebview } from "../shared/contract.ts";
import { decimal, EMPTY, percent, plural } from "../shared/format.ts";
import { generationName } from "../shared/generations.ts";
import { onMessage, post, restore, save } from "../shared/host.ts";
import { applyChanges, fromSnapshot, type Model } from "../shared/model.ts";
import { OUTCOME_MARKS, outcomeMark, reviewMark } from "../shared/outcomes.ts";
import { card } from "./card.ts";
import { familyTree } from "./family.ts";
import { familyView } from "./family-view.ts";
import { type CycleFigures, cycleFigures, generationMarks, outcomesThatOccur, points } from "./figures.ts";
import { generationsView } from "./generations.ts";
import type { LineChartInput, Series } from "./line-chart.ts";
import { outcomeBars } from "./outcome-bars.ts";

interface ViewState {
  /** The folder of the study whose nets and generations are chosen; empty: none yet. */
  study: string;
  /** Cards shown as tables. */
  tables: string[];
  reference: boolean;
  measure: "structure" | "text";
  failed: boolean;
  selected: number[];
  /** The generation whose losses are drawn; null: the newest. */
  generation: number | null;
  scrollTop: number;
}

const INITIAL_VIEW: ViewState = {
  study: "",
  tables: [],
  reference: true,
  measure: "structure",
  failed: false,
  selected: [],
  generation: null,
  scrollTop: 0,
};

/** A table of more rows helps nobody; the panel has them all. */
const TABLE_ROWS = 500;

export class Dashboard extends LitElement {
  #blocked: Blocked | null = null;
  #model: Model | null = null;
  #refreshing = false;
  #view = restore(INITIAL_VIEW);
  #scrollRestored = false;
  #drawing: ReturnType<typeof setTimeout> | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.role = "main";
    this.addEventListener("scroll", () => {
      this.#view.scrollTop = this.scrollTop;
      save(() => this.#view);
    });
    onMessage((message) => this.#receive(message));
    post({ type: "ready" });
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  #receive(message: ToWebview): void {
    switch (message.type) {
      case "snapshot":
        this.#blocked = null;
        this.#refreshing = false;
        this.#model = fromSnapshot(message.snapshot);
        this.#lookAt(message.snapshot.study.dir);
        this.requestUpdate();
        break;
      case "changes":
        this.#change(message);
        break;
      case "blocked":
        this.#blocked = message.why;
        this.#model = null;
        this.requestUpdate();
        break;
      case "select":
        this.#remember({ selected: message.ids });
        break;
      case "showGeneration":
        this.#remember({ generation: message.generation });
        // The place of the last visit does not matter any more.
        this.#scrollRestored = true;
        void this.updateComplete.then(() => this.querySelector("#generations")?.scrollIntoView({ block: "start" }));
        break;
      case "written":
      case "writing":
      case "settings":
        break;
    }
  }

  /** What was chosen in another study means something else here. */
  #lookAt(study: string): void {
    if (this.#view.study === study) return;
    const { selected, generation, scrollTop } = INITIAL_VIEW;
    this.#remember(this.#view.study === "" ? { study } : { study, selected, generation, scrollTop });
  }

  #change(message: Extract<ToWebview, { type: "changes" }>): void {
    if (!this.#model || this.#refreshing) return;
    const shown = shownOfActivity(this.#model.activity);
    const before = applyChanges(this.#model, message);
    if (before === "gap") {
      this.#refreshing = true;
      post({ type: "refresh" });
      return;
    }
    // Candidates under way move several times a second; no chart shows that.
    const unseen = shownOfActivity(this.#model.activity) === shown;
    if (unseen && message.changes.every(({ kind }) => kind === "activity")) return;
    clearTimeout(this.#drawing);
    this.#drawing = setTimeout(() => this.requestUpdate(), 150);
  }

  #remember(part: Partial<ViewState>): void {
    this.#view = { ...this.#view, ...part };
    save(() => this.#view);
    this.requestUpdate();
  }

  readonly #select = (selected: number[]): void => {
    this.#remember({ selected });
    post({ type: "select", ids: selected });
  };

  protected override render(): TemplateResult {
    if (this.#blocked) return blockedView(this.#blocked);
    return this.#model ? this.#studyView(this.#model) : blockedView({ kind: "connecting" });
  }

  protected override updated(): void {
    if (!this.#model || this.#scrollRestored) return;
    this.#scrollRestored = true;
    this.scrollTop = this.#view.scrollTop;
  }

  #studyView(model: Model): TemplateResult {
    const { study, cycles, candidates } = model;
    const figures = cycleFigures(cycles, candidates.values(), study.threshold);
    const { dataset, name } = study.protocol;
    const heading = html`<div class="heading">
      <h1>${study.name}</h1>
      <span class="facts">${dataset}, ${name} protocol · ${plural(figures.length, "cycle")} · ${plural(candidates.size, "candidate")}</span>
      <vscode-checkbox class="reference" .checked=${this.#view.reference} label="Compare with ${PUBLISHED.label}"
        @change=${(event: Event) => this.#remember({ reference: (event.target as HTMLInputElement).checked })}></vscode-checkbox>
    </div>`;
    if (figures.length === 0) {
      return html`${heading}<div class="welcome"><p>The charts begin with the first cycle: how many nets are valid, how well they do after one epoch, and how new they are.</p></div>`;
    }
    return html`${heading}
      ${this.#view.reference ? referenceNote(dataset, name) : ""}
      <div class="cards">
        ${this.#accuracyCard(figures)}
        ${this.#validCard(figures)}
        ${this.#thresholdCard(figures, study.threshold)}
        ${this.#countsCard(figures)}
        ${this.#outcomesCard(figures)}
        ${this.#scatterCard(candidates, study.threshold)}
        ${this.#generationsCard(model)}
        ${this.#familyCard(candidates)}
      </div>`;
  }

  #toggles(id: string): { id: string; asTable: boolean; toggle: () => void } {
    const { tables } = this.#view;
    const asTable = tables.includes(id);
    const toggle = () => this.#remember({ tables: asTable ? tables.filter((each) => each !== id) : [...tables, id] });
    return { id, asTable, toggle };
  }

  #lineCard(
    id: string,
    title: string,
    input: Omit<LineChartInput, "along" | "marks" | "summary">,
    figures: CycleFigures[],
  ): TemplateResult {
    const ends = ({ label, values }: Series) => {
      const known = values.filter((value) => value !== null);
      return `${label}: ${input.format(known[0] ?? null)} to ${input.format(known.at(-1) ?? null)}`;
    };
    const marks = generationMarks(figures);
    const designers = marks.map(({ at, generation }) => ` From cycle ${at} on ${generationName(generation)} designed.`);
    const summary = `${title}, cycles ${figures[0]?.cycle} to ${figures.at(-1)?.cycle}. ${input.series.map(ends).join("; ")}.${designers.join("")}`;
    const generations = generationColumn(figures);
    return card({
      ...this.#toggles(id),
      title,
      summary,
      chart: () =>
        html`<netwright-line-chart .input=${{ ...input, along: "Cycle", marks, summary }}></netwright-line-chart>`,
      table: {
        head: ["Cycle", ...generations.head, ...input.series.map(({ label }) => label)],
        rows: input.places.map((cycle, index) => [
          String(cycle),
          ...generations.of(cycle),
          ...input.series.map(({ values }) => input.format(values[index] ?? null)),
        ]),
      },
    });
  }

  #accuracyCard(figures: CycleFigures[]): TemplateResult {
    const { first, last } = PUBLISHED.meanAccuracy;
    const { reference } = this.#view;
    const { places, at, until, paper } = beside(figures, reference, "mean", first.value, last.value);
    return this.#lineCard(
      "accuracy",
      "First-epoch accuracy",
      {
        places,
        series: [
          { label: "Mean", values: at((each) => each.meanAccuracy), color: "charts-blue", dash: [], shape: "circle" },
          {
            label: "Best",
            values: at((each) => each.bestAccuracy),
            color: "charts-green",
            dash: [8, 3],
            shape: "square",
          },
          ...paper,
        ],
        until,
        top: topOf(
          figures.map(({ bestAccuracy }) => bestAccuracy ?? 0),
          reference ? last.value : 0,
        ),
        format: percent,
      },
      figures,
    );
  }

  #validCard(figures: CycleFigures[]): TemplateResult {
    const cycles = figures.map(({ cycle }) => cycle);
    const flat = (label: string, value: number, dash: number[]): Series => ({
      label: `${PUBLISHED.label}: ${label}`,
      values: cycles.map(() => value),
      color: "descriptionForeground",
      dash,
      shape: null,
    });
    const { mean, best } = PUBLISHED.validRate;
    return this.#lineCard(
      "valid",
      "Valid candidates",
      {
        places: cycles,
        series: [
          {
            label: "Valid",
            values: figures.map(({ validRate }) => validRate),
            color: "charts-blue",
            dash: [],
            shape: "circle",
          },
          ...(this.#view.reference ? [flat("average", mean, [3, 4]), flat("best cycle", best, [8, 3, 2, 3])] : []),
        ],
        until: cycles.at(-1) ?? 1,
        top: 1,
        format: percent,
      },
      figures,
    );
  }

  #thresholdCard(figures: CycleFigures[], threshold: number): TemplateResult {
    const { first, last } = PUBLISHED.atLeastForty;
    // The paper states the share at one accuracy alone.
    const reference = this.#view.reference && threshold === 0.4;
    const { places, at, until, paper } = beside(figures, reference, "share", first, last);
    return this.#lineCard(
      "threshold",
      `Valid nets at or above ${Number((100 * threshold).toFixed(1))} %`,
      {
        places,
        series: [
          {
            label: "Share of valid nets",
            values: at((each) => each.atThreshold),
            color: "charts-purple",
            dash: [],
            shape: "circle",
          },
          ...paper,
        ],
        until,
        top: 1,
        format: percent,
      },
      figures,
    );
  }

  #countsCard(figures: CycleFigures[]): TemplateResult {
    const cycles = figures.map(({ cycle }) => cycle);
    return this.#lineCard(
      "counts",
      "Novel and accepted nets",
      {
        places: cycles,
        series: [
          {
            label: "Valid and structurally new",
            values: figures.map(({ novel }) => novel),
            color: "charts-blue",
            dash: [],
            shape: "circle",
          },
          {
            label: "Accepted",
            values: figures.map(({ accepted }) => accepted),
            color: "charts-green",
            dash: [8, 3],
            shape: "diamond",
          },
        ],
        until: cycles.at(-1) ?? 1,
        top: null,
        format: (value) => (value === null ? EMPTY : String(value)),
      },
      figures,
    );
  }

  #outcomesCard(figures: CycleFigures[]): TemplateResult {
    const occurring = outcomesThatOccur(figures);
    const generations = generationColumn(figures);
    const summary = `How candidates ended, cycles ${figures[0]?.cycle} to ${figures.at(-1)?.cycle}. ${occurring
      .map((outcome) => {
        const total = figures.reduce((sum, { outcomes }) => sum + (outcomes[outcome] ?? 0), 0);
        return `${OUTCOME_MARKS[outcome].label}: ${total}`;
      })
      .join("; ")}.`;
    return card({
      ...this.#toggles("outcomes"),
      title: "Outcomes by reason",
      summary,
      chart: () => outcomeBars(figures, summary),
      table: {
        head: ["Cycle", ...generations.head, ...occurring.map((outcome) => OUTCOME_MARKS[outcome].label)],
        rows: figures.map(({ cycle, outcomes }) => [
          String(cycle),
          ...generations.of(cycle),
          ...occurring.map((outcome) => String(outcomes[outcome] ?? 0)),
        ]),
      },
    });
  }

  #scatterCard(candidates: ReadonlyMap<number, Candidate>, threshold: number): TemplateResult {
    const { measure } = this.#view;
    const all = points(candidates.values(), measure);
    const xLabel = measure === "structure" ? "Structure novelty" : "Text novelty";
    const summary = `${plural(all.length, "valid net")} by ${xLabel.toLowerCase()} and first-epoch accuracy.`;
    const best = all.toSorted((a, b) => b.accuracy - a.accuracy).slice(0, TABLE_ROWS);
    return card({
      ...this.#toggles("scatter"),
      title: "Accuracy against novelty",
      summary,
      controls: html`<span class="segments" role="group" aria-label="Novelty by">
        ${(["structure", "text"] as const).map(
          (
            each,
          ) => html`<button type="button" aria-pressed=${measure === each} @click=${() => this.#remember({ measure: each })}>
            ${each === "structure" ? "Structure" : "Text"}
          </button>`,
        )}
      </span>`,
      chart: () =>
        html`<netwright-scatter .input=${{
          points: all,
          selected: new Set(this.#view.selected),
          threshold,
          xLabel,
          summary: `${summary} Show as a table to select with the keyboard.`,
          select: this.#select,
        }}></netwright-scatter>`,
      table: {
        head: ["Candidate", xLabel, "Accuracy", "Review"],
        rows: best.map((point) => [
          this.#pick(point.id, point.name),
          decimal(point.novelty),
          percent(point.accuracy),
          reviewOf(candidates.get(point.id)),
        ]),
        ...(all.length > TABLE_ROWS
          ? { note: `The ${TABLE_ROWS} most accurate of ${all.length.toLocaleString("en")}.` }
          : {}),
      },
    });
  }

  #generationsCard({ generations, activity }: Model): TemplateResult {
    const { asTable, toggle } = this.#toggles("losses");
    return generationsView({
      generations,
      tuning: activity.tuning,
      busy: activity.state !== "idle",
      chosen: this.#view.generation,
      asTable,
      toggle,
      choose: (generation) => this.#remember({ generation }),
      post,
    });
  }

  #familyCard(candidates: ReadonlyMap<number, Candidate>): TemplateResult {
    const { failed, selected } = this.#view;
    const family = familyTree(candidates.values(), failed);
    const summary = `Family tree of ${plural(family.nodes.length, "net")} over ${plural(family.cycles.length, "cycle")}.`;
    return card({
      ...this.#toggles("family"),
      title: "Family tree",
      summary,
      wide: true,
      controls: html`<vscode-checkbox .checked=${failed} label="Failed nets" title="Draw failed nets as well, instead of counting them at their parent"
        @change=${(event: Event) => this.#remember({ failed: (event.target as HTMLInputElement).checked })}></vscode-checkbox>`,
      chart: () => familyView(family, new Set(selected), summary, this.#select),
      table: {
        head: ["Candidate", "Parent", "Cycle", "Outcome", "Accuracy", "Review"],
        rows: family.nodes
          .slice(0, TABLE_ROWS)
          .map(({ candidate, parent }) => [
            this.#pick(candidate.id, candidate.name),
            parent?.candidate.name ?? EMPTY,
            String(candidate.cycle),
            candidate.outcome ? outcomeMark(candidate, null).label : "Under way",
            percent(candidate.outcome === "valid" ? decisionAccuracy(candidate.accuracy) : null),
            reviewOf(candidate),
          ]),
        ...(family.nodes.length > TABLE_ROWS ? { note: `The first ${TABLE_ROWS} of ${family.nodes.length}.` } : {}),
      },
    });
  }

  /** A name in a table: pressing it selects the row in the panel, as pressing the point does. */
  #pick(id: number, name: string): TemplateResult {
    const on = this.#view.selected.includes(id);
    return html`<button type="button" class="link" aria-pressed=${on} title="Select in the panel" @click=${() => this.#select([id])}>${name}</button>`;
  }
}

const reviewOf = (candidate: Candidate | undefined): string => (candidate && reviewMark(candidate)?.label) ?? EMPTY;

/** What the page shows of the activity, as one value: whether the engine is at work, and how far a LoRA run is. */
const shownOfActivity = ({ state, tuning }: Activity): string =>
  `${state} ${tuning ? `${tuning.generation} ${tuning.stage} ${tuning.step}` : ""}`;

/** Who designed each cycle, as a column of a table; none while the model itself designs throughout. */
function generationColumn(figures: readonly CycleFigures[]): { head: string[]; of: (cycle: number) => string[] } {
  if (figures.every(({ generation }) => generation === 0)) return { head: [], of: () => [] };
  const byCycle = new Map(figures.map(({ cycle, generation }) => [cycle, String(generation)]));
  return { head: ["Generation"], of: (cycle) => [byCycle.get(cycle) ?? EMPTY] };
}

/** The study's cycles beside the two that the paper gives figures of: it says nothing of those between, so the legend says which. */
function beside(
  figures: readonly CycleFigures[],
  reference: boolean,
  what: string,
  firstValue: number,
  lastValue: number,
): {
  places: number[];
  at: (value: (each: CycleFigures) => number | null) => (number | null)[];
  until: number;
  paper: Series[];
} {
  const { first, last } = PUBLISHED.meanAccuracy;
  const own = figures.map(({ cycle }) => cycle);
  const places = reference ? [...new Set([...own, first.cycle, last.cycle])].sort((a, b) => a - b) : own;
  const paper: Series = {
    label: `${PUBLISHED.label}: ${what} of first and last cycle, joined`,
    values: places.map((cycle) => (cycle === first.cycle ? firstValue : cycle === last.cycle ? lastValue : null)),
    color: "descriptionForeground",
    dash: [3, 4],
    shape: "triangle",
  };
  return {
    places,
    at: (value) => {
      const byCycle = new Map(figures.map((each) => [each.cycle, value(each)]));
      return places.map((cycle) => byCycle.get(cycle) ?? null);
    },
    // The study's own cycles take half of the width at least; the paper's line goes on beyond.
    until: Math.min(places.at(-1) ?? 1, Math.max(8, 2 * (own.at(-1) ?? 1))),
    paper: reference ? [paper] : [],
  };
}

/** The next tenth above all of them: room for the highest point. */
function topOf(values: number[], least: number): number {
  return Math.min(1, Math.ceil(10 * Math.max(0.2, least, ...values) + 0.2) / 10);
}

function referenceNote(dataset: string, protocol: string): TemplateResult | string {
  if (dataset === "cifar10" && protocol === "paper") return "";
  return html`<p class="note">${PUBLISHED.label} states test accuracy on CIFAR-10 under its own protocol. This study's figures are of
    ${dataset === "cifar10" ? "held-out training images" : dataset}: read the reference as an orientation, not as a comparison.</p>`;
}

customElements.define("netwright-dashboard", Dashboard);
