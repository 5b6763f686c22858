/** The running cycle: what is installed or loaded, how far each stage is, who is under way, and the net being written. */
import { html, nothing, type TemplateResult } from "lit";
import type { CycleProgress } from "../../src/engine/events.ts";
import type { Activity, Underway } from "../../src/engine/protocol.ts";
import { quantity, roughDuration } from "../shared/format.ts";
import { icon, SPIN } from "../shared/icon.ts";
import { OUTCOME_MARKS, STAGE_LABELS } from "../shared/outcomes.ts";

export interface Writing {
  /** Whose text is open. */
  id: number | null;
  text: string;
  toggle(id: number): void;
}

export function cycleView(activity: Activity, writing: Writing): TemplateResult | typeof nothing {
  const { state, setup, progress, underway } = activity;
  if (state === "idle" && !setup) return nothing;
  const title = headline(activity);
  return html`<section class="running" aria-label="Running cycle">
    <div class="headline">
      <h2>${title}</h2>
      ${progress?.secondsLeft != null && state === "running" ? html`<span class="left">${roughDuration(progress.secondsLeft)} left</span>` : nothing}
    </div>
    ${setup ? setupView(setup) : progressBar(progress, title)}
    ${progress && !setup ? html`<ul class="stages" aria-label="Stages">${stages(progress)}</ul>` : nothing}
    ${underway.length > 0 ? html`<ul class="underway" aria-label="Candidates under way">${underway.map((each) => underwayView(each, writing))}</ul>` : nothing}
  </section>`;
}

function headline({ state, cycle, mode, setup }: Activity): string {
  if (cycle === null) return state === "running" && !setup ? "Measuring known nets" : "Getting ready";
  return `Cycle ${cycle}${mode === "delta" ? ", diffs" : ""}`;
}

export function setupView({ what, done, total, unit }: NonNullable<Activity["setup"]>): TemplateResult {
  const known = total !== null && total > 0;
  const figure = known ? `${quantity(done, unit)} of ${quantity(total, unit)}` : done > 0 ? quantity(done, unit) : "";
  return html`<div class="setup">
    ${
      known
        ? html`<vscode-progress-bar aria-label=${what} .value=${(100 * done) / total}></vscode-progress-bar>`
        : html`<vscode-progress-bar aria-label=${what} indeterminate></vscode-progress-bar>`
    }
    <div class="setup-line"><span class="what" title=${what}>${what}</span><span class="figure">${figure}</span></div>
  </div>`;
}

function progressBar(progress: CycleProgress | null, label: string): TemplateResult {
  if (!progress || progress.planned === 0) {
    return html`<vscode-progress-bar aria-label=${label} indeterminate></vscode-progress-bar>`;
  }
  return html`<vscode-progress-bar aria-label="${label}: candidates ended" .max=${progress.planned} .value=${progress.finished}></vscode-progress-bar>`;
}

/** "Trained" is out of those that the check let through so far: what ended untrained never will be. */
function stages({ planned, designed, checked, trained, finished }: CycleProgress): TemplateResult[] {
  const trainable = Math.max(trained, checked - Math.max(0, finished - trained));
  return [
    ["Designed", designed, planned],
    ["Checked", checked, planned],
    ["Trained", trained, trainable],
    ["Done", finished, planned],
  ].map(
    ([label, count, of]) =>
      html`<li><span class="label">${label}</span> <span class="figure">${count}<span class="of">/${of}</span></span></li>`,
  );
}

function underwayView({ id, name, stage, because, training }: Underway, writing: Writing): TemplateResult {
  const open = writing.id === id;
  const writes = stage === "designing" || stage === "repairing";
  const detail = training
    ? `${Math.floor((100 * training.batch) / Math.max(1, training.batches))} %`
    : because
      ? `after ${OUTCOME_MARKS[because.outcome].label.toLowerCase()}`
      : "";
  const line = html`<span class="name">${name}</span
    ><span class="stage" title=${because?.message ?? nothing}>${STAGE_LABELS[stage]}${detail ? html` <span class="detail">${detail}</span>` : nothing}</span>`;
  return html`<li>
    ${
      writes || open
        ? html`<button type="button" class="line" aria-expanded=${open} aria-controls=${open ? "written" : nothing}
            title=${open ? "Hide what is being written" : "Show what is being written"} @click=${() => writing.toggle(id)}>
            ${icon(open ? "chevron-down" : "chevron-right")}${line}
          </button>`
        : html`<span class="line">${stage === "waiting" ? icon("circle-outline") : icon("loading", `${SPIN} tone-busy`)}${line}</span>`
    }
    ${
      open
        ? html`<pre id="written" class="written" tabindex="0" role="region" aria-live="off" aria-label="What ${name} is being written as"
            >${writing.text || "Waiting for the first words…"}</pre>`
        : nothing
    }
  </li>`;
}
