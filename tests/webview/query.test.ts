import { describe, expect, it } from "vitest";
import { DEFAULT_SORT, isFiltered, nextSort, type Query, rowsOf } from "../../webview/panel/query.ts";
import { idleSnapshot, runningSnapshot } from "../fixtures/snapshots.ts";

const query = (part: Partial<Query> = {}): Query => ({
  search: "",
  show: "all",
  cycle: null,
  sort: DEFAULT_SORT,
  ...part,
});
const { candidates } = idleSnapshot();

describe("rows of the table", () => {
  it("come newest first unless asked otherwise", () => {
    const rows = rowsOf(candidates, query());
    expect(rows.map(({ cycle }) => cycle)).toEqual(rows.map(({ cycle }) => cycle).sort((a, b) => b - a));
    expect(rows[0]?.name).toBe("Demo_c4_10");
    expect(rows).toHaveLength(candidates.length);
  });

  it("sort by each figure, those without one last in both directions", () => {
    for (const descending of [true, false]) {
      const rows = rowsOf(candidates, query({ sort: { key: "accuracy", descending } }));
      const figures = rows.map(({ accuracy }) => accuracy.validation);
      const known = figures.filter((figure) => figure !== null);
      expect(figures.slice(known.length).every((figure) => figure === null)).toBe(true);
      expect(known.length).toBeLessThan(figures.length);
      expect(known).toEqual(known.toSorted((a, b) => (descending ? b - a : a - b)));
    }
  });

  it("of equal value stand newest first", () => {
    const rows = rowsOf(candidates, query({ show: "valid", sort: { key: "outcome", descending: false } }));
    expect(rows.map(({ id }) => id)).toEqual(rows.map(({ id }) => id).sort((a, b) => b - a));
  });

  it("sort by review: accepted, proposed, rejected, then the rest", () => {
    const rows = rowsOf(candidates, query({ sort: { key: "review", descending: true } }));
    const rank = rows.map(({ accepted, proposed }) => (accepted ? 3 : accepted === false ? 1 : proposed ? 2 : 0));
    expect(rank).toEqual(rank.toSorted((a, b) => b - a));
  });

  it("are filtered by outcome, review and cycle", () => {
    const count = (part: Partial<Query>) => rowsOf(candidates, query(part)).length;
    expect(count({ show: "valid" })).toBe(candidates.filter(({ outcome }) => outcome === "valid").length);
    expect(count({ show: "valid" }) + count({ show: "failed" })).toBe(candidates.length);
    expect(count({ show: "shape" })).toBe(candidates.filter(({ outcome }) => outcome === "shape").length);
    expect(count({ show: "accepted" })).toBeGreaterThan(0);
    // What was accepted or rejected is no longer a proposal.
    expect(rowsOf(candidates, query({ show: "proposed" })).every(({ accepted }) => accepted === null)).toBe(true);
    expect(count({ cycle: 3 })).toBe(10);
    expect(count({ cycle: 0 })).toBe(4);
    expect(rowsOf(runningSnapshot().candidates, query({ show: "underway" }))).toHaveLength(6);
  });

  it("are found by a part of the name, in any case, or by id", () => {
    expect(rowsOf(candidates, query({ search: " C2_0 " })).every(({ name }) => name.includes("c2_0"))).toBe(true);
    expect(rowsOf(candidates, query({ search: "#7" })).map(({ id }) => id)).toEqual([7]);
    expect(rowsOf(candidates, query({ search: "44" })).map(({ id }) => id)).toContain(44);
    expect(rowsOf(candidates, query({ search: "nothing like it" }))).toEqual([]);
  });
});

describe("sorting by a column", () => {
  it("turns round at a second press, and starts figures with the highest", () => {
    expect(nextSort(DEFAULT_SORT, "accuracy")).toEqual({ key: "accuracy", descending: true });
    expect(nextSort({ key: "accuracy", descending: true }, "accuracy")).toEqual({ key: "accuracy", descending: false });
    expect(nextSort(DEFAULT_SORT, "name")).toEqual({ key: "name", descending: false });
  });
});

it("knows whether anything is filtered", () => {
  expect(isFiltered(query({ search: "  " }))).toBe(false);
  expect(isFiltered(query({ search: "c1" }))).toBe(true);
  expect(isFiltered(query({ cycle: 0 }))).toBe(true);
});
