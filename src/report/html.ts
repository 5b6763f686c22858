/** A report as one HTML page: nothing is loaded, no script is needed, and what models wrote is text in it. */
import type { Block, LineChart, Page, Piece, Table, Text } from "./blocks.ts";
import { chartSvg, chartTable, legend } from "./chart.ts";
import { html, Markup } from "./markup.ts";
import { pageOf } from "./page.ts";
import { STYLE } from "./style.ts";
import type { Report } from "./types.ts";

/** The text of `report.html`. */
export function toHtml(report: Report): string {
  const page = pageOf(report);
  // The policy is a second wall behind the escaping: no script, nothing loaded, nothing sent.
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${page.title}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<header>
<h1>${page.title}</h1>
${contents(page)}
</header>
<main>
${page.blocks.map(write)}
</main>
</body>
</html>
`.toString();
}

function contents({ blocks }: Page): Markup {
  const sections = blocks.filter((block) => block.kind === "section");
  return html`<nav aria-label="Contents"><ul>${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ul></nav>`;
}

function write(block: Block): Markup {
  switch (block.kind) {
    case "section":
      return html`<section aria-labelledby="${block.id}"><h2 id="${block.id}">${block.title}</h2>
${block.blocks.map(write)}</section>
`;
    case "item":
      return html`<article aria-labelledby="${block.id}"><h3 id="${block.id}">${block.title}</h3>
${block.blocks.map(write)}</article>
`;
    case "paragraph":
      return html`<p>${inline(block.text)}</p>
`;
    case "note":
      return html`<p class="note">${inline(block.text)}</p>
`;
    case "tiles":
      return html`<dl class="tiles">${block.tiles.map(
        ({ label, value, more }) => html`<div><dt>${label}</dt><dd><b>${value}</b> <span>${more}</span></dd></div>`,
      )}</dl>
`;
    case "facts": {
      const list = html`<dl class="facts">${block.facts.map(
        ([term, meaning]) => html`<div><dt>${term}</dt><dd>${inline(meaning)}</dd></div>`,
      )}</dl>`;
      return block.title === null
        ? list
        : html`<div class="group"><h3>${block.title}</h3>${list}</div>
`;
    }
    case "charts":
      return html`<div class="charts">${block.charts.map(figure)}</div>
`;
    case "code":
      return html`<details><summary>${block.summary}</summary><pre tabindex="0" aria-label="${block.summary}"><code>${block.code}</code></pre></details>
`;
    case "table":
      return table(block);
  }
}

function figure(chart: LineChart): Markup {
  return html`<figure><figcaption>${chart.title}</figcaption>
${legend(chart)}
${chartSvg(chart)}
<details><summary>The same as a table</summary>${table(chartTable(chart))}</details></figure>
`;
}

/** Tables of more columns than this take the page's width. */
const WIDE = 3;

function table({ caption, head, rows, foot, words }: Table): Markup {
  const look = (column: number) => (column === 0 || words.includes(column) ? "word" : "figure");
  const row = (cells: readonly Text[]) =>
    html`<tr>${cells.map((cell, column) =>
      column === 0
        ? html`<th scope="row">${inline(cell)}</th>`
        : html`<td class="${look(column)}">${inline(look(column) === "figure" ? unbroken(cell) : cell)}</td>`,
    )}</tr>
`;
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table class="${head.length > WIDE ? "wide" : "narrow"}"><caption>${caption}</caption>
<thead><tr>${head.map((cell, column) => html`<th scope="col" class="${look(column)}">${cell}</th>`)}</tr></thead>
<tbody>${rows.map(row)}</tbody>
${foot.length > 0 ? html`<tfoot>${foot.map(row)}</tfoot>` : ""}</table></div>
`;
}

/** A figure stays with its unit where a narrow column breaks the line. */
const unbroken = (text: Text): Text =>
  typeof text === "string" ? text.replaceAll(/(\d) (?=(?:%|h|min|s)(?!\w))/g, "$1\u00a0") : text;

const inline = (text: Text): Markup => html`${typeof text === "string" ? text : text.map(piece)}`;

function piece(each: Piece): Markup {
  if (typeof each === "string") return html`${each}`;
  return "code" in each ? html`<code>${each.code}</code>` : html`<a href="#${each.link}">${each.text}</a>`;
}
