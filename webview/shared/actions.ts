/** What can be done with candidates, as their state allows. */
import type { Candidate } from "../../src/study/types.ts";
import type { CandidateAction, CandidateContext } from "./contract.ts";

export const ACTION_MARKS: Record<CandidateAction, { label: string; icon: string; key: string | null }> = {
  accept: { label: "Accept", icon: "check", key: "A" },
  reject: { label: "Reject", icon: "close", key: "X" },
  open: { label: "Open", icon: "go-to-file", key: "Enter" },
  compare: { label: "Compare with Nearest", icon: "git-compare", key: null },
  evaluateAgain: { label: "Evaluate Again", icon: "refresh", key: null },
};

export function can(action: CandidateAction, candidate: Candidate): boolean {
  switch (action) {
    case "accept":
      return candidate.outcome === "valid" && candidate.accepted !== true;
    case "reject":
      return candidate.outcome !== null && candidate.accepted !== false;
    case "open":
      return candidate.outcome !== null;
    case "compare":
      return (candidate.nearest.structure ?? candidate.nearest.text) !== null;
    case "evaluateAgain":
      return candidate.outcome !== null && candidate.parameters !== null;
  }
}

export function contextOf(candidates: readonly Candidate[]): CandidateContext {
  const all = (action: CandidateAction) => candidates.every((candidate) => can(action, candidate));
  return {
    webviewSection: "candidate",
    preventDefaultContextMenuItems: true,
    ids: candidates.map(({ id }) => id),
    single: candidates.length === 1,
    canAccept: all("accept"),
    canReject: all("reject"),
    canCompare: candidates.length === 1 && all("compare"),
    canEvaluate: all("evaluateAgain"),
  };
}
