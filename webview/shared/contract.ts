/**
 * What the extension and its webviews say to each other. Both sides import this file; neither sends anything else.
 *
 * A page posts `ready` when it has loaded and gets a `snapshot` (or a `blocked`), then `changes`. It keeps nothing of the study: when it
 * sees a gap in the numbers, or is shown again, it posts `refresh` and gets a new snapshot.
 *
 * The pages: `dist/webview/<name>.js`, `<name>.css` and `codicon.ttf`, where the body is one element of `ROOTS[name]` and the script has
 * `defer`, under `pagePolicy`.
 */
import type { Changes, Snapshot } from "../../src/engine/protocol.ts";
import type { DesignMode } from "../../src/study/types.ts";

export type PageName = "panel" | "dashboard";

/** The one element in the body of each page. */
export const ROOTS = { panel: "netwright-panel", dashboard: "netwright-dashboard" } as const satisfies Record<
  PageName,
  string
>;

/** The policy of a page whose files come from `source`. */
export const pagePolicy = (nonce: string, source: string): string =>
  `default-src 'none'; script-src 'nonce-${nonce}'; style-src ${source}; font-src ${source}; img-src ${source}`;

/** Why there is no study to show. */
export type Blocked =
  /** No folder is open. */
  | { kind: "no-folder" }
  /** The open folders hold no `netwright.json`. */
  | { kind: "no-study" }
  /** Several do, and none was chosen yet. */
  | { kind: "several-studies"; studies: { dir: string; name: string }[] }
  /** The workspace is not trusted: nothing runs. */
  | { kind: "untrusted" }
  /** The engine is being started, or reached again. */
  | { kind: "connecting" }
  /** The study cannot be opened; `code` is that of the `UserError`. */
  | { kind: "failed"; code: string; message: string };

/** Why nothing happens in a workspace that is not trusted. */
export const RESTRICTED =
  "This workspace is in Restricted Mode. A study runs code that a model wrote, so nothing runs, and nothing is read, until you trust the workspace.";

export type ToWebview =
  | { type: "snapshot"; snapshot: Snapshot }
  | ({ type: "changes" } & Changes)
  /** All that is written so far of the watched candidate: the answer to `watch`. */
  | { type: "written"; id: number; text: string }
  /** A further piece of it. */
  | { type: "writing"; id: number; piece: string }
  | { type: "blocked"; why: Blocked }
  /** Rows chosen in the other page. */
  | { type: "select"; ids: number[] }
  /** Bring this generation into sight. */
  | { type: "showGeneration"; generation: number }
  /** What the user's settings say of the next cycle: sent with the first state, and when they change. */
  | { type: "settings"; candidatesPerCycle: number };

/** What can be asked for candidates. `compare` is with the nearest net by structure, or by text where that is not known. */
export const CANDIDATE_ACTIONS = ["accept", "reject", "compare", "evaluateAgain", "open"] as const;
export type CandidateAction = (typeof CANDIDATE_ACTIONS)[number];

/** Commands of the palette that a page offers as a button. */
export const PAGE_COMMANDS = [
  "newStudy",
  "openFolder",
  "checkSetup",
  "manageTrust",
  "openConfig",
  "openDashboard",
  "showLog",
  "fineTune",
  "useGeneration",
  "pauseRun",
  "continueRun",
] as const;
export type PageCommand = (typeof PAGE_COMMANDS)[number];

/** The most candidates that one cycle may be asked for. */
export const MOST_CANDIDATES = 10_000;

export type FromWebview =
  | { type: "ready" }
  /** A gap in the numbers, or shown again: a new snapshot, please. */
  | { type: "refresh" }
  | { type: "run"; action: CandidateAction; ids: number[] }
  | { type: "step"; candidates: number; mode: DesignMode }
  /** Continue the interrupted cycle. */
  | { type: "resume" }
  | { type: "stop" }
  /** Send the text of this candidate as it is written; null: of none. One at a time, for as long as the page lives. */
  | { type: "watch"; id: number | null }
  /** The rows now selected: what the palette's commands act on, and what the other page shows as chosen. */
  | { type: "select"; ids: number[] }
  | { type: "command"; command: PageCommand }
  /** Make this generation the designer; 0: the model itself. */
  | { type: "useGeneration"; generation: number }
  /** Delete its adapter, after asking. */
  | { type: "deleteGeneration"; generation: number }
  /** The answer to `several-studies`. */
  | { type: "chooseStudy"; dir: string };

/**
 * What `data-vscode-context` of a row holds: context keys for `when` clauses of `webview/context` menus, and the first argument of the
 * commands there. A row that is selected speaks for the whole selection.
 */
export interface CandidateContext {
  webviewSection: "candidate";
  preventDefaultContextMenuItems: true;
  ids: number[];
  single: boolean;
  /** All of them can be accepted: valid, and not accepted yet. */
  canAccept: boolean;
  /** All of them can be rejected: ended, and not rejected yet. */
  canReject: boolean;
  /** One, with a net to compare it with. */
  canCompare: boolean;
  /** All of them have ended with code that passed the check. */
  canEvaluate: boolean;
}
