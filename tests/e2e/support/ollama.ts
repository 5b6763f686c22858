/** A real Ollama server of the test's own, with one model made of a GGUF file. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CHATML_TEMPLATE, createFromGguf, listOllama } from "../../../src/designer/ollama.ts";
import { freePort } from "./server.ts";

export interface OllamaServer {
  /** As OLLAMA_HOST takes it. */
  host: string;
  close(): void;
}

export async function startOllama(executable: string, gguf: string, model: string): Promise<OllamaServer> {
  const folder = mkdtempSync(join(tmpdir(), "netwright-ollama-"));
  const host = `127.0.0.1:${await freePort()}`;
  const env = { ...process.env, OLLAMA_HOST: host, OLLAMA_MODELS: folder, HOME: folder, OLLAMA_NUM_PARALLEL: "1" };
  // A group of its own: killing it takes the runner along.
  const server = spawn(executable, ["serve"], { env, stdio: "ignore", detached: true });
  const close = () => {
    if (server.exitCode === null) process.kill(-(server.pid as number), "SIGKILL");
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const never = new AbortController().signal;
  try {
    while (!(await answers(host))) {
      if (server.exitCode !== null) throw new Error(`ollama ended with exit code ${server.exitCode}`);
      await delay(100);
    }
    const form = { template: CHATML_TEMPLATE, parameters: { stop: ["<|im_end|>"] } };
    await createFromGguf(host, model, gguf, form, () => {}, never);
    return { host, close };
  } catch (error) {
    close();
    throw error;
  }
}

function answers(host: string): Promise<boolean> {
  return listOllama(host, new AbortController().signal).then(
    () => true,
    () => false,
  );
}
