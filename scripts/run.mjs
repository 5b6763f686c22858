// npm run cycle: installs what is missing, then runs one cycle in the study demo/. Arguments go to `netwright cycle`.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ensureBuilt, ensureModules, modernNode, must, root } from "./bootstrap.mjs";

await ensureModules();
await ensureBuilt();
const netwright = (...args) => must(modernNode(), [join(root, "dist", "cli.js"), ...args]);
await netwright("setup");
if (!existsSync(join(root, "demo", "netwright.json"))) await netwright("init", "demo", "--data", "auto");
await netwright("cycle", "--study", "demo", "--candidates", "8", "--resume", ...process.argv.slice(2));
