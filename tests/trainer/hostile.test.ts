import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Outcome } from "../../src/study/types.ts";
import type { TimedTrainer } from "../../src/trainer/index.ts";
import { net, open, prepareFixture, processesWith, protocol, python } from "./fixture.ts";

interface Case {
  name: string;
  code: string;
  outcome: Outcome;
  message: RegExp;
  /** Part of the line to blame; absent: none is. */
  source?: string;
  seconds?: number;
}

/** Code that claims something as if it were its process. */
const claim = (message: object) => `for fd in range(64):
    try:
        os.write(fd, ${JSON.stringify(`${JSON.stringify(message)}\n`)}.encode())
    except OSError:
        pass`;

const GRAPH = { nodes: [{ op: "add", attributes: "", shape: [2, 4], inputs: [] }], output: 0 };
const CLAIM = {
  checked: { type: "result", status: "checked", parameters: 276, graph: GRAPH },
  trained: {
    ...{ type: "result", status: "trained", predictions: { validation: "AAAA", test: "AAAA" } },
    ...{ trainSeconds: 1, evaluateSeconds: 1, peakMemoryMiB: 1 },
  },
  error: { type: "result", status: "error", message: "no memory" },
  notStarted: { type: "result", status: "not-started", message: "no memory" },
};

const HUGE = "x = [bytearray(1 << 24) for _ in range(10_000)]";

/** Refused by the check. */
const CHECKED: Case[] = [
  {
    name: "forks",
    code: net({ top: "import os", init: "os.fork()" }),
    outcome: "init",
    message: /^PermissionError: /,
    source: "os.fork()",
  },
  {
    name: "starts a program",
    code: net({ top: "import subprocess", learn: 'subprocess.run(["sleep", "987654"])' }),
    outcome: "train",
    message: /^PermissionError: /,
    source: "subprocess.run",
  },
  {
    name: "sleeps for ever",
    code: net({ top: "import time", forward: "time.sleep(1e6)" }),
    outcome: "timeout",
    message: /^Timeout: not finished after 2 s/,
    source: "time.sleep(1e6)",
    seconds: 2,
  },
  {
    name: "sleeps for ever and will not be woken",
    code: net({
      top: "import time",
      forward: "while True:\n    try:\n        time.sleep(1e6)\n    except BaseException:\n        pass",
    }),
    outcome: "timeout",
    message: /^Timeout: not finished after 2 s, in its forward pass$/,
    seconds: 2,
  },
  {
    name: "loops at import",
    code: "while True:\n    pass",
    outcome: "timeout",
    message: /^Timeout/,
    source: "",
    seconds: 2,
  },
  {
    name: "allocates everything in Python",
    code: net({ init: HUGE }),
    outcome: "out-of-memory",
    message: /^MemoryError/,
    source: "bytearray",
  },
  {
    name: "allocates everything in PyTorch",
    code: net({ forward: "y = [torch.ones(1 << 22) for _ in range(10_000)]" }),
    outcome: "out-of-memory",
    message: /allocate/,
    source: "torch.ones",
  },
  {
    name: "allocates shared memory, which no limit of the process counts",
    code: net({
      top: "import mmap",
      before:
        "m = mmap.mmap(-1, 1 << 33)\nfor i in range(0, 1 << 33, 1 << 20):\n    m[i : i + (1 << 20)] = bytes(1 << 20)",
    }),
    outcome: "out-of-memory",
    message: /^OutOfMemory: more than 512 MiB, while training$/,
  },
  {
    name: "exits at import",
    code: `import os\nos._exit(3)\n${net()}`,
    outcome: "contract",
    message: /^The process ended with exit code 3 while its module was loaded$/,
  },
  {
    name: "exits when built",
    code: net({ top: "import os", init: "os._exit(3)" }),
    outcome: "init",
    message: /exit code 3 while Net was built/,
  },
  {
    name: "exits while learning",
    code: net({ top: "import os", learn: "os._exit(0)" }),
    outcome: "train",
    message: /exit code 0 while training/,
  },
  {
    name: "calls sys.exit",
    code: net({ top: "import sys", setup: 'sys.exit("enough")' }),
    outcome: "train",
    message: /^SystemExit: enough/,
    source: "sys.exit",
  },
  {
    name: "kills its parent",
    code: net({ top: "import os, signal", forward: "os.kill(os.getppid(), signal.SIGKILL)" }),
    outcome: "forward",
    message: /^PermissionError/,
    source: "os.kill",
  },
  {
    name: "kills everything",
    code: net({ top: "import os, signal", forward: "os.kill(-1, signal.SIGKILL)" }),
    outcome: "forward",
    message: /^PermissionError/,
    source: "os.kill",
  },
  {
    name: "limits its parent",
    code: net({
      top: "import os, resource",
      init: "resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))",
    }),
    outcome: "init",
    message: /^PermissionError/,
    source: "prlimit",
  },
  {
    name: "has signals sent to its parent",
    code: net({
      top: "import fcntl, os",
      init: "r, w = os.pipe()\nfcntl.fcntl(r, 8, os.getppid())",
    }),
    outcome: "init",
    message: /^PermissionError/,
    source: "fcntl.fcntl",
  },
  {
    name: "recurses without end",
    code: net({ forward: "return self.forward(x)" }),
    outcome: "forward",
    message: /^RecursionError/,
    source: "return self.forward(x)",
  },
  {
    name: "recurses until the stack is gone",
    code: net({ top: "import sys\nsys.setrecursionlimit(10**9)", forward: "return self(x)" }),
    outcome: "forward",
    message: /^(The process died of SIGSEGV|MemoryError|RecursionError)/,
    source: undefined as never,
  },
  {
    name: "raises what only BaseException catches",
    code: net({ top: "class Odd(BaseException):\n    def __str__(self):\n        raise self", init: "raise Odd" }),
    outcome: "init",
    message: /^Odd$/,
    source: "raise Odd",
  },
  {
    name: "opens a socket",
    code: net({ top: "import socket", forward: 'socket.create_connection(("127.0.0.1", 22))' }),
    outcome: "forward",
    message: /^PermissionError/,
    source: "socket.create_connection",
  },
  {
    name: "reads the home folder",
    code: net({ top: "import os", init: `os.listdir(${JSON.stringify(homedir())})` }),
    outcome: "init",
    message: /^(PermissionError|FileNotFoundError)/,
    source: "os.listdir",
  },
  {
    name: "reads the passwords",
    code: net({ init: 'open("/etc/shadow").read()' }),
    outcome: "init",
    message: /^(PermissionError|FileNotFoundError)/,
    source: "open",
  },
  {
    name: "reads the labels that scikit-learn carries",
    code: net({
      top: "import os, sys",
      init: 'p = next(p for p in sys.path if os.path.isdir(p + "/sklearn"))\nopen(p + "/sklearn/datasets/data/digits.csv.gz", "rb")',
    }),
    outcome: "init",
    message: /^(PermissionError|FileNotFoundError)/,
    source: "digits.csv.gz",
  },
  {
    name: "writes a file",
    code: net({ init: 'open("/tmp/big", "wb").write(bytes(1 << 30))' }),
    outcome: "init",
    message: /^(PermissionError|OSError)/,
    source: "open",
  },
  {
    name: "writes garbage to every descriptor",
    code: net({
      top: "import os",
      forward:
        'for fd in range(64):\n    try:\n        os.write(fd, b"{}\\n" * 1000)\n    except OSError:\n        pass',
    }),
    outcome: "forward",
    message: /^The process wrote to the channel of its results, in its forward pass$/,
  },
  {
    name: "floods every descriptor",
    code: net({
      top: "import os",
      forward:
        "while True:\n    for fd in range(64):\n        try:\n            os.write(fd, bytes(1 << 20))\n        except OSError:\n            pass",
    }),
    outcome: "forward",
    message: /^The process wrote to the channel of its results/,
  },
  {
    name: "claims a result with nonsense in it",
    code: net({
      top: "import os, json",
      forward: `bad = {"type": "result", "status": "checked", "parameters": 1, "graph": {"nodes": [], "output": 3}}
for fd in range(64):
    try:
        os.write(fd, json.dumps(bad).encode() + b"\\n")
    except OSError:
        pass`,
    }),
    outcome: "forward",
    message: /^The process reported something else than its result$/,
  },
  {
    name: "claims that it was trained",
    code: net({ top: "import os", forward: claim(CLAIM.trained) }),
    outcome: "forward",
    message: /^The process wrote to the channel of its results, in its forward pass$/,
  },
  {
    name: "claims an error of its process",
    code: net({ top: "import os", forward: claim(CLAIM.error) }),
    outcome: "forward",
    message: /^The process broke off: no memory, in its forward pass$/,
  },
  {
    name: "claims that it was never started",
    code: net({ top: "import os", forward: claim(CLAIM.notStarted) }),
    outcome: "forward",
    message: /^The process wrote to the channel of its results, in its forward pass$/,
  },
  {
    name: "closes every descriptor and goes on",
    code: net({ top: "import os, time", forward: "os.closerange(0, 64)\ntime.sleep(1e6)" }),
    outcome: "forward",
    message: /^The process closed the channel of its results/,
  },
  {
    name: "crashes",
    code: net({ top: "import ctypes", forward: "ctypes.string_at(0)" }),
    outcome: "forward",
    message: /^The process died of SIGSEGV in its forward pass$/,
  },
  {
    name: "is 100 GB large",
    code: net({ init: "self.large = nn.Linear(160_000, 160_000)" }),
    outcome: "too-large",
    message: /^Net has 25,600,160,276 parameters; the limit is 500,000$/,
  },
  {
    name: "is large only where it really runs",
    code: net({ init: "torch.ones(1).item()\nself.large = nn.Linear(1000, 1000)" }),
    outcome: "too-large",
    message: /^Net has 1,001,276 parameters; the limit is 500,000$/,
  },
  {
    name: "learns from the same data over and over",
    code: net({ before: "train_data = [batch for _ in range(5) for batch in train_data]" }),
    outcome: "contract",
    message: /^ContractError: learn may go over train_data once/,
    source: "for _ in range(5)",
  },
];

/** Passes the check, and breaks in training. */
const inTraining = (then: string) => `self.step = getattr(self, "step", 0) + 1\nif self.step == 5:\n    ${then}`;
const TRAINED: Case[] = [
  {
    name: "exits in mid-epoch",
    code: net({ top: "import os", learn: inTraining("os._exit(3)") }),
    outcome: "train",
    message: /^The process ended with exit code 3 while training$/,
  },
  {
    name: "does not end",
    code: net({ learn: "while True: pass" }),
    outcome: "timeout",
    message: /^Timeout: not finished after 2 s/,
    source: "while True: pass",
    seconds: 2,
  },
  {
    name: "diverges",
    code: net({ learn: inTraining('self.optimizer.param_groups[0]["lr"] = float("nan")') }),
    outcome: "train",
    message: /^Training diverged: predictions are not finite$/,
  },
  {
    name: "predicts with another shape when it is evaluated",
    code: net({
      forward: `y = self.classifier(self.features(x).flatten(1))\nreturn y[:-1] if len(y) > 100 else y`,
    }),
    outcome: "shape",
    message: /^forward returned a tensor of shape \(199, 4\); expected .* \(200, 4\)$/,
    source: "def forward",
  },
  {
    name: "claims predictions for other images",
    code: net({ top: "import os", learn: claim(CLAIM.trained) }),
    outcome: "shape",
    message: /^The process did not return one class per image$/,
  },
  {
    name: "claims that it passed its check",
    code: net({ top: "import os", learn: claim(CLAIM.checked) }),
    outcome: "train",
    message: /^The process wrote to the channel of its results, while training$/,
  },
  {
    name: "claims an error of its process",
    code: net({ top: "import os", learn: claim(CLAIM.error) }),
    outcome: "train",
    message: /^The process broke off: no memory, while training$/,
  },
  {
    name: "always says the same",
    code: net({ forward: "y = self.classifier(self.features(x).flatten(1))\nreturn y * 0 + torch.arange(4.0)" }),
    outcome: "chance",
    message: /^Accuracy 0\.250 is not above chance/,
  },
];

describe.skipIf(!python)("a hostile candidate costs itself alone", () => {
  const limits = { parameters: 500_000, checkSeconds: 60, trainSeconds: 120, memoryMiB: 512 };
  const { signal } = new AbortController();
  let cache: string;
  let trainer: TimedTrainer;
  let processes: number;

  beforeAll(async () => {
    cache = prepareFixture({ train: 1000, validation: 200, test: 200 });
    trainer = await open({ cache, limits });
    processes = processesWith(cache).length;
  }, 300_000);
  afterAll(async () => {
    await trainer?.close();
    rmSync(cache, { recursive: true });
  });

  async function aftermath() {
    expect(await trainer.check(net(), signal)).toMatchObject({ ok: true });
    await until(() => processesWith(cache).length === processes);
    expect(processesWith("987654")).toEqual([]);
  }

  function expectFailure(result: Awaited<ReturnType<TimedTrainer["check" | "train"]>>, expected: Case) {
    if (result.ok) throw new Error("it passed");
    expect(result.failure.message).toMatch(expected.message);
    expect(result.failure.outcome).toBe(expected.outcome);
    if ("source" in expected) {
      if (expected.source !== undefined) expect(result.failure.source).toContain(expected.source);
    } else expect(result.failure.line).toBeNull();
  }

  test.each(CHECKED)("checked: $name", { timeout: 120_000 }, async (given) => {
    limits.checkSeconds = given.seconds ?? 60;
    try {
      expectFailure(await trainer.check(given.code, signal), given);
    } finally {
      limits.checkSeconds = 60;
    }
    await aftermath();
  });

  test.each(TRAINED)("trained: $name", { timeout: 120_000 }, async (given) => {
    limits.trainSeconds = given.seconds ?? 120;
    try {
      expectFailure(await trainer.train(given.code, protocol, signal), given);
    } finally {
      limits.trainSeconds = 120;
    }
    await aftermath();
  });

  test("one that prints a gigabyte is heard by nobody and passes", { timeout: 120_000 }, async () => {
    const code = net({ top: "for _ in range(1024):\n    print(' ' * (1 << 20))" });
    expect(await trainer.check(code, signal)).toMatchObject({ ok: true });
    await aftermath();
  });

  test("one that replaces what its process uses to answer gets no further", { timeout: 120_000 }, async () => {
    const code = net({
      top: `import json, os, base64, resource
def broken(*args, **kwargs):
    raise OSError("broken")
os.write = os._exit = json.dumps = json.loads = base64.b64encode = resource.getrusage = broken`,
    });
    expect(await trainer.train(code, protocol, signal)).toMatchObject({ ok: true });
    await aftermath();
  });

  test("one that replaces PyTorch's own functions spoils only its own figures", { timeout: 120_000 }, async () => {
    const code = net({ learn: "torch.Tensor.argmax = lambda self, dim: torch.zeros(len(self))" });
    const result = await trainer.train(code, protocol, signal);
    expect(result).toMatchObject({ ok: false, failure: { outcome: "chance" } });
    expect(await trainer.train(net(), protocol, signal)).toMatchObject({ ok: true });
  });

  test("one that overwrites its images changes no one else's", { timeout: 120_000 }, async () => {
    const before = await trainer.train(net(), protocol, signal);
    const code = net({ before: "train_data._data.train_images.zero_()\ntrain_data._data.test_images.zero_()" });
    expect(await trainer.train(code, protocol, signal)).toMatchObject({ ok: false });
    const { ok, accuracy } = await trainer.train(net(), protocol, signal);
    expect({ ok, accuracy }).toEqual({ ok: before.ok, accuracy: before.accuracy });
  });

  test("nothing that was written is left, inside or outside", { timeout: 120_000 }, async () => {
    const outside = mkdtempSync(join(tmpdir(), "netwright-victim-"));
    writeFileSync(join(outside, "kept"), "kept");
    const victim = JSON.stringify(outside);
    const attempts = [
      `open(os.path.join(${victim}, "new"), "w")`,
      `os.unlink(os.path.join(${victim}, "kept"))`,
      `os.truncate(os.path.join(${victim}, "kept"), 0)`,
      `os.mkdir(os.path.join(${victim}, "new"))`,
      'os.mkdir("/tmp/new")',
      'open("/dev/shm/new", "w")',
    ];
    for (const attempt of attempts) {
      const result = await trainer.check(net({ top: "import os", init: attempt }), signal);
      expect(result, attempt).toMatchObject({ ok: false, failure: { outcome: "init", line: expect.any(Number) } });
    }
    expect(readdirSync(outside)).toEqual(["kept"]);
    rmSync(outside, { recursive: true });
    await aftermath();
  });

  test("threads still work", { timeout: 120_000 }, async () => {
    const code = net({
      top: "import threading\ntorch.set_num_threads(2)",
      init: "t = threading.Thread(target=lambda: torch.ones(512, 512) @ torch.ones(512, 512))\nt.start()\nt.join()",
    });
    expect(await trainer.check(code, signal)).toMatchObject({ ok: true });
  });
});

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 600 && !condition(); tries++) await sleep(50);
  expect(condition()).toBe(true);
}
