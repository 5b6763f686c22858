/** The generation in the making: its stage, its step, its losses as figures and as a curve. */
import { html, nothing, type TemplateResult } from "lit";
import type { Activity } from "../../src/engine/protocol.ts";
import { loss, roughDuration } from "../shared/format.ts";
import { lossEnds } from "../shared/generations.ts";
import { TUNING_STAGES, tuningCount } from "../shared/work.ts";
import { setupView } from "./cycle-view.ts";
import { lossCurve } from "./loss-curve.ts";

export function tuningView(tuning: NonNullable<Activity["tuning"]>, setup: Activity["setup"]): TemplateResult {
  const { generation, stage, step, steps, losses, tokensPerSecond, secondsLeft } = tuning;
  const title = `Generation ${generation}`;
  const count = tuningCount(tuning);
  return html`<section class="running tuning" aria-label="Fine-tuning">
    <div class="headline">
      <h2>${title}</h2>
      ${secondsLeft === null ? nothing : html`<span class="left">${roughDuration(secondsLeft)} left</span>`}
    </div>
    ${
      setup
        ? setupView(setup)
        : count === ""
          ? html`<vscode-progress-bar aria-label="${title}: ${TUNING_STAGES[stage]}" indeterminate></vscode-progress-bar>`
          : html`<vscode-progress-bar aria-label="${title}: ${TUNING_STAGES[stage]}" .max=${steps} .value=${step}></vscode-progress-bar>`
    }
    <div class="tuning-line">
      <span>${TUNING_STAGES[stage]}${count ? html`, <span class="figure">${count}</span>` : "…"}</span>
      ${tokensPerSecond === null ? nothing : html`<span class="figure">${Math.round(tokensPerSecond).toLocaleString("en")} tokens/s</span>`}
    </div>
    ${lossCurve(losses, stage === "training" ? steps : (losses.at(-1)?.step ?? 0))}
    ${lossLegend(losses)}
    ${stage === "probing" ? html`<p class="hint">It and its parent answer the same questions. It designs only if it does at least as well.</p>` : nothing}
  </section>`;
}

function lossLegend(losses: NonNullable<Activity["tuning"]>["losses"]): TemplateResult | typeof nothing {
  const { training, heldOut } = lossEnds(losses);
  if (!training) return nothing;
  return html`<ul class="losses" aria-label="Losses">
    <li class="training"><span class="key" aria-hidden="true"></span>Loss <span class="figure">${loss(training.last)}</span></li>
    ${
      heldOut
        ? html`<li class="held-out"><span class="key" aria-hidden="true"></span>Held-out <span class="figure">${loss(heldOut.last)}</span></li>`
        : nothing
    }
  </ul>`;
}
