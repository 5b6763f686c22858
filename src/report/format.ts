/** Figures as people read them. */
import { EMPTY, percent } from "../study/units.ts";

export { decimal, EMPTY, percent, plural } from "../study/units.ts";

/** 9 of 16 -> "9 (56.3 %)". */
export const counted = (part: number, whole: number): string =>
  whole === 0 ? String(part) : `${part} (${percent(part / whole)})`;

/** 312345 -> "312,345". */
export const whole = (count: number | null): string => (count === null ? EMPTY : count.toLocaleString("en"));

/** Figures of few digits that may be small: 0.0002 -> "0.0002", 32 -> "32". */
export const plain = (value: number): string => String(Number(value.toPrecision(4)));

/** 95 -> "1 min 35 s". */
export function duration(seconds: number): string {
  if (seconds > 0 && seconds < 10) return `${seconds.toFixed(1)} s`;
  const rounded = Math.max(0, Math.round(seconds));
  const [hours, minutes] = [Math.floor(rounded / 3600), Math.floor((rounded % 3600) / 60)];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${rounded % 60} s` : `${rounded} s`;
}

/** "2026-03-04T12:33:10.001Z" -> "2026-03-04 12:33 UTC". */
export const moment = (iso: string): string => `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;

/** Bytes as MiB. */
export const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/**
 * A share of a sample with its 95 % interval (Wilson 1927), in which the designer's own rate lies: "56.3 % (33–77)". A cycle's
 * few candidates leave it wide, and two rates whose intervals overlap widely are not told apart.
 */
export function rate(part: number, whole: number): string {
  if (whole === 0) return EMPTY;
  const [low, high] = wilson(part, whole);
  return `${percent(part / whole)} (${Math.round(100 * low)}–${Math.round(100 * high)})`;
}

/** Wilson's score interval at 95 %, in [0, 1]. */
export function wilson(part: number, whole: number): [low: number, high: number] {
  const z = 1.959964;
  const share = part / whole;
  const middle = share + z ** 2 / (2 * whole);
  const reach = z * Math.sqrt((share * (1 - share)) / whole + z ** 2 / (4 * whole ** 2));
  const scale = 1 + z ** 2 / whole;
  return [Math.max(0, (middle - reach) / scale), Math.min(1, (middle + reach) / scale)];
}
