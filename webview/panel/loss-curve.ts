/** The losses of a LoRA run as a small curve that stretches with the panel. The held-out losses differ in dash as well as in colour. */
import { html, nothing, svg, type TemplateResult } from "lit";
import type { LossPoint } from "../../src/study/types.ts";
import { loss, plural } from "../shared/format.ts";
import { lossEnds } from "../shared/generations.ts";

/** Units of the drawing, which is stretched to its place. */
const WIDTH = 100;
const HEIGHT = 40;

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

/** SVG path data; a single value is a short stroke, so that it is seen. */
export function curvePath(
  points: readonly { step: number; value: number }[],
  { last, highest }: { last: number; highest: number },
): string {
  const x = (step: number) => round((WIDTH * step) / last);
  const y = (value: number) => round(HEIGHT * (1 - value / highest));
  const [only] = points;
  if (points.length === 1 && only) return `M${Math.max(0, x(only.step) - 1)},${y(only.value)}h1`;
  return `M${points.map(({ step, value }) => `${x(step)},${y(value)}`).join("L")}`;
}

const round = (value: number): number => Math.round(100 * value) / 100;

/** The curve in words. */
export function lossText(losses: readonly LossPoint[]): string {
  const { training, heldOut } = lossEnds(losses);
  if (!training) return "No loss is measured yet.";
  const held = heldOut ? `; held-out loss from ${loss(heldOut.first)} to ${loss(heldOut.last)}` : "";
  return `Loss over ${plural(losses.at(-1)?.step ?? 0, "step")}: from ${loss(training.first)} to ${loss(training.last)}${held}.`;
}
