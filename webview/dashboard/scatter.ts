/** Accuracy against novelty on a canvas: thousands of points, chosen by a press or by dragging over them. */
import { html, LitElement, nothing, type TemplateResult } from "lit";
import { percent } from "../shared/format.ts";
import { onThemeChange, themeColor, themeFont } from "../shared/theme.ts";
import type { Point } from "./figures.ts";
import { drawShape, type Shape, swatch } from "./shapes.ts";

export interface ScatterInput {
  points: Point[];
  selected: ReadonlySet<number>;
  threshold: number;
  xLabel: string;
  summary: string;
  select: (ids: number[]) => void;
}

export const POINT_LOOKS: Record<Point["kind"], { label: string; color: string; shape: Shape; open: boolean }> = {
  valid: { label: "Valid", color: "charts-blue", shape: "circle", open: true },
  proposed: { label: "Proposed", color: "charts-yellow", shape: "triangle", open: false },
  accepted: { label: "Accepted", color: "charts-green", shape: "diamond", open: false },
};

const HEIGHT = 300;
const MARGIN = { top: 10, right: 12, bottom: 36, left: 48 };
/** How near a press must be, in pixels. */
const REACH = 10;

interface Box {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

export class Scatter extends LitElement {
  #input: ScatterInput | null = null;
  /** Upper end of the scale: the next tenth above the best. */
  #highest = 1;
  #width = 0;
  #brush: Box | null = null;
  #hovered: Point | null = null;
  readonly #resized = new ResizeObserver(([entry]) => {
    this.#width = entry?.contentRect.width ?? 0;
    this.#draw();
  });

  set input(input: ScatterInput) {
    this.#input = input;
    const best = input.points.reduce((most, { accuracy }) => Math.max(most, accuracy), 0.4);
    this.#highest = Math.min(1, Math.ceil(10 * best + 0.01) / 10);
    this.requestUpdate();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    onThemeChange(() => this.#draw());
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#resized.disconnect();
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override render(): TemplateResult | typeof nothing {
    const input = this.#input;
    if (!input) return nothing;
    const hovered = this.#hovered;
    return html`<canvas role="img" aria-label=${input.summary} @pointerdown=${this.#onDown} @pointermove=${this.#onMove}
        @pointerup=${this.#onUp} @pointercancel=${this.#onCancel} @pointerleave=${this.#onLeave}></canvas>
      <ul class="legend">
        ${Object.values(POINT_LOOKS).map((look) => html`<li>${swatch({ ...look, dash: null })}${look.label}</li>`)}
        <li class="at hint">${hovered ? html`${hovered.name}: <span class="figure">${percent(hovered.accuracy)}</span>` : "Press or drag to select rows"}</li>
      </ul>`;
  }

  protected override firstUpdated(): void {
    this.#resized.observe(this);
  }

  protected override updated(): void {
    this.#draw();
  }

  #x(novelty: number): number {
    return MARGIN.left + novelty * (this.#width - MARGIN.left - MARGIN.right);
  }

  #y(accuracy: number): number {
    return HEIGHT - MARGIN.bottom - (accuracy / this.#highest) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  }

  #draw(): void {
    const canvas = this.querySelector("canvas");
    const context = canvas?.getContext("2d");
    const input = this.#input;
    if (!canvas || !context || !input || this.#width === 0) return;
    const scale = devicePixelRatio;
    canvas.width = Math.round(this.#width * scale);
    canvas.height = HEIGHT * scale;
    canvas.style.width = `${this.#width}px`;
    canvas.style.height = `${HEIGHT}px`;
    context.scale(scale, scale);
    this.#drawAxes(context, input);
    for (const kind of ["valid", "proposed", "accepted"] as const) this.#drawPoints(context, input, kind);
    if (this.#brush) {
      const { x0, y0, x1, y1 } = this.#brush;
      context.strokeStyle = themeColor("focusBorder");
      context.setLineDash([3, 2]);
      context.strokeRect(x0, y0, x1 - x0, y1 - y0);
      context.setLineDash([]);
    }
  }

  #drawAxes(context: CanvasRenderingContext2D, { threshold, xLabel }: ScatterInput): void {
    const right = this.#width - MARGIN.right;
    const bottom = HEIGHT - MARGIN.bottom;
    const foreground = themeColor("foreground");
    context.font = themeFont();
    context.fillStyle = themeColor("descriptionForeground");
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let accuracy = 0; accuracy <= this.#highest + 1e-9; accuracy += 0.1) {
      const y = Math.round(this.#y(accuracy)) + 0.5;
      context.strokeStyle = `color-mix(in srgb, ${foreground} 12%, transparent)`;
      line(context, MARGIN.left, y, right, y);
      context.fillText(`${Math.round(100 * accuracy)} %`, MARGIN.left - 6, y);
    }
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const novelty of [0, 0.25, 0.5, 0.75, 1]) context.fillText(String(novelty), this.#x(novelty), bottom + 6);
    context.fillText(xLabel, (MARGIN.left + right) / 2, bottom + 20);
    if (threshold <= this.#highest) {
      const y = Math.round(this.#y(threshold)) + 0.5;
      context.strokeStyle = `color-mix(in srgb, ${themeColor("charts-orange")} 75%, ${foreground})`;
      context.setLineDash([4, 3]);
      line(context, MARGIN.left, y, right, y);
      context.setLineDash([]);
      context.textAlign = "right";
      context.textBaseline = "bottom";
      context.fillText("threshold", right, y - 2);
    }
  }

  #drawPoints(context: CanvasRenderingContext2D, { points, selected }: ScatterInput, kind: Point["kind"]): void {
    const { color, shape, open } = POINT_LOOKS[kind];
    const marks = new Path2D();
    const rings = new Path2D();
    for (const point of points) {
      if (point.kind !== kind) continue;
      const [x, y] = [this.#x(point.novelty), this.#y(point.accuracy)];
      drawShape(marks, shape, x, y, 3.5);
      if (selected.has(point.id) || point === this.#hovered) drawShape(rings, "circle", x, y, 7);
    }
    context.strokeStyle = themeColor(color);
    context.fillStyle = themeColor(color);
    context.lineWidth = 1.25;
    if (open) context.stroke(marks);
    else context.fill(marks);
    context.strokeStyle = themeColor("foreground");
    context.lineWidth = 1.5;
    context.stroke(rings);
  }

  #nearest(x: number, y: number): Point | null {
    let found: Point | null = null;
    let least = REACH ** 2;
    for (const point of this.#input?.points ?? []) {
      const distance = (this.#x(point.novelty) - x) ** 2 + (this.#y(point.accuracy) - y) ** 2;
      if (distance > least) continue;
      least = distance;
      found = point;
    }
    return found;
  }

  readonly #onDown = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    (event.target as Element).setPointerCapture(event.pointerId);
    const { offsetX: x, offsetY: y } = event;
    this.#brush = { x0: x, y0: y, x1: x, y1: y };
  };

  readonly #onMove = (event: PointerEvent): void => {
    const { offsetX: x, offsetY: y } = event;
    if (this.#brush) {
      this.#brush = { ...this.#brush, x1: x, y1: y };
      this.#draw();
      return;
    }
    const hovered = this.#nearest(x, y);
    if (hovered === this.#hovered) return;
    this.#hovered = hovered;
    this.requestUpdate();
  };

  readonly #onUp = (): void => {
    const brush = this.#brush;
    const input = this.#input;
    this.#brush = null;
    if (!brush || !input) return;
    const [left, right] = [Math.min(brush.x0, brush.x1), Math.max(brush.x0, brush.x1)];
    const [top, bottom] = [Math.min(brush.y0, brush.y1), Math.max(brush.y0, brush.y1)];
    if (right - left < 4 && bottom - top < 4) {
      const point = this.#nearest(brush.x1, brush.y1);
      input.select(point ? [point.id] : []);
    } else {
      const inside = input.points.filter(({ novelty, accuracy }) => {
        const [x, y] = [this.#x(novelty), this.#y(accuracy)];
        return x >= left && x <= right && y >= top && y <= bottom;
      });
      input.select(inside.map(({ id }) => id));
    }
    this.#draw();
  };

  readonly #onCancel = (): void => {
    this.#brush = null;
    this.#draw();
  };

  readonly #onLeave = (): void => {
    if (!this.#hovered) return;
    this.#hovered = null;
    this.requestUpdate();
  };
}

function line(context: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number): void {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

customElements.define("netwright-scatter", Scatter);
