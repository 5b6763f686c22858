/** Figures and names as people read them. */
import { EMPTY, memorySize } from "../../src/study/units.ts";

export { decimal, EMPTY, percent, plural } from "../../src/study/units.ts";

/** 0.4731 -> "47 %": for sentences. */
export const roundPercent = (share: number): string => `${Math.round(100 * share)} %`;

/** 312345 -> "312 K", 1234567 -> "1.2 M". */
export function amount(count: number | null): string {
  if (count === null) return EMPTY;
  for (const [size, unit] of [
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "K"],
  ] as const) {
    // 999,950 reads "1.0 M", not "1000 K".
    if (count >= size * 0.9995) return `${(count / size).toFixed(count < 9.95 * size ? 1 : 0)} ${unit}`;
  }
  return String(count);
}

/** An amount of `unit`: bytes as MiB or GiB. */
export const quantity = (count: number, unit: string): string =>
  unit === "bytes" ? memorySize(count) : `${count.toLocaleString("en")} ${unit}`;

/** An estimate, no more exact than it is: "less than a minute", "about 3 min", "about 2 h 10 min". */
export function roughDuration(seconds: number): string {
  if (seconds < 50) return "less than a minute";
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `about ${minutes} min`;
  const tens = Math.round(minutes / 10) * 10;
  const [hours, rest] = [Math.floor(tens / 60), tens % 60];
  return `about ${hours} h${rest > 0 ? ` ${rest} min` : ""}`;
}

/** What something took: "48 s", "13 min", "1 h 10 min". */
export function duration(seconds: number): string {
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  return [hours > 0 ? `${hours} h` : "", rest > 0 ? `${rest} min` : ""].filter((part) => part !== "").join(" ");
}

/** A mean loss per token: "0.412". */
export const loss = (value: number | null): string => (value === null ? EMPTY : value.toFixed(3));

/** "Demo_c3_07" -> "c3_07": enough beside others of the same study. */
export const shortName = (name: string): string => /c\d+_\d+$/.exec(name)?.[0] ?? name;
