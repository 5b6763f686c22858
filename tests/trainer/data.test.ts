import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../../src/study/ports.ts";
import { cacheKey, type DataOptions, type DataProgress, prepareData } from "../../src/trainer/data.ts";
import { packageDir, python } from "./fixture.ts";

const never = new AbortController().signal;
let home: string;

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "netwright-home-"));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

function options(changes: Partial<DataOptions> = {}): DataOptions {
  return {
    ...{ python, packageDir, dataset: "digits", source: null, dataDir: join(home, "data") },
    ...{ validationImages: 100, seed: 0, download: false },
    ...changes,
  };
}

async function refusal(changes: Partial<DataOptions>): Promise<UserError> {
  const error = await prepareData(options(changes), () => {}, never).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
}

describe("prepareData", () => {
  it("prepares digits, keeps labels of the held-out splits apart, and reports progress", async () => {
    const seen: DataProgress[] = [];
    const { path, meta } = await prepareData(options(), (p) => seen.push(p), never);
    expect(meta).toMatchObject({ dataset: "digits", channels: 1, height: 32, width: 32, validation: 100 });
    expect(meta.train + meta.validation + meta.test).toBe(1797);
    expect(readFileSync(join(path, "private", "test_labels.bin"))).toHaveLength(meta.test);
    expect(readdirSync(join(path, "public")).sort()).toEqual(
      ["meta.json", "test_images.npy", "train_images.npy", "train_labels.npy", "validation_images.npy"].sort(),
    );
    expect(seen.at(-1)).toMatchObject({ what: "writing the data set", unit: "files" });
  });

  it("finds a prepared data set without Python", async () => {
    const first = await prepareData(options(), () => {}, never);
    const again = await prepareData(options({ python: "/nowhere/python" }), () => {}, never);
    expect(again).toEqual(first);
  });

  it("passes on the cause and the next step", async () => {
    const missing = join(home, "missing");
    const error = await refusal({ dataset: "cifar10", source: missing });
    expect(error.code).toBe("data-no-source");
    expect(error.message).toContain(missing);
    expect((await refusal({ dataset: "cifar10" })).code).toBe("data-download-off");
  });

  it("says so when Python cannot be started", async () => {
    const error = await refusal({ seed: 77, python: "/nowhere/python" });
    expect(error.code).toBe("data-failed");
    expect(error.message).toContain("/nowhere/python");
  });

  it("stops when it is cancelled and leaves nothing half-written", async () => {
    const dataDir = join(home, "cancelled");
    const controller = new AbortController();
    const prepared = prepareData(options({ dataDir }), () => controller.abort(), controller.signal);
    await expect(prepared).rejects.toMatchObject({ name: "AbortError" });
    expect(existsSync(dataDir) ? readdirSync(dataDir).filter((name) => name.startsWith(".")) : []).toEqual([]);
  });

  it("does not start when it is already cancelled", async () => {
    await expect(prepareData(options(), () => {}, AbortSignal.abort())).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe("cacheKey", () => {
  const key = (changes: Partial<DataOptions> = {}) => cacheKey(options(changes));

  it("depends on the data set, the split and the seed", () => {
    expect(new Set([key(), key({ dataset: "cifar10" }), key({ validationImages: 0 }), key({ seed: 1 })]).size).toBe(4);
    expect(key({ download: true })).toBe(key());
  });

  it("changes when a file does", () => {
    const file = join(home, "images.zip");
    writeFileSync(file, "one");
    const before = key({ source: file });
    expect(key({ source: file })).toBe(before);
    writeFileSync(file, "other");
    const after = key({ source: file });
    expect(after).not.toBe(before);
    utimesSync(file, new Date(0), new Date(0));
    expect(key({ source: file })).not.toBe(after);
  });

  it("changes when an image joins a class", () => {
    const folder = join(home, "tree");
    const cats = join(folder, "train", "cat");
    mkdirSync(cats, { recursive: true });
    utimesSync(cats, new Date(0), new Date(0));
    const before = key({ source: folder });
    writeFileSync(join(cats, "0.png"), "");
    expect(key({ source: folder })).not.toBe(before);
  });
});
