/** Figures over cycles or steps, drawn by uPlot in the theme's colours; series differ in dash and in the shape of their points as well. */
import { html, LitElement, nothing, type TemplateResult } from "lit";
import uPlot from "uplot";
import { generationName } from "../shared/generations.ts";
import { onThemeChange, themeColor, themeFont } from "../shared/theme.ts";
import { drawShape, type Shape, swatch } from "./shapes.ts";

export interface Series {
  label: string;
  values: (number | null)[];
  /** A theme variable, without "--vscode-". */
  color: string;
  dash: number[];
  shape: Shape | null;
}

export interface LineChartInput {
  /** What runs along the axis, e.g. "Cycle". */
  along: string;
  /** Where each value is. Whole numbers from 1 on. */
  places: number[];
  series: Series[];
  /** From these places on another generation designed. */
  marks: { at: number; generation: number }[];
  /** The last place to leave room for. */
  until: number;
  /** Upper end of the scale; null: by the values. */
  top: number | null;
  format: (value: number | null) => string;
  /** What the chart shows, in words. */
  summary: string;
}

const HEIGHT = 204;

export class LineChart extends LitElement {
  #input: LineChartInput | null = null;
  #plot: uPlot | null = null;
  /** Which place the pointer is on; null: the last. */
  #index: number | null = null;
  readonly #resized = new ResizeObserver(([entry]) => {
    if (entry && this.#plot) this.#plot.setSize({ width: entry.contentRect.width, height: HEIGHT });
    else this.#draw();
  });

  set input(input: LineChartInput) {
    this.#input = input;
    this.requestUpdate();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    onThemeChange(() => this.#draw());
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#resized.disconnect();
    this.#plot?.destroy();
    this.#plot = null;
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override render(): TemplateResult | typeof nothing {
    const input = this.#input;
    if (!input) return nothing;
    const index = this.#index ?? lastIndex(input);
    const place = input.places[index];
    const designer = input.marks.findLast(({ at }) => place !== undefined && at <= place);
    const known = (value: number | null | undefined) =>
      value == null ? nothing : html`<span class="figure">${input.format(value)}</span>`;
    return html`<div class="plot" role="img" aria-label=${input.summary}></div>
      <ul class="legend">
        ${place === undefined ? nothing : html`<li class="at">${input.along} ${place}${designer ? `, ${generationName(designer.generation)}` : ""}</li>`}
        ${input.series.map((series) => html`<li>${swatch(series)}${series.label} ${known(series.values[index])}</li>`)}
      </ul>`;
  }

  protected override firstUpdated(): void {
    const plot = this.querySelector(".plot");
    if (plot) this.#resized.observe(plot);
  }

  #drawn: LineChartInput | null = null;

  protected override updated(): void {
    // The pointer alone changes the legend, not the plot.
    if (this.#input !== this.#drawn) this.#draw();
  }

  #draw(): void {
    const input = this.#input;
    const root = this.querySelector<HTMLElement>(".plot");
    if (!input || !root || root.clientWidth === 0) return;
    this.#plot?.destroy();
    this.#drawn = input;
    const { along, places, series, marks, until, top, format } = input;
    const axis = { stroke: themeColor("descriptionForeground"), font: themeFont(), ticks: { show: false } };
    const grid = { stroke: withAlpha(themeColor("foreground"), 0.12), width: 1 };
    const options: uPlot.Options = {
      width: root.clientWidth,
      height: HEIGHT,
      padding: [10, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: {
        x: { time: false, range: () => [0.5, Math.max(until, 4) + 0.5] },
        y: { range: (_plot, _least, most) => [0, top ?? Math.max(4, Math.ceil((most ?? 1) * 1.15))] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 22,
          label: along,
          labelSize: 18,
          labelFont: axis.font,
          incrs: [1, 2, 5, 10, 20, 50, 100, 1000],
        },
        {
          ...axis,
          grid,
          size: 44,
          values: (_plot, splits) => splits.map((split) => format(split).replace(".0 %", " %")),
          ...(top === null ? { incrs: [1, 2, 5, 10, 20, 50, 100, 1000] } : {}),
        },
      ],
      series: [
        {},
        ...series.map(({ label, color, dash, shape }): uPlot.Series => {
          const stroke = themeColor(color);
          return {
            label,
            stroke,
            dash,
            width: 1.5,
            spanGaps: true,
            points: shape ? { show: true, paths: pointPaths(shape), fill: stroke, stroke } : { show: false },
          };
        }),
      ],
      hooks: {
        draw: [(plot) => drawMarks(plot, marks)],
        setCursor: [
          (plot) => {
            this.#index = plot.cursor.idx ?? null;
            this.requestUpdate();
          },
        ],
      },
    };
    this.#plot = new uPlot(options, [places, ...series.map(({ values }) => values)], root);
  }
}

/** A line before each place from which another generation designed, and its number above. */
function drawMarks(plot: uPlot, marks: LineChartInput["marks"]): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = withAlpha(themeColor("foreground"), 0.45);
  ctx.fillStyle = themeColor("descriptionForeground");
  ctx.font = themeFont(devicePixelRatio);
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const { at, generation } of marks) {
    const x = Math.round(plot.valToPos(at - 0.5, "x", true)) + 0.5;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillText(`g${generation}`, x, bbox.top - 2 * devicePixelRatio);
  }
  ctx.restore();
}

/** The last place that has figures of its own. */
function lastIndex({ places, series }: LineChartInput): number {
  return places.findLastIndex((_, index) => series[0]?.values[index] != null);
}

/** uPlot draws circles alone: here are the other shapes, as one path. */
function pointPaths(shape: Shape): uPlot.Series.Points.PathBuilder {
  return (plot, seriesIndex, first, last) => {
    const path = new Path2D();
    const [xs, ys] = [plot.data[0], plot.data[seriesIndex]];
    const radius = 3.5 * devicePixelRatio;
    for (let i = first; i <= last; i++) {
      const [x, y] = [xs?.[i], ys?.[i]];
      if (x == null || y == null) continue;
      drawShape(path, shape, plot.valToPos(x, "x", true), plot.valToPos(y, "y", true), radius);
    }
    return { stroke: path, fill: path };
  };
}

/** The same colour, fainter; colours as CSS writes them. */
const withAlpha = (color: string, alpha: number): string => `color-mix(in srgb, ${color} ${100 * alpha}%, transparent)`;

customElements.define("netwright-line-chart", LineChart);
