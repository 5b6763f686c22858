import { describe, expect, it } from "vitest";
import { all, click, move, NOTHING_SELECTED, only, type Selection, several } from "../../webview/panel/selection.ts";
import { rowsInSight, scrollToReveal } from "../../webview/panel/window.ts";

const ORDER = [50, 40, 30, 20, 10];
const ids = ({ ids: selected }: Selection) => [...selected].sort((a, b) => b - a);
const plain = { toggle: false, extend: false };
const held = { keep: false, extend: false };

describe("selection", () => {
  it("by a click takes one row alone, with Ctrl adds and removes, with Shift takes a range from the anchor", () => {
    let selection = click(ORDER, NOTHING_SELECTED, 40, plain);
    expect(ids(selection)).toEqual([40]);
    selection = click(ORDER, selection, 20, { toggle: false, extend: true });
    expect(ids(selection)).toEqual([40, 30, 20]);
    // The anchor stays: a second range starts from it again.
    selection = click(ORDER, selection, 50, { toggle: false, extend: true });
    expect(ids(selection)).toEqual([50, 40]);
    selection = click(ORDER, selection, 10, { toggle: true, extend: false });
    expect(ids(selection)).toEqual([50, 40, 10]);
    selection = click(ORDER, selection, 50, { toggle: true, extend: false });
    expect(ids(selection)).toEqual([40, 10]);
  });

  it("moves with the arrows, stops at the ends, and grows with Shift", () => {
    expect(move(ORDER, NOTHING_SELECTED, 1, held).active).toBe(50);
    expect(move(ORDER, NOTHING_SELECTED, -1, held).active).toBe(10);
    expect(move(ORDER, only(10), 1, held).active).toBe(10);
    expect(move(ORDER, only(40), -99, held).active).toBe(50);
    expect(ids(move(ORDER, only(40), 2, { keep: false, extend: true }))).toEqual([40, 30, 20]);
    const moved = move(ORDER, only(40), 1, { keep: true, extend: false });
    expect([moved.active, ids(moved)]).toEqual([30, [40]]);
    expect(move([], only(40), 1, held)).toEqual(only(40));
  });

  it("starts a range anew where the anchor is filtered away", () => {
    expect(ids(click([50, 30], only(40), 30, { toggle: false, extend: true }))).toEqual([30]);
  });

  it("takes all rows, or those that the other page chose", () => {
    expect(ids(all(ORDER, only(30)))).toEqual(ORDER);
    expect(several([20, 10])).toMatchObject({ active: 20, anchor: 20 });
    expect(several([])).toEqual(NOTHING_SELECTED);
  });
});

describe("rows in sight", () => {
  it("are those of the viewport and a few around it, never outside the table", () => {
    const { first, end } = rowsInSight(44_000, 440, 44, 10_000);
    expect(first).toBeLessThan(1000);
    expect(end).toBeGreaterThan(1010);
    expect(end - first).toBeLessThan(30);
    expect(rowsInSight(0, 440, 44, 3)).toEqual({ first: 0, end: 3 });
    expect(rowsInSight(9_999_999, 440, 44, 10_000)).toMatchObject({ end: 10_000 });
    expect(rowsInSight(0, 440, 44, 0)).toEqual({ first: 0, end: 0 });
    // Rows were filtered away while the table was scrolled down.
    expect(rowsInSight(44_000, 440, 44, 5)).toEqual({ first: 5, end: 5 });
  });

  it("scroll no further than needed to reveal one", () => {
    expect(scrollToReveal(5, 0, 220, 22)).toBe(0);
    expect(scrollToReveal(10, 0, 220, 22)).toBe(22);
    expect(scrollToReveal(2, 100, 220, 22)).toBe(44);
    // A viewport lower than one row shows its top.
    expect(scrollToReveal(3, 500, 10, 22)).toBe(66);
  });
});
