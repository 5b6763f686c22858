/**
 * Unified diffs as a small model writes them: line numbers and counts are wrong, context is reindented, abbreviated or missing its leading
 * space, headers are absent. So hunks are placed by their content alone, top to bottom.
 */

type Line = { kind: "context" | "removed" | "added"; text: string };

export type Applied = { text: string } | { problem: string };

const key = (line: string): string => line.replace(/\s+/g, "");
const indentOf = (line: string): string => line.slice(0, line.length - line.trimStart().length);

/** `text` changed as `diff` says, or why it cannot be. A diff that changes nothing is a problem too. */
export function applyDiff(text: string, diff: string): Applied {
  const hunks = parseHunks(diff);
  if (hunks.length === 0) return { problem: "it has no hunk" };
  let lines = text.split("\n");
  let from = 0;
  for (const [index, hunk] of hunks.entries()) {
    // Mostly below the hunk before it; else anywhere.
    const placed = place(lines, hunk, from) ?? place(lines, hunk, 0);
    if (!placed) return { problem: `hunk ${index + 1} fits nowhere (${JSON.stringify(anchor(hunk))})` };
    lines = placed.lines;
    from = placed.end;
  }
  const result = lines.join("\n");
  return key(result) === key(text) ? { problem: "it changes nothing" } : { text: result };
}

/** Opening brackets less closing ones. */
export function bracketBalance(line: string): number {
  const count = (brackets: RegExp) => line.match(brackets)?.length ?? 0;
  return count(/[([{]/g) - count(/[)\]}]/g);
}

function anchor(hunk: readonly Line[]): string {
  return (hunk.find((line) => line.kind === "removed") ?? hunk[0])?.text.trim() ?? "";
}

/** Hunks without their headers; those that add and remove nothing are left out. */
export function parseHunks(diff: string): Line[][] {
  const hunks: Line[][] = [];
  let hunk: Line[] = [];
  /** Brackets that the added lines just before leave open. */
  let open = 0;
  const flush = (): void => {
    if (hunk.some((line) => line.kind !== "context")) hunks.push(hunk);
    hunk = [];
    open = 0;
  };
  for (const line of diff.replaceAll("\r\n", "\n").split("\n")) {
    if (/^(diff |index |--- |\+\+\+ |\\ No newline)/.test(line)) continue;
    if (line.startsWith("@@")) {
      flush();
      // `@@ -1,2 +1,2 @@ class Net(nn.Module):` names its section; it is no line of the hunk.
      continue;
    }
    // The bracket that ends what was added is often written as if it had been there.
    const closes = open > 0 && /^\s*[)\]}]+,?$/.test(line);
    if (line.startsWith("+") || closes) {
      hunk.push({ kind: "added", text: line.slice(1) });
      open += bracketBalance(line);
    } else if (line.startsWith("-")) {
      hunk.push({ kind: "removed", text: line.slice(1) });
      open = 0;
    } else {
      hunk.push({ kind: "context", text: line.startsWith(" ") ? line.slice(1) : line });
      open = 0;
    }
  }
  flush();
  return hunks;
}

/**
 * Puts one hunk where most of its old lines are found in order, starting at line `from` or below. Removed lines must be there; context
 * may be missing in part. Null when it fits nowhere.
 */
function place(lines: readonly string[], hunk: readonly Line[], from: number): { lines: string[]; end: number } | null {
  const old = hunk.filter((line) => line.kind !== "added" && line.text.trim() !== "");
  if (old.length === 0) return null;
  let best: { matches: Map<Line, number>; score: number } | null = null;
  for (let start = from; start < lines.length; start++) {
    const matches = matchFrom(lines, old, start);
    if (!matches) continue;
    const score = matches.size;
    if (score > (best?.score ?? 0)) best = { matches, score };
  }
  return best && best.score * 2 >= old.length ? rewrite(lines, hunk, best.matches) : null;
}

/** How far apart two neighbouring old lines of a hunk may be in the text: models leave lines out of their context. */
const GAP = 6;

/** Where each old line is when the first one found is at `start`; null when it is not, or when a removed line is missing. */
function matchFrom(lines: readonly string[], old: readonly Line[], start: number): Map<Line, number> | null {
  const matches = new Map<Line, number>();
  let at = start;
  for (const line of old) {
    const reach = matches.size === 0 ? start + 1 : Math.min(lines.length, at + GAP);
    let found = -1;
    for (let i = at; i < reach && found < 0; i++) if (key(lines[i] ?? "") === key(line.text)) found = i;
    if (found >= 0) {
      matches.set(line, found);
      at = found + 1;
    } else if (line.kind === "removed") return null;
  }
  return matches.size > 0 ? matches : null;
}

function rewrite(
  lines: readonly string[],
  hunk: readonly Line[],
  matches: Map<Line, number>,
): { lines: string[]; end: number } {
  const first = Math.min(...matches.values());
  const result = lines.slice(0, first);
  let at = first;
  let shift: { from: string; to: string } = { from: "", to: "" };
  const nearest = hunk.find((line) => matches.has(line));
  const indentation = (line: Line): { from: string; to: string } => ({
    from: indentOf(line.text),
    to: indentOf(lines[matches.get(line) ?? 0] ?? ""),
  });
  if (nearest) shift = indentation(nearest);
  for (const line of hunk) {
    const match = matches.get(line);
    if (line.kind === "added") {
      result.push(reindent(line.text, shift));
    } else if (match !== undefined) {
      result.push(...lines.slice(at, match));
      if (line.kind === "context") result.push(lines[match] ?? "");
      at = match + 1;
      shift = indentation(line);
    }
  }
  const end = result.length;
  return { lines: [...result, ...lines.slice(at)], end };
}

/** An added line indented as its neighbours are in the text rather than as they are in the hunk. */
function reindent(text: string, { from, to }: { from: string; to: string }): string {
  if (text.trim() === "" || from === to) return text;
  const depth = Math.max(0, indentOf(text).length + to.length - from.length);
  return " ".repeat(depth) + text.trimStart();
}
