#!/usr/bin/env node
// The `netwright` command: runs dist/cli.js on a Node that is new enough.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ensureBuilt, ensureModules, isModern, modernNode, root, run } from "./bootstrap.mjs";

const cli = join(root, "dist", "cli.js");
// A packaged copy has no sources: there is nothing to build.
if (existsSync(join(root, "src"))) {
  await ensureModules();
  await ensureBuilt();
}
if (isModern()) {
  process.argv[1] = cli;
  await import(cli);
} else {
  process.exitCode = await run(modernNode(), [cli, ...process.argv.slice(2)], { cwd: process.cwd() });
}
