/** Search, filters and sorting above the table. */
import { html, nothing, type TemplateResult } from "lit";
import type { Candidate, CycleSummary } from "../../src/study/types.ts";
import { OUTCOMES } from "../../src/study/types.ts";
import { ACTION_MARKS, can } from "../shared/actions.ts";
import type { CandidateAction } from "../shared/contract.ts";
import { plural } from "../shared/format.ts";
import { icon } from "../shared/icon.ts";
import { OUTCOME_MARKS } from "../shared/outcomes.ts";
import { isFiltered, type Query, type Show, SORT_KEYS, type Sort, type SortKey } from "./query.ts";

export interface ToolbarInput {
  query: Query;
  filtersOpen: boolean;
  /** No column headers to sort by. */
  narrow: boolean;
  cycles: readonly CycleSummary[];
  shown: number;
  total: number;
  /** The selected rows that are shown. */
  selected: readonly Candidate[];
  change(query: Partial<Query>): void;
  toggleFilters(): void;
  clear(): void;
  run(action: CandidateAction, ids: number[]): void;
}

const SHOWS: [Show, string][] = [
  ["all", "All outcomes"],
  ["valid", "Valid"],
  ["failed", "Failed"],
  ["underway", "Under way"],
  ["proposed", "Proposed"],
  ["accepted", "Accepted"],
  ["rejected", "Rejected"],
];

const SORT_LABELS: Record<SortKey, string> = {
  cycle: "Cycle",
  name: "Name",
  outcome: "Outcome",
  accuracy: "Accuracy",
  text: "Text novelty",
  structure: "Structure novelty",
  parameters: "Parameters",
  parent: "Parent",
  review: "Review",
};

export function toolbarView(input: ToolbarInput): TemplateResult {
  const { query, filtersOpen } = input;
  const filtered = query.show !== "all" || query.cycle !== null;
  return html`<div class="toolbar" role="search" aria-label="Candidates">
    <div class="search">
      <vscode-textfield placeholder="Search by name or id" .label=${"Search candidates by name or id"} .value=${query.search}
        @input=${(event: Event) => input.change({ search: (event.target as HTMLInputElement).value })}
        @keydown=${(event: KeyboardEvent) => event.key === "Escape" && input.change({ search: "" })}>
        ${icon("search", "lead")}
      </vscode-textfield>
      <button type="button" class="icon-button ${filtered ? "on" : ""}" aria-expanded=${filtersOpen} aria-controls="filters"
        title="Filter and sort" aria-label="Filter and sort" @click=${input.toggleFilters}>
        ${icon(filtered ? "filter-filled" : "filter")}
      </button>
    </div>
    <div class="filters" id="filters" ?hidden=${!filtersOpen}>${filtersOpen ? filters(input) : nothing}</div>
    ${input.total > 0 ? summary(input) : nothing}
  </div>`;
}

function filters({ query, cycles, narrow, change }: ToolbarInput): TemplateResult {
  const { show, cycle, sort } = query;
  return html`
    ${select("Outcome or review", show, (value) => change({ show: value as Show }), [
      ...SHOWS,
      ...OUTCOMES.filter((outcome) => outcome !== "valid").map((outcome): [Show, string] => [
        outcome,
        OUTCOME_MARKS[outcome].label,
      ]),
    ])}
    ${select("Cycle", String(cycle ?? ""), (value) => change({ cycle: value === "" ? null : Number(value) }), [
      ["", "All cycles"],
      ...cycles.map(({ cycle: number }): [string, string] => [
        String(number),
        number === 0 ? "Seeds" : `Cycle ${number}`,
      ]),
    ])}
    ${narrow ? sorting(sort, (next) => change({ sort: next })) : nothing}`;
}

function sorting(sort: Sort, change: (sort: Sort) => void): TemplateResult {
  const { key, descending } = sort;
  return html`<span class="sort">
    ${select(
      "Sort by",
      key,
      (value) => change({ key: value as SortKey, descending }),
      SORT_KEYS.map((each): [string, string] => [each, `Sort: ${SORT_LABELS[each].toLowerCase()}`]),
    )}
    <button type="button" class="icon-button" aria-label=${descending ? "Sort ascending" : "Sort descending"}
      title=${descending ? "Descending: press for ascending" : "Ascending: press for descending"}
      @click=${() => change({ key, descending: !descending })}>${icon(descending ? "arrow-down" : "arrow-up")}</button>
  </span>`;
}

function select(
  label: string,
  value: string,
  change: (value: string) => void,
  options: [string, string][],
): TemplateResult {
  return html`<span class="select">
    <select aria-label=${label} title=${label} @change=${(event: Event) => change((event.target as HTMLSelectElement).value)}>
      ${options.map(([each, text]) => html`<option value=${each} .selected=${each === value}>${text}</option>`)}
    </select>${icon("chevron-down")}
  </span>`;
}

const MANY: CandidateAction[] = ["accept", "reject", "evaluateAgain"];

function summary({ query, shown, total, selected, clear, run }: ToolbarInput): TemplateResult {
  const count = isFiltered(query)
    ? `${shown.toLocaleString("en")} of ${plural(total, "candidate")}`
    : plural(total, "candidate");
  const many = selected.length > 1;
  return html`<div class="summary">
    <span class="count">${count}${many ? `, ${selected.length.toLocaleString("en")} selected` : ""}</span>
    ${isFiltered(query) && shown > 0 && !many ? html`<button type="button" class="link" @click=${clear}>Clear filters</button>` : nothing}
    ${
      many
        ? html`<span class="many">${MANY.map((action) => {
            const ids = selected.filter((candidate) => can(action, candidate)).map(({ id }) => id);
            const { label, icon: name } = ACTION_MARKS[action];
            const title = `${label}: ${ids.length} of ${selected.length} selected`;
            return html`<button type="button" class="icon-button" ?disabled=${ids.length === 0} title=${title} aria-label=${title}
              @click=${() => run(action, ids)}>${icon(name)}</button>`;
          })}</span>`
        : nothing
    }
  </div>`;
}
