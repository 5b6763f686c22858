/** The designer between cycles: what it could be tuned on, and the way back to its parent. */
import { html, nothing, type TemplateResult } from "lit";
import { currentGeneration, generationName, probeText, rollBackTarget, tuningOffer } from "../shared/generations.ts";
import { post } from "../shared/host.ts";
import { icon } from "../shared/icon.ts";
import type { Model } from "../shared/model.ts";

export function designerView(model: Model): TemplateResult {
  const { label, text, why, enabled } = tuningOffer(model);
  const current = currentGeneration(model.generations);
  const back = rollBackTarget(model.generations);
  const probed = current?.probe ? `Generation ${current.generation}: ${probeText(current.probe)}. ` : "";
  return html`<section class="designer" aria-label="Designer">
    <span class="offer" title="${probed}${why}">${text}</span>
    ${
      back === null
        ? nothing
        : html`<button type="button" class="icon-button" title="Roll back to ${generationName(back)}" aria-label="Roll back to ${generationName(back)}"
            @click=${() => post({ type: "useGeneration", generation: back })}>${icon("discard")}</button>`
    }
    <vscode-button secondary ?disabled=${!enabled} aria-disabled=${!enabled}
      title=${why}
      @click=${() => enabled && post({ type: "command", command: "fineTune" })}>${label}</vscode-button>
  </section>`;
}
