/** Line charts: as SVG, in a sentence, and as the table that says the same. Series differ in dash and mark as well as in colour. */
import type { LineChart, Series, Table } from "./blocks.ts";
import { html, type Markup } from "./markup.ts";

const [WIDTH, HEIGHT] = [520, 270];
const PLOT = { left: 46, right: 508, top: 14, bottom: 232 };
/** More points than this are a line alone. */
const MARKED = 40;

export function chartTable({ title, axis, xs, series, format }: LineChart): Table {
  return {
    kind: "table",
    caption: `${title}: figures`,
    head: [axis, ...series.map(({ label }) => label)],
    rows: xs.map((x, i) => [String(x), ...series.map(({ values }) => format(values[i] ?? null))]),
    foot: [],
    words: [],
  };
}

/** The chart in a sentence, for who does not see it. */
export function chartSummary({ axis, xs, series, references, format }: LineChart): string {
  const ends = ({ label, values }: Series) => {
    const known = values.filter((value) => value !== null);
    return `${label}: ${format(known[0] ?? null)} to ${format(known.at(-1) ?? null)}`;
  };
  const lines = references.map(({ label, value }) => `${label}: ${format(value)}`);
  return `${axis} ${xs[0]} to ${xs.at(-1)}. ${[...series.map(ends), ...lines].join("; ")}.`;
}

export function chartSvg(chart: LineChart): Markup {
  const { id, title, axis, xs, series, references, format } = chart;
  const values = series.flatMap((each) => each.values.filter((value) => value !== null));
  const { ticks, top } = scale(Math.max(chart.top, ...values, ...references.map(({ value }) => value)));
  const [first, last] = [xs[0] ?? 0, xs.at(-1) ?? 0];
  const x = (at: number) =>
    round(last === first ? (PLOT.left + PLOT.right) / 2 : inset(PLOT.left) + ((at - first) / (last - first)) * SPAN);
  const y = (value: number) => round(PLOT.bottom - (value / top) * (PLOT.bottom - PLOT.top));
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="${id}-title ${id}-summary">
<title id="${id}-title">${title}</title><desc id="${id}-summary">${chartSummary(chart)}</desc>
${ticks.map(
  (tick) => html`<line class="grid" x1="${PLOT.left}" x2="${PLOT.right}" y1="${y(tick)}" y2="${y(tick)}"/>
<text class="tick" x="${PLOT.left - 7}" y="${y(tick) + 4}" text-anchor="end">${format(tick).replace(".0 %", " %")}</text>`,
)}
${wholeTicks(xs).map((tick) => html`<text class="tick" x="${x(tick)}" y="${PLOT.bottom + 18}" text-anchor="middle">${tick}</text>`)}
<text class="tick" x="${PLOT.right}" y="${HEIGHT - 4}" text-anchor="end">${axis}</text>
${references.map(
  ({ value }, i) =>
    html`<line class="reference-${i}" x1="${PLOT.left}" x2="${PLOT.right}" y1="${y(value)}" y2="${y(value)}"/>`,
)}
${series.map((each) => curve(each, xs, x, y, (at, value) => `${axis} ${at}, ${each.label}: ${format(value)}`))}
</svg>`;
}

const inset = (left: number) => left + 16;
const SPAN = PLOT.right - 16 - inset(PLOT.left);

function curve(
  series: Series,
  xs: readonly number[],
  x: (at: number) => number,
  y: (value: number) => number,
  say: (at: number, value: number) => string,
): Markup {
  const { values, color } = series;
  const known = xs.flatMap((at, i) => {
    const value = values[i];
    return value == null ? [] : [{ at, value }];
  });
  const line = known.map(({ at, value }) => `${x(at)},${y(value)}`).join(" ");
  const marks = known.length > MARKED ? [] : known;
  return html`<g class="${seriesLook(series)}"><polyline points="${line}"/>
${marks.map(({ at, value }) => html`<path d="${mark(color, x(at), y(value))}"><title>${say(at, value)}</title></path>`)}</g>`;
}

/** A circle for the first colour, a diamond for the second. */
function mark(color: Series["color"], x: number, y: number): string {
  const r = color === 0 ? 4 : 5.2;
  if (color === 0) return `M${x - r},${y}a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0z`;
  return `M${x},${round(y - r)}L${round(x + r)},${y}L${x},${round(y + r)}L${round(x - r)},${y}z`;
}

/** What each line is, with a piece of it. */
export function legend({ series, references, format }: LineChart): Markup {
  return html`<ul class="legend">${series.map((each) => html`<li>${swatch(seriesSwatch(each))}${each.label}</li>`)}${references.map(
    ({ label, value }, i) =>
      html`<li>${swatch(html`<line class="reference-${i}" x1="1" x2="29" y1="7" y2="7"/>`)}${label} ${format(value)}</li>`,
  )}</ul>`;
}

const swatch = (content: Markup): Markup =>
  html`<svg class="swatch" width="30" height="14" aria-hidden="true">${content}</svg>`;

const seriesSwatch = (series: Series): Markup =>
  html`<g class="${seriesLook(series)}"><polyline points="1,7 29,7"/><path d="${mark(series.color, 15, 7)}"/></g>`;

const seriesLook = ({ color, beside }: Series): string => `series color-${color}${beside ? " beside" : ""}`;

/** Round values from 0 to the first at or above `most`, at most seven of them. */
function scale(most: number): { ticks: number[]; top: number } {
  const least = Math.max(most, 1e-6) / 6;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= least * (1 - 1e-9)) ?? 10 * power;
  const count = Math.ceil(most / step - 1e-9);
  const ticks = Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(6)));
  return { ticks, top: count * step };
}

/** Where the x axis is labelled: every place, or as many of them as there is room for. */
function wholeTicks(xs: readonly number[]): number[] {
  const every = Math.ceil(xs.length / 12);
  return xs.filter((_, i) => i % every === 0);
}

const round = (value: number): number => Math.round(10 * value) / 10;
