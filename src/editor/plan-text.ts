/** What a LoRA run will train on and take, in words. Pure. */
import { plural, roughDuration } from "../../webview/shared/format.ts";
import type { TuningPlan } from "../engine/protocol.ts";
import { memorySize } from "../study/units.ts";

export function planTitle({ resumes }: TuningPlan): string {
  return resumes === null
    ? "Fine-tune the designer on the accepted nets?"
    : `Continue the fine-tuning of generation ${resumes}?`;
}

/** One fact a line. */
export function planText(plan: TuningPlan): string {
  const { accepted, newAccepted, examples, leftOut, base, device, memoryMiB, freeMemoryMiB, seconds, resumes } = plan;
  const size = (mib: number) => memorySize(mib * 2 ** 20);
  const left = [
    leftOut.repeated > 0 ? `${leftOut.repeated} with the structure of another` : null,
    leftOut.tooLong > 0 ? `${leftOut.tooLong} too long` : null,
  ].filter((part) => part !== null);
  const tight = memoryMiB > freeMemoryMiB ? "; it will be slower" : "";
  const news = newAccepted === 0 ? "none of them new" : `${newAccepted} of them new`;
  return [
    resumes === null
      ? `Trains on ${plural(examples, "example")} of ${plural(accepted, "accepted net")}, ${news}.`
      : `Goes on with its own ${plural(examples, "example")}. Start Over gives it up and trains on what is accepted now: ${plural(accepted, "net")}, ${news}.`,
    left.length > 0 ? `Left out: ${left.join(", ")}.` : null,
    `Model: ${base}, on ${device}.`,
    `Memory: ${size(memoryMiB)}, ${size(freeMemoryMiB)} are free${tight}.`,
    seconds === null
      ? "Time: known once it trains; the panel then shows it."
      : `Time: ${roughDuration(seconds)}, then the probe.`,
    "",
    "Afterwards the new generation and its parent answer the same questions. It designs only if it does at least as well.",
  ]
    .filter((line) => line !== null)
    .join("\n");
}
