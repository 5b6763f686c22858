/** Which of many rows of one height are in sight. Pixels. */

/** Rows kept ready above and below, so that a frame of scrolling never shows a gap. */
const OVERSCAN = 6;

/** Rows to draw: from `first` up to, not including, `end`. */
export function rowsInSight(
  scrollTop: number,
  viewport: number,
  rowHeight: number,
  count: number,
): { first: number; end: number } {
  const first = Math.max(0, Math.min(count, Math.floor(scrollTop / rowHeight) - OVERSCAN));
  const end = Math.max(first, Math.min(count, Math.ceil((scrollTop + viewport) / rowHeight) + OVERSCAN));
  return { first, end };
}

/** Where to scroll so that row `index` is wholly in sight; `scrollTop` itself when it is. */
export function scrollToReveal(index: number, scrollTop: number, viewport: number, rowHeight: number): number {
  const top = index * rowHeight;
  if (top < scrollTop) return top;
  return Math.max(scrollTop, top + rowHeight - viewport);
}
