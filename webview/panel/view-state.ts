/** What the panel remembers while it is hidden: how it was looked at, nothing of the study itself. */
import type { DesignMode } from "../../src/study/types.ts";
import type { Show, SortKey } from "./query.ts";

export interface ViewState {
  search: string;
  show: Show;
  cycle: number | null;
  sortKey: SortKey;
  descending: boolean;
  filtersOpen: boolean;
  selected: number[];
  active: number | null;
  scrollTop: number;
  /** The candidate whose text is open. */
  watched: number | null;
  /** Of the next cycle; null: as many as the settings say. */
  candidates: number | null;
  mode: DesignMode | "study";
}

export const INITIAL_VIEW: ViewState = {
  search: "",
  show: "all",
  cycle: null,
  sortKey: "cycle",
  descending: true,
  filtersOpen: false,
  selected: [],
  active: null,
  scrollTop: 0,
  watched: null,
  candidates: null,
  mode: "study",
};
