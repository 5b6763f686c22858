// Bundles everything that runs into dist/: the extension, the command line, the engine, the embedded model's process, the webviews;
// and writes the JSON schema of netwright.json.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { buildWebviews } from "../webview/build.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const PROGRAMS = {
  extension: "src/extension.ts",
  cli: "src/cli.ts",
  engine: "src/engine.ts",
  llama: "src/designer/llama/child.ts",
};

const OPTIONS = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node22",
  // The editor brings the one; the other loads its binaries from its own folder.
  external: ["vscode", "node-llama-cpp"],
  // Bundled CommonJS packages call require, which a module does not have.
  banner: {
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
  logLevel: "warning",
};

/** Builds into `outdir`. `minify`: for release, without source maps. Returns esbuild's accounts (metafiles) of the programs and of the webviews. */
export async function buildAll({ minify, outdir }) {
  mkdirSync(outdir, { recursive: true });
  const [{ metafile: programs }, webviews] = await Promise.all([
    build({
      ...OPTIONS,
      entryPoints: PROGRAMS,
      outdir,
      minify,
      // Names in logs stay readable.
      keepNames: minify,
      sourcemap: !minify,
      legalComments: "none",
      metafile: true,
    }),
    buildWebviews({ minify, outdir }),
    writeSchema(outdir),
  ]);
  return { programs, webviews };
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
