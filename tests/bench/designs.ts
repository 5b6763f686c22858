/**
 * What the designer makes of its prompts: candidates on fixed seeds, designed, checked, repaired and compared as in a cycle, not trained.
 *
 *   node tests/bench/designs.ts --data PREPARED [--model NAME|GGUF] [--provider ollama|llama.cpp] [--mode full|delta] [--count 16]
 *     [--seed 1] [--exemplars ResidualNet] [--temperature 0.7] [--max-tokens 500] [--parallel 2] [--threads 1] [--out DIR]
 *
 * PREPARED is a prepared data set; the interpreter is $NETWRIGHT_WORKER_PYTHON. Each candidate's prompts, replies and failures go to DIR.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { drawIdea } from "../../src/designer/briefs.ts";
import { openDesigner } from "../../src/designer/index.ts";
import { type DesignInput, designPrompt, repairPrompt, type ShownNet } from "../../src/designer/prompts.ts";
import { readReply } from "../../src/designer/replies.ts";
import { MemoryFingerprints, openNoveltyIndex } from "../../src/novelty/index.ts";
import { candidateSeed, seeded } from "../../src/study/random.ts";
import type { Attempt, Checked, Sampling } from "../../src/study/types.ts";
import { openTrainer } from "../../src/trainer/index.ts";

const { values: options } = parseArgs({
  options: {
    data: { type: "string" },
    provider: { type: "string", default: "llama.cpp" },
    model: { type: "string", default: "qwen2.5-coder-1.5b" },
    mode: { type: "string", default: "full" },
    count: { type: "string", default: "16" },
    seed: { type: "string", default: "1" },
    exemplars: { type: "string", default: "ResidualNet" },
    temperature: { type: "string", default: "0.7" },
    "max-tokens": { type: "string", default: "500" },
    parallel: { type: "string", default: "2" },
    threads: { type: "string", default: "1" },
    out: { type: "string", default: "designs" },
  },
});
const python = process.env.NETWRIGHT_WORKER_PYTHON;
const { data, provider, model, mode, out } = options;
if (!data || !python) throw new Error("usage: see the head of this file");
if (provider !== "ollama" && provider !== "llama.cpp") throw new Error(`--provider ${provider}: ollama or llama.cpp`);
if (mode !== "full" && mode !== "delta") throw new Error(`--mode ${mode}: full or delta`);

/** Parents of delta mode, in turn. */
const PARENTS = ["ResidualNet", "PlainConv", "SeparableNet", "DenseNetSmall", "InceptionSqueeze"];
/** Ideas that the next one is told of. */
const REMEMBERED = 8;
const parameterLimit = 500_000;
const parallel = Number(options.parallel);
const threads = Number(options.threads);
mkdirSync(out, { recursive: true });

const { signal } = new AbortController();
const trainer = await openTrainer(
  {
    ...{ python, packageDir: resolve("python"), cache: data, device: "cpu", threads: 1, sandbox: "auto" },
    limits: { parameters: parameterLimit, checkSeconds: 60, trainSeconds: 600, memoryMiB: 8192 },
  },
  signal,
);
const home = process.env.NETWRIGHT_HOME ?? join(homedir(), ".local", "share", "netwright");
const designer = await openDesigner(
  { provider, model, host: null, contextTokens: 2048, parallel, adapter: null, threads },
  { home, onProgress: () => {} },
  signal,
);
const index = openNoveltyIndex(new MemoryFingerprints());
let ids = 0;

/** Whether no net seen before has the same operator graph; from now on it has been seen. */
function isNew(net: { code: string; checked: Checked }): boolean {
  const nearest = index.nearest(net).structure;
  index.add(ids++, net);
  return (nearest?.similarity ?? 0) < 1;
}

async function seedNet(name: string): Promise<ShownNet> {
  const code = readFileSync(join("python", "seeds", `${name}.py`), "utf8");
  const result = await trainer.check(code, signal);
  if (!result.ok) throw new Error(`${name}: ${result.failure.message}`);
  isNew({ code, checked: result.checked });
  return { name, code, accuracy: 0.45, parameters: result.checked.parameters };
}

const exemplars = await Promise.all(options.exemplars.split(",").filter(Boolean).map(seedNet));
const parents = mode === "delta" ? await Promise.all(PARENTS.map(seedNet)) : [];
const ideas: string[] = [];
const jobs = Array.from({ length: Number(options.count) }, (_, position) => {
  const seed = candidateSeed(Number(options.seed), 1, position);
  const parent = parents[position % parents.length] ?? null;
  const recent = ideas.slice(-REMEMBERED);
  const idea = drawIdea(seeded(seed), { mode, parameterLimit, recent, parent: parent?.code ?? null });
  ideas.push(idea);
  const input: DesignInput = {
    ...{ shape: trainer.info.shape, parameterLimit, mode, exemplars: mode === "full" ? exemplars : [] },
    ...{ parent, lessons: [], idea },
  };
  return { position, seed, input };
});

interface Row {
  first: string;
  outcome: string;
  isNew: boolean;
  tokens: number[];
}
const rows: Row[] = [];

async function run({ position, seed, input }: (typeof jobs)[number]): Promise<void> {
  const attempts: Attempt[] = [];
  let checked: { code: string; checked: Checked } | null = null;
  for (const number of [1, 2] as const) {
    const [first] = attempts;
    const prompt = first?.failure ? repairPrompt(input, first.failure) : designPrompt(input);
    const sampling: Sampling = {
      ...{ temperature: Number(options.temperature), topP: 1, minP: 0.05 },
      ...{ seed: seed + number - 1, maxTokens: Number(options["max-tokens"]) },
    };
    const reply = await designer.generate(prompt, sampling, signal);
    const read = readReply(reply, input.mode, input.parent?.code ?? null);
    const code = "code" in read ? read.code : null;
    const check = code === null ? null : await trainer.check(code, signal);
    const failure = "failure" in read ? read.failure : check && !check.ok ? check.failure : null;
    const asked = { number, prompt, sampling, model, reply, code, failure };
    attempts.push({ ...asked, checked: check !== null, checkSeconds: check?.seconds ?? 0 });
    if (code !== null && check?.ok) checked = { code, checked: check.checked };
    if (!failure) break;
  }
  const outcomes = attempts.map(({ failure }) => failure?.outcome ?? "valid");
  const row: Row = {
    first: outcomes[0] ?? "",
    outcome: outcomes.at(-1) ?? "",
    isNew: checked !== null && isNew(checked),
    tokens: attempts.map(({ reply }) => reply.tokens),
  };
  rows.push(row);
  writeFileSync(
    join(out, `${String(position).padStart(2, "0")}.json`),
    JSON.stringify({ ...row, input, attempts }, null, 1),
  );
  const account = attempts.map(({ reply, failure }) => `${failure?.message ?? "valid"} (${reply.tokens} tokens)`);
  console.log(`${position} ${account.join(" -> ")}${row.isNew ? " new" : ""}`);
}

const begun = performance.now();
const queue = [...jobs];
const lane = async (): Promise<void> => {
  for (let job = queue.shift(); job; job = queue.shift()) await run(job);
};
await Promise.all(Array.from({ length: parallel }, lane));
const seconds = (performance.now() - begun) / 1000;

function tally(names: string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
const tokens = rows.flatMap((row) => row.tokens).reduce((sum, n) => sum + n, 0);
const summary = {
  ...options,
  data: undefined,
  first: tally(rows.map((row) => row.first)),
  final: tally(rows.map((row) => row.outcome)),
  newAndValid: rows.filter((row) => row.isNew).length,
  tokensPerCandidate: Math.round(tokens / rows.length),
  secondsPerCandidate: Number((seconds / rows.length).toFixed(1)),
};
writeFileSync(join(out, "summary.json"), JSON.stringify(summary, null, 1));
console.log(JSON.stringify(summary));
await Promise.all([designer.close(), trainer.close()]);
