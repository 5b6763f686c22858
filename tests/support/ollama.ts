/** A real Ollama server of the test's own, with one model made of a GGUF file. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { listOllama } from "../../src/designer/ollama/models.ts";
import { freePort } from "./ports.ts";

/** The chat format of Qwen, with the last answer left open where it is the assistant's. */
const CHATML =
  "{{- range $i, $m := .Messages }}{{- $last := eq (len (slice $.Messages $i)) 1 }}<|im_start|>{{ .Role }}\n{{ .Content }}" +
  '{{ if or (not $last) (ne .Role "assistant") }}<|im_end|>\n{{ end }}{{ if and $last (ne .Role "assistant") }}<|im_start|>assistant\n' +
  "{{ end }}{{- end }}";

export interface OllamaServer {
  /** As OLLAMA_HOST takes it. */
  host: string;
  /** Ends it at once, in the middle of whatever it does. */
  kill(): Promise<void>;
  /** Ends it and deletes its models. */
  close(): Promise<void>;
}

export async function startOllama(
  executable: string,
  gguf: string,
  model: string,
  parallel: number,
): Promise<OllamaServer> {
  const folder = mkdtempSync(join(tmpdir(), "netwright-ollama-"));
  const host = `127.0.0.1:${await freePort()}`;
  const env = {
    ...process.env,
    OLLAMA_HOST: host,
    OLLAMA_MODELS: folder,
    HOME: folder,
    OLLAMA_NUM_PARALLEL: String(parallel),
  };
  // A group of its own: killing it takes the runner along.
  const server = spawn(executable, ["serve"], { env, stdio: "ignore", detached: true });
  const gone = once(server, "exit");
  const kill = async () => {
    if (server.exitCode === null && server.signalCode === null) process.kill(-(server.pid as number), "SIGKILL");
    await gone;
  };
  const close = async () => {
    await kill();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    while (!(await answers(host))) {
      if (server.exitCode !== null) throw new Error(`ollama ended with exit code ${server.exitCode}`);
      await delay(100);
    }
    const modelfile = join(folder, "Modelfile");
    writeFileSync(modelfile, `FROM ${gguf}\nTEMPLATE """${CHATML}"""\nPARAMETER stop "<|im_end|>"\n`);
    execFileSync(executable, ["create", model, "-f", modelfile], { env, stdio: "pipe" });
    return { host, kill, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function answers(host: string): Promise<boolean> {
  return listOllama(host, new AbortController().signal).then(
    () => true,
    () => false,
  );
}
