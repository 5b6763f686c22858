import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lockStudy } from "../../src/engine/lock.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "netwright-lock-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

test.skipIf(!existsSync("/dev/full"))("a full disk is told as such, and the lock is not kept", () => {
  symlinkSync("/dev/full", join(dir, "engine.pid"));
  expect(() => lockStudy(dir)).toThrow(expect.objectContaining({ name: "UserError", code: "disk-full" }));
  rmSync(join(dir, "engine.pid"));
  lockStudy(dir).release();
});

test("a folder that cannot be had is told in words", () => {
  writeFileSync(join(dir, "file"), "");
  const inFile = join(dir, "file", "state");
  expect(() => lockStudy(inFile)).toThrow(expect.objectContaining({ name: "UserError", code: "file" }));
});
