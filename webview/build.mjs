// Bundles the webviews: dist/webview/{panel,dashboard}.js and .css, and the icon font beside them.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));

/**
 * The page's policy forbids inline scripts and styles, so everything is a file of its own: one script and one sheet a page. Returns what
 * esbuild tells of them (its metafile).
 */
export async function buildWebviews({ minify, outdir }) {
  const { metafile } = await build({
    absWorkingDir: here,
    entryPoints: { panel: "panel/main.ts", dashboard: "dashboard/main.ts" },
    outdir: join(outdir, "webview"),
    bundle: true,
    platform: "browser",
    format: "iife",
    // Chromium of the oldest editor supported (1.106).
    target: "chrome138",
    loader: { ".ttf": "file" },
    assetNames: "[name]",
    minify,
    sourcemap: !minify,
    legalComments: "none",
    metafile: true,
    logLevel: "warning",
  });
  return metafile;
}
