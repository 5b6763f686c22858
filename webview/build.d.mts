import type { Metafile } from "esbuild";

/** Writes the webviews' scripts, style sheets and icon font to `outdir`/webview. */
export function buildWebviews(options: { minify: boolean; outdir: string }): Promise<Metafile>;
