/** The files of a LoRA run. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, it } from "vitest";
import { deleteAdapter } from "../../src/tuner/lora.ts";

const folder = mkdtempSync(join(tmpdir(), "netwright-run-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("deletes an adapter with its checkpoint and what a kill left of both, and nothing else", async () => {
  const kept = ["corpus.jsonl", "run.json"];
  const deleted = ["adapter.gguf", "adapter.gguf.partial", "checkpoint.pt", "checkpoint.pt.partial"];
  for (const name of [...kept, ...deleted]) writeFileSync(join(folder, name), "");
  await deleteAdapter(folder);
  expect(readdirSync(folder).sort()).toEqual(kept);
});

const canMount =
  spawnSync("unshare", ["-Urm", "mount", "-t", "tmpfs", "tmpfs", tmpdir()], { stdio: "ignore" }).status === 0;

it.skipIf(!canMount)("tells a real full disk, and leaves nothing half-written on it", () => {
  const script = `
    mount -t tmpfs -o size=16k tmpfs "$dir"
    "$node" --input-type=module -e '
      const { writeCorpus, writeRun } = await import(process.env.lora);
      const { dir } = process.env;
      const example = { messages: [], prefill: "", answer: "x".repeat(1e5), heldOut: false };
      const codes = [];
      for (const write of [() => writeCorpus(dir, [example]), () => writeRun(dir, { base: example.answer })])
        codes.push(await write().then(() => null, ({ code }) => code));
      console.log(JSON.stringify(codes));
    '
    ls "$dir"`;
  const env = { ...process.env, dir: folder, node: process.execPath, lora: resolve("src", "tuner", "lora.ts") };
  const { stdout, stderr } = spawnSync("unshare", ["-Urm", "sh", "-ec", script], { env, encoding: "utf8" });
  expect(stdout.trim(), stderr).toBe('["disk-full","disk-full"]');
});
