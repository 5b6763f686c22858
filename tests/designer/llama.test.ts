import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { openDesigner } from "../../src/designer/index.ts";
import { openLlama } from "../../src/designer/llama/parent.ts";
import { scratchFolder } from "../../src/designer/llama/scratch.ts";
import { StopFilter } from "../../src/designer/llama/stop.ts";
import { nextThreads } from "../../src/designer/llama/threads.ts";
import type { Designer } from "../../src/study/ports.ts";
import type { Prompt, Sampling } from "../../src/study/types.ts";
import { modelForTests } from "../support/parts.ts";
import { writeAdapter } from "./adapter.ts";

const GGUF = modelForTests();
const never = new AbortController().signal;
const quiet = () => {};
const options = { name: "test", model: GGUF ?? "", adapter: null, contextTokens: 1024, parallel: 3, threads: 1 };

const PROMPT: Prompt = {
  messages: [
    { role: "system", content: "You write short Python. ".repeat(30) },
    { role: "user", content: "Write a function that adds two numbers." },
  ],
  prefill: "```python\nimport torch\n\ndef add",
  stop: ["\n```"],
};
const SAMPLING: Sampling = { temperature: 0.8, topP: 0.95, minP: 0.05, seed: 7, maxTokens: 24 };

describe("StopFilter", () => {
  const feed = (stops: string[], pieces: string[]) => {
    const filter = new StopFilter(stops);
    let text = "";
    for (const piece of pieces) {
      const next = filter.push(piece);
      text += next.text;
      if (next.stopped) return { text, stopped: true };
    }
    return { text: text + filter.flush(), stopped: false };
  };

  it.each([
    ["in one piece", ["\n```"], ["a\n```b"], { text: "a", stopped: true }],
    ["over several pieces", ["\n```"], ["a", "\n", "``", "`", "b"], { text: "a", stopped: true }],
    ["the first of several", ["END", "XX"], ["1XX2END"], { text: "1", stopped: true }],
    ["not what only begins alike", ["\n```"], ["a\n``", "b\n"], { text: "a\n``b\n", stopped: false }],
    ["without stop strings", [""], ["a", "b"], { text: "ab", stopped: false }],
  ])("%s", (_name, stops, pieces, result) => {
    expect(feed(stops, pieces)).toEqual(result);
  });
});

describe("nextThreads", () => {
  it("gives up a thread that did not run, takes one back when a core is idle, and stays within its bounds", () => {
    expect(nextThreads(2, 2, { had: 1.2, idle: 0 })).toBe(1);
    expect(nextThreads(1, 2, { had: 0.5, idle: 0 })).toBe(1);
    expect(nextThreads(1, 2, { had: 0.95, idle: 0.9 })).toBe(2);
    expect(nextThreads(2, 2, { had: 1.95, idle: 0.9 })).toBe(2);
    expect(nextThreads(1, 2, { had: 0.95, idle: 0.1 })).toBe(1);
  });
});

describe("what is not there", () => {
  const folder = mkdtempSync(join(tmpdir(), "netwright-llama-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  it("tells a missing adapter and a broken model", async () => {
    const missing = { ...options, adapter: join(folder, "absent.gguf") };
    await expect(openLlama(missing, quiet, quiet, never)).rejects.toMatchObject({ code: "adapter-unreadable" });
    const broken = join(folder, "broken.gguf");
    writeFileSync(broken, "GGUF and then nothing of the kind");
    await expect(openLlama({ ...options, model: broken }, quiet, quiet, never)).rejects.toMatchObject({
      code: "model-unreadable",
    });
  });

  it("is not opened for a cancelled signal", async () => {
    await expect(openLlama(options, quiet, quiet, AbortSignal.abort())).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe.skipIf(GGUF === null)("a real embedded model", () => {
  let designer: Designer;
  const percents: number[] = [];
  beforeAll(async () => {
    designer = await openLlama(options, ({ done }) => percents.push(done), quiet, never);
  });
  afterAll(() => designer.close());

  it("says how loading goes and where it runs", () => {
    expect(percents.at(-1)).toBe(100);
    expect(designer.info).toMatchObject({ provider: "llama.cpp", model: "test", parallel: 3 });
    expect(designer.info.device).not.toBe("");
  });

  it("goes on from the prefill within its tokens", async () => {
    const pieces: string[] = [];
    const reply = await designer.generate(PROMPT, SAMPLING, never, (piece) => pieces.push(piece));
    expect(reply.text.startsWith(PROMPT.prefill)).toBe(true);
    expect(reply.text.length).toBeGreaterThan(PROMPT.prefill.length);
    expect(pieces.join("")).toBe(reply.text);
    expect(reply.tokens).toBeLessThanOrEqual(24);
    expect(reply.promptTokens).toBeGreaterThan(100);
  });

  it("alone, the same seed gives the same answer, whatever was asked between and in whichever sequence", async () => {
    const first = await designer.generate(PROMPT, SAMPLING, never);
    await Promise.all([1, 2, 3, 4].map((seed) => designer.generate(PROMPT, { ...SAMPLING, seed }, never)));
    const other: Prompt = { ...PROMPT, messages: [{ role: "user", content: "What is a list?" }] };
    await designer.generate(other, SAMPLING, never);
    expect((await designer.generate(PROMPT, SAMPLING, never)).text).toBe(first.text);
    const texts = new Set<string>();
    for (const seed of [11, 12, 13]) texts.add((await designer.generate(PROMPT, { ...SAMPLING, seed }, never)).text);
    expect(texts.size).toBeGreaterThan(1);
  });

  it("stops before a stop string, at the model's own end, and at the limit", async () => {
    const counting: Prompt = {
      messages: [{ role: "user", content: "Count from 1 to 20." }],
      prefill: "1, 2, 3,",
      stop: ["7"],
    };
    const greedy = { ...SAMPLING, temperature: 0, maxTokens: 60 };
    const stopped = await designer.generate(counting, greedy, never);
    expect(stopped).toMatchObject({ text: "1, 2, 3, 4, 5, 6, ", finish: "stop" });
    const ended = await designer.generate({ ...counting, stop: [], prefill: "1, 2, 3, 4, 5, 6, 7, 8" }, greedy, never);
    expect(ended.text).not.toContain("<|");
    const cut = await designer.generate({ ...counting, stop: [] }, { ...greedy, maxTokens: 4 }, never);
    expect(cut).toMatchObject({ finish: "length", tokens: 4 });
  });

  it("takes the marks of the chat format in a message as text", async () => {
    const plain = await designer.generate(
      { messages: [{ role: "user", content: "a" }], prefill: "", stop: [] },
      SAMPLING,
      never,
    );
    const marked = await designer.generate(
      { messages: [{ role: "user", content: "a<|im_end|>" }], prefill: "", stop: [] },
      SAMPLING,
      never,
    );
    expect(marked.promptTokens).toBeGreaterThan(plain.promptTokens + 1);
  });

  it("tells a question that is too long, and fills no more than the context", async () => {
    const long = (words: number): Prompt => ({
      messages: [{ role: "user", content: "word ".repeat(words) }],
      prefill: "",
      stop: [],
    });
    await expect(designer.generate(long(2000), SAMPLING, never)).rejects.toMatchObject({ code: "prompt-too-long" });
    const filled = await designer.generate(
      { ...long(940), prefill: "1, 2, 3, 4," },
      { ...SAMPLING, temperature: 0, maxTokens: 500 },
      never,
    );
    expect(filled.promptTokens + filled.tokens).toBeLessThanOrEqual(1024);
  });

  it("is cancelled at once, at any moment, and answers others meanwhile", async () => {
    const long = { ...SAMPLING, maxTokens: 800 };
    const story: Prompt = {
      messages: [{ role: "user", content: "Count from 1 to 1000." }],
      prefill: "1, 2,",
      stop: [],
    };
    const cancels = [0, 1, 2, 3].map(() => new AbortController());
    const asked = cancels.map(({ signal }) => designer.generate(story, long, signal));
    const other = designer.generate(PROMPT, SAMPLING, never); // waits for a sequence behind the four
    cancels[3]?.abort(); // while it waits itself
    await expect(asked[3]).rejects.toMatchObject({ name: "AbortError" });
    for (const cancel of cancels) cancel.abort();
    for (const answer of asked) await expect(answer).rejects.toMatchObject({ name: "AbortError" });
    expect((await other).text.startsWith(PROMPT.prefill)).toBe(true);
  });

  it("ends what is under way when it closes", async () => {
    const mine = await openLlama({ ...options, parallel: 1 }, quiet, quiet, never);
    let closed: Promise<void> | null = null;
    const answer = mine.generate(PROMPT, SAMPLING, never, () => {
      closed ??= mine.close();
    });
    await expect(answer).rejects.toMatchObject({ name: "AbortError" });
    await closed;
  });

  it("answers differently with an adapter", async () => {
    const folder = mkdtempSync(join(tmpdir(), "netwright-adapter-"));
    const adapter = join(folder, "adapter.gguf");
    await writeAdapter(GGUF as string, adapter);
    const changed = await openLlama({ ...options, parallel: 1, adapter }, quiet, quiet, never);
    const greedy = { ...SAMPLING, temperature: 0 };
    const after = await changed.generate(PROMPT, greedy, never);
    await changed.close();
    rmSync(folder, { recursive: true });
    expect(after.text).not.toBe((await designer.generate(PROMPT, greedy, never)).text);
  });

  it("tells that the model does not fit into memory, before it loads", async () => {
    const vast = { ...options, contextTokens: 1_000_000, parallel: 64 };
    await expect(openLlama(vast, quiet, quiet, never)).rejects.toMatchObject({ code: "designer-memory" });
  });

  it.skipIf(process.platform !== "linux")(
    "tells a crash, starts again with the next question, and leaves nothing behind",
    async () => {
      const before = childrenOf(process.pid);
      const config = { provider: "llama.cpp" as const, host: null, ...options };
      const mine = await openDesigner(config, { home: tmpdir(), onProgress: quiet }, never);
      const added = () => childrenOf(process.pid).filter((pid) => !before.includes(pid));
      const story: Prompt = {
        messages: [{ role: "user", content: "Count from 1 to 1000." }],
        prefill: "1, 2,",
        stop: [],
      };
      let killed = false;
      const lost = mine.generate(story, { ...SAMPLING, maxTokens: 800 }, never, (piece) => {
        if (killed || piece === story.prefill) return;
        killed = true;
        for (const pid of added()) process.kill(pid, "SIGKILL");
      });
      await expect(lost).rejects.toMatchObject({ code: "designer-crashed" });
      expect((await mine.generate(PROMPT, SAMPLING, never)).text.startsWith(PROMPT.prefill)).toBe(true);
      await mine.close();
      expect(added()).toEqual([]);
    },
  );

  it("answers several at once where nothing can be written", async () => {
    vi.stubEnv("TMPDIR", "/nowhere");
    const mine = await openLlama({ ...options, parallel: 2 }, quiet, quiet, never);
    const replies = await Promise.all([1, 2].map((seed) => mine.generate(PROMPT, { ...SAMPLING, seed }, never)));
    await mine.close();
    vi.unstubAllEnvs();
    expect(replies.map(({ tokens }) => tokens > 0)).toEqual([true, true]);
  });

  it.skipIf(process.platform !== "linux")("removes what its process could not", async () => {
    const before = childrenOf(process.pid);
    const mine = await openLlama({ ...options, parallel: 1 }, quiet, quiet, never);
    const [pid] = childrenOf(process.pid).filter((child) => !before.includes(child));
    const folder = scratchFolder(pid as number);
    mkdirSync(folder);
    writeFileSync(join(folder, "state"), "half of it");
    await mine.close();
    expect(existsSync(folder)).toBe(false);
  });

  it.skipIf(process.platform !== "linux")("dies with the process that opened it, however that dies", async () => {
    const program = `
      import { openLlama } from ${JSON.stringify(join(import.meta.dirname, "../../src/designer/llama/parent.ts"))};
      await openLlama(${JSON.stringify(options)}, () => {}, () => {}, new AbortController().signal);
      process.stdout.write("open");
      setInterval(() => {}, 1000);
    `;
    const parent = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(parent.stdout, "data");
    const [child] = childrenOf(parent.pid as number);
    expect(child).toBeDefined();
    parent.kill("SIGKILL");
    await once(parent, "exit");
    while (existsSync(`/proc/${child}/exe`)) await new Promise((next) => setTimeout(next, 20));
  });
});

/** Ids of the living children of a process. */
function childrenOf(pid: number): number[] {
  const listed = readdirSync(`/proc/${pid}/task`).map((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8"),
  );
  return listed.join(" ").split(" ").filter(Boolean).map(Number);
}
