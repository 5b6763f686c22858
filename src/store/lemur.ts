/**
 * The layout of the LEMUR data set, which PyPI `nn-dataset` reads: `ab/nn/nn/<Net>.py`, and what each net reached in
 * `ab/nn/stat/train/<task>_<dataset>_<metric>_<Net>/<epoch>.json`, a list of trials.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { UserError } from "../study/ports.ts";
import type { Protocol } from "../study/types.ts";
import type { Training } from "./rows.ts";

const NETS = "ab/nn/nn";
const TRIALS = "ab/nn/stat/train";
const TASK = "img-classification";
const METRIC = "acc";

/** LEMUR's names of the data sets; the last two it has no loader for. No underscore: it separates the parts of a folder's name. */
const DATASETS: Record<Protocol["dataset"], string> = {
  cifar10: "cifar-10",
  "fashion-mnist": "fashion-mnist",
  digits: "digits",
};

/**
 * `nn-dataset` leaves out the trials of a metric whose code it cannot find beside the nets, and its packages from 2.2 on come
 * without any: an export carries this one where there is none.
 */
const METRIC_CODE = `"""Accuracy: the share of images whose highest score is that of their label."""

import torch

from ab.nn.metric.base.base import BaseMetric


class Accuracy(BaseMetric):
    def reset(self):
        self.correct = 0
        self.total = 0

    def update(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        self.correct += int((outputs.argmax(dim=1) == targets).sum())
        self.total += targets.numel()

    def __call__(self, outputs, targets):
        self.update(outputs, targets)
        return self.correct, self.total

    def result(self):
        return self.correct / max(self.total, 1)


def create_metric(out_shape=None):
    return Accuracy()
`;

export interface NetToExport {
  name: string;
  code: string;
  trainings: readonly Training[];
}

/** One trial as LEMUR keeps it. Null: not told. */
export interface LemurTrial {
  task: string;
  dataset: string;
  metric: string;
  epoch: number;
  /** Of the metric, on the test set. */
  accuracy: number;
  batch: number | null;
  lr: number | null;
  momentum: number | null;
  dropout: number | null;
  transform: string | null;
  seconds: number | null;
}

export interface LemurNet {
  /** As its file is called, e.g. "AirNet-777bc9dc-e6c7-4bff-8be1-a1b02adea68f". */
  name: string;
  code: string;
  trials: LemurTrial[];
}

/**
 * Writes nets, and their trials with a test accuracy, into `dir` in LEMUR's layout. The folder may hold other nets already, a
 * whole clone of LEMUR included: nothing there is deleted or changed but lists of trials, which are added to. Doing it again
 * changes nothing. Each file is written whole or not at all.
 *
 * Underscores in a net's name become hyphens. A net whose name another net has in that folder gets the MD5 of its code
 * appended, as LEMUR itself does.
 *
 * A trial's `accuracy` is the test accuracy, as in LEMUR. Besides LEMUR's keys it has `validation_accuracy`, `protocol`, `seed`,
 * `train_images` and `validation_images`, which `nn-dataset` takes as hyperparameters.
 *
 * @returns the number of nets, and the files that hold them, relative to `dir`
 * @throws UserError "disk-full", "read-only", "lemur-write", "lemur-trials" (a list of trials there cannot be read)
 */
export async function exportLemur(
  nets: readonly NetToExport[],
  dir: string,
): Promise<{ nets: number; files: string[] }> {
  const files: string[] = [];
  const write = async (file: string, text: string) => {
    if ((await read(join(dir, file))) !== text) await writeWhole(join(dir, file), text);
    files.push(file);
  };
  for (const net of nets) {
    const name = await freeName(net, dir);
    await write(`${NETS}/${name}.py`, net.code);
    for (const [file, trials] of trialFiles(name, net.trainings)) {
      await write(file, addTrials(trials, await read(join(dir, file)), join(dir, file)));
    }
  }
  const metric = `ab/nn/metric/${METRIC}.py`;
  if (files.length > 0 && (await read(join(dir, metric))) === null) await write(metric, METRIC_CODE);
  return { nets: nets.length, files };
}

/** The name of the net's file: its own, unless another net is there. */
async function freeName(net: NetToExport, dir: string): Promise<string> {
  const name = net.name.replaceAll(/[^A-Za-z0-9.-]+/g, "-");
  const there = await read(join(dir, NETS, `${name}.py`));
  return there === null || there === net.code ? name : `${name}-${md5(net.code)}`;
}

type TrialEntry = Record<string, string | number>;

/** The trials of a net, by the file that holds them. */
function trialFiles(name: string, trainings: readonly Training[]): Map<string, TrialEntry[]> {
  const files = new Map<string, TrialEntry[]>();
  for (const { protocol, result } of trainings) {
    if (!result.ok || result.accuracy.test === null) continue;
    const file = `${TRIALS}/${[TASK, DATASETS[protocol.dataset], METRIC, name].join("_")}/${protocol.epochs}.json`;
    const trials = files.get(file) ?? [];
    trials.push(trialEntry(protocol, result.accuracy.test, result.accuracy.validation, result.seconds));
    files.set(file, trials);
  }
  return files;
}

function trialEntry(protocol: Protocol, test: number, validation: number | null, seconds: number): TrialEntry {
  // nn-dataset files everything but accuracy and duration under `uid`, and takes equal uids for equal settings.
  const settings: TrialEntry = {
    batch: protocol.batch,
    dropout: protocol.dropout,
    lr: protocol.lr,
    momentum: protocol.momentum,
    protocol: protocol.name,
    seed: protocol.seed,
    ...(protocol.trainImages === null ? {} : { train_images: protocol.trainImages }),
    transform: protocol.transform,
    validation_images: protocol.validationImages,
    ...(validation === null ? {} : { validation_accuracy: validation }),
  };
  return { accuracy: test, duration: Math.round(seconds * 1e9), ...settings, uid: md5(JSON.stringify(settings)) };
}

/** The text of a list of trials: those in `text`, and of `trials` what they lack. */
function addTrials(trials: readonly TrialEntry[], text: string | null, file: string): string {
  const there = text === null ? [] : parseTrials(text);
  if (!there) {
    throw new UserError(
      "lemur-trials",
      `${file} is not a list of trials, so none can be added to it. Mend it, remove it, or export to another folder.`,
    );
  }
  const key = (t: Record<string, unknown>) => `${t.uid} ${t.accuracy} ${t.duration}`;
  const known = new Set(there.map(key));
  const missing = trials.filter((t) => !known.has(key(t)));
  return text !== null && missing.length === 0 ? text : `${JSON.stringify([...there, ...missing], null, 4)}\n`;
}

function parseTrials(text: string): Record<string, unknown>[] | null {
  try {
    const value: unknown = JSON.parse(text);
    const isTrial = (item: unknown) => typeof item === "object" && item !== null && !Array.isArray(item);
    return Array.isArray(value) && value.every(isTrial) ? value : null;
  } catch {
    return null;
  }
}

/** Far above the largest file of LEMUR: what is larger was put there by mistake. */
const MAX_BYTES = 16 * 2 ** 20;

/**
 * Reads the nets of a folder in LEMUR's layout, in the order of their names, each with its trials. What cannot be read is left
 * out and told in `skipped`, with its file relative to `dir`. Names are as in the folder: they may be taken in a study.
 * @throws UserError "lemur-none" when there are no nets in `dir`, "lemur-read" when its folders cannot be listed
 */
export async function importLemur(
  dir: string,
): Promise<{ nets: LemurNet[]; skipped: { file: string; why: string }[] }> {
  const skipped: { file: string; why: string }[] = [];
  const nets = new Map<string, LemurNet>();
  for (const entry of (await list(join(dir, NETS))) ?? []) {
    const name = /^(.+)\.py$/.exec(entry)?.[1];
    if (name === undefined || name === "__init__") continue;
    const file = `${NETS}/${entry}`;
    const code = await readText(join(dir, file));
    if (typeof code === "string") nets.set(name, { name, code, trials: [] });
    else skipped.push({ file, why: code.why });
  }
  if (nets.size === 0 && skipped.length === 0) {
    throw new UserError(
      "lemur-none",
      `There are no nets in ${join(dir, NETS)}. Name the folder that holds ab/nn/nn/*.py, such as a clone of LEMUR or an export.`,
    );
  }
  for (const folder of (await list(join(dir, TRIALS))) ?? []) {
    const [task, dataset, metric, name, ...more] = folder.split("_");
    const net = name !== undefined && more.length === 0 ? nets.get(name) : undefined;
    if (!net || task === undefined || dataset === undefined || metric === undefined) continue;
    for (const entry of (await list(join(dir, TRIALS, folder))) ?? []) {
      const epoch = /^(\d+)\.json$/.exec(entry)?.[1];
      if (epoch === undefined) continue;
      const file = `${TRIALS}/${folder}/${entry}`;
      const text = await readText(join(dir, file));
      const trials = typeof text === "string" ? parseTrials(text) : null;
      if (!trials) skipped.push({ file, why: typeof text === "string" ? "not a list of trials in JSON" : text.why });
      for (const trial of trials ?? []) {
        if (typeof trial.accuracy !== "number") continue;
        net.trials.push({ task, dataset, metric, epoch: Number(epoch), ...figures(trial, trial.accuracy) });
      }
    }
  }
  return { nets: [...nets.values()], skipped };
}

function figures(trial: Record<string, unknown>, accuracy: number) {
  const number = (key: string) => (typeof trial[key] === "number" ? trial[key] : null);
  const duration = number("duration");
  return {
    accuracy,
    batch: number("batch"),
    lr: number("lr"),
    momentum: number("momentum"),
    dropout: number("dropout"),
    transform: typeof trial.transform === "string" ? trial.transform : null,
    seconds: duration === null ? null : duration / 1e9,
  };
}

/** Names in a folder, sorted; null when there is no such folder. */
async function list(folder: string): Promise<string[] | null> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw new UserError("lemur-read", `Cannot read ${folder}: ${message}. Make it readable, then import again.`, {
      cause: error,
    });
  }
}

/** A file's text, or why it is none. */
async function readText(file: string): Promise<string | { why: string }> {
  try {
    const found = await stat(file);
    if (!found.isFile()) return { why: "not a file" };
    if (found.size > MAX_BYTES) return { why: `larger than ${MAX_BYTES / 2 ** 20} MiB` };
    return new TextDecoder("utf-8", { fatal: true }).decode(await readFile(file));
  } catch (error) {
    return { why: error instanceof TypeError ? "not UTF-8 text" : (error as Error).message };
  }
}

/** A file's text; null when there is no such file. */
async function read(file: string): Promise<string | null> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw exportError(error, file);
  }
}

/** Writes beside, then renames: whoever reads `file` finds the old text or the new. */
async function writeWhole(file: string, text: string): Promise<void> {
  const partial = `${file}.${process.pid}.partial`;
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(partial, text, { flush: true });
    await rename(partial, file);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => {});
    throw exportError(error, file);
  }
}

function exportError(error: unknown, file: string): UserError {
  const { code, message } = error as NodeJS.ErrnoException;
  const options = { cause: error };
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return new UserError(
        "disk-full",
        `The disk that holds ${file} is full. Free some space, then export again.`,
        options,
      );
    case "EROFS":
    case "EACCES":
    case "EPERM":
      return new UserError(
        "read-only",
        `${file} cannot be written: permission is refused. Export to a folder of your own.`,
        options,
      );
    default:
      return new UserError("lemur-write", `Cannot write ${file}: ${message}. Export to another folder.`, options);
  }
}

const md5 = (text: string) => createHash("md5").update(text).digest("hex");
