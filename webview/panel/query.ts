/** Which rows the table shows, and in what order. */
import { decisionAccuracy } from "../../src/study/admission.ts";
import { type Candidate, OUTCOMES, type Outcome } from "../../src/study/types.ts";
import { reviewMark } from "../shared/outcomes.ts";

export const SORT_KEYS = [
  "cycle",
  "name",
  "outcome",
  "accuracy",
  "text",
  "structure",
  "parameters",
  "parent",
  "review",
] as const;
export type SortKey = (typeof SORT_KEYS)[number];

export interface Sort {
  key: SortKey;
  descending: boolean;
}

export type Show = "all" | "valid" | "failed" | "proposed" | "accepted" | "rejected" | "underway" | Outcome;

export interface Query {
  /** Part of a name, or an id ("12", "#12"). */
  search: string;
  show: Show;
  cycle: number | null;
  sort: Sort;
}

/** Newest first. */
export const DEFAULT_SORT: Sort = { key: "cycle", descending: true };

export const isFiltered = ({ search, show, cycle }: Query): boolean =>
  search.trim() !== "" || show !== "all" || cycle !== null;

/** The rows in order. Equal ones stand newest first; those without a figure last, whatever the direction. */
export function rowsOf(candidates: Iterable<Candidate>, { search, show, cycle, sort }: Query): Candidate[] {
  const words = search.trim().toLowerCase();
  const id = /^#?(\d+)$/.exec(words)?.[1];
  const rows: Candidate[] = [];
  for (const candidate of candidates) {
    if (cycle !== null && candidate.cycle !== cycle) continue;
    if (!shows(show, candidate)) continue;
    if (words && candidate.id !== Number(id) && !candidate.name.toLowerCase().includes(words)) continue;
    rows.push(candidate);
  }
  const value = VALUES[sort.key];
  const sign = sort.descending ? -1 : 1;
  return rows
    .map((candidate) => ({ candidate, value: value(candidate) }))
    .sort((a, b) => compare(a.value, b.value, sign) || b.candidate.id - a.candidate.id)
    .map(({ candidate }) => candidate);
}

function shows(show: Show, { outcome, proposed, accepted }: Candidate): boolean {
  switch (show) {
    case "all":
      return true;
    case "failed":
      return outcome !== null && outcome !== "valid";
    case "underway":
      return outcome === null;
    case "proposed":
      return proposed && accepted === null;
    case "accepted":
      return accepted === true;
    case "rejected":
      return accepted === false;
    default:
      return outcome === show;
  }
}

const REVIEW_ORDER = ["Rejected", "Proposed", "Accepted"];

const VALUES: Record<SortKey, (candidate: Candidate) => string | number | null> = {
  cycle: (c) => c.cycle,
  name: (c) => c.name,
  outcome: (c) => (c.outcome === null ? null : OUTCOMES.indexOf(c.outcome)),
  accuracy: (c) => decisionAccuracy(c.accuracy),
  text: (c) => c.novelty.text,
  structure: (c) => c.novelty.structure,
  parameters: (c) => c.parameters,
  parent: (c) => c.parent,
  review: (c) => {
    const mark = reviewMark(c);
    return mark && REVIEW_ORDER.indexOf(mark.label);
  },
};

function compare(a: string | number | null, b: string | number | null, sign: 1 | -1): number {
  if (a === b) return 0;
  if (a === null) return 1;
  if (b === null) return -1;
  return (a < b ? -1 : 1) * sign;
}

/** A second press on a column turns it round; figures start with the highest, words and outcomes with the first. */
export function nextSort(sort: Sort, key: SortKey): Sort {
  if (sort.key === key) return { key, descending: !sort.descending };
  return { key, descending: key !== "name" && key !== "outcome" && key !== "parent" };
}
