/** The family tree as SVG: accepted and valid nets stand out, failed children are counted at their parent. */
import { html, nothing, type SVGTemplateResult, svg, type TemplateResult } from "lit";
import { classMap } from "lit/directives/class-map.js";
import { decisionAccuracy } from "../../src/study/admission.ts";
import { percent, plural, shortName } from "../shared/format.ts";
import { outcomeMark } from "../shared/outcomes.ts";
import type { Family, FamilyNode } from "./family.ts";
import { type Shape, shapePath, swatch } from "./shapes.ts";

const COLUMN = 132;
const ROW = 22;
const TOP = 28;
const LEFT = 16;
/** About the width of a letter of a label. */
const LETTER = 6.8;

interface Look {
  label: string;
  color: string;
  shape: Shape;
  open: boolean;
}

const LOOKS: Record<"accepted" | "valid" | "failed", Look> = {
  accepted: { label: "Accepted", color: "charts-green", shape: "diamond", open: false },
  valid: { label: "Valid", color: "charts-blue", shape: "circle", open: true },
  failed: { label: "Failed", color: "charts-red", shape: "square", open: true },
};

const kindOf = ({ candidate }: FamilyNode): keyof typeof LOOKS =>
  candidate.accepted ? "accepted" : candidate.outcome === "valid" ? "valid" : "failed";

export function familyView(
  family: Family,
  selected: ReadonlySet<number>,
  summary: string,
  select: (ids: number[]) => void,
): TemplateResult {
  const { nodes, cycles, rows } = family;
  if (nodes.length === 0) {
    return html`<p class="note">No net has a parent yet. In a cycle of diffs every candidate is written as a change to an earlier net, and its family grows here.</p>`;
  }
  const width = LEFT + cycles.length * COLUMN;
  const height = TOP + rows * ROW + 8;
  const kinds = new Set(nodes.map(kindOf));
  const hint = [
    family.acceptedOnly ? "The newest accepted nets and their ancestors" : null,
    family.alone > 0 ? `${family.alone.toLocaleString("en")} without relatives are not shown` : null,
  ]
    .filter((part) => part !== null)
    .join("; ");
  return html`<div class="scroll family" tabindex="0" role="region" aria-label="Family tree chart">
      <svg width=${width} height=${height} role="img" aria-label=${summary}>
        ${cycles.map((cycle, column) => svg`<text class="cycle" x=${LEFT + column * COLUMN - 6} y="14">${cycle === 0 ? "Seeds" : `Cycle ${cycle}`}</text>`)}
        ${nodes.map((node) => (node.parent ? link(node, node.parent) : nothing))}
        ${nodes.map((node) => nodeView(node, selected.has(node.candidate.id), select))}
      </svg>
    </div>
    <ul class="legend">${(["accepted", "valid", "failed"] as const)
      .filter((kind) => kinds.has(kind))
      .map((kind) => html`<li>${swatch({ ...LOOKS[kind], dash: null })}${LOOKS[kind].label}</li>`)}
      ${hint ? html`<li class="at hint">${hint}</li>` : nothing}
    </ul>`;
}

const spot = ({ column, row }: FamilyNode): [number, number] => [LEFT + column * COLUMN, TOP + row * ROW + ROW / 2];

function link(node: FamilyNode, parent: FamilyNode): SVGTemplateResult {
  const [x0, y0] = spot(parent);
  const [x1, y1] = spot(node);
  const bend = Math.min(48, Math.max(12, (x1 - x0) / 2));
  const strong = node.candidate.accepted === true;
  return svg`<path class=${strong ? "link strong" : "link"} d="M${x0},${y0}C${x1 - bend},${y0} ${x1 - bend},${y1} ${x1},${y1}" />`;
}

function nodeView(node: FamilyNode, selected: boolean, select: (ids: number[]) => void): SVGTemplateResult {
  const { candidate, folded } = node;
  const [x, y] = spot(node);
  const kind = kindOf(node);
  const { shape, open } = LOOKS[kind];
  const accuracy = decisionAccuracy(candidate.accuracy);
  const figure = candidate.outcome === "valid" ? percent(accuracy) : outcomeMark(candidate, null).label;
  const name = shortName(candidate.name);
  const facts = `${candidate.outcome === "valid" ? percent(accuracy) : ""}${folded > 0 ? ` +${folded}` : ""}`;
  const labelWidth = LETTER * (name.length + facts.length);
  return svg`<g class=${classMap({ node: true, [kind]: true, selected })} @click=${() => select([candidate.id])}>
    <title>${candidate.name}: ${figure}${folded > 0 ? `, ${plural(folded, "child", "children")} not drawn` : ""}</title>
    <rect class="hit" x=${x - 8} y=${y - ROW / 2 + 1} width=${24 + labelWidth} height=${ROW - 2} rx="4" />
    <path class="mark" d=${shapePath(shape, x, y, 4)} fill=${open ? "none" : "currentColor"} stroke="currentColor" />
    <text x=${x + 10} y=${y + 4}>${name}<tspan class="quiet" dx="6">${facts}</tspan></text>
  </g>`;
}
