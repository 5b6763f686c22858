/** A small study with real parts: the digits, which need no download, and a real model that writes a net in seconds. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Makes `dir` with a netwright.json; `model` is a GGUF file, null where nothing is designed. */
export function makeStudy(dir: string, model: string | null, changes: Record<string, unknown> = {}): string {
  mkdirSync(dir, { recursive: true });
  const study = {
    name: "digits",
    data: { dataset: "digits" },
    protocol: { batch: 16, validationImages: 300 },
    designer: { provider: "llama.cpp", model, parallel: 2, threads: 2, maxTokens: 600, repair: false },
    trainer: { device: "cpu", threads: 1 },
    admission: { accuracy: 0.2 },
    ...changes,
  };
  writeFileSync(join(dir, "netwright.json"), `${JSON.stringify(study, null, 2)}\n`);
  return dir;
}
