import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { listDesigners, openDesigner } from "../../src/designer/index.ts";
import { ollamaAddress } from "../../src/designer/ollama/client.ts";
import { openOllama } from "../../src/designer/ollama/designer.ts";
import { createWithAdapter, listOllama, pullModel, suitableModel } from "../../src/designer/ollama/models.ts";
import { joinPrefill } from "../../src/designer/prefill.ts";
import type { Designer } from "../../src/study/ports.ts";
import type { Prompt, Sampling } from "../../src/study/types.ts";
import { type OllamaServer, startOllama } from "../support/ollama.ts";
import { modelForTests, ollamaForTests } from "../support/parts.ts";
import { freePort } from "../support/ports.ts";
import { writeAdapter } from "./adapter.ts";

const GGUF = modelForTests();
const OLLAMA = ollamaForTests();
const never = new AbortController().signal;
const quiet = () => {};

const PROMPT: Prompt = {
  messages: [{ role: "user", content: "Write a Python function that adds two numbers." }],
  prefill: "```python\nimport torch\n\ndef add",
  stop: ["\n```"],
};
const SAMPLING: Sampling = { temperature: 0.8, topP: 0.95, minP: 0.05, seed: 7, maxTokens: 24 };
const options = (host: string, model: string | null = "coder:1b") => ({
  host,
  model,
  contextTokens: 1024,
  parallel: 2,
  threads: null,
  adapter: null,
});

/** The code of the UserError that a promise rejects with. */
async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => new Error("it did not fail"),
    (error: unknown) => error,
  );
  return (error as { code?: string }).code ?? String(error);
}

describe("ollamaAddress", () => {
  it.each([
    [null, {}, "http://127.0.0.1:11434"],
    [null, { OLLAMA_HOST: "0.0.0.0" }, "http://127.0.0.1:11434"],
    [null, { OLLAMA_HOST: "box:9999" }, "http://box:9999"],
    ["box", { OLLAMA_HOST: "other" }, "http://box:11434"],
    [":7000", {}, "http://127.0.0.1:7000"],
    ["::1", {}, "http://[::1]:11434"],
    ["[::]:7000", {}, "http://[::1]:7000"],
    ["http://box", {}, "http://box:80"],
    ["https://box/ollama/", {}, "https://box:443/ollama"],
  ])("%s with %o is %s", (host, environment, address) => {
    expect(ollamaAddress(host, environment as NodeJS.ProcessEnv)).toBe(address);
  });

  it("refuses what is no address", async () => {
    expect(await codeOf((async () => ollamaAddress("ftp://box", {}))())).toBe("ollama-host-invalid");
    expect(await codeOf((async () => ollamaAddress("a b", {}))())).toBe("ollama-host-invalid");
  });
});

describe("suitableModel", () => {
  const model = (name: string, gigabytes: number) => ({
    name,
    bytes: gigabytes * 1e9,
    parameters: "",
    quantization: "",
  });
  it("takes the largest coding model that fits, and no embedding or base model", () => {
    const models = [
      model("llama3:8b", 4),
      model("qwen2.5-coder:1.5b", 1),
      model("qwen2.5-coder:7b", 5),
      model("qwen2.5-coder:7b-base", 6),
      model("nomic-embed-code:latest", 6),
      model("qwen3-coder:30b", 18),
    ];
    expect(suitableModel(models, 64e9)?.name).toBe("qwen2.5-coder:7b");
    expect(suitableModel(models, 8e9)?.name).toBe("qwen2.5-coder:1.5b");
    expect(suitableModel([model("llama3:8b", 4)], 64e9)).toBeNull();
  });
});

describe("joinPrefill", () => {
  it.each([
    ["goes on", "```python\nimport torch\n", "x = 1\n```", "```python\nimport torch\nx = 1\n```"],
    ["closes the block", "```python\nimport torch\n", "```\nDone.", "```python\nimport torch\n```\nDone."],
    [
      "repeats the prefill",
      "```python\nimport torch\n",
      "```python\nimport torch\nx = 1",
      "```python\nimport torch\nx = 1",
    ],
    ["opens a block again", "```python\nimport torch\n", "Sure:\n```py\nx = 1\n```", "```py\nx = 1\n```"],
    ["has no prefill", "", " ```python\nx", " ```python\nx"],
  ])("%s", (_name, prefill, continuation, whole) => {
    expect(joinPrefill(prefill, continuation)).toBe(whole);
  });
});

describe("what a server may answer", () => {
  type Handler = (request: IncomingMessage, response: ServerResponse, body: Record<string, unknown>) => void;
  let close: (() => void) | null = null;
  afterEach(() => close?.());

  /** A server that has one model and answers questions with `chat`. */
  async function serve(chat: Handler, models: object[] = [{ name: "coder:1b", size: 1e9 }]): Promise<string> {
    const server = createServer(async (request, response) => {
      let text = "";
      for await (const chunk of request) text += chunk;
      const body = text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
      response.setHeader("content-type", "application/json");
      if (request.url === "/api/tags") response.end(JSON.stringify({ models }));
      else if (request.url === "/api/ps") response.end(JSON.stringify({ models: [] }));
      else if (request.url === "/api/chat" && Array.isArray(body.messages) && body.messages.length === 0) {
        response.end(JSON.stringify({ done: true, done_reason: "load" }));
      } else chat(request, response, body);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    close = () => {
      server.closeAllConnections();
      server.close();
    };
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  const line = (value: object) => `${JSON.stringify(value)}\n`;
  const said = (content: string) => line({ message: { role: "assistant", content }, done: false });
  const done = line({
    message: { content: "" },
    done: true,
    done_reason: "length",
    prompt_eval_count: 9,
    eval_count: 2,
  });

  it("sends every setting and reads the answer", async () => {
    let asked: Record<string, unknown> = {};
    const host = await serve((_request, response, body) => {
      asked = body;
      response.end(said("_two(a, b):\n") + said("    return a") + done);
    });
    const designer = await openOllama(options(host), quiet, never);
    const pieces: string[] = [];
    const reply = await designer.generate(PROMPT, SAMPLING, never, (piece) => pieces.push(piece));
    expect(reply).toMatchObject({
      text: `${PROMPT.prefill}_two(a, b):\n    return a`,
      tokens: 2,
      promptTokens: 9,
      finish: "length",
    });
    expect(pieces.join("")).toBe(reply.text);
    expect(asked.messages).toEqual([...PROMPT.messages, { role: "assistant", content: PROMPT.prefill }]);
    expect(asked.options).toEqual({
      num_ctx: 1024,
      seed: 7,
      temperature: 0.8,
      top_p: 0.95,
      min_p: 0.05,
      top_k: 40,
      repeat_penalty: 1,
      num_predict: 24,
      stop: ["\n```"],
    });
    expect(asked).toMatchObject({ truncate: false, shift: false });
  });

  it("leaves cloud models out", async () => {
    const host = await serve(quiet, [
      { name: "big-coder:cloud", size: 300 },
      { name: "other-coder:1b", size: 300, remote_host: "https://ollama.com" },
      { name: "coder:1b", size: 1e9, details: { parameter_size: "1B", quantization_level: "Q4_K_M" } },
    ]);
    expect(await listOllama(host, never)).toEqual([
      { name: "coder:1b", bytes: 1e9, parameters: "1B", quantization: "Q4_K_M" },
    ]);
  });

  it("is cancelled before the headers, and frees the server", async () => {
    let closed: Promise<unknown> = Promise.resolve();
    const cancel = new AbortController();
    const host = await serve((_request, response) => {
      closed = new Promise((resolve) => response.on("close", resolve));
      cancel.abort();
    });
    const designer = await openOllama(options(host), quiet, never);
    await expect(designer.generate(PROMPT, SAMPLING, cancel.signal)).rejects.toMatchObject({ name: "AbortError" });
    await closed;
  });

  it("is cancelled in mid-stream", async () => {
    const host = await serve((_request, response) => response.write(said("_two")));
    const designer = await openOllama(options(host), quiet, never);
    const cancel = new AbortController();
    const answer = designer.generate(PROMPT, SAMPLING, cancel.signal, (piece) => {
      if (piece === "_two") cancel.abort(new Error("any reason"));
    });
    await expect(answer).rejects.toMatchObject({ name: "AbortError" });
  });

  it("ends what is under way when it closes", async () => {
    const host = await serve((_request, response) => response.write(said("_two")));
    const designer = await openOllama(options(host), quiet, never);
    const answer = designer.generate(PROMPT, SAMPLING, never, (piece) => {
      if (piece === "_two") void designer.close();
    });
    await expect(answer).rejects.toMatchObject({ name: "AbortError" });
  });

  it.each<[string, Handler, string]>([
    ["an error in mid-stream", (_q, r) => r.end(said("x") + line({ error: "CUDA error" })), "ollama-error"],
    ["a runner that died", (_q, r) => r.end(line({ error: "llama runner process has terminated" })), "ollama-stopped"],
    ["a connection lost in mid-stream", (_q, r) => r.write(said("x"), () => r.destroy()), "ollama-stopped"],
    ["a connection lost before the headers", (_q, r) => void r.destroy(), "ollama-stopped"],
    ["an end without an end", (_q, r) => r.end(said("x")), "ollama-stopped"],
    [
      "a model that went away",
      (_q, r) => r.writeHead(404).end(line({ error: 'model "coder:1b" not found' })),
      "ollama-model-missing",
    ],
    ["a failure", (_q, r) => r.writeHead(500).end(line({ error: "out of memory" })), "ollama-error"],
    [
      "a prompt over the context",
      (_q, r) => r.writeHead(400).end(line({ error: "the input length exceeds the context length" })),
      "prompt-too-long",
    ],
    [
      "another kind of server",
      (_q, r) => r.writeHead(404, { "content-type": "text/html" }).end("<h1>Not Found</h1>"),
      "ollama-refused",
    ],
    ["a page", (_q, r) => r.writeHead(200, { "content-type": "text/html" }).end("<h1>Hi</h1>"), "ollama-refused"],
  ])("tells %s", async (_name, handler, code) => {
    const host = await serve(handler);
    const designer = await openOllama(options(host), quiet, never);
    expect(await codeOf(designer.generate(PROMPT, SAMPLING, never))).toBe(code);
  });

  it("tells a model that is not there, and what is no Ollama", async () => {
    const host = await serve(quiet);
    expect(await codeOf(openOllama(options(host, "absent"), quiet, never))).toBe("ollama-model-missing");
    const other = createServer((_request, response) => response.end("hello"));
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    expect(await codeOf(listOllama(`127.0.0.1:${(other.address() as AddressInfo).port}`, never))).toBe(
      "ollama-refused",
    );
    other.close();
    const silent = createTcpServer((socket) => socket.end("SSH-2.0-x\r\n"));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    expect(await codeOf(listOllama(`127.0.0.1:${(silent.address() as AddressInfo).port}`, never))).toBe(
      "ollama-refused",
    );
    silent.close();
  });

  it("tells that none is running, and that there is no such host", async () => {
    expect(await codeOf(listOllama(`127.0.0.1:${await freePort()}`, never))).toBe("ollama-not-running");
    expect(await codeOf(listOllama("no-such-host.invalid", never))).toBe("ollama-host-not-found");
  });

  it("pulls with progress, and tells what the server says", async () => {
    const host = await serve((request, response) => {
      if (request.url !== "/api/pull") return response.writeHead(404).end();
      response.write(line({ status: "pulling manifest" }));
      response.write(line({ status: "pulling abc", total: 10, completed: 4 }));
      return response.end(line({ status: "success" }));
    });
    const seen: unknown[] = [];
    await pullModel(host, "coder:1b", (progress) => seen.push([progress.what, progress.done, progress.total]), never);
    expect(seen).toEqual([
      ["coder:1b: pulling manifest", 0, null],
      ["coder:1b: pulling abc", 4, 10],
      ["coder:1b: success", 0, null],
    ]);
    close?.();
    const failing = await serve((_q, r) => r.end(line({ error: "pull model manifest: file does not exist" })));
    expect(await codeOf(pullModel(failing, "absent", quiet, never))).toBe("ollama-error");
  });

  it.each([
    ["what it says of the adapter", 200, "unsupported architecture", "adapter-refused"],
    ["the same before anything else", 400, "invalid file magic", "adapter-refused"],
    ["a full disk", 200, "write /blobs/sha256-1: no space left on device", "ollama-error"],
    ["too many at once", 503, "the server cannot take more now", "ollama-error"],
    ["a lack of memory", 500, "model requires more system memory than is available", "ollama-error"],
  ])("of an adapter tells %s", async (_name, status, error, code) => {
    const host = await serve((request, response) => {
      if (request.url === "/api/create") response.writeHead(status).end(line({ error }));
      else response.end();
    });
    const file = fileURLToPath(import.meta.url);
    expect(await codeOf(createWithAdapter(host, "study:g1", "coder:1b", file, quiet, never))).toBe(code);
  });

  it("makes nothing of a model that is not there: the server would look for it on the network", async () => {
    const host = await serve(() => expect.unreachable());
    expect(await codeOf(createWithAdapter(host, "study:g1", "absent", "/nowhere", quiet, never))).toBe(
      "ollama-model-missing",
    );
  });

  it("doctor's list says what is there and what is not", async () => {
    const home = mkdtempSync(join(tmpdir(), "netwright-home-"));
    const host = await serve(quiet);
    expect((await listDesigners(host, home, never)).ollama).toMatchObject({ error: null, suitable: "coder:1b" });
    close?.();
    const report = await listDesigners(`127.0.0.1:${await freePort()}`, home, never);
    expect(report.ollama).toMatchObject({ error: { code: "ollama-not-running" }, models: [], suitable: null });
    expect(report.embedded.every(({ installed }) => !installed)).toBe(true);
    rmSync(home, { recursive: true });
  });

  it("auto takes a reachable Ollama's model", async () => {
    const host = await serve(quiet);
    const config = { ...options(host, null), provider: "auto" as const };
    const designer = await openDesigner(config, { home: "/nowhere", onProgress: quiet }, never);
    expect(designer.info).toMatchObject({ provider: "ollama", model: "coder:1b", parallel: 2 });
  });
});

describe.skipIf(OLLAMA === null || GGUF === null)("a real Ollama", () => {
  let server: OllamaServer;
  let designer: Designer;

  beforeAll(async () => {
    server = await startOllama(OLLAMA as string, GGUF as string, "test-coder", 2);
    designer = await openOllama({ ...options(server.host, null), threads: 1 }, quiet, never);
  });
  afterAll(() => server?.close());

  it("finds its model and says where it runs", () => {
    expect(designer.info).toMatchObject({ provider: "ollama", model: "test-coder:latest" });
    expect(designer.info.device).toMatch(/CPU|GPU/);
  });

  it("goes on from the prefill, and the same seed gives the same answer", async () => {
    const first = await designer.generate(PROMPT, SAMPLING, never);
    const again = await designer.generate(PROMPT, SAMPLING, never);
    expect(first.text.startsWith(PROMPT.prefill)).toBe(true);
    expect(first.text.length).toBeGreaterThan(PROMPT.prefill.length);
    expect(first.tokens).toBeLessThanOrEqual(24);
    expect(again.text).toBe(first.text);
  });

  it("tells a question that is too long", async () => {
    const long: Prompt = { ...PROMPT, messages: [{ role: "user", content: "word ".repeat(2000) }] };
    expect(await codeOf(designer.generate(long, SAMPLING, never))).toBe("prompt-too-long");
  });

  it("puts an adapter on the model", async () => {
    const folder = mkdtempSync(join(tmpdir(), "netwright-adapter-"));
    const adapter = join(folder, "adapter.gguf");
    await writeAdapter(GGUF as string, adapter);
    const changed = await openOllama({ ...options(server.host, "test-coder"), adapter, threads: 1 }, quiet, never);
    const greedy = { ...SAMPLING, temperature: 0 };
    const with_ = await changed.generate(PROMPT, greedy, never);
    expect(with_.text).not.toBe((await designer.generate(PROMPT, greedy, never)).text);
    rmSync(folder, { recursive: true });
  });

  it("is cancelled before the headers, and killed in mid-stream", async () => {
    const cancel = new AbortController();
    const cancelled = designer.generate(PROMPT, SAMPLING, cancel.signal);
    cancel.abort();
    await expect(cancelled).rejects.toMatchObject({ name: "AbortError" });

    const long: Sampling = { ...SAMPLING, maxTokens: 900 };
    const story: Prompt = {
      messages: [{ role: "user", content: "Count from 1 to 1000." }],
      prefill: "1, 2,",
      stop: [],
    };
    let pieces = 0;
    const lost = designer.generate(story, long, never, () => {
      if (++pieces === 3) void server.kill();
    });
    expect(await codeOf(lost)).toBe("ollama-stopped");
    await server.kill();
    expect(await codeOf(designer.generate(PROMPT, SAMPLING, never))).toBe("ollama-not-running");
  });
});
