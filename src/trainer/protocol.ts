/** What the worker process and this side say to each other: JSON lines (see python/netwright/worker.py). */
import { z } from "zod";
import { type Failure, OUTCOMES, type Protocol } from "../study/types.ts";

/** The part of a protocol that the process of a candidate needs. */
export type RunProtocol = Pick<
  Protocol,
  "epochs" | "batch" | "lr" | "momentum" | "dropout" | "transform" | "seed" | "trainImages"
>;

export interface RunRequest {
  type: "check" | "train";
  code: string;
  protocol: RunProtocol;
  /** Most parameters a net may have. */
  parameters: number;
  /** Wall clock. */
  seconds: number;
}

export type Request = (RunRequest & { id: number }) | { type: "cancel"; id: number };

const count = z.number().int().nonnegative();
const seconds = z.number().nonnegative();
const id = count;

/** 20,000 nodes is the tracer's own limit. */
const graphSchema = z
  .object({
    nodes: z
      .array(
        z.object({
          op: z.string().max(200),
          attributes: z.string().max(2000),
          shape: z.array(count).max(32),
          inputs: z.array(count),
        }),
      )
      .max(20_000),
    output: count,
  })
  .refine(
    ({ nodes, output }) =>
      output < nodes.length && nodes.every((node, index) => node.inputs.every((input) => input < index)),
    "not a graph in topological order",
  );

const failureOutcomes = OUTCOMES.filter((outcome): outcome is Failure["outcome"] => outcome !== "valid");

const result = { type: z.literal("result"), id, seconds };
const resultSchema = z.discriminatedUnion("status", [
  z.object({ ...result, status: z.literal("checked"), parameters: count, graph: graphSchema }),
  z.object({
    ...result,
    status: z.literal("trained"),
    /** One byte per image, base64. */
    predictions: z.object({ validation: z.base64().nullable(), test: z.base64() }),
    trainSeconds: seconds,
    evaluateSeconds: seconds,
    peakMemoryMiB: count,
  }),
  z.object({
    ...result,
    status: z.literal("failed"),
    failure: z.object({
      outcome: z.enum(failureOutcomes),
      message: z.string(),
      line: count.nullable(),
      source: z.string().nullable(),
    }),
    parameters: count.nullable(),
  }),
  /** No process could be made ready for it: the machine's doing, not the candidate's. */
  z.object({ ...result, status: z.literal("not-started"), message: z.string() }),
]);

export const eventSchema = z.union([
  z.object({
    type: z.literal("ready"),
    torch: z.string(),
    device: z.string(),
    deviceName: z.string(),
    sandbox: z.array(z.string()),
  }),
  z.object({ type: z.literal("started"), id }),
  z.object({
    type: z.literal("progress"),
    id,
    epoch: count,
    batch: count,
    batches: count,
    secondsLeft: seconds.nullable(),
  }),
  resultSchema,
  z.object({ type: z.literal("fatal"), message: z.string() }),
]);

export type Event = z.infer<typeof eventSchema>;
export type Ready = Extract<Event, { type: "ready" }>;
export type RunProgress = Extract<Event, { type: "progress" }>;
export type RunResult = z.infer<typeof resultSchema>;

/** The id of the request whose result `line` claims to be, when the rest of it made no sense. */
export function resultId(line: unknown): number | null {
  const parsed = z.object({ type: z.literal("result"), id, seconds }).safeParse(line);
  return parsed.success ? parsed.data.id : null;
}
