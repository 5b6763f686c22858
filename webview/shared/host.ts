/** The page's only way out: typed messages to the extension, and a small state that outlives the page. */
import type { FromWebview, ToWebview } from "./contract.ts";

declare function acquireVsCodeApi(): {
  postMessage(message: FromWebview): void;
  getState(): unknown;
  setState(state: unknown): void;
};

const api = acquireVsCodeApi();

export const post = (message: FromWebview): void => api.postMessage(message);

export function onMessage(handle: (message: ToWebview) => void): void {
  // Only the extension can post into this frame: the page's origin is its own.
  window.addEventListener("message", (event: MessageEvent<ToWebview>) => handle(event.data));
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") post({ type: "refresh" });
  });
}

/** The state that was saved last, over `defaults`: keys of an older version that are missing or of another kind fall back. */
export function restore<T extends object>(defaults: T): T {
  const saved = api.getState();
  if (typeof saved !== "object" || saved === null) return defaults;
  const known = Object.entries(saved).filter(
    ([key, value]) => key in defaults && kind(value) === kind(defaults[key as keyof T]),
  );
  return { ...defaults, ...Object.fromEntries(known) };
}

/** A null default stands for "a number or null". */
function kind(value: unknown): string {
  return value === null ? "number" : Array.isArray(value) ? "array" : typeof value;
}

let saving: ReturnType<typeof setTimeout> | undefined;

/** Saves what `state` returns, soon: scrolling calls this at every frame. */
export function save(state: () => object): void {
  clearTimeout(saving);
  saving = setTimeout(() => api.setState(state()), 100);
}
