/** A codicon: decoration, beside text that says the same or inside a control that is labelled. */
import { html, type TemplateResult } from "lit";

export const icon = (name: string, className = ""): TemplateResult =>
  html`<span class="codicon codicon-${name} ${className}" aria-hidden="true"></span>`;

/** Turns, unless less motion is asked for. */
export const SPIN = "codicon-modifier-spin";
