/** Figures as people read them, on every page and on the command line. */

/** Stands where there is no figure. */
export const EMPTY = "–";

/** 0.4731 -> "47.3 %". */
export const percent = (share: number | null): string => (share === null ? EMPTY : `${(100 * share).toFixed(1)} %`);

/** 0.4249 -> "0.42". */
export const decimal = (value: number | null): string => (value === null ? EMPTY : value.toFixed(2));

/** "1 net", "2 nets". */
export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** Bytes as people read them: "640 MiB", "3.4 GiB". */
export function memorySize(bytes: number): string {
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(0)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
