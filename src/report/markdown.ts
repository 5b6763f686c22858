/** A report as GitHub's Markdown. */
import type { Block, Piece, Table, Text } from "./blocks.ts";
import { chartTable } from "./chart.ts";
import { escapeHtml, visible } from "./markup.ts";
import { pageOf } from "./page.ts";
import type { Report } from "./types.ts";

/** The text of `report.md`. */
export function toMarkdown(report: Report): string {
  const { title, blocks } = pageOf(report);
  return `${[`# ${escapeText(title)}`, ...blocks.map((block) => write(block))].join("\n\n")}\n`;
}

function write(block: Block): string {
  switch (block.kind) {
    case "section":
      return [`## ${escapeText(block.title)}`, ...block.blocks.map(write)].join("\n\n");
    case "item":
      return [`### <a id="${escapeHtml(block.id)}"></a>${escapeText(block.title)}`, ...block.blocks.map(write)].join(
        "\n\n",
      );
    case "paragraph":
      return inline(block.text);
    case "note":
      return `> ${inline(block.text)}`;
    case "tiles":
      return block.tiles
        .map(
          ({ label, value, more }) =>
            `- ${escapeText(label)}: **${escapeText(value)}**${more && ` ${escapeText(more)}`}`,
        )
        .join("\n");
    case "facts":
      return [
        ...(block.title === null ? [] : [`### ${escapeText(block.title)}\n`]),
        ...block.facts.map(([term, meaning]) => `- ${escapeText(term)}: ${inline(meaning)}`),
      ].join("\n");
    case "charts":
      return block.charts.map((chart) => folded(chart.title, table(chartTable(chart)))).join("\n\n");
    case "code":
      return folded(block.summary, fenced(block.code));
    case "table":
      return table(block);
  }
}

const folded = (summary: string, text: string): string =>
  `<details><summary>${escapeHtml(summary)}</summary>\n\n${text}\n\n</details>`;

function table({ caption, head, rows, foot, words }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, column) => (column === 0 || words.includes(column) ? "---" : "---:"));
  return [
    `**${escapeText(caption)}**\n`,
    line(head.map(escapeText)),
    line(rule),
    ...[...rows, ...foot].map((row) => line(row.map(inline))),
  ].join("\n");
}

const inline = (text: Text): string => (typeof text === "string" ? escapeText(text) : text.map(piece).join(""));

function piece(each: Piece): string {
  if (typeof each === "string") return escapeText(each);
  if ("code" in each) return `<code>${escapeText(each.code)}</code>`;
  return `[${escapeText(each.text)}](#${each.link})`;
}

/** Text in one line, in which nothing is markup. */
function escapeText(text: string): string {
  return (
    visible(text)
      .replace(/\s+/g, " ")
      .replace(/&/g, "&amp;")
      .replace(/</g, "&lt;")
      .replace(/>/g, "&gt;")
      .replace(/[\\`*[\]|~#$@]|(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, "\\$&")
      // No text becomes a link by itself.
      .replace(/:(?=\/\/)|(?<=www)\./gi, "\\$&")
  );
}

/** A fence longer than any in the code. */
function fenced(code: string): string {
  const longest = Math.max(2, ...(visible(code).match(/`+/g) ?? []).map((run) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}python\n${visible(code).replace(/\n*$/, "")}\n${fence}`;
}
