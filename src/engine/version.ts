/** The version of this program: an engine outlives the window that started it, and may be older than the next one. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { installation } from "./paths.ts";

const manifest = JSON.parse(readFileSync(join(installation, "package.json"), "utf8")) as { version: string };

export const VERSION = manifest.version;
