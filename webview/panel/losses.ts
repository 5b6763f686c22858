/** The losses of a LoRA run as a line, and in words. Pure. */
import type { LossPoint } from "../../src/study/types.ts";
import { loss, plural } from "../shared/format.ts";
import { lossEnds } from "../shared/generations.ts";

/** Units of the drawing, which is stretched to its place. */
export const WIDTH = 100;
export const HEIGHT = 40;

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
