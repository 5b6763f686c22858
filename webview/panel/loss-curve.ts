/** The losses of a LoRA run as a small curve that stretches with the panel. The held-out losses differ in dash as well as in colour. */
import { html, nothing, svg, type TemplateResult } from "lit";
import type { LossPoint } from "../../src/study/types.ts";
import { curvePath, HEIGHT, lossText, WIDTH } from "./losses.ts";

/** `steps`: of the whole run, so that the curve shows how far it is. */
export function lossCurve(losses: readonly LossPoint[], steps: number): TemplateResult | typeof nothing {
  if (losses.length === 0) return nothing;
  const measured = losses.flatMap(({ step, heldOut }) => (heldOut === null ? [] : [{ step, value: heldOut }]));
  const trained = losses.map(({ step, training }) => ({ step, value: training }));
  const highest = Math.max(...[...measured, ...trained].map(({ value }) => value));
  const scale = { last: Math.max(steps, losses.at(-1)?.step ?? 1), highest: highest > 0 ? highest : 1 };
  return html`<div class="curve">
    <span class="scale" aria-hidden="true"><span>${highest.toFixed(1)}</span><span>0</span></span>
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label=${lossText(losses)}>
      <path class="grid" d="M0,0H${WIDTH}M0,${HEIGHT / 2}H${WIDTH}M0,${HEIGHT}H${WIDTH}" />
      <path class="training" d=${curvePath(trained, scale)} />
      ${measured.length > 0 ? svg`<path class="held-out" d=${curvePath(measured, scale)} />` : nothing}
    </svg>
  </div>`;
}
