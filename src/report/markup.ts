/** HTML that cannot be broken out of: what is put into a template is escaped, unless it is itself such a template. */

export class Markup {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  toString(): string {
    return this.#text;
  }
}

export type Content = string | number | Markup | readonly Content[];

/** Markup from a template. Attributes must be quoted. Values are text, other markup, or lists of these (joined by nothing). */
export function html(parts: TemplateStringsArray, ...values: readonly Content[]): Markup {
  return new Markup(parts.map((part, i) => (i === 0 ? part : write(values[i - 1] ?? "") + part)).join(""));
}

function write(value: Content): string {
  if (value instanceof Markup) return value.toString();
  if (typeof value === "object") return value.map(write).join("");
  return escapeHtml(String(value));
}

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Text for HTML, between tags and within quoted attributes alike. */
export const escapeHtml = (text: string): string => visible(text).replace(/[&<>"']/g, (sign) => ENTITIES[sign] ?? "");

/**
 * Text in which nothing hides: control characters, and those that turn the direction of what follows (CVE-2021-42574), are
 * written as their code points. A generated module, or its error, may hold either.
 */
export function visible(text: string): string {
  const hidden = /[\p{Cc}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|\p{Cs}/gu;
  return text.replaceAll("\r\n", "\n").replace(hidden, (sign) => {
    if (sign === "\n" || sign === "\t") return sign;
    return `\\u{${(sign.codePointAt(0) ?? 0).toString(16)}}`;
  });
}
