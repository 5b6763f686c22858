/** Messages from a page are input from outside: the extension takes only those of the contract. Not part of the pages' bundles. */
import {
  CANDIDATE_ACTIONS,
  type CandidateAction,
  type FromWebview,
  MOST_CANDIDATES,
  PAGE_COMMANDS,
  type PageCommand,
} from "./contract.ts";

/** The message, with nothing in it that the contract does not name; null when it is none. */
export function readFromWebview(value: unknown): FromWebview | null {
  if (!isRecord(value)) return null;
  switch (value.type) {
    case "ready":
    case "refresh":
    case "resume":
    case "stop":
      return { type: value.type };
    case "run":
      return isOneOf<CandidateAction>(CANDIDATE_ACTIONS, value.action) && isIds(value.ids) && value.ids.length > 0
        ? { type: "run", action: value.action, ids: value.ids }
        : null;
    case "step":
      return isWhole(value.candidates, 1, MOST_CANDIDATES) && (value.mode === "full" || value.mode === "delta")
        ? { type: "step", candidates: value.candidates, mode: value.mode }
        : null;
    case "watch":
      return value.id === null || isId(value.id) ? { type: "watch", id: value.id } : null;
    case "select":
      return isIds(value.ids) ? { type: "select", ids: value.ids } : null;
    case "command":
      return isOneOf<PageCommand>(PAGE_COMMANDS, value.command) ? { type: "command", command: value.command } : null;
    case "useGeneration":
      return isId(value.generation) ? { type: "useGeneration", generation: value.generation } : null;
    case "deleteGeneration":
      // Generation 0 is the model itself, which is not ours to delete.
      return isWhole(value.generation, 1, Number.MAX_SAFE_INTEGER)
        ? { type: "deleteGeneration", generation: value.generation }
        : null;
    case "chooseStudy":
      return typeof value.dir === "string" && value.dir !== "" ? { type: "chooseStudy", dir: value.dir } : null;
    default:
      return null;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isWhole(value: unknown, least: number, most: number): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most;
}

const isId = (value: unknown): value is number => isWhole(value, 0, Number.MAX_SAFE_INTEGER);

const isIds = (value: unknown): value is number[] => Array.isArray(value) && value.every(isId);

function isOneOf<T extends string>(allowed: readonly T[], value: unknown): value is T {
  return typeof value === "string" && (allowed as readonly string[]).includes(value);
}
