/** The family tree as SVG: accepted and valid nets stand out, failed children are counted at their parent. */
import { html, nothing, type SVGTemplateResult, svg, type TemplateResult } from "lit";
import { classMap } from "lit/directives/class-map.js";
import { decisionAccuracy } from "../../src/study/admission.ts";
import type { Candidate } from "../../src/study/types.ts";
import { percent, plural, shortName } from "../shared/format.ts";
import { outcomeMark } from "../shared/outcomes.ts";
import { themeFont } from "../shared/theme.ts";
import type { Family, FamilyNode } from "./family.ts";
import { type Shape, shapePath, swatch } from "./shapes.ts";

/** A column is as wide as its labels, and leaves room for the lines between them. */
const LEAST_COLUMN = 132;
const LINE = 36;
const ROW = 22;
const TOP = 28;
const LEFT = 16;
/** From a spot to its name, from the name to its facts, and after them. */
const GAP = { mark: 10, facts: 6, end: 8 };

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
  const measure = textMeasure();
  const labels = new Map(nodes.map((node) => [node, labelOf(node, measure)]));
  const widest = [...labels.values()].reduce((most, { width }) => Math.max(most, width), 0);
  const column = Math.max(LEAST_COLUMN, Math.ceil(widest) + LINE);
  const spot: Spot = (node) => [LEFT + node.column * column, TOP + node.row * ROW + ROW / 2];
  const link = (node: FamilyNode, parent: FamilyNode) => {
    const [from, to] = [spot(parent), spot(node)];
    const gap: [number, number] = [from[0] + widest, from[0] + column - GAP.end];
    const start: [number, number] = [from[0] + (labels.get(parent)?.width ?? 0), from[1]];
    return linkView(start, gap, [to[0] - GAP.end, to[1]], node.candidate.accepted === true);
  };
  const width = LEFT + cycles.length * column;
  const height = TOP + rows * ROW + 8;
  const kinds = new Set(nodes.map(kindOf));
  const hint = [
    family.acceptedOnly ? "The newest accepted nets and their ancestors" : null,
    nodes.some(({ folded }) => folded > 0) ? "+2: two children are not drawn" : null,
    family.alone > 0 ? `${family.alone.toLocaleString("en")} without relatives are not shown` : null,
  ]
    .filter((part) => part !== null)
    .join("; ");
  return html`<div class="scroll family" tabindex="0" role="region" aria-label="Family tree chart">
      <svg width=${width} height=${height} role="img" aria-label=${summary}>
        ${cycles.map((cycle, index) => svg`<text class="cycle" x=${LEFT + index * column - 6} y="14">${cycle === 0 ? "Seeds" : `Cycle ${cycle}`}</text>`)}
        ${nodes.map((node) => (node.parent ? link(node, node.parent) : nothing))}
        ${[...labels].map(([node, label]) => nodeView(node, spot(node), label, selected.has(node.candidate.id), select))}
      </svg>
    </div>
    <ul class="legend">${(["accepted", "valid", "failed"] as const)
      .filter((kind) => kinds.has(kind))
      .map((kind) => html`<li>${swatch({ ...LOOKS[kind], dash: null })}${LOOKS[kind].label}</li>`)}
      ${hint ? html`<li class="at hint">${hint}</li>` : nothing}
    </ul>`;
}

type Spot = (node: FamilyNode) => [x: number, y: number];

interface Label {
  name: string;
  facts: string;
  /** From the spot on. Pixels. */
  width: number;
}

/** Its accuracy; where it has none, why. */
function figureOf(candidate: Candidate): string {
  const accuracy = candidate.outcome === "valid" ? decisionAccuracy(candidate.accuracy) : null;
  return accuracy === null ? outcomeMark(candidate, null).label.toLowerCase() : percent(accuracy);
}

/** The width of a text as dashboard.css sets it. */
function textMeasure(): (text: string) => number {
  const context = document.createElement("canvas").getContext("2d");
  if (!context) return (text) => 8 * text.length;
  context.font = themeFont();
  return (text) => context.measureText(text).width;
}

function labelOf({ candidate, folded }: FamilyNode, measure: (text: string) => number): Label {
  const name = shortName(candidate.name);
  const facts = `${candidate.outcome === "valid" ? figureOf(candidate) : ""}${folded > 0 ? ` +${folded}` : ""}`;
  return { name, facts, width: GAP.mark + measure(name) + GAP.facts + measure(facts) + GAP.end };
}

/** From the end of the parent's label to the start of the child's, turning in the gap beside the parent's column: never behind a label. */
function linkView(
  [x0, y0]: readonly [number, number],
  [gapStart, gapEnd]: readonly [number, number],
  [x1, y1]: readonly [number, number],
  strong: boolean,
): SVGTemplateResult {
  const middle = (gapStart + gapEnd) / 2;
  const turn = `C${middle},${y0} ${middle},${y1} ${gapEnd},${y1}`;
  return svg`<path class=${strong ? "link strong" : "link"} d="M${x0},${y0}H${gapStart}${turn}H${x1}" />`;
}

function nodeView(
  node: FamilyNode,
  [x, y]: [number, number],
  { name, facts, width }: Label,
  selected: boolean,
  select: (ids: number[]) => void,
): SVGTemplateResult {
  const { candidate, folded } = node;
  const kind = kindOf(node);
  const { shape, open } = LOOKS[kind];
  return svg`<g class=${classMap({ node: true, [kind]: true, selected })} @click=${() => select([candidate.id])}>
    <title>${candidate.name}: ${figureOf(candidate)}${folded > 0 ? `, ${plural(folded, "child", "children")} not drawn` : ""}</title>
    <rect class="hit" x=${x - GAP.end} y=${y - ROW / 2 + 1} width=${GAP.end + width} height=${ROW - 2} rx="4" />
    <path class="mark" d=${shapePath(shape, x, y, 4)} fill=${open ? "none" : "currentColor"} stroke="currentColor" />
    <text x=${x + GAP.mark} y=${y + 4}>${name}<tspan class="quiet" dx=${GAP.facts}>${facts}</tspan></text>
  </g>`;
}
