/** The designer between cycles: what it could be tuned on, and the way back to its parent. */
import { html, nothing, type TemplateResult } from "lit";
import { plural } from "../shared/format.ts";
import {
  currentGeneration,
  generationName,
  lessonCounts,
  probeText,
  rollBackTarget,
  unfinishedGeneration,
} from "../shared/generations.ts";
import { post } from "../shared/host.ts";
import { icon } from "../shared/icon.ts";
import type { Model } from "../shared/model.ts";

/** What Fine-Tune would do, or why it can do nothing now. */
export function tuningOffer({ candidates, generations }: Pick<Model, "candidates" | "generations">): {
  label: string;
  text: string;
  why: string;
  enabled: boolean;
} {
  const unfinished = unfinishedGeneration(generations);
  if (unfinished) {
    const why = `${unfinished.state === "probing" ? "Its probe" : "Its tuning"} was stopped, and can go on`;
    return { label: "Continue…", text: `Generation ${unfinished.generation} is unfinished`, why, enabled: true };
  }
  const label = "Fine-Tune…";
  const { accepted, newAccepted } = lessonCounts(candidates.values(), generations);
  if (accepted === 0) {
    return { label, text: "No accepted net yet", why: "Accept nets that the designer wrote first", enabled: false };
  }
  if (newAccepted === 0) {
    const why = `A generation was tuned on all ${plural(accepted, "accepted net")} already`;
    return { label, text: "No new accepted net", why, enabled: false };
  }
  const why = "Tune the model on the accepted nets; you see first what it takes";
  return { label, text: plural(newAccepted, "new accepted net"), why, enabled: true };
}

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
