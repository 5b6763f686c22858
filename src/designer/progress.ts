/** How far a long step of opening a designer has come: `done` of `total` in `unit`s; `total` null while unknown. */
export interface Progress {
  what: string;
  done: number;
  total: number | null;
  unit: "bytes" | "parts" | "percent" | "steps";
}
export type OnProgress = (progress: Progress) => void;

/** What an aborted wait rejects with, whatever reason the signal was given. */
export function abortError(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  if (reason instanceof Error && reason.name === "AbortError") return reason;
  return new DOMException("The operation was aborted", "AbortError");
}
