/** `netwright.json`: what a study is, in one file that people edit. */
import { z } from "zod";
import { UserError } from "./ports.ts";
import type { Protocol, TunerSettings } from "./types.ts";

const count = (min: number, max: number) => z.int().min(min).max(max);
const share = z.number().min(0).max(1);

export const DATASETS = ["cifar10", "fashion-mnist", "digits"] as const;

const dataSchema = z.strictObject({
  dataset: z.enum(DATASETS).describe("Which photographs the nets learn from."),
  source: z
    .string()
    .nullable()
    .default(null)
    .describe("A folder or archive that holds the data set; null: the data set's own source."),
});

/** The protocol of arXiv 2601.02997. What bears its name has exactly these settings. */
const PAPER_PROTOCOL = { name: "paper", epochs: 1, batch: 16, lr: 0.01, momentum: 0.9, trainImages: null } as const;

const protocolObject = z.strictObject({
  name: z
    .enum(["validation", "paper"])
    .default("validation")
    .describe(
      "validation: decide on a held-out split. paper: full training set, decide on test accuracy, as published.",
    ),
  epochs: count(1, 100).default(1).describe("Times that a net sees all of its training images."),
  batch: count(1, 4096).default(64).describe("Images of one training step."),
  lr: z.number().positive().max(10).default(0.01).describe("Learning rate."),
  momentum: share.default(0.9).describe("Momentum of the optimiser."),
  dropout: share.default(0.2).describe("Dropout of nets that have a place for it."),
  transform: z.enum(["norm", "norm_flip"]).default("norm").describe("norm_flip adds random horizontal flips."),
  seed: count(0, 2 ** 31 - 1)
    .default(0)
    .describe("What all that is random starts from: the split, the weights, the order of images."),
  trainImages: count(100, 10_000_000).nullable().default(null).describe("Images trained on; null: all."),
  validationImages: count(1, 1_000_000)
    .nullable()
    .default(null)
    .describe("Training images held out for decisions; null: 5000, of the digits 300."),
});

const protocolSchema = protocolObject.superRefine((protocol, context) => {
  if (protocol.name !== "paper") return;
  // Nothing is held out.
  for (const [key, value] of Object.entries({ ...PAPER_PROTOCOL, validationImages: null })) {
    if (protocol[key as keyof typeof protocol] === value) continue;
    const message = `${value}, as published, while protocol.name is "paper"`;
    context.addIssue({ code: "custom", path: [key], message });
  }
});

const limitsSchema = z.strictObject({
  parameters: count(100, 10_000_000_000).default(500_000).describe("Most parameters of a net."),
  checkSeconds: count(1, 3600).default(60).describe("Longest check of a net: that it is built, runs and trains."),
  trainSeconds: count(1, 86_400).default(900).describe("Longest training of a net, with its evaluation."),
  memoryMiB: count(256, 10_000_000).default(6144).describe("Memory of one candidate's process."),
});

const designerSchema = z.strictObject({
  provider: z
    .enum(["auto", "ollama", "llama.cpp"])
    .default("auto")
    .describe("auto: a reachable Ollama with a suitable coding model, else the embedded one."),
  model: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "An Ollama model, an embedded model's name, or a GGUF file (from this folder); null: the one that suits.",
    ),
  host: z.string().min(1).nullable().default(null).describe("Ollama's address; null: OLLAMA_HOST, or this machine."),
  adapter: z.string().min(1).nullable().default(null).describe("A LoRA adapter in GGUF, put on the model."),
  mode: z.enum(["full", "delta"]).default("delta").describe("Whole files, or diffs against a parent."),
  contextTokens: count(1024, 1_000_000).default(4096).describe("Tokens of a question with its answer at most."),
  maxTokens: count(64, 100_000).default(600).describe("Tokens of one answer at most."),
  temperature: z
    .number()
    .min(0)
    .max(2)
    .default(0.7)
    .describe("How freely the next token is drawn; 0: always the likeliest."),
  topP: share.default(1).describe("Draw among the likeliest tokens that make up this share; 1: all."),
  minP: share.default(0.05).describe("Leave out tokens less likely than this share of the likeliest."),
  parallel: count(1, 64).default(4).describe("Candidates written at once."),
  threads: count(1, 1024).nullable().default(null).describe("Processor threads; null: all cores."),
  exemplars: count(0, 8).default(1).describe("Nets shown to the designer with each question."),
  repair: z.boolean().default(true).describe("Ask once more, with the exact error, when the check fails."),
});

const deviceSchema = z.string().regex(/^(auto|cpu|cuda(:\d+)?)$/, "auto, cpu or cuda:N");

const trainerSchema = z.strictObject({
  device: deviceSchema.default("auto").describe("Where nets train; auto: a CUDA GPU where there is one."),
  threads: count(1, 1024).nullable().default(null).describe("Processor threads; null: all cores."),
  parallel: count(1, 16).default(1).describe("Candidates trained at once."),
  sandbox: z
    .enum(["auto", "required"])
    .default("auto")
    .describe("required: refuse to run generated code where bubblewrap is missing."),
});

const noveltySchema = z.strictObject({
  text: share.nullable().default(null).describe("Text similarity from which a net is a duplicate (the paper: 0.9)."),
  structure: share.nullable().default(1).describe("Structure similarity from which a net is a duplicate."),
});

const admissionSchema = z.strictObject({
  accuracy: share.default(0.4).describe("Least first-epoch accuracy of a proposed net (the paper: 0.40)."),
  fallback: share
    .nullable()
    .default(0.35)
    .describe("Least accuracy in a cycle that has no net at or above accuracy (the paper: 0.35); null: none then."),
  quantile: share
    .nullable()
    .default(null)
    .describe("In place of both: the best share of a cycle's new nets, e.g. 0.25; null: by accuracy."),
  policy: z
    .enum(["review", "automatic"])
    .default("review")
    .describe("review: you accept what is proposed. automatic: what is proposed is accepted."),
});

const tunerSchema = z.strictObject({
  preset: z
    .enum(["default", "paper"])
    .default("default")
    .describe("default: learns from a few dozen examples. paper: the published settings, for hundreds of them."),
  base: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe("The weights to tune: a GGUF file or a folder with safetensors; null: the designer's own GGUF."),
  rank: count(1, 512).nullable().default(null).describe("Rank of the LoRA matrices; null: the preset's."),
  alpha: z.number().positive().nullable().default(null).describe("Scale of the LoRA update; null: the preset's."),
  dropout: share.nullable().default(null).describe("Dropout in the LoRA layers; null: the preset's."),
  learningRate: z
    .number()
    .positive()
    .max(1)
    .nullable()
    .default(null)
    .describe("Learning rate of the LoRA run; null: the preset's."),
  epochs: count(1, 1000)
    .nullable()
    .default(null)
    .describe("Epochs at most: a rising held-out loss ends the run earlier; null: the preset's."),
  accumulation: count(1, 1024)
    .nullable()
    .default(null)
    .describe("Examples whose gradients make one step; null: the preset's."),
  gradient: z
    .enum(["all", "answer"])
    .nullable()
    .default(null)
    .describe(
      "all: through question and answer. answer: through the answer alone, in two fifths of the time; null: the preset's.",
    ),
  maxTokens: count(256, 1_000_000).default(2048).describe("Examples longer than this are left out."),
  device: deviceSchema.default("auto").describe("Where the designer is tuned; auto: a CUDA GPU where there is one."),
  threads: count(1, 1024).nullable().default(null).describe("Processor threads; null: all cores."),
  newAccepted: count(1, 100_000).default(4).describe("A run of cycles tunes once so many more nets are accepted."),
  probe: count(1, 1000).default(8).describe("Questions that a new generation and its parent answer before it is used."),
});

/** A section all of whose keys have defaults may be left out. */
const optional = <T extends z.ZodObject>(schema: T, description: string) =>
  schema.prefault({} as z.input<T>).describe(description);

export const studySchema = z.strictObject({
  $schema: z.string().optional().describe("The schema that an editor completes and checks this file by."),
  name: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9_-]{0,39}$/, "a letter, then letters, digits, - or _ (40 at most)")
    .describe("The study's name; candidates are named after it."),
  data: dataSchema.describe("What the nets learn from."),
  protocol: optional(protocolSchema, "How nets are trained and measured: what makes figures comparable."),
  limits: optional(limitsSchema, "What a net may take; beyond it, it has failed."),
  designer: optional(designerSchema, "The model that designs, and how it is asked."),
  trainer: optional(trainerSchema, "Where and how nets train."),
  novelty: optional(noveltySchema, "From which similarity a net counts as known; null: never."),
  admission: optional(admissionSchema, "Which nets are proposed, and who accepts them."),
  tuner: optional(tunerSchema, "How the designer is fine-tuned on what is accepted (LoRA)."),
});

export type StudyConfig = z.output<typeof studySchema>;
/** What `netwright.json` may say: everything with a default can be left out. */
export type StudyConfigInput = z.input<typeof studySchema>;

/**
 * Reads the text of a `netwright.json`.
 * @throws UserError "study-config" that names each key, its value and what is allowed.
 */
export function parseStudyConfig(text: string, file: string): StudyConfig {
  let input: unknown;
  try {
    input = JSON.parse(text);
  } catch (error) {
    throw new UserError(
      "study-config",
      `${file} is not valid JSON: ${(error as Error).message}. Correct it and try again.`,
    );
  }
  input = withPublished(input);
  const result = studySchema.safeParse(input);
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => `  ${describeIssue(issue, input)}`);
  throw new UserError(
    "study-config",
    `${file} has ${lines.length === 1 ? "a mistake" : "mistakes"}:\n${lines.join("\n")}`,
  );
}

/** Under the name "paper" the published settings are what is meant by those left out. */
function withPublished(input: unknown): unknown {
  const paper = z.looseObject({ protocol: z.looseObject({ name: z.literal("paper") }) }).safeParse(input);
  return paper.success ? { ...paper.data, protocol: { ...PAPER_PROTOCOL, ...paper.data.protocol } } : input;
}

function describeIssue(issue: z.core.$ZodIssue, input: unknown): string {
  const key = issue.path.join(".") || "the file";
  const value = issue.path.reduce<unknown>(
    (at, part) => (at as Record<PropertyKey, unknown> | undefined)?.[part],
    input,
  );
  if (issue.code === "unrecognized_keys") {
    const where = issue.path.length ? `${issue.path.join(".")}.` : "";
    return `${issue.keys.map((k) => where + k).join(", ")}: unknown key; allowed: ${allowedKeys(issue.path).join(", ")}`;
  }
  const given = value === undefined ? "is missing" : `is ${JSON.stringify(value)}`;
  return `${key} ${given}; allowed: ${allowedValue(issue)}`;
}

function allowedValue(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_value":
      return issue.values.map((v) => JSON.stringify(v)).join(", ");
    case "too_small":
      return `${issue.inclusive ? "at least" : "more than"} ${issue.minimum}`;
    case "too_big":
      return `${issue.inclusive ? "at most" : "less than"} ${issue.maximum}`;
    case "invalid_type":
      return issue.expected === "int" ? "a whole number" : `a value of type ${issue.expected}`;
    default:
      return issue.message;
  }
}

function allowedKeys(path: PropertyKey[]): string[] {
  let schema: z.core.$ZodType = studySchema;
  for (const part of path) {
    if (schema instanceof z.ZodPrefault) schema = schema.unwrap();
    if (schema instanceof z.ZodObject) schema = schema.shape[part as string] as z.core.$ZodType;
  }
  if (schema instanceof z.ZodPrefault) schema = schema.unwrap();
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

/** Held out by default: a tenth of CIFAR-10's training set, a fifth of the digits'. */
const VALIDATION_IMAGES = { cifar10: 5000, "fashion-mnist": 5000, digits: 300 } as const;

/** The protocol that a study's figures stand under. The `paper` protocol holds nothing out. */
export function protocolOf(config: StudyConfig): Protocol {
  const { name, validationImages, ...rest } = config.protocol;
  const { dataset } = config.data;
  const held = validationImages ?? VALIDATION_IMAGES[dataset];
  return { name, dataset, ...rest, validationImages: name === "paper" ? 0 : held };
}

/** The study measured under a protocol that was asked for by its name. */
export function underProtocol(config: StudyConfig, name: Protocol["name"]): StudyConfig {
  const published = name === "paper" ? { ...PAPER_PROTOCOL, validationImages: null } : {};
  return { ...config, protocol: { ...config.protocol, ...published, name } };
}

const PRESETS: Record<StudyConfig["tuner"]["preset"], TunerSettings> = {
  default: { rank: 16, alpha: 32, dropout: 0.05, learningRate: 2e-4, epochs: 3, accumulation: 4, gradient: "answer" },
  // arXiv 2601.02997, section 3: LoRA.
  paper: { rank: 32, alpha: 32, dropout: 0.05, learningRate: 1e-5, epochs: 5, accumulation: 8, gradient: "all" },
};

/** What a LoRA run of this study trains with: its preset, with what the study says itself in its place. */
export function tunerSettings({ tuner }: StudyConfig): TunerSettings {
  const preset = PRESETS[tuner.preset];
  return {
    rank: tuner.rank ?? preset.rank,
    alpha: tuner.alpha ?? preset.alpha,
    dropout: tuner.dropout ?? preset.dropout,
    learningRate: tuner.learningRate ?? preset.learningRate,
    epochs: tuner.epochs ?? preset.epochs,
    accumulation: tuner.accumulation ?? preset.accumulation,
    gradient: tuner.gradient ?? preset.gradient,
  };
}

/** The settings of arXiv 2601.02997, for figures comparable with the published ones. */
export const PAPER = {
  protocol: PAPER_PROTOCOL,
  novelty: { text: 0.9 },
  admission: { accuracy: 0.4, fallback: 0.35 },
  tuner: { preset: "paper" },
} as const satisfies Omit<StudyConfigInput, "name" | "data">;
