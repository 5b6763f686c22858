/** Writes the webviews' scripts, style sheets and icon font to `outdir`/webview. */
export function buildWebviews(options: { minify: boolean; outdir: string }): Promise<void>;
