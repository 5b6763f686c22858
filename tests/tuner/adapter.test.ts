/** Adapters as GGUF, judged by llama.cpp itself: with and without one it must say what transformers says. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const run = promisify(execFile);
const python = process.env.NETWRIGHT_TEST_PYTHON;
const folder = mkdtempSync(join(tmpdir(), "netwright-adapters-"));

type Answers = Record<string, { plain: number[]; adapted: number[] }>;

describe.skipIf(!python)("an adapter in GGUF", () => {
  let told: Answers;
  let said: Answers;

  beforeAll(async () => {
    const packageDir = join(import.meta.dirname, "..", "..", "python");
    const env = { ...process.env, PYTHONPATH: packageDir };
    await run(python ?? "", [join(packageDir, "tests", "tiny_models.py"), folder], { env });
    told = JSON.parse(readFileSync(join(folder, "told.json"), "utf8")) as Answers;
    const { stdout } = await run(process.execPath, [join(import.meta.dirname, "say.mjs"), folder], {
      timeout: 120_000,
    });
    said = JSON.parse(stdout) as Answers;
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(["llama", "qwen2", "qwen3", "gemma3"])("changes a model of architecture %s as it was trained to", (name) => {
    expect(told[name]?.adapted).not.toEqual(told[name]?.plain);
    expect(said[name]?.plain).toEqual(told[name]?.plain);
    expect(said[name]?.adapted).toEqual(told[name]?.adapted);
  });
});
