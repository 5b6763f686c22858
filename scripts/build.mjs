// Bundles the command line, the engine and the embedded model's process into dist/.
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
await build({
  absWorkingDir: root,
  entryPoints: { cli: "src/cli.ts", engine: "src/engine.ts", llama: "src/designer/llama/child.ts" },
  outdir: "dist",
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node22",
  // It loads its binaries from its own folder.
  external: ["node-llama-cpp"],
  // Bundled CommonJS packages call require, which a module does not have.
  banner: {
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
  sourcemap: true,
  logLevel: "warning",
});
