/** A report's parts, as data: what they say is decided once, and each form (HTML, Markdown) writes them its own way. */

/** A piece of running text. Nothing in it is markup: each form escapes it. */
export type Piece = string | { link: string; text: string } | { code: string };
export type Text = string | readonly Piece[];

export interface Table {
  kind: "table";
  caption: string;
  head: readonly string[];
  rows: readonly (readonly Text[])[];
  /** Sums and references. */
  foot: readonly (readonly Text[])[];
  /** Columns of words; the others hold figures. The first names its row. */
  words: readonly number[];
}

export interface Series {
  label: string;
  /** One a place on the x axis; null where there is none. */
  values: readonly (number | null)[];
  /** Which of the page's two colours of series. */
  color: 0 | 1;
  /** Of the study that is shown for comparison: dashed, its marks hollow. */
  beside: boolean;
}

export interface LineChart {
  id: string;
  title: string;
  axis: "Cycle" | "Step";
  xs: readonly number[];
  series: readonly Series[];
  /** Two values at most to read the series against. */
  references: readonly { label: string; value: number }[];
  /** Upper end of the scale is at least this. */
  top: number;
  format: (value: number | null) => string;
}

export type Block =
  | { kind: "section"; id: string; title: string; blocks: readonly Block[] }
  /** One thing among its like, that others link to. */
  | { kind: "item"; id: string; title: string; blocks: readonly Block[] }
  | { kind: "paragraph"; text: Text }
  /** A caveat, or what to do next. */
  | { kind: "note"; text: Text }
  | { kind: "tiles"; tiles: readonly { label: string; value: string; more: string }[] }
  | { kind: "facts"; title: string | null; facts: readonly (readonly [term: string, meaning: Text])[] }
  | { kind: "charts"; charts: readonly LineChart[] }
  | { kind: "code"; summary: string; code: string }
  | Table;

export interface Page {
  title: string;
  blocks: readonly Block[];
}
