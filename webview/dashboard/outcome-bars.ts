/** How candidates ended, per cycle: bars whose parts differ in hatching as well as in colour. The reasons stand on the axis, the valid above. */
import { html, nothing, type SVGTemplateResult, svg, type TemplateResult } from "lit";
import type { Outcome } from "../../src/study/types.ts";
import { OUTCOME_MARKS } from "../shared/outcomes.ts";
import { styled } from "../shared/styled.ts";
import { type CycleFigures, outcomesThatOccur } from "./figures.ts";

const COLORS: Record<Outcome, string> = {
  valid: "charts-green",
  "no-code": "charts-lines",
  syntax: "charts-red",
  contract: "charts-purple",
  init: "charts-orange",
  forward: "charts-red",
  shape: "charts-blue",
  "too-large": "charts-yellow",
  train: "charts-orange",
  timeout: "charts-purple",
  "out-of-memory": "charts-blue",
  chance: "charts-yellow",
};

/** Two outcomes of one colour never have the same hatching. */
const HATCHES: Record<Outcome, string> = {
  valid: "",
  "no-code": "M0,4H8",
  syntax: "M-2,2L2,-2M0,8L8,0M6,10L10,6",
  contract: "M-2,6L2,10M0,0L8,8M6,-2L10,2",
  init: "M4,0V8",
  forward: "M0,4H8M4,0V8",
  shape: "M-2,2L2,-2M0,8L8,0M6,10L10,6M-2,6L2,10M0,0L8,8M6,-2L10,2",
  "too-large": "M2,2h2v2h-2zM6,6h2v2h-2z",
  train: "M0,2H8M0,6H8",
  timeout: "M2,0V8M6,0V8",
  "out-of-memory": "M0,4H4M4,0V4M4,8H8",
  chance: "M0,2L4,6L8,2",
};

/** As high as the chart beside it. */
const HEIGHT = 280;
/** On the left is the padding of `.bars`. */
const MARGIN = { top: 10, bottom: 40 };
/** Pixels that a cycle takes at least, and those that its number needs. */
const LEAST_STEP = 14;
const LABEL_STEP = 28;

export function outcomeBars(figures: readonly CycleFigures[], summary: string): TemplateResult {
  const reasons = outcomesThatOccur(figures).filter((outcome) => outcome !== "valid");
  const occurring: Outcome[] = reasons.length < outcomesThatOccur(figures).length ? [...reasons, "valid"] : reasons;
  const most = Math.max(1, ...figures.map(({ ended }) => ended));
  // Shares of the width: the chart fills its card, and scrolls when there are many cycles.
  const places = Math.max(4, figures.length);
  const step = 100 / places;
  const every = places * LABEL_STEP > 330 ? Math.ceil(LABEL_STEP / LEAST_STEP) : 1;
  const y = (count: number) => HEIGHT - MARGIN.bottom - (count / most) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const bar = ({ cycle, outcomes }: CycleFigures, index: number): SVGTemplateResult => {
    const x = (index + 0.2) * step;
    let below = 0;
    const parts = occurring.map((outcome) => {
      const count = outcomes[outcome] ?? 0;
      if (count === 0) return nothing;
      const bottom = y(below);
      below += count;
      return svg`<rect x="${x}%" y=${y(below)} width="${step * 0.6}%" height=${bottom - y(below)} fill="url(#hatch-${outcome})"
        class="part" ${colored(outcome)}><title>Cycle ${cycle}: ${OUTCOME_MARKS[outcome].label} ${count}</title></rect>`;
    });
    const label =
      index % every === 0
        ? svg`<text x="${(index + 0.5) * step}%" y=${HEIGHT - 24} text-anchor="middle">${cycle}</text>`
        : nothing;
    return svg`${parts}${label}`;
  };
  const ticks = [...new Set([0, Math.round(most / 2), most])];
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Outcomes chart">
      <svg class="bars" width="100%" height=${HEIGHT} role="img" aria-label=${summary}
        ${styled({ "min-width": `${(places + 3) * LEAST_STEP}px` })}>
        <defs>${occurring.map((outcome) => hatch(`hatch-${outcome}`, outcome))}</defs>
        ${ticks.map(
          (tick) =>
            svg`<line class="grid" x1="0" x2="100%" y1=${y(tick)} y2=${y(tick)} /><text x="-6" y=${y(tick) + 4} text-anchor="end">${tick}</text>`,
        )}
        ${figures.map(bar)}
        <text x="50%" y=${HEIGHT - 6} text-anchor="middle">Cycle</text>
      </svg>
    </div>
    <ul class="legend">${occurring.map(
      (outcome) => html`<li>
        <svg class="swatch" width="14" height="12" aria-hidden="true" ${colored(outcome)}>
          <defs>${hatch(`legend-${outcome}`, outcome)}</defs>
          <rect class="part" x="0.5" y="0.5" width="13" height="11" fill="url(#legend-${outcome})" />
        </svg>${OUTCOME_MARKS[outcome].label}
      </li>`,
    )}</ul>`;
}

/** Nearer to the text's colour than the theme has them: some are faint on its background. */
const colored = (outcome: Outcome) =>
  styled({
    color: `color-mix(in srgb, var(--vscode-${COLORS[outcome]}, var(--vscode-foreground)) 75%, var(--vscode-foreground))`,
  });

const hatch = (id: string, outcome: Outcome): SVGTemplateResult =>
  svg`<pattern id=${id} width="8" height="8" patternUnits="userSpaceOnUse" ${colored(outcome)}>
    <rect width="8" height="8" fill="currentColor" opacity="0.25" />
    <path d=${HATCHES[outcome]} stroke="currentColor" stroke-width="1.25" fill=${outcome === "too-large" ? "currentColor" : "none"} />
  </pattern>`;
