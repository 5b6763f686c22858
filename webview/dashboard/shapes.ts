/** Marks that differ without colour. */
import { html, nothing, svg, type TemplateResult } from "lit";
import { styled } from "../shared/styled.ts";

export type Shape = "circle" | "square" | "diamond" | "triangle";

/** Adds one mark to a path, as large as a circle of `radius`. */
export function drawShape(path: Path2D | CanvasPath, shape: Shape, x: number, y: number, radius: number): void {
  if (shape === "circle") {
    path.moveTo(x + radius, y);
    path.arc(x, y, radius, 0, 2 * Math.PI);
    return;
  }
  const corners = CORNERS[shape];
  for (const [i, [dx, dy]] of corners.entries()) {
    if (i === 0) path.moveTo(x + dx * radius, y + dy * radius);
    else path.lineTo(x + dx * radius, y + dy * radius);
  }
  path.closePath();
}

const CORNERS: Record<Exclude<Shape, "circle">, [number, number][]> = {
  square: [
    [-0.9, -0.9],
    [0.9, -0.9],
    [0.9, 0.9],
    [-0.9, 0.9],
  ],
  diamond: [
    [0, -1.3],
    [1.3, 0],
    [0, 1.3],
    [-1.3, 0],
  ],
  triangle: [
    [0, -1.2],
    [1.1, 0.8],
    [-1.1, 0.8],
  ],
};

/** SVG path data of one mark. */
export function shapePath(shape: Shape, x: number, y: number, radius: number): string {
  if (shape === "circle") {
    return `M${x - radius},${y}a${radius},${radius} 0 1 0 ${2 * radius},0a${radius},${radius} 0 1 0 ${-2 * radius},0z`;
  }
  return `M${CORNERS[shape].map(([dx, dy]) => `${x + dx * radius},${y + dy * radius}`).join("L")}z`;
}

/** A line and its mark, for a legend. */
export function swatch(look: {
  color: string;
  dash: number[] | null;
  shape: Shape | null;
  open?: boolean;
}): TemplateResult {
  const { color, dash, shape, open } = look;
  return html`<svg class="swatch" width="24" height="12" aria-hidden="true" ${styled({ color: `var(--vscode-${color}, var(--vscode-foreground))` })}>
    ${dash ? svg`<line x1="0" y1="6" x2="24" y2="6" stroke="currentColor" stroke-width="1.5" stroke-dasharray=${dash.join(" ") || "none"} />` : nothing}
    ${shape ? svg`<path d=${shapePath(shape, 12, 6, 3.5)} fill=${open ? "none" : "currentColor"} stroke="currentColor" />` : nothing}
  </svg>`;
}
