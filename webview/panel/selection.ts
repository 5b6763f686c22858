/** Multi-selection as VS Code's lists have it: one active row, an anchor that ranges start from, and what is selected. */

export interface Selection {
  ids: ReadonlySet<number>;
  /** The row that the keyboard is on. */
  active: number | null;
  anchor: number | null;
}

export const NOTHING_SELECTED: Selection = { ids: new Set(), active: null, anchor: null };

export const only = (id: number): Selection => ({ ids: new Set([id]), active: id, anchor: id });

/** Selects exactly these, the keyboard on the first. */
export function several(ids: readonly number[]): Selection {
  const first = ids[0] ?? null;
  return { ids: new Set(ids), active: first, anchor: first };
}

export function toggle({ ids }: Selection, id: number): Selection {
  const next = new Set(ids);
  if (!next.delete(id)) next.add(id);
  return { ids: next, active: id, anchor: id };
}

/** From the anchor to `id`, in the order of the rows. */
export function extendTo(order: readonly number[], { anchor }: Selection, id: number): Selection {
  const from = anchor === null ? -1 : order.indexOf(anchor);
  const to = order.indexOf(id);
  if (from < 0 || to < 0) return only(id);
  return { ids: new Set(order.slice(Math.min(from, to), Math.max(from, to) + 1)), active: id, anchor };
}

export function click(
  order: readonly number[],
  selection: Selection,
  id: number,
  keys: { toggle: boolean; extend: boolean },
): Selection {
  if (keys.extend) return extendTo(order, selection, id);
  return keys.toggle ? toggle(selection, id) : only(id);
}

/** Moves the keyboard by `rows`; `keep` moves it without selecting. */
export function move(
  order: readonly number[],
  selection: Selection,
  rows: number,
  keys: { keep: boolean; extend: boolean },
): Selection {
  if (order.length === 0) return selection;
  const at = selection.active === null ? -1 : order.indexOf(selection.active);
  const start = at < 0 ? (rows > 0 ? -1 : order.length) : at;
  const id = order[Math.min(order.length - 1, Math.max(0, start + rows))] as number;
  if (keys.extend) return extendTo(order, selection, id);
  return keys.keep ? { ...selection, active: id } : only(id);
}

export const all = (order: readonly number[], { active }: Selection): Selection => ({
  ids: new Set(order),
  active: active ?? order[0] ?? null,
  anchor: order[0] ?? null,
});
