/** What the panel remembers while it is hidden: how it was looked at, nothing of the study itself. */
import type { DesignMode } from "../../src/study/types.ts";
import type { Show, SortKey } from "./query.ts";

export interface ViewState {
  /** The folder of the study whose rows were looked at; empty: none yet. */
  study: string;
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
  study: "",
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

/** What is of one study's rows; the rest is how the user likes the panel. */
export function forStudy(view: ViewState, study: string): ViewState {
  const { search, show, cycle, selected, active, scrollTop, watched } = INITIAL_VIEW;
  return { ...view, study, search, show, cycle, selected, active, scrollTop, watched };
}
