import { spawn } from "node:child_process";
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TrainProgress } from "../../src/study/ports.ts";
import { openTrainer, type TimedTrainer } from "../../src/trainer/index.ts";
import { net, open, packageDir, prepareFixture, processesWith, protocol, python } from "./fixture.ts";

const never = new AbortController().signal;
const SLOW = net({ top: "import time", learn: "time.sleep(1e6)" });

describe.skipIf(!python)("the trainer", { timeout: 120_000 }, () => {
  const limits = { parameters: 500_000, checkSeconds: 60, trainSeconds: 120, memoryMiB: 1024 };
  let cache: string;
  let trainer: TimedTrainer;

  beforeAll(async () => {
    cache = prepareFixture({ train: 1000, validation: 200, test: 204 });
    trainer = await open({ cache, limits });
  }, 300_000);
  afterAll(async () => {
    await trainer?.close();
    rmSync(cache, { recursive: true });
  });

  test("says what it runs on", () => {
    expect(trainer.info).toMatchObject({
      ...{ device: "cpu", deviceName: "CPU, 1 thread", torch: expect.stringMatching(/^\d+\.\d+/) },
      ...{ shape: { channels: 3, height: 16, width: 16, classes: 4 } },
      ...{ trainImages: 1000, validationImages: 200, testImages: 204 },
    });
    expect(trainer.info.sandbox).toContain("rlimits");
  });

  test("a valid net has its parameters and its graph", async () => {
    const result = await trainer.check(net(), never);
    if (!result.ok) throw new Error(result.failure.message);
    expect(result.checked.parameters).toBe(3 * 8 * 9 + 8 + 16 + 8 * 4 + 4);
    const { nodes, output } = result.checked.graph;
    expect(nodes.map((node) => node.op)).toContain("convolution");
    expect(nodes[output]?.shape).toEqual([2, 4]);
  });

  test.each([
    ["syntax", net({ init: "x = = 1" }), /^SyntaxError: /, "x = = 1"],
    ["syntax", "class Net:\n  def f(self):\n return 1", /^IndentationError: /, "return 1"],
    ["syntax", "return 1", /'return' outside function/, "return 1"],
    ["syntax", `${"(".repeat(5000)}${")".repeat(5000)}`, /./, undefined],
    ["syntax", "x = 1\0", /null bytes/, undefined],
    ["contract", "", /no function supported_hyperparameters\(\)/, null],
    ["contract", net().replace("class Net", "class Other"), /defines no class Net/, null],
    [
      "contract",
      net().replace("def learn(self, train_data)", "def teach(self, train_data)"),
      /no learn\(self, t/,
      null,
    ],
    ["contract", net().replace("def forward(self, x)", "def forwards(self, x)"), /defines no forward\(self, x\)/, null],
    ["contract", net().replace("prm, device):", "prm):"), /Net\.__init__ must take/, "def __init__"],
    ["contract", net().replace("(nn.Module)", ""), /must be a subclass/, null],
    ["contract", net().replace('{"lr", "momentum"}', '["lr"]'), /must return a set/, "def supported"],
    ["contract", `import tensorflow\n${net()}`, /^ModuleNotFoundError/, "import tensorflow"],
    ["contract", net({ init: 'prm["heads"]' }), /prm\['heads'\] is not declared/, 'prm["heads"]'],
    ["init", net({ init: "nn.Conv2d(3, 8)" }), /^TypeError: .*kernel_size/, "nn.Conv2d(3, 8)"],
    ["forward", net({ forward: "return self.classifier(x)" }), /^RuntimeError: .*mat1 and mat2/, "self.classifier(x)"],
    ["shape", net({ forward: "return self.features(x)" }), /\(2, 8, 1, 1\); expected.*\(2, 4\)/, "def forward"],
    ["shape", net({ forward: "return x.mean(1), x" }), /returned a tuple/, "def forward"],
    ["shape", net({ forward: "return torch.zeros(len(x), 4) / 0" }), /not finite/, "def forward"],
    ["train", net({ setup: "self.rate = self.unknown" }), /^AttributeError: .*unknown/, "self.unknown"],
    ["train", net({ learn: "labels = labels.float()[:3]" }), /^(ValueError|RuntimeError)/, "self.criteria"],
    ["contract", net({ before: "return" }), /took no batch/, null],
  ] as const)("%s: one outcome, and the line where it broke (%#)", async (outcome, code, message, source) => {
    const result = await trainer.check(code, never);
    if (result.ok) throw new Error("it passed");
    expect(result.failure.message).toMatch(message);
    expect(result.failure.outcome).toBe(outcome);
    if (source === null) expect(result.failure.line).toBeNull();
    else if (source !== undefined) {
      expect(result.failure.source).toContain(source);
      expect(code.split("\n")[(result.failure.line ?? 0) - 1]).toContain(source);
    }
  });

  test.each([
    [
      "hyperparameters of its own",
      net({ init: 'assert prm["heads"] == 0.5' }).replace('"momentum"}', '"momentum", "heads"}'),
    ],
    ["an optional hyperparameter", net({ init: 'assert prm.get("heads", 2) == 2' })],
    ["lazy modules", net({ init: "self.classifier = nn.LazyLinear(out_shape[0])" })],
    ["values needed while it is built", net({ init: "[x.item() for x in torch.linspace(0, 1, 3)]" })],
    ["compilation", net({ setup: "self.fast = torch.compile(self.features)", learn: "self.fast(inputs)" })],
    ["its source", net({ top: "import inspect", init: 'assert "class Net" in inspect.getsource(Net)' })],
    ["dataclasses", net({ top: "from dataclasses import dataclass\n@dataclass\nclass Block:\n    width: int = 3" })],
    ["the shape of a batch", net({ init: "assert in_shape == (16, 3, 16, 16) and out_shape == (4,)" })],
    ["the length of its data and a look at it", net({ before: "len(train_data)\nnext(iter(train_data))" })],
    ["a schedule", net({ setup: "self.s = lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, 100)" })],
  ])("works with %s", async (_, code) => {
    expect(await trainer.check(code, never)).toMatchObject({ ok: true });
  });

  test("an error late in the check still tells the number of parameters", async () => {
    expect(await trainer.check(net({ learn: "raise ValueError" }), never)).toMatchObject({ parameters: 276 });
  });

  test("trains to the same figures for the same seed", async () => {
    const first = await trainer.train(net(), protocol, never);
    const second = await trainer.train(net(), protocol, never);
    if (!first.ok || !second.ok) throw new Error("it failed");
    expect(first.accuracy.validation).toBeGreaterThan(0.9);
    expect(first.accuracy.test).toBeGreaterThan(0.9);
    expect(second.accuracy).toEqual(first.accuracy);
    expect(first.peakMemoryMiB).toBeGreaterThan(100);
    expect(first.trainSeconds + first.evaluateSeconds).toBeLessThanOrEqual(first.seconds);
  });

  test("each epoch is one pass in an order of its own; a single image left over is not a batch", async () => {
    // Raises once it has seen what it should not see, or at the end with what it has seen.
    const code = net({
      setup: "self.seen = []",
      before: "first = next(iter(train_data))[0].sum().item()\nself.seen.append((first, len(train_data)))",
    }).replace(
      "        self.train()",
      "        if len(self.seen) == 3:\n            raise ValueError(str((len({f for f, _ in self.seen}), self.seen[-1][1])))\n        self.train()",
    );
    const spoken = { ...protocol, epochs: 3, trainImages: 65, transform: "norm" } as const;
    const result = await trainer.train(code, spoken, never);
    expect(result).toMatchObject({ ok: false, failure: { message: "ValueError: (3, 2)" } });
  });

  test("tells its progress", async () => {
    const heard: TrainProgress[] = [];
    const code = net({ top: "import time", learn: "time.sleep(0.06)" });
    await trainer.train(code, { ...protocol, epochs: 2 }, never, (p) => heard.push(p));
    expect(heard.length).toBeGreaterThan(1);
    for (const p of heard) expect(p).toMatchObject({ batches: 32, secondsLeft: expect.any(Number) });
    expect(heard.at(-1)?.epoch).toBe(2);
  });

  test("runs a check while another trains, and cancels at once", async () => {
    // The worker may be forking its next spare process just now.
    let before = -1;
    while (before !== processesWith(cache).length) {
      before = processesWith(cache).length;
      await sleep(1000);
    }
    const controller = new AbortController();
    const training = trainer.train(SLOW, protocol, controller.signal);
    expect(await trainer.check(net(), never)).toMatchObject({ ok: true });
    controller.abort();
    await expect(training).rejects.toMatchObject({ name: "AbortError" });
    await until(() => processesWith(cache).length === before);
    await expect(trainer.check(net(), controller.signal)).rejects.toMatchObject({ name: "AbortError" });
  });

  test("a worker that is killed comes back, and what ran is tried again", async () => {
    const training = trainer.train(net({ top: "import time", learn: "time.sleep(0.05)" }), protocol, never);
    await sleep(300);
    for (const pid of processesWith(cache)) kill(pid);
    expect(await training).toMatchObject({ ok: true });
  });

  test("refuses figures under another protocol than its data's", async () => {
    await expect(trainer.train(net(), { ...protocol, validationImages: 0 }, never)).rejects.toThrow(
      /the protocol wants/,
    );
    await expect(trainer.train(net(), { ...protocol, dataset: "cifar10" }, never)).rejects.toThrow(/cifar10/);
  });

  test("without a validation split it is the test set that decides", async () => {
    const paper = prepareFixture({ train: 1000, validation: 0, test: 200 });
    const other = await open({ cache: paper, limits, sandbox: "off" });
    try {
      expect(other.info.sandbox).not.toContain("bubblewrap");
      const result = await other.train(net(), { ...protocol, name: "paper", validationImages: 0 }, never);
      expect(result).toMatchObject({ ok: true, accuracy: { validation: null, test: expect.any(Number) } });
    } finally {
      await other.close();
      rmSync(paper, { recursive: true });
    }
  });

  test("close leaves no process, whatever runs", async () => {
    const folder = prepareFixture({ train: 100, validation: 20, test: 20 });
    const other = await open({ cache: folder, limits });
    const training = other.train(SLOW, protocol, never).catch((error: Error) => error.message);
    await sleep(200);
    await other.close();
    expect(await training).toMatch(/closed/);
    await until(() => processesWith(folder).length === 0);
    rmSync(folder, { recursive: true });
  });

  test.each(["auto", "off"])("nothing outlives a parent that is killed (sandbox %s)", async (sandbox) => {
    const folder = prepareFixture({ train: 100, validation: 20, test: 20 });
    const script = `
      import { open, net, protocol } from ${JSON.stringify(resolve("tests/trainer/fixture.ts"))};
      const trainer = await open({ cache: ${JSON.stringify(folder)}, sandbox: ${JSON.stringify(sandbox)} });
      const running = trainer.train(${JSON.stringify(SLOW)}, protocol, new AbortController().signal);
      console.log("running");
      await running;`;
    const parent = spawn(process.execPath, ["--input-type=module-typescript", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise((done) => parent.stdout.once("data", done));
    await until(() => processesWith(folder).length > 1);
    parent.kill("SIGKILL");
    await until(() => processesWith(folder).length === 0);
    rmSync(folder, { recursive: true });
  });

  test("where no process can be started the machine is told of, and no candidate blamed", async () => {
    const folder = prepareFixture({ train: 100, validation: 20, test: 20 });
    // The real worker, whose second process and those after it are given a GPU that is not there.
    const wrapper = join(folder, "worker.py");
    writeFileSync(
      wrapper,
      `import dataclasses, os, sys, torch
import netwright.worker as worker
serve, fork, forks = worker.serve, os.fork, []
def counted():
    forks.append(1)
    return fork()
def failing(parent, requests, results, data, settings):
    if len(forks) > 1:
        settings = dataclasses.replace(settings, device=torch.device("cuda:99"))
    serve(parent, requests, results, data, settings)
os.fork, worker.serve, sys.argv = counted, failing, ["worker", sys.argv[-1]]
worker.main()
`,
    );
    const interpreter = join(folder, "python");
    writeFileSync(interpreter, `#!/bin/sh\nfor last; do :; done\nexec ${python} -s ${wrapper} "$last"\n`);
    chmodSync(interpreter, 0o755);
    const other = await open({ cache: folder, python: interpreter, sandbox: "off" });
    try {
      expect(await other.check(net(), never)).toMatchObject({ ok: true });
      const fault = { name: "UserError", code: "trainer-failed", message: expect.stringContaining("then go on") };
      await expect(other.check(net(), never)).rejects.toMatchObject(fault);
      await expect(other.train(net(), { ...protocol, validationImages: 20 }, never)).rejects.toMatchObject(fault);
    } finally {
      await other.close();
      rmSync(folder, { recursive: true });
    }
  });

  describe("says what is wrong and what to do", () => {
    const options = { packageDir, device: "cpu", threads: 1, limits, sandbox: "auto" as const };

    test("an interpreter that is not there", async () => {
      const opening = openTrainer({ ...options, python: "/nowhere/python", cache }, never);
      await expect(opening).rejects.toMatchObject({
        name: "UserError",
        message: expect.stringContaining("/nowhere/python"),
      });
      const unwrapped = openTrainer({ ...options, python: "/nowhere/python", cache, sandbox: "off" }, never);
      await expect(unwrapped).rejects.toMatchObject({ name: "UserError", message: expect.stringContaining("ENOENT") });
    });

    test("an interpreter without PyTorch", async () => {
      const opening = openTrainer({ ...options, python: "/usr/bin/python3", cache }, never);
      await expect(opening).rejects.toMatchObject({
        code: "trainer-failed",
        message: expect.stringContaining("torch"),
      });
    });

    test("data that is not there, or damaged", async () => {
      await expect(open({ cache: "/nowhere" })).rejects.toMatchObject({ code: "data-unreadable" });
      const damaged = prepareFixture({ train: 100, validation: 20, test: 20 });
      writeFileSync(join(damaged, "public", "train_images.npy"), "no");
      await expect(open({ cache: damaged })).rejects.toMatchObject({
        code: "trainer-failed",
        message: expect.stringContaining("prepared data cannot be read"),
      });
      writeFileSync(join(damaged, "private", "test_labels.bin"), "no");
      await expect(open({ cache: damaged })).rejects.toMatchObject({ code: "data-unreadable" });
      rmSync(damaged, { recursive: true });
    });

    test("a device that is not there", async () => {
      await expect(open({ cache, device: "cuda:99" })).rejects.toMatchObject({ code: "no-such-device" });
    });

    test("cancelled while it starts", async () => {
      const folder = prepareFixture({ train: 100, validation: 20, test: 20 });
      const controller = new AbortController();
      const opening = open({ cache: folder }, controller.signal);
      await until(() => processesWith(folder).length > 0);
      controller.abort();
      await expect(opening).rejects.toMatchObject({ name: "AbortError" });
      await until(() => processesWith(folder).length === 0);
      rmSync(folder, { recursive: true });
    });
  });
});

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it went with another
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1200 && !condition(); tries++) await sleep(50);
  expect(condition()).toBe(true);
}
