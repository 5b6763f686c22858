// Bundles everything that runs into dist/: the extension, the command line, the engine, the embedded model's process, the webviews;
// and writes the JSON schema of netwright.json.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { buildWebviews } from "../webview/build.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const PROGRAMS = {
  cli: "src/cli.ts",
  engine: "src/engine.ts",
  llama: "src/designer/llama/child.ts",
};

const SHARED = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  target: "node22",
  logLevel: "warning",
};

const OPTIONS = {
  ...SHARED,
  format: "esm",
  // It loads its binaries from its own folder.
  external: ["node-llama-cpp"],
  // Bundled CommonJS packages call require, which a module does not have.
  banner: {
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
};

/**
 * The extension is CommonJS: the editor loads that at once, and a module in turns with all else that starts, through a thread of its own.
 * What is imported where it is used is not run before.
 */
const EXTENSION = {
  ...SHARED,
  format: "cjs",
  define: { "import.meta.url": "__url" },
  banner: { js: 'const __url = require("node:url").pathToFileURL(__filename).href;' },
  plugins: [{ name: "one-vscode", setup: importEditorOnce }],
};

/** The editor's API has hundreds of names, and CommonJS copies them for every file that imports it: all share one copy. */
function importEditorOnce({ onResolve, onLoad }) {
  onResolve({ filter: /^vscode$/ }, ({ namespace }) =>
    namespace === "one-vscode" ? { external: true } : { path: "vscode", namespace: "one-vscode" },
  );
  onLoad({ filter: /.*/, namespace: "one-vscode" }, () => ({ contents: 'export * from "vscode";' }));
}

/** Builds into `outdir`. `minify`: for release, without source maps. Returns esbuild's accounts (metafiles) of the programs, the extension and the webviews. */
export async function buildAll({ minify, outdir }) {
  mkdirSync(outdir, { recursive: true });
  // Names in logs stay readable.
  const output = { minify, keepNames: minify, sourcemap: !minify, legalComments: "none", metafile: true };
  const [{ metafile: programs }, { metafile: extension }, webviews] = await Promise.all([
    build({ ...OPTIONS, ...output, entryPoints: PROGRAMS, outdir }),
    build({ ...EXTENSION, ...output, entryPoints: ["src/extension.ts"], outfile: join(outdir, "extension.cjs") }),
    buildWebviews({ minify, outdir }),
    writeSchema(outdir),
  ]);
  return { programs, extension, webviews };
}

/** The schema comes out of the source that reads the file: that source is bundled, and run here, on whatever Node builds this. */
async function writeSchema(outdir) {
  const outfile = join(outdir, `schema-${process.pid}.mjs`);
  const contents = 'export { studySchema } from "./src/study/config.ts"; export { toJSONSchema } from "zod";';
  await build({ ...OPTIONS, stdin: { contents, resolveDir: root, loader: "ts" }, outfile });
  const { studySchema, toJSONSchema } = await import(pathToFileURL(outfile).href);
  rmSync(outfile);
  const schema = toJSONSchema(studySchema, { io: "input", target: "draft-7" });
  writeFileSync(join(outdir, "netwright.schema.json"), `${JSON.stringify(schema, null, 2)}\n`);
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await buildAll({ minify: false, outdir: join(root, "dist") });
}
