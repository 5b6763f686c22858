/**
 * The table of candidates: an ARIA grid whose rows are drawn only where they are in sight. The keyboard is on the grid itself
 * (`aria-activedescendant`), as in VS Code's lists; the active row is always drawn, so that it can be named and its buttons reached.
 */
import { html, LitElement, nothing, type TemplateResult } from "lit";
import { classMap } from "lit/directives/class-map.js";
import { guard } from "lit/directives/guard.js";
import { repeat } from "lit/directives/repeat.js";
import type { Stage } from "../../src/engine/events.ts";
import { decisionAccuracy } from "../../src/study/admission.ts";
import type { Candidate } from "../../src/study/types.ts";
import { ACTION_MARKS, can, contextOf } from "../shared/actions.ts";
import { CANDIDATE_ACTIONS, type CandidateAction } from "../shared/contract.ts";
import { amount, decimal, EMPTY, percent, shortName } from "../shared/format.ts";
import { icon, SPIN } from "../shared/icon.ts";
import { outcomeMark, outcomeTitle, reviewMark } from "../shared/outcomes.ts";
import { styled } from "../shared/styled.ts";
import type { Sort, SortKey } from "./query.ts";
import * as selecting from "./selection.ts";
import { rowsInSight, scrollToReveal } from "./window.ts";

/** Narrower than this, a row takes two lines. Pixels. */
const WIDE = 600;
/** Wide enough for the review in words. */
const ROOMY = 720;
/** As in panel.css. */
const ROW_HEIGHT = { narrow: 44, wide: 22 };
const HEADER_HEIGHT = 24;

const COLUMNS: { key: SortKey; title: string; label: string }[] = [
  { key: "name", title: "Name", label: "Name" },
  { key: "outcome", title: "Outcome", label: "Outcome" },
  { key: "accuracy", title: "Accuracy", label: "First-epoch accuracy" },
  { key: "text", title: "Text", label: "Text novelty" },
  { key: "structure", title: "Structure", label: "Structure novelty" },
  { key: "parameters", title: "Params", label: "Parameters" },
  { key: "parent", title: "Parent", label: "Parent" },
  { key: "cycle", title: "Cycle", label: "Cycle" },
  { key: "review", title: "Review", label: "Review" },
];

export interface GridInput {
  rows: readonly Candidate[];
  candidates: ReadonlyMap<number, Candidate>;
  /** Of candidates under way. */
  stages: ReadonlyMap<number, Stage>;
  selection: selecting.Selection;
  sort: Sort;
}

export interface GridHandlers {
  select(selection: selecting.Selection): void;
  run(action: CandidateAction, ids: number[]): void;
  sort(key: SortKey): void;
  scroll(top: number): void;
  /** Whether the table is narrow, each time that changes: sorting then needs a control of its own. */
  layout(narrow: boolean): void;
}

export class CandidateGrid extends LitElement {
  #input: GridInput | null = null;
  #order: number[] = [];
  /** The selected rows, as far as they are shown, and what a context menu on them gets. */
  #chosen: Candidate[] = [];
  #chosenContext: string | null = null;
  #handlers: GridHandlers | null = null;
  #width = 0;
  #height = 0;
  #scrollTop = 0;
  #hovered: number | null = null;
  /** A press brings the keyboard here, and says itself which row it is on. */
  #pressing = false;
  /** Where to scroll once there are rows: restored from before the page was hidden. */
  #restoreScroll: number | null = null;
  readonly #resized = new ResizeObserver(([entry]) => {
    if (!entry) return;
    const before = this.narrow;
    this.#width = entry.contentRect.width;
    this.#height = entry.contentRect.height;
    if (this.narrow !== before) this.#handlers?.layout(this.narrow);
    this.requestUpdate();
  });

  set input(input: GridInput) {
    const last = this.#input;
    if (input === last) return;
    if (input.rows !== last?.rows) this.#order = input.rows.map(({ id }) => id);
    if (input.rows !== last?.rows || input.selection !== last.selection) {
      this.#chosen = chosenOf(input);
      this.#chosenContext = this.#chosen.length > 0 ? JSON.stringify(contextOf(this.#chosen)) : null;
    }
    this.#input = input;
    this.requestUpdate();
  }

  set handlers(handlers: GridHandlers) {
    this.#handlers = handlers;
  }

  get narrow(): boolean {
    return this.#width < WIDE;
  }

  scrollToRow(id: number): void {
    const index = this.#order.indexOf(id);
    if (index < 0) return;
    this.scrollTop = scrollToReveal(index, this.scrollTop, this.#height - this.#headerHeight, this.#rowHeight);
  }

  restoreScroll(top: number): void {
    this.#restoreScroll = top;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#resized.observe(this);
    this.tabIndex = 0;
    this.role = "grid";
    this.ariaMultiSelectable = "true";
    this.ariaLabel = "Candidates";
    this.setAttribute("aria-colcount", String(COLUMNS.length));
    this.setAttribute("aria-describedby", "grid-keys");
    this.addEventListener("scroll", this.#onScroll, { passive: true });
    this.addEventListener("keydown", this.#onKey);
    this.addEventListener("focus", this.#onFocus);
    this.addEventListener("mouseleave", () => this.#hover(null));
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#resized.disconnect();
  }

  /** In the light: VS Code's context menus and the icon font do not reach into shadow trees. */
  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  get #rowHeight(): number {
    return this.narrow ? ROW_HEIGHT.narrow : ROW_HEIGHT.wide;
  }

  get #headerHeight(): number {
    return this.narrow ? 0 : HEADER_HEIGHT;
  }

  protected override render(): TemplateResult | typeof nothing {
    const input = this.#input;
    if (!input || this.#width === 0) return nothing;
    const { rows, selection } = input;
    const { first, end } = rowsInSight(
      this.#scrollTop,
      this.#height - this.#headerHeight,
      this.#rowHeight,
      rows.length,
    );
    const indices = Array.from({ length: end - first }, (_, i) => first + i);
    const active = selection.active === null ? -1 : this.#order.indexOf(selection.active);
    if (active >= 0 && active < first) indices.unshift(active);
    if (active >= end) indices.push(active);
    return html`
      ${guard([this.narrow, input.sort], () => this.#header(input.sort))}
      <div class="rows" role="rowgroup" data-vscode-context=${this.#chosenContext ?? nothing} ${styled({ height: `${rows.length * this.#rowHeight}px` })}
        @mousedown=${this.#onMouseDown} @mouseover=${this.#onMouseOver} @dblclick=${this.#onDoubleClick}>
        ${repeat(
          indices,
          (index) => this.#order[index],
          (index) => this.#row(index, rows[index] as Candidate, input),
        )}
      </div>`;
  }

  protected override updated(): void {
    const input = this.#input;
    if (!input) return;
    const { active } = input.selection;
    const shown = active !== null && this.querySelector(`#row-${active}`) !== null;
    this.#attribute("aria-rowcount", String(input.rows.length + 1));
    this.#attribute("aria-activedescendant", shown ? `row-${active}` : null);
    // The menu key and Shift+F10 ask on the grid: it speaks for the selection.
    this.#attribute("data-vscode-context", this.#activeContext(input));
    this.#attribute("class", `${this.narrow ? "narrow" : ""} ${this.#width >= ROOMY ? "roomy" : ""}`.trim());
    if (this.#restoreScroll !== null && this.#height > 0 && input.rows.length > 0) {
      this.scrollTop = this.#restoreScroll;
      this.#restoreScroll = null;
    }
  }

  #activeContext({ selection: { active, ids }, candidates }: GridInput): string | null {
    if (active === null || ids.has(active)) return this.#chosenContext;
    const candidate = candidates.get(active);
    return candidate ? JSON.stringify(contextOf([candidate])) : null;
  }

  /** Writes what changed, and nothing else. */
  #attribute(name: string, value: string | null): void {
    if (value === this.getAttribute(name)) return;
    if (value === null) this.removeAttribute(name);
    else this.setAttribute(name, value);
  }

  #header(sort: Sort): TemplateResult {
    const cell = ({ key, title, label }: (typeof COLUMNS)[number]) => {
      const sorted = sort.key === key;
      const direction = sorted ? (sort.descending ? "descending" : "ascending") : "none";
      // In the two-line layout the headers only name the cells to a screen reader; sorting is in the menu above.
      if (this.narrow)
        return html`<span role="columnheader" class="cell ${key}" aria-sort=${direction}>${label}</span>`;
      return html`<span role="columnheader" class="cell ${key}" aria-sort=${direction}>
        <button type="button" title="Sort by ${label.toLowerCase()}" @click=${() => this.#handlers?.sort(key)}>
          <span class="title">${title}</span>${sorted ? icon(sort.descending ? "arrow-down" : "arrow-up") : nothing}
        </button>
      </span>`;
    };
    return html`<div class="header" role="rowgroup">
      <div class="row" role="row" aria-rowindex="1">${COLUMNS.map(cell)}</div>
    </div>`;
  }

  #row(index: number, candidate: Candidate, { selection, stages, candidates }: GridInput): unknown {
    const { id } = candidate;
    const stage = stages.get(id) ?? null;
    const parent = candidate.parent === null ? null : (candidates.get(candidate.parent) ?? null);
    const active = selection.active === id;
    const selected = selection.ids.has(id);
    const hovered = this.#hovered === id;
    return guard([candidate, stage, parent?.name, index, active, selected, hovered, this.#rowHeight], () => {
      const outcome = outcomeMark(candidate, stage);
      const review = reviewMark(candidate);
      const accuracy = decisionAccuracy(candidate.accuracy);
      const spin = outcome.tone === "busy" ? SPIN : "";
      return html`<div
        id="row-${id}"
        role="row"
        class=${classMap({ row: true, active, selected, failed: outcome.tone === "bad" || outcome.tone === "warning" })}
        data-id=${id}
        data-vscode-context=${selected ? nothing : JSON.stringify(contextOf([candidate]))}
        aria-rowindex=${index + 2}
        aria-selected=${selected}
        ${styled({ transform: `translateY(${index * this.#rowHeight}px)` })}
      >
        <span role="gridcell" class="cell name" title=${candidate.name}>
          ${icon(outcome.icon, `tone-${outcome.tone} ${spin}`)}<span class="text">${candidate.name}</span>
        </span>
        <span role="gridcell" class="cell outcome" title=${outcomeTitle(candidate, outcome)}>
          <span class="label">${outcome.label}</span>${candidate.error ? html`<span class="message">${candidate.error.message}</span>` : nothing}
        </span>
        <span role="gridcell" class="cell accuracy ${accuracy === null ? "none" : ""}" title=${accuracyTitle(candidate)}>
          <span class="bar"><span ${styled({ transform: `scaleX(${accuracy ?? 0})` })}></span></span>
          <span class="figure">${percent(accuracy)}</span>
        </span>
        ${figure("text", "text", "Text novelty", decimal(candidate.novelty.text))}
        ${figure("structure", "struct.", "Structure novelty", decimal(candidate.novelty.structure))}
        ${figure("parameters", "", "Parameters", amount(candidate.parameters), candidate.parameters?.toLocaleString("en"))}
        <span role="gridcell" class="cell parent ${parent ? "" : "none"}" title=${parent ? `Parent: ${parent.name}` : nothing}>
          ${parent ? html`<span class="unit">from</span> ${shortName(parent.name)}` : EMPTY}
        </span>
        <span role="gridcell" class="cell cycle"><span class="unit">cycle</span> ${candidate.cycle}</span>
        <span role="gridcell" class="cell review" title=${reviewTitle(candidate, review?.label)}>
          ${review ? html`${icon(review.icon, `tone-${review.tone}`)}<span class="label">${review.label}</span>` : nothing}
          ${active || hovered ? this.#actions(candidate, active) : nothing}
        </span>
      </div>`;
    });
  }

  #actions(candidate: Candidate, active: boolean): TemplateResult {
    return html`<span class="actions">
      ${CANDIDATE_ACTIONS.filter((action) => can(action, candidate)).map((action) => {
        const { label, icon: name, key } = ACTION_MARKS[action];
        return html`<button type="button" class="icon-button" tabindex=${active ? 0 : -1} data-action=${action}
          title=${key ? `${label} (${key})` : label} aria-label="${label} ${candidate.name}"
          @click=${() => this.#handlers?.run(action, [candidate.id])}>${icon(name)}</button>`;
      })}
    </span>`;
  }

  /** A row that is selected stands for the whole selection, as far as it is shown. */
  #actedOn(id: number): readonly Candidate[] {
    const input = this.#input;
    if (!input) return [];
    if (input.selection.ids.has(id)) return this.#chosen;
    const candidate = input.candidates.get(id);
    return candidate ? [candidate] : [];
  }

  #hover(id: number | null): void {
    if (id === this.#hovered) return;
    this.#hovered = id;
    this.requestUpdate();
  }

  readonly #onMouseOver = (event: MouseEvent): void => this.#hover(rowId(event));

  readonly #onMouseDown = (event: MouseEvent): void => {
    const id = rowId(event);
    const input = this.#input;
    if (id === null || !input || (event.target as Element).closest("button")) return;
    // The context menu of a selected row is the selection's; that of another row selects it first.
    if (event.button === 2 && input.selection.ids.has(id)) return;
    const keys = { toggle: event.ctrlKey || event.metaKey, extend: event.shiftKey };
    this.#handlers?.select(selecting.click(this.#order, input.selection, id, event.button === 2 ? NO_KEYS : keys));
    this.#pressing = true;
    this.focus({ preventScroll: true });
    this.#pressing = false;
    // Shift would select text.
    event.preventDefault();
  };

  readonly #onDoubleClick = (event: MouseEvent): void => {
    const id = rowId(event);
    if (id !== null && !(event.target as Element).closest("button")) this.#act("open", id);
  };

  readonly #onScroll = (): void => {
    this.#scrollTop = this.scrollTop;
    this.#handlers?.scroll(this.scrollTop);
    this.requestUpdate();
  };

  /** The keyboard needs a row to be on. */
  readonly #onFocus = (): void => {
    const input = this.#input;
    if (!input || this.#pressing) return;
    const { active } = input.selection;
    if (active !== null && this.#order.includes(active)) this.scrollToRow(active);
    else
      this.#moveTo(selecting.move(this.#order, { ...input.selection, active: null }, 1, { keep: true, extend: false }));
  };

  readonly #onKey = (event: KeyboardEvent): void => {
    const input = this.#input;
    if (!input) return;
    if (event.target !== this) {
      if (event.key === "Escape") this.focus();
      return;
    }
    const { selection } = input;
    const command = event.ctrlKey || event.metaKey;
    const rows = this.#rowsOf(event.key);
    if (rows !== null) {
      this.#moveTo(selecting.move(this.#order, selection, rows, { keep: command, extend: event.shiftKey }));
    } else if (command && event.key.toLowerCase() === "a") {
      this.#handlers?.select(selecting.all(this.#order, selection));
    } else if (event.altKey || (command && event.key !== " ")) {
      return;
    } else if (event.key === "Escape" && selection.ids.size > 0) {
      this.#handlers?.select({ ...selection, ids: new Set() });
    } else if (selection.active === null) {
      return;
    } else if (event.key === " ") {
      this.#handlers?.select(selecting.toggle(selection, selection.active));
    } else if (event.key === "Enter") {
      this.#act("open", selection.active);
    } else if (event.key === "a") {
      this.#act("accept", selection.active);
    } else if (event.key === "x") {
      this.#act("reject", selection.active);
    } else {
      return;
    }
    event.preventDefault();
  };

  /** How far a key moves; null when it does not. */
  #rowsOf(key: string): number | null {
    const page = Math.max(1, Math.floor((this.#height - this.#headerHeight) / this.#rowHeight) - 1);
    const moves: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -this.#order.length,
      End: this.#order.length,
    };
    return moves[key] ?? null;
  }

  #moveTo(selection: selecting.Selection): void {
    this.#handlers?.select(selection);
    if (selection.active !== null) this.scrollToRow(selection.active);
  }

  #act(action: CandidateAction, id: number): void {
    const ids = this.#actedOn(id)
      .filter((candidate) => can(action, candidate))
      .map((candidate) => candidate.id);
    if (ids.length > 0) this.#handlers?.run(action, ids);
  }
}

/** One that is selected alone counts also where it is filtered away. In the order in which they were chosen. */
function chosenOf({ selection: { ids }, rows, candidates }: GridInput): Candidate[] {
  const chosen = [...ids].map((id) => candidates.get(id)).filter((candidate) => candidate !== undefined);
  if (chosen.length < 2) return chosen;
  const shown = new Set(rows);
  return chosen.filter((candidate) => shown.has(candidate));
}

const NO_KEYS = { toggle: false, extend: false };

function rowId(event: Event): number | null {
  const row = (event.target as Element).closest<HTMLElement>("[data-id]");
  return row ? Number(row.dataset.id) : null;
}

function figure(column: string, unit: string, label: string, value: string, exact: string = value): TemplateResult {
  return html`<span role="gridcell" class="cell ${column} ${value === EMPTY ? "none" : ""}" title="${label}: ${exact}">
    ${unit ? html`<span class="unit">${unit}</span>` : nothing} ${value}
  </span>`;
}

function accuracyTitle({ accuracy: { validation, test } }: Candidate): string {
  if (validation === null)
    return test === null ? "Not trained" : `First-epoch accuracy on test images: ${percent(test)}`;
  const shown = test === null ? "" : `; on test images, for information: ${percent(test)}`;
  return `First-epoch accuracy on held-out images: ${percent(validation)}${shown}`;
}

function reviewTitle(candidate: Candidate, label: string | undefined): string | typeof nothing {
  if (!label) return nothing;
  return candidate.reason ? `${label}: ${candidate.reason}` : label;
}

customElements.define("netwright-candidates", CandidateGrid);
