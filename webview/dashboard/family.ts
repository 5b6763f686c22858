/** The layout of the family tree: cycles from left to right, every family below the one before. Pure. */
import type { Candidate } from "../../src/study/types.ts";

export interface FamilyNode {
  candidate: Candidate;
  /** Column: the position of its cycle among those shown. */
  column: number;
  /** In rows; a parent stands amid its children. */
  row: number;
  parent: FamilyNode | null;
  /** Children that are not drawn. */
  folded: number;
}

export interface Family {
  nodes: FamilyNode[];
  /** Cycle of each column. */
  cycles: number[];
  rows: number;
  /** Nets without parent or child. */
  alone: number;
  /** There are too many nets to draw: these are the newest accepted ones and their ancestors. */
  acceptedOnly: boolean;
}

/** More nets than this are not read as a tree any more. */
const READABLE = 600;

/** `failed`: draw failed children as well, instead of counting them at their parent. Of very many nets only the newest accepted lines are drawn. */
export function familyTree(candidates: Iterable<Candidate>, failed: boolean): Family {
  const byId = new Map<number, Candidate>();
  const children = new Map<number, Candidate[]>();
  for (const candidate of candidates) byId.set(candidate.id, candidate);
  for (const candidate of byId.values()) {
    if (candidate.parent === null || !byId.has(candidate.parent)) continue;
    const siblings = children.get(candidate.parent);
    if (siblings) siblings.push(candidate);
    else children.set(candidate.parent, [candidate]);
  }
  const isChild = (candidate: Candidate) => candidate.parent !== null && byId.has(candidate.parent);
  const related = [...byId.values()].filter((each) => isChild(each) || children.has(each.id));
  const wanted = (candidate: Candidate) => failed || candidate.outcome === "valid" || children.has(candidate.id);
  const acceptedOnly = related.filter(wanted).length > READABLE;
  const lines = acceptedOnly ? acceptedLines(related, byId) : null;
  const kept = (candidate: Candidate) => (lines ? lines.has(candidate.id) : wanted(candidate));

  const drawn: Candidate[] = [];
  const rowOf = new Map<number, number>();
  const folded = new Map<number, number>();
  let rows = 0;
  // Recursion by hand: a family can be as deep as the study has cycles.
  for (const root of byId.values()) {
    if (isChild(root) || !children.has(root.id) || !kept(root)) continue;
    const stack: { candidate: Candidate; entered: boolean }[] = [{ candidate: root, entered: false }];
    while (stack.length > 0) {
      const top = stack[stack.length - 1] as (typeof stack)[number];
      const { candidate } = top;
      const all = children.get(candidate.id) ?? [];
      const shown = all.filter(kept);
      if (!top.entered) {
        top.entered = true;
        drawn.push(candidate);
        folded.set(candidate.id, all.length - shown.length);
        for (const child of shown.toReversed()) stack.push({ candidate: child, entered: false });
        if (shown.length > 0) continue;
      }
      stack.pop();
      const spots = shown.map(({ id }) => rowOf.get(id) ?? 0);
      rowOf.set(candidate.id, spots.length > 0 ? (Math.min(...spots) + Math.max(...spots)) / 2 : rows++);
    }
  }

  const cycles = [...new Set(drawn.map(({ cycle }) => cycle))].sort((a, b) => a - b);
  const nodes = new Map<number, FamilyNode>();
  for (const candidate of drawn) {
    nodes.set(candidate.id, {
      candidate,
      column: cycles.indexOf(candidate.cycle),
      row: rowOf.get(candidate.id) ?? 0,
      parent: candidate.parent === null ? null : (nodes.get(candidate.parent) ?? null),
      folded: folded.get(candidate.id) ?? 0,
    });
  }
  return { nodes: [...nodes.values()], cycles, rows, alone: byId.size - related.length, acceptedOnly };
}

/** The newest accepted nets, as many as can be read, and all that they descend from. */
function acceptedLines(related: readonly Candidate[], byId: ReadonlyMap<number, Candidate>): Set<number> {
  const lines = new Set<number>();
  for (const { accepted, id } of related.toSorted((a, b) => b.id - a.id)) {
    if (lines.size >= READABLE) break;
    let at = accepted === true ? byId.get(id) : undefined;
    while (at && !lines.has(at.id)) {
      lines.add(at.id);
      at = at.parent === null ? undefined : byId.get(at.parent);
    }
  }
  return lines;
}
