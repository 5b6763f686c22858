/**
 * What the store takes with many candidates: `node tests/store/bench.ts [CANDIDATES]` (100,000 by default, about 1.5 GB in the
 * system's folder for temporary files). Prints milliseconds; no test depends on them.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStore } from "../../src/store/store.ts";
import type { OperatorGraph, Protocol } from "../../src/study/types.ts";

const total = Number(process.argv[2] ?? 100_000);
const dir = mkdtempSync(join(tmpdir(), "netwright-bench-"));
const file = join(dir, "study.db");
const store = openStore(file);
const source = readFileSync(join(import.meta.dirname, "../../src/store/store.ts"), "utf8");
const excerpt = (length: number) => source.slice(Math.floor(Math.random() * (source.length - length))).slice(0, length);

const graph: OperatorGraph = {
  nodes: Array.from({ length: 60 }, (_, i) => ({
    op: "conv2d",
    attributes: `kernel=3x3 stride=1x1 padding=${i % 4}`,
    shape: [2, 16 + i, 32, 32],
    inputs: i === 0 ? [] : [i - 1],
  })),
  output: 59,
};
const protocol: Protocol = {
  name: "validation",
  dataset: "cifar10",
  epochs: 1,
  batch: 64,
  lr: 0.01,
  momentum: 0.9,
  dropout: 0.2,
  transform: "norm",
  seed: 0,
  trainImages: null,
  validationImages: 5000,
};

/** A candidate of usual size through all its steps; every third is valid. */
function add(cycle: number, n: number): number {
  const name = `Demo_c${cycle}_${n}`;
  const id = store.addCandidate({ cycle, name, mode: "full", parent: null, seed: n, idea: "wide", code: null });
  store.addAttempt(id, {
    number: 1,
    prompt: {
      messages: [
        { role: "system", content: source.slice(0, 3000) },
        { role: "user", content: excerpt(4000) },
      ],
      prefill: "import torch",
      stop: ["```"],
    },
    sampling: { temperature: 0.8, topP: 0.9, minP: 0.05, seed: n, maxTokens: 1024 },
    model: "model",
    reply: { text: excerpt(2500), promptTokens: 1900, tokens: 700, seconds: 20, finish: "stop" },
    code: excerpt(2500),
    failure: null,
  });
  if (n % 3 !== 0) {
    const failure = { outcome: "forward", message: "RuntimeError: shapes", line: 3, source: "x = self.fc(x)" } as const;
    store.recordCheck(id, 1, { ok: false, failure, parameters: null, seconds: 1 });
    store.finish(id, { outcome: "forward", error: failure, proposed: false });
    return id;
  }
  store.recordCheck(id, 1, { ok: true, checked: { parameters: 1000 + n, graph }, seconds: 1 });
  const novelty = { text: 0.5, structure: 0.5 };
  store.recordNovelty(id, { novelty, nearest: { text: null, structure: null } });
  const accuracy = { validation: 0.5, test: 0.5 };
  store.recordTraining(id, protocol, { ok: true, accuracy, seconds: 40, peakMemoryMiB: 900 }, true);
  store.finish(id, { outcome: "valid", error: null, proposed: true });
  const print = () => ({ hashes: randomBytes(2400), signature: randomBytes(300) });
  store.fingerprints.put(id, 1, { text: print(), structure: print() });
  return id;
}

function measure(what: string, work: () => unknown): void {
  const start = performance.now();
  const result = work();
  const milliseconds = (performance.now() - start).toFixed(1);
  console.log(`${what.padEnd(44)} ${milliseconds.padStart(9)} ms  ${String(result)}`);
}

try {
  const cycle = store.beginCycle({ mode: "full", planned: 100, seed: 1, generation: 0 });
  measure("100 candidates, every step durable", () => {
    for (let n = 0; n < 100; n++) add(cycle, n);
    return "";
  });
  measure(`${total} candidates, 1000 to a transaction`, () => {
    for (let done = 100; done < total; done += 1000) {
      store.transaction(() => {
        const next = store.beginCycle({ mode: "full", planned: 1000, seed: done, generation: 0 });
        for (let n = 0; n < Math.min(1000, total - done); n++) add(next, n);
        store.endCycle(next);
      });
    }
    return `${(statSync(file).size / 1e6).toFixed(0)} MB`;
  });
  store.close();
  const reopened = openStore(file);
  const some = () => 1 + 3 * Math.floor((Math.random() * total) / 3);
  measure("list()", () => reopened.list().length);
  measure("list({ limit: 32 })", () => reopened.list({ limit: 32 }).length);
  measure("list({ cycle })", () => reopened.list({ cycle: 3 }).length);
  measure("list({ proposed, accepted: null })", () => reopened.list({ proposed: true, accepted: null }).length);
  measure("cycles()", () => reopened.cycles().length);
  measure("1000 times work(id)", () => {
    for (let n = 0; n < 1000; n++) reopened.work(some());
    return "";
  });
  measure("signatures of one measure", () => reopened.fingerprints.signatures("text", 1).length);
  measure("1000 times hashes of one net", () => {
    for (const { id } of reopened.list({ outcome: "valid", limit: 1000 }))
      reopened.fingerprints.hashes("structure", id);
    return "";
  });
  measure("unindexed, when all are", () => [...reopened.unindexed(1)].length);
  measure("othersVersion()", () => reopened.othersVersion());
  const last = reopened.beginCycle({ mode: "full", planned: 1, seed: 1, generation: 0 });
  measure("one plain insert, durable", () =>
    reopened.addCandidate({ cycle: last, name: "Last", mode: "full", parent: null, seed: 1, idea: null, code: null }),
  );
  reopened.close();
} finally {
  rmSync(dir, { recursive: true });
}
