/** A figure with its title, a switch to the same as a table, and a place for controls. */
import { html, nothing, type TemplateResult } from "lit";
import { icon } from "../shared/icon.ts";

export interface CardInput {
  id: string;
  title: string;
  /** Said in words, for the table's caption and for those who do not see the chart. */
  summary: string;
  chart: () => TemplateResult;
  table: { head: string[]; rows: (string | TemplateResult)[][]; note?: string };
  asTable: boolean;
  toggle: () => void;
  controls?: TemplateResult;
  wide?: boolean;
}

export function card({ id, title, summary, chart, table, asTable, toggle, controls, wide }: CardInput): TemplateResult {
  return html`<section class="card ${wide ? "wide" : ""}" aria-labelledby="${id}-title">
    <div class="card-head">
      <h2 id="${id}-title">${title}</h2>
      ${controls ?? nothing}
      <button type="button" class="icon-button" aria-pressed=${asTable} aria-label="${title} as a table"
        title=${asTable ? "Show the chart" : "Show as a table"} @click=${toggle}>${icon(asTable ? "graph" : "table")}</button>
    </div>
    ${asTable ? tableView(title, summary, table) : chart()}
  </section>`;
}

function tableView(title: string, summary: string, { head, rows, note }: CardInput["table"]): TemplateResult {
  return html`<div class="table" tabindex="0" role="region" aria-label="${title}: table">
      <table>
        <caption><span>${summary}</span></caption>
        <thead><tr>${head.map((each) => html`<th scope="col">${each}</th>`)}</tr></thead>
        <tbody>${rows.map(
          ([first, ...rest]) =>
            html`<tr><th scope="row">${first}</th>${rest.map((each) => html`<td>${each}</td>`)}</tr>`,
        )}</tbody>
      </table>
    </div>
    ${note ? html`<p class="note">${note}</p>` : nothing}`;
}
