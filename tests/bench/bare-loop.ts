/**
 * What the trainer costs over a bare PyTorch loop: the same net, data and threads, in turns, in one run.
 * usage: node tests/bench/bare-loop.ts DATA FILE.py [TRAIN_IMAGES] [ROUNDS] [THREADS]
 * DATA is a prepared data set; the interpreter is $NETWRIGHT_WORKER_PYTHON.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Protocol } from "../../src/study/types.ts";
import { openTrainer } from "../../src/trainer/index.ts";

const [cache, file, images = "10000", rounds = "3", threads = "1"] = process.argv.slice(2);
const python = process.env.NETWRIGHT_WORKER_PYTHON;
if (!cache || !file || !python) throw new Error("usage: see the head of this file");
const packageDir = resolve("python");
const meta = JSON.parse(readFileSync(join(cache, "meta.json"), "utf8"));
const trainImages = Math.min(Number(images), meta.train);
const protocol: Protocol = {
  ...{ name: "validation", dataset: meta.dataset, epochs: 1, batch: 64, lr: 0.01, momentum: 0.9, dropout: 0.2 },
  ...{ transform: "norm", seed: 1, trainImages, validationImages: meta.validation },
};
const { signal } = new AbortController();
const limits = { parameters: 1e7, checkSeconds: 60, trainSeconds: 3600, memoryMiB: 8192 };
const trainer = await openTrainer(
  { python, packageDir, cache, device: "cpu", threads: Number(threads), limits, sandbox: "auto" },
  signal,
);
const code = readFileSync(file, "utf8");
const env = { ...process.env, PYTHONPATH: packageDir, OMP_NUM_THREADS: threads, OMP_WAIT_POLICY: "PASSIVE" };
const bare = () => {
  const args = [join(packageDir, "bench", "bare_loop.py"), cache, file, String(trainImages), "64", threads];
  return JSON.parse(execFileSync(python, args, { env, encoding: "utf8" })).seconds as number;
};
const ratios: number[] = [];
for (let round = 1; round <= Number(rounds); round++) {
  const loop = bare();
  const begun = performance.now();
  const result = await trainer.train(code, protocol, signal);
  const wall = (performance.now() - begun) / 1000;
  if (!result.ok) throw new Error(result.failure.message);
  const overhead = wall - result.trainSeconds - result.evaluateSeconds;
  ratios.push((result.trainSeconds + result.evaluateSeconds) / loop);
  const figures = { bare: loop, train: result.trainSeconds, evaluate: result.evaluateSeconds, wall, overhead };
  const rounded = Object.fromEntries(Object.entries(figures).map(([name, s]) => [name, Number(s.toFixed(3))]));
  console.log(JSON.stringify({ round, ...rounded, ratio: Number(ratios.at(-1)?.toFixed(3)), ...result.accuracy }));
}
ratios.sort((a, b) => a - b);
console.log(`median ratio ${ratios[Math.floor(ratios.length / 2)]?.toFixed(3)} (goal 1.05), overhead goal 0.3 s`);
await trainer.close();
