/** A small prepared data set that a net can learn, in the layout of the real ones, and what tests ask of processes. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Protocol } from "../../src/study/types.ts";
import { openTrainer, type TrainerOptions } from "../../src/trainer/index.ts";

export const packageDir = resolve("python");
/** The interpreter with PyTorch that tests use. */
export const python = process.env.NETWRIGHT_WORKER_PYTHON ?? "";

const CHANNELS = 3;
const SIZE = 16;
const CLASSES = ["dark", "red", "green", "bright"];

/** Little-endian NumPy file, version 1.0 of its format. */
function npy(bytes: Uint8Array, shape: number[]): Buffer {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const text = `{'descr': '|u1', 'fortran_order': False, 'shape': ${tuple}, }`;
  const header = text.padEnd(128 - 11, " ");
  const start = Buffer.from([0x93, ...Buffer.from("NUMPY"), 1, 0, header.length + 1, 0]);
  return Buffer.concat([start, Buffer.from(`${header}\n`), bytes]);
}

/** Images whose colour tells their class, under noise. */
function images(count: number, seed: number): { pixels: Uint8Array; labels: Uint8Array } {
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const plane = SIZE * SIZE;
  const pixels = new Uint8Array(count * CHANNELS * plane);
  const labels = new Uint8Array(count);
  for (let n = 0; n < count; n++) {
    const label = n % CLASSES.length;
    labels[n] = label;
    for (let c = 0; c < CHANNELS; c++) {
      const lit = label === 3 || c === label - 1;
      for (let p = 0; p < plane; p++) pixels[(n * CHANNELS + c) * plane + p] = (lit ? 120 : 60) + random() * 80;
    }
  }
  return { pixels, labels };
}

/** Writes the data set and returns its folder. */
export function prepareFixture(counts: { train: number; validation: number; test: number }): string {
  const cache = mkdtempSync(join(tmpdir(), "netwright-data-"));
  mkdirSync(join(cache, "public"));
  mkdirSync(join(cache, "private"));
  const meta = {
    ...{ dataset: "digits", channels: CHANNELS, height: SIZE, width: SIZE, classes: CLASSES },
    ...{ mean: [0.45, 0.45, 0.45], std: [0.2, 0.2, 0.2] },
    ...counts,
  };
  for (const folder of [cache, join(cache, "public")]) writeFileSync(join(folder, "meta.json"), JSON.stringify(meta));
  for (const [split, seed] of [
    ["train", 1],
    ["validation", 2],
    ["test", 3],
  ] as const) {
    const { pixels, labels } = images(counts[split], seed);
    writeFileSync(join(cache, "public", `${split}_images.npy`), npy(pixels, [counts[split], CHANNELS, SIZE, SIZE]));
    if (split === "train") writeFileSync(join(cache, "public", "train_labels.npy"), npy(labels, [counts.train]));
    else writeFileSync(join(cache, "private", `${split}_labels.bin`), labels);
  }
  return cache;
}

export const protocol: Protocol = {
  ...{ name: "validation", dataset: "digits", epochs: 1, batch: 32, lr: 0.05, momentum: 0.9, dropout: 0.2 },
  ...{ transform: "norm_flip", seed: 1, trainImages: null, validationImages: 200 },
};

export function open(options: Partial<TrainerOptions> & { cache: string }, signal = new AbortController().signal) {
  return openTrainer(
    {
      ...{ python, packageDir, device: "cpu", threads: 1, sandbox: "auto" },
      limits: { parameters: 500_000, checkSeconds: 30, trainSeconds: 60, memoryMiB: 1024 },
      ...options,
    },
    signal,
  );
}

/** A valid net; each part can be replaced. */
export function net(
  parts: Partial<Record<"top" | "init" | "forward" | "setup" | "learn" | "before", string>> = {},
): string {
  const indent = (text: string) => text.trim().split("\n").join("\n        ");
  return `import torch
from torch import nn
${parts.top ?? ""}

def supported_hyperparameters():
    return {"lr", "momentum"}

class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.features = nn.Sequential(nn.Conv2d(in_shape[1], 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Linear(8, out_shape[0])
        ${indent(parts.init ?? "pass")}

    def forward(self, x):
        ${indent(parts.forward ?? "return self.classifier(self.features(x).flatten(1))")}

    def train_setup(self, prm):
        ${indent(parts.setup ?? "pass")}
        self.to(self.device)
        self.criteria = nn.CrossEntropyLoss().to(self.device)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])

    def learn(self, train_data):
        ${indent(parts.before ?? "pass")}
        self.train()
        for inputs, labels in train_data:
            inputs, labels = inputs.to(self.device), labels.to(self.device)
            ${(parts.learn ?? "pass").trim().split("\n").join("\n            ")}
            self.optimizer.zero_grad()
            loss = self.criteria(self(inputs), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters(), 3)
            self.optimizer.step()
`;
}

/** Ids of the live processes whose command line holds `text`. */
export function processesWith(text: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const state = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1) ?? "";
        return !state.startsWith("Z") && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(text);
      } catch {
        return false; // it has just ended
      }
    })
    .map(Number);
}
