/** The side panel: the study in a line, the cycle in one click, and its candidates. */
import { html, LitElement, nothing, type PropertyValues, type TemplateResult } from "lit";
import type { Activity, RunState, StudyView } from "../../src/engine/protocol.ts";
import type { Candidate, DesignMode } from "../../src/study/types.ts";
import { blockedView, problem } from "../shared/blocked.ts";
import { type Blocked, type CandidateAction, MOST_CANDIDATES, type ToWebview } from "../shared/contract.ts";
import { fixFor } from "../shared/fixes.ts";
import { designerName } from "../shared/generations.ts";
import { onMessage, post, restore, save } from "../shared/host.ts";
import { icon, SPIN } from "../shared/icon.ts";
import { applyChanges, fromSnapshot, type Model } from "../shared/model.ts";
import { runText } from "../shared/work.ts";
import { cycleEnds, endings, generationNews } from "./announce.ts";
import { cycleView } from "./cycle-view.ts";
import { designerView } from "./designer-view.ts";
import type { CandidateGrid, GridHandlers, GridInput } from "./grid.ts";
import { nextSort, type Query, rowsOf } from "./query.ts";
import { NOTHING_SELECTED, type Selection, several } from "./selection.ts";
import { toolbarView } from "./toolbar.ts";
import { tuningView } from "./tuning-view.ts";
import { forStudy, INITIAL_VIEW, type ViewState } from "./view-state.ts";

export class Panel extends LitElement {
  #blocked: Blocked | null = null;
  #model: Model | null = null;
  /** A new snapshot is on its way: changes until then are of no use. */
  #refreshing = false;
  #view: ViewState = restore(INITIAL_VIEW);
  /** What the settings say of the next cycle, until the user says otherwise here. */
  #candidatesPerCycle = 8;
  #selection: Selection = { ...several(this.#view.selected), active: this.#view.active, anchor: this.#view.active };
  /** The extension knows what is selected. */
  #told = false;
  #rows: Candidate[] = [];
  #rowsStale = true;
  #gridInput: GridInput | null = null;
  #written = "";
  #announcement = "";
  #narrow = true;
  #followText = true;
  /** The keyboard is on the controls of the cycle. */
  #steering = false;

  override connectedCallback(): void {
    super.connectedCallback();
    this.role = "main";
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
        this.#model = fromSnapshot(message.snapshot);
        this.#refreshing = false;
        this.#rowsStale = true;
        this.#lookAt(message.snapshot.study.dir);
        this.#followWatched(true);
        break;
      case "changes":
        this.#change(message);
        break;
      case "written":
        if (message.id === this.#view.watched) this.#written = message.text;
        break;
      case "writing":
        if (message.id === this.#view.watched) this.#written += message.piece;
        break;
      case "blocked":
        this.#blocked = message.why;
        this.#model = null;
        break;
      case "select":
        this.#select(several(message.ids), false);
        this.updateComplete.then(() => message.ids[0] !== undefined && this.#grid?.scrollToRow(message.ids[0]));
        break;
      case "settings":
        this.#candidatesPerCycle = message.candidatesPerCycle;
        break;
      case "showGeneration":
        break;
    }
    this.requestUpdate();
  }

  /** What was chosen among the rows of another study means other nets here. */
  #lookAt(study: string): void {
    if (this.#view.study === "") {
      this.#remember({ study });
    } else if (this.#view.study !== study) {
      this.#selection = NOTHING_SELECTED;
      this.#remember(forStudy(this.#view, study));
      this.#grid?.restoreScroll(0);
    } else if (!this.#told && this.#selection.ids.size > 0) {
      // The page remembers across a reload of the window; the extension does not.
      post({ type: "select", ids: [...this.#selection.ids] });
    }
    this.#told = true;
  }

  #change(message: Extract<ToWebview, { type: "changes" }>): void {
    const model = this.#model;
    if (!model || this.#refreshing) return;
    const { cycles, generations } = model;
    const before = applyChanges(model, message);
    if (before === "stale") return;
    if (before === "gap") {
      this.#refreshing = true;
      post({ type: "refresh" });
      return;
    }
    if (before.size > 0) this.#rowsStale = true;
    const said = [
      endings(before, model.candidates),
      cycleEnds(cycles, model.cycles),
      generationNews(generations, model.generations),
    ].filter((part) => part !== "");
    if (said.length > 0) this.#announcement = said.join(" ");
    this.#followWatched(false);
  }

  /** The text closes when its candidate has ended; `again` asks for it as a page that knows nothing of it yet. */
  #followWatched(again: boolean): void {
    const { watched } = this.#view;
    if (watched === null) return;
    const underway = this.#model?.activity.underway.some(({ id }) => id === watched) ?? false;
    if (!underway) this.#watch(null);
    else if (again) post({ type: "watch", id: watched });
  }

  #watch(id: number | null): void {
    this.#written = "";
    this.#followText = true;
    this.#remember({ watched: id });
    post({ type: "watch", id });
  }

  #remember(part: Partial<ViewState>): void {
    this.#view = { ...this.#view, ...part };
    save(() => this.#view);
    this.requestUpdate();
  }

  #select(selection: Selection, tell = true): void {
    const changed = selection.ids !== this.#selection.ids;
    this.#selection = selection;
    this.#remember({ selected: [...selection.ids], active: selection.active });
    if (tell && changed) post({ type: "select", ids: [...selection.ids] });
  }

  get #grid(): CandidateGrid | null {
    return this.querySelector<CandidateGrid>("netwright-candidates");
  }

  get #query(): Query {
    const { search, show, cycle, sortKey: key, descending } = this.#view;
    return { search, show, cycle, sort: { key, descending } };
  }

  #requery({ sort, ...rest }: Partial<Query>): void {
    this.#rowsStale = true;
    this.#remember({ ...rest, ...(sort ? { sortKey: sort.key, descending: sort.descending } : {}) });
  }

  readonly #clearFilters = (): void => this.#requery({ search: "", show: "all", cycle: null });

  readonly #run = (action: CandidateAction, ids: number[]): void => post({ type: "run", action, ids });

  readonly #gridHandlers: GridHandlers = {
    select: (selection) => this.#select(selection),
    run: this.#run,
    sort: (key) => this.#requery({ sort: nextSort(this.#query.sort, key) }),
    scroll: (scrollTop) => {
      this.#view.scrollTop = scrollTop;
      save(() => this.#view);
    },
    layout: (narrow) => {
      this.#narrow = narrow;
      this.requestUpdate();
    },
  };

  protected override willUpdate(): void {
    const { activeElement, body } = document;
    if (activeElement !== body) this.#steering = activeElement?.closest(".controls") != null;
    const model = this.#model;
    if (!model || !this.#rowsStale) return;
    this.#rowsStale = false;
    this.#rows = rowsOf(model.candidates.values(), this.#query);
  }

  protected override render(): TemplateResult {
    const model = this.#model;
    return html`
      ${this.#blocked ? blockedView(this.#blocked) : model ? this.#studyView(model) : blockedView({ kind: "connecting" })}
      <div class="announcer unseen" role="status" aria-live="polite">${this.#announcement}</div>`;
  }

  protected override updated(_changed: PropertyValues): void {
    // A button that had the keyboard gave way to another, as Step Cycle does to Stop.
    if (this.#steering && document.hasFocus() && document.activeElement === document.body) {
      const button = this.querySelector<LitElement>(".controls vscode-button:not([disabled])");
      void button?.updateComplete.then(() => button.focus());
    }
    const pre = this.querySelector<HTMLElement>("#written");
    if (pre && this.#followText) pre.scrollTop = pre.scrollHeight;
    if (pre && !pre.onscroll) {
      // Reading back stops the following; coming to the end takes it up again.
      pre.onscroll = () => {
        this.#followText = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 8;
      };
    }
    const grid = this.#grid;
    if (grid && !this.#gridSeen) {
      this.#gridSeen = true;
      grid.restoreScroll(this.#view.scrollTop);
    }
    if (!grid) this.#gridSeen = false;
  }
  #gridSeen = false;

  #studyView(model: Model): TemplateResult {
    const { activity, study } = model;
    const { watched } = this.#view;
    return html`
      <div class="head">
        ${headerLine(model)}
        ${this.#controls(study, activity)}
        ${activity.error && activity.state === "idle" ? errorView(activity.error) : nothing}
        ${
          activity.tuning
            ? tuningView(activity.tuning, activity.setup)
            : cycleView(activity, {
                id: watched,
                text: this.#written,
                toggle: (id) => this.#watch(id === watched ? null : id),
              })
        }
        ${activity.state === "idle" && model.candidates.size > 0 ? designerView(model) : nothing}
      </div>
      ${model.candidates.size === 0 ? emptyView(activity, study) : this.#candidates(model)}`;
  }

  #controls(study: StudyView, activity: Activity): TemplateResult {
    const { state, interrupted } = activity;
    if (state === "stopping") {
      return html`<div class="controls">
        <vscode-button block secondary class="step" disabled aria-disabled="true">${icon("loading", SPIN)} Stopping…</vscode-button>
      </div>`;
    }
    if (state !== "idle") {
      const kept = activity.tuning ? "fine-tuning goes on later where it was" : "the cycle can be resumed";
      return html`<div class="controls">
        <vscode-button block secondary class="step" title="Stop: what is recorded is kept, and ${kept}"
          @click=${() => post({ type: "stop" })}>${icon("debug-stop")} Stop</vscode-button>
        ${activity.run ? runView(activity.run, activity.tuning !== null) : nothing}
      </div>`;
    }
    if (interrupted !== null) {
      return html`<div class="controls">
        <vscode-button block class="step" @click=${() => post({ type: "resume" })}>${icon("debug-continue")} Resume Cycle ${interrupted}</vscode-button>
        <p class="hint">Cycle ${interrupted} was interrupted. What it has recorded is kept.</p>
      </div>`;
    }
    const candidates = this.#nextCandidates;
    const mode: DesignMode = this.#view.mode === "study" ? study.mode : this.#view.mode;
    return html`<div class="controls">
      <vscode-button block class="step" title="Design, check, compare and train ${candidates} candidates"
        @click=${() => post({ type: "step", candidates, mode })}>${icon("play")} Step Cycle</vscode-button>
      <span class="options">
        <vscode-textfield type="number" class="count" min="1" max=${MOST_CANDIDATES} .label=${"Candidates in the next cycle"}
          title="Candidates in the next cycle" .value=${String(candidates)} @change=${this.#onCount}></vscode-textfield>
        <span class="word" aria-hidden="true">nets as</span>
        <span class="select">
          <select aria-label="How candidates are written" title="Whole files, or diffs against a parent"
            @change=${(event: Event) => this.#remember({ mode: (event.target as HTMLSelectElement).value as DesignMode })}>
            <option value="full" .selected=${mode === "full"}>full files</option>
            <option value="delta" .selected=${mode === "delta"}>diffs</option>
          </select>${icon("chevron-down")}
        </span>
      </span>
    </div>`;
  }

  get #nextCandidates(): number {
    return this.#view.candidates ?? this.#candidatesPerCycle;
  }

  readonly #onCount = (event: Event): void => {
    const field = event.target as HTMLInputElement;
    const count = Math.round(Number(field.value));
    const candidates = count >= 1 ? Math.min(count, MOST_CANDIDATES) : this.#nextCandidates;
    field.value = String(candidates);
    this.#remember({ candidates });
  };

  #candidates(model: Model): TemplateResult {
    const rows = this.#rows;
    const { ids } = this.#selection;
    const selected = ids.size > 1 ? rows.filter(({ id }) => ids.has(id)) : [];
    return html`
      ${toolbarView({
        query: this.#query,
        filtersOpen: this.#view.filtersOpen,
        narrow: this.#narrow,
        cycles: model.cycles,
        shown: rows.length,
        total: model.candidates.size,
        selected,
        change: (query) => this.#requery(query),
        toggleFilters: () => this.#remember({ filtersOpen: !this.#view.filtersOpen }),
        clear: this.#clearFilters,
        run: this.#run,
      })}
      ${
        rows.length === 0
          ? html`<div class="welcome">
              <p>No candidate matches the search and the filters.</p>
              <vscode-button block secondary @click=${this.#clearFilters}>Clear Filters</vscode-button>
            </div>`
          : html`<netwright-candidates .handlers=${this.#gridHandlers} .input=${this.#inputFor(model)}></netwright-candidates>
              <span id="grid-keys" hidden>Enter opens, A accepts, X rejects, Space selects, Tab leads to the row's buttons.</span>`
      }`;
  }

  /** The same object as long as nothing in it changed: the grid then has nothing to do. */
  #inputFor(model: Model): GridInput {
    const last = this.#gridInput;
    const { key, descending } = this.#query.sort;
    const stages = new Map(model.activity.underway.map(({ id, stage }) => [id, stage]));
    const same =
      last &&
      last.rows === this.#rows &&
      last.candidates === model.candidates &&
      last.selection === this.#selection &&
      last.sort.key === key &&
      last.sort.descending === descending &&
      last.stages.size === stages.size &&
      [...stages].every(([id, stage]) => last.stages.get(id) === stage);
    if (same) return last;
    const sort = last?.sort.key === key && last.sort.descending === descending ? last.sort : { key, descending };
    this.#gridInput = { rows: this.#rows, candidates: model.candidates, stages, selection: this.#selection, sort };
    return this.#gridInput;
  }
}

/** How far a run of cycles is. The button stays the same one when it turns round, and so keeps the keyboard. */
function runView(run: RunState, tuning: boolean): TemplateResult {
  const { pausing } = run;
  return html`<vscode-button block secondary class="pause"
      title=${pausing ? "Go on after this cycle" : "Pause: the cycle under way ends, no other begins"}
      @click=${() => post({ type: "command", command: pausing ? "continueRun" : "pauseRun" })}
      >${icon(pausing ? "debug-continue" : "debug-pause")} ${pausing ? "Continue" : "Pause"}</vscode-button>
    <p class="hint run">Run: ${runText(run, tuning, Date.now())}${pausing ? `. Pauses after this ${tuning ? "tuning" : "cycle"}` : ""}</p>`;
}

function headerLine({ study, activity: { designer, trainer }, generations }: Model): TemplateResult {
  const facts = [designerName(generations, designer), trainer?.deviceName.replace(/^NVIDIA /, "") ?? null].filter(
    (fact) => fact !== null,
  );
  const title = [
    `Study: ${study.name}`,
    `Data: ${study.protocol.dataset}, protocol: ${study.protocol.name}`,
    designer ? `Designer: ${designer.model} through ${designer.provider} on ${designer.device}` : null,
    trainer ? `Trainer: ${trainer.deviceName} (${trainer.device}), PyTorch ${trainer.torch}` : null,
    trainer ? `Sandbox: ${trainer.sandbox.join(", ") || "none"}` : null,
  ]
    .filter((line) => line !== null)
    .join("\n");
  return html`<div class="study" title=${title}>
    <h1>${study.name}</h1>
    <span class="facts">${facts.length > 0 ? facts.join(" · ") : `${study.protocol.dataset}, ${study.protocol.name} protocol`}</span>
  </div>`;
}

function errorView({ code, message }: { code: string; message: string }): TemplateResult {
  const fix = fixFor(code);
  return html`<div class="failure">
    ${problem(message)}
    <div class="buttons">
      ${fix ? html`<vscode-button @click=${() => post(fix.message)}>${fix.label}</vscode-button>` : nothing}
      <vscode-button secondary @click=${() => post({ type: "command", command: "showLog" })}>Show Log</vscode-button>
    </div>
  </div>`;
}

function emptyView({ state }: Activity, { threshold, policy }: StudyView): TemplateResult {
  if (state !== "idle") {
    return html`<div class="welcome"><p>Candidates appear here as they are designed.</p></div>`;
  }
  return html`<div class="welcome">
    <p>No candidates yet. <b>Step Cycle</b> runs one pass of the loop:</p>
    <ol>
      <li>the model on this machine designs networks as PyTorch code;</li>
      <li>each is checked, and compared with everything seen before;</li>
      <li>what passes is trained for one epoch, in a sandbox;</li>
      <li>new nets with an accuracy of ${Math.round(100 * threshold)} % or more are ${policy === "automatic" ? "accepted" : "proposed, and you accept or reject them"}.</li>
    </ol>
    <p>You can close the window meanwhile: the cycle goes on.</p>
  </div>`;
}

customElements.define("netwright-panel", Panel);
