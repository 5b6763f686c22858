import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { exportLemur, importLemur, type NetToExport } from "../../src/store/lemur.ts";
import type { Training } from "../../src/store/rows.ts";
import type { Protocol } from "../../src/study/types.ts";
import { pythonForTests } from "../support/parts.ts";
import { addValid, FAILURE, freshStore, PROTOCOL, scratch } from "./fixtures.ts";

const TRIALS = "ab/nn/stat/train";

function training(test: number | null, changes: Partial<Protocol> = {}, validation: number | null = 0.5): Training {
  const accuracy = { validation, test };
  return {
    at: "2030-01-01T00:00:00.000Z",
    protocol: { ...PROTOCOL, ...changes },
    result: { ok: true, accuracy, seconds: 45.123456789, peakMemoryMiB: 800 },
    figure: true,
  };
}

const FAILED: Training = {
  ...training(null),
  result: { ok: false, failure: FAILURE, accuracy: { validation: null, test: null }, seconds: 3 },
};

function net(name: string, ...trainings: Training[]): NetToExport {
  return { name, code: `# ${name}: größer\nclass Net:\n    pass\n`, trainings };
}

function tree(dir: string): string[] {
  const found = readdirSync(dir, { recursive: true, withFileTypes: true });
  return found
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
    .sort();
}

function place(dir: string, file: string, text: string | Uint8Array): void {
  mkdirSync(dirname(join(dir, file)), { recursive: true });
  writeFileSync(join(dir, file), text);
}

const json = (dir: string, file: string) => JSON.parse(readFileSync(join(dir, file), "utf8"));

describe("export", () => {
  it("writes each net and its trials, and says where", async () => {
    const dir = join(scratch(), "new", "folder");
    const trained = net("Demo_c3_07", training(0.61), FAILED, training(0.7, { epochs: 5 }), training(null));
    const paper = net("Paper", training(0.4, { name: "paper", dataset: "fashion-mnist", trainImages: 1000 }, null));
    const result = await exportLemur([trained, paper, net("Untrained")], dir);
    expect(result.nets).toBe(3);
    expect([...result.files].sort()).toEqual(tree(dir));
    expect(tree(dir)).toEqual([
      "ab/nn/metric/acc.py",
      "ab/nn/nn/Demo-c3-07.py",
      "ab/nn/nn/Paper.py",
      "ab/nn/nn/Untrained.py",
      `${TRIALS}/img-classification_cifar-10_acc_Demo-c3-07/1.json`,
      `${TRIALS}/img-classification_cifar-10_acc_Demo-c3-07/5.json`,
      `${TRIALS}/img-classification_fashion-mnist_acc_Paper/1.json`,
    ]);
    expect(readFileSync(join(dir, "ab/nn/nn/Demo-c3-07.py"), "utf8")).toBe(trained.code);
    expect(json(dir, `${TRIALS}/img-classification_cifar-10_acc_Demo-c3-07/1.json`)).toEqual([
      {
        accuracy: 0.61,
        batch: 64,
        dropout: 0.2,
        duration: 45_123_456_789,
        lr: 0.01,
        momentum: 0.9,
        protocol: "validation",
        seed: 0,
        transform: "norm_flip",
        uid: expect.stringMatching(/^[0-9a-f]{32}$/),
        validation_accuracy: 0.5,
        validation_images: 5000,
      },
    ]);
    const [trial] = json(dir, `${TRIALS}/img-classification_fashion-mnist_acc_Paper/1.json`);
    expect(trial).toMatchObject({ accuracy: 0.4, protocol: "paper", train_images: 1000 });
    expect(trial).not.toHaveProperty("validation_accuracy");
  });

  it("done again changes no file", async () => {
    const dir = scratch();
    const nets = [net("A", training(0.6), training(0.61)), net("B")];
    await exportLemur(nets, dir);
    const state = () =>
      tree(dir).map((file) => [file, statSync(join(dir, file)).mtimeMs, statSync(join(dir, file)).ino]);
    const before = state();
    await exportLemur(nets, dir);
    expect(state()).toEqual(before);
  });

  it("adds to a folder that others use: nothing of theirs is lost, and a taken name is avoided", async () => {
    const dir = scratch();
    const stats = `${TRIALS}/img-classification_cifar-10_acc_A`;
    const theirs = [{ accuracy: 0.9, duration: 1, uid: "theirs", lr: 1e-5 }];
    place(dir, "ab/nn/nn/AlexNet.py", "# theirs\n");
    place(dir, "ab/nn/metric/acc.py", "# theirs\n");
    place(dir, "README.md", "theirs\n");
    place(dir, `${stats}/1.json`, JSON.stringify(theirs));
    await exportLemur([net("AlexNet", training(0.6)), net("A", training(0.6))], dir);
    await exportLemur([net("A", training(0.6), training(0.62))], dir);
    const renamed = tree(dir).find((file) => /AlexNet-[0-9a-f]{32}\.py$/.test(file)) ?? "";
    expect(readFileSync(join(dir, renamed), "utf8")).toContain("# AlexNet: größer");
    expect(tree(dir).filter((file) => file.includes("AlexNet"))).toHaveLength(3);
    for (const file of ["ab/nn/nn/AlexNet.py", "ab/nn/metric/acc.py"]) {
      expect(readFileSync(join(dir, file), "utf8")).toBe("# theirs\n");
    }
    expect(existsSync(join(dir, "README.md"))).toBe(true);
    expect(json(dir, `${stats}/1.json`)).toMatchObject([...theirs, { accuracy: 0.6 }, { accuracy: 0.62 }]);
  });

  it("tells what is in its way", async () => {
    const dir = scratch();
    const broken = `${TRIALS}/img-classification_cifar-10_acc_A/1.json`;
    place(dir, broken, "[{");
    const exported = exportLemur([net("A", training(0.6))], dir);
    await expect(exported).rejects.toMatchObject({ code: "lemur-trials", message: expect.stringContaining(broken) });
    expect(readFileSync(join(dir, broken), "utf8")).toBe("[{");
    const file = join(scratch(), "file");
    writeFileSync(file, "");
    await expect(exportLemur([net("A")], file)).rejects.toMatchObject({ name: "UserError", code: "lemur-write" });
    await expect(exportLemur([], dir)).resolves.toEqual({ nets: 0, files: [] });
  });
});

describe("import", () => {
  it("reads back what was exported", async () => {
    const dir = scratch();
    const nets = [net("A", training(0.6, { epochs: 2 })), net("B_1")];
    await exportLemur(nets, dir);
    const { nets: read, skipped } = await importLemur(dir);
    expect(skipped).toEqual([]);
    expect(read).toEqual([
      {
        name: "A",
        code: nets[0]?.code,
        trials: [
          {
            task: "img-classification",
            dataset: "cifar-10",
            metric: "acc",
            epoch: 2,
            accuracy: 0.6,
            batch: 64,
            lr: 0.01,
            momentum: 0.9,
            dropout: 0.2,
            transform: "norm_flip",
            seconds: 45.123456789,
          },
        ],
      },
      { name: "B-1", code: nets[1]?.code, trials: [] },
    ]);
  });

  it("leaves out what cannot be read, says which and why, and overlooks what LEMUR overlooks", async () => {
    const dir = scratch();
    place(dir, "ab/nn/nn/__init__.py", "");
    place(dir, "ab/nn/nn/README.md", "");
    place(dir, "ab/nn/nn/Good.py", "class Net: ...\n");
    place(dir, "ab/nn/nn/Binary.py", Uint8Array.of(0xff, 0xfe, 0));
    mkdirSync(join(dir, "ab/nn/nn/Folder.py"));
    symlinkSync("missing", join(dir, "ab/nn/nn/Dangling.py"));
    const stats = `${TRIALS}/img-classification_cifar-10_acc_Good`;
    place(dir, `${stats}/1.json`, '[{"accuracy": 0.5, "lr": "fast"}, {"batch": 4}]');
    place(dir, `${stats}/2.json`, "[{");
    place(dir, `${stats}/3.json`, '{"accuracy": 1}');
    place(dir, `${stats}/1_backup.json`, "[]");
    place(dir, `${TRIALS}/RESULTS_OLD/1.json`, "[]");
    place(dir, `${TRIALS}/img-classification_cifar-10_acc_Gone/1.json`, '[{"accuracy": 0.5}]');
    const { nets, skipped } = await importLemur(dir);
    expect(nets).toMatchObject([{ name: "Good", trials: [{ epoch: 1, accuracy: 0.5, lr: null, seconds: null }] }]);
    expect(skipped).toEqual([
      { file: "ab/nn/nn/Binary.py", why: "not UTF-8 text" },
      { file: "ab/nn/nn/Dangling.py", why: expect.stringContaining("ENOENT") },
      { file: "ab/nn/nn/Folder.py", why: "not a file" },
      { file: `${stats}/2.json`, why: "not a list of trials in JSON" },
      { file: `${stats}/3.json`, why: "not a list of trials in JSON" },
    ]);
  });

  it("says what it looked for where there are no nets", async () => {
    const dir = scratch();
    const error = { code: "lemur-none", message: expect.stringContaining("ab/nn/nn/*.py") };
    await expect(importLemur(dir)).rejects.toMatchObject(error);
    await expect(importLemur(join(dir, "missing"))).rejects.toMatchObject(error);
    mkdirSync(join(dir, "ab/nn/nn"), { recursive: true });
    await expect(importLemur(dir)).rejects.toMatchObject(error);
  });
});

const python = pythonForTests();

describe.skipIf(python === null)("nn-dataset", () => {
  it("reads an export: every net's code, and every trial with its settings", async () => {
    const [dir, work] = [scratch(), scratch()];
    const store = freshStore();
    const id = addValid(store, 0, "Demo_c1_01", 0.5);
    const stored = { name: "Demo_c1_01", code: store.code(id) ?? "", trainings: store.trainings(id) };
    const other = net(
      "Demo_c1_02",
      training(0.61),
      training(0.62, { dataset: "digits", transform: "norm", epochs: 3 }),
    );
    await exportLemur([stored, other], dir);
    const script = join(import.meta.dirname, "read_lemur.py");
    const env = { ...process.env, OMP_NUM_THREADS: "1" };
    const output = execFileSync(python ?? "", [script, dir, work], {
      env,
      encoding: "utf8",
      stdio: "pipe",
    });
    const { rows, metric } = JSON.parse(output.trim().split("\n").at(-1) ?? "");
    expect(metric).toBeCloseTo(2 / 3);
    expect(rows).toHaveLength(3);
    const row = { task: "img-classification", metric: "acc", metric_code: expect.stringContaining("create_metric") };
    expect(rows).toMatchObject([
      {
        ...row,
        dataset: "cifar-10",
        nn: "Demo-c1-01",
        nn_code: stored.code,
        epoch: 1,
        accuracy: 0.49,
        duration: 45.5e9,
      },
      { ...row, dataset: "cifar-10", nn: "Demo-c1-02", nn_code: other.code, epoch: 1, accuracy: 0.61 },
      { ...row, dataset: "digits", nn: "Demo-c1-02", nn_code: other.code, epoch: 3, accuracy: 0.62 },
    ]);
    expect(rows[0].prm).toEqual({
      batch: 64,
      dropout: 0.2,
      lr: 0.01,
      momentum: 0.9,
      protocol: "validation",
      seed: 0,
      transform: "norm_flip",
      validation_accuracy: 0.5,
      validation_images: 5000,
    });
    expect(rows[0].transform_code).toContain("RandomHorizontalFlip");
  });
});
