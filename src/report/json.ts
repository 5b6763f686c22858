/** The figures alone, for programs. */
import type { Protocol } from "../study/types.ts";
import type { CycleRow, DesignerAccount, Report } from "./types.ts";

/** One cycle in `report.json`: counts, and accuracies in [0, 1] as decisions use them. */
export type JsonCycle = Pick<
  CycleRow,
  | "cycle"
  | "candidates"
  | "valid"
  | "newAndValid"
  | "meanAccuracy"
  | "bestAccuracy"
  | "atLeastThreshold"
  | "newStructures"
  | "accepted"
  | "generation"
>;

export interface JsonReport {
  protocol: Protocol;
  designer: DesignerAccount;
  cycles: JsonCycle[];
  /** The same of the study whose designer was never tuned. */
  untuned: JsonCycle[] | null;
}

/** The text of `report.json`. */
export function toJson({ protocol, designer, cycles, untuned }: Report): string {
  const report: JsonReport = {
    protocol,
    designer,
    cycles: cycles.map(jsonCycle),
    untuned: untuned?.cycles.map(jsonCycle) ?? null,
  };
  return `${JSON.stringify(report, null, 2)}\n`;
}

function jsonCycle(row: CycleRow): JsonCycle {
  const { cycle, candidates, valid, newAndValid, meanAccuracy, bestAccuracy, atLeastThreshold } = row;
  const { newStructures, accepted, generation } = row;
  return {
    cycle,
    candidates,
    valid,
    newAndValid,
    meanAccuracy,
    bestAccuracy,
    atLeastThreshold,
    newStructures,
    accepted,
    generation,
  };
}
