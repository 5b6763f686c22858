/** Fine-tuning and runs of cycles, in words: for the panel, the status bar and notifications. */
import type { Tuning } from "../../src/engine/events.ts";
import type { RunState } from "../../src/engine/protocol.ts";
import { plural, roughDuration } from "./format.ts";

export const TUNING_STAGES: Record<Tuning["stage"], string> = {
  loading: "Loading the model",
  training: "Training",
  converting: "Writing the adapter",
  probing: "Probing",
};

/** "step 12 of 40", "answer 3 of 16"; empty where nothing is counted. */
export function tuningCount({ stage, step, steps }: Tuning): string {
  if (steps === 0 || (stage !== "training" && stage !== "probing")) return "";
  return stage === "probing" ? `answer ${step} of ${steps}` : `step ${step} of ${steps}`;
}

/** "cycle 2 of 5, about 3 h left". `now`: milliseconds since the epoch. */
export function runText(
  { started, cyclesDone, candidatesDone, budget }: RunState,
  tuning: boolean,
  now: number,
): string {
  const { cycles, hours, candidates } = budget;
  // Between cycles nothing is counted ahead.
  const cycle = tuning ? `after cycle ${cyclesDone}` : `cycle ${cyclesDone + 1}`;
  const parts = [cycles === null ? cycle : `${cycle} of ${Math.max(cycles, cyclesDone)}`];
  if (candidates !== null) parts.push(`${candidatesDone.toLocaleString("en")} of ${plural(candidates, "candidate")}`);
  if (hours !== null) {
    const left = hours * 3600 - (now - Date.parse(started)) / 1000;
    parts.push(left > 0 ? `${roughDuration(left)} left` : "its time is over");
  }
  return parts.join(", ");
}
