/** The built pages in a real browser, with the policy and the theme that VS Code would give them. */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Browser, Page } from "playwright-core";
import type { FromWebview, PageName, ToWebview } from "../../webview/shared/contract.ts";
import { pagePolicy, ROOTS } from "../../webview/shared/contract.ts";
import { type ThemeName, themeClass, themeSheet } from "./themes.ts";

/** A Chromium; null after noting what is left out for want of one (see tests/support/notes.ts). */
export function chromiumForTests(): string | null {
  const named = process.env.NETWRIGHT_TEST_CHROMIUM;
  if (named && !existsSync(named)) throw new Error(`NETWRIGHT_TEST_CHROMIUM names ${named}, which is not there`);
  const found = named || ["/usr/bin/chromium"].find((path) => existsSync(path));
  if (found) return found;
  const notes = process.env.NETWRIGHT_TEST_NOTES;
  const remedy = "apt-get install chromium, or NETWRIGHT_TEST_CHROMIUM=/path/to/chromium";
  if (notes) appendFileSync(notes, `Left out: tests of the webviews in a browser. To run them: ${remedy}\n`);
  return null;
}

export const CHROMIUM_ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
];

/** Answered by the test itself: nothing is listened on and nothing leaves the machine. */
const ORIGIN = "http://webview.test";
const axe = readFileSync(resolve(import.meta.dirname, "../../node_modules/axe-core/axe.min.js"), "utf8");
const host = readFileSync(join(import.meta.dirname, "fake-host.js"), "utf8");

const TYPES: Record<string, string> = { js: "text/javascript", css: "text/css", ttf: "font/ttf" };

export class WebviewPage {
  readonly page: Page;
  readonly #errors: string[];

  private constructor(page: Page, errors: string[]) {
    this.page = page;
    this.#errors = errors;
  }

  /** Opens the page of `dist`/webview and waits for it to be ready. */
  static async open(
    browser: Browser,
    dist: string,
    name: PageName,
    look: { theme?: ThemeName; width?: number; height?: number; reducedMotion?: boolean } = {},
  ): Promise<WebviewPage> {
    const { theme = "dark", width = 300, height = 800, reducedMotion = true } = look;
    const page = await browser.newPage({
      viewport: { width, height },
      reducedMotion: reducedMotion ? "reduce" : "no-preference",
      ...(theme === "contrast" ? { contrast: "more" as const } : {}),
    });
    // A busy machine is slow, not wrong: the test's own limit decides.
    page.setDefaultTimeout(110_000);
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") errors.push(message.text());
    });
    const nonce = "bm9uY2U";
    const files: Record<string, { type: string; body: string | Buffer }> = {
      "/": { type: "text/html", body: document(name, theme, nonce) },
      "/theme.css": { type: "text/css", body: themeSheet(theme, name) },
      "/host.js": { type: "text/javascript", body: host },
    };
    await page.route(`${ORIGIN}/**`, async (route) => {
      const path = new URL(route.request().url()).pathname;
      const file = files[path] ?? {
        type: TYPES[path.split(".").at(-1) ?? ""] ?? "text/plain",
        body: readFileSync(join(dist, "webview", path)),
      };
      await route.fulfill({
        body: file.body,
        contentType: file.type,
        headers: { "content-security-policy": pagePolicy(nonce, ORIGIN) },
      });
    });
    await page.goto(ORIGIN);
    const opened = new WebviewPage(page, errors);
    await opened.expectPosted({ type: "ready" });
    return opened;
  }

  async say(message: ToWebview): Promise<void> {
    await this.page.evaluate(`window.say(${JSON.stringify(message)})`);
    await this.settle();
  }

  /** After two frames, everything that a message led to is drawn. */
  async settle(): Promise<void> {
    await this.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
  }

  async posted(): Promise<FromWebview[]> {
    return (await this.page.evaluate("window.posted")) as FromWebview[];
  }

  async forget(): Promise<void> {
    await this.page.evaluate("window.posted.length = 0");
  }

  async expectPosted(message: FromWebview): Promise<void> {
    await this.page.waitForFunction(
      `window.posted.some((each) => JSON.stringify(each) === ${JSON.stringify(JSON.stringify(message))})`,
    );
  }

  /** As VS Code does when it shows a hidden view again. */
  async reload(): Promise<void> {
    // The page saves its state a little after the last change.
    await this.page.waitForTimeout(150);
    await this.page.reload();
    await this.expectPosted({ type: "ready" });
  }

  /** What axe finds, as readable lines. */
  async violations(): Promise<string[]> {
    // Past the page's policy, as a debugger's own code is.
    await this.page.evaluate(`typeof axe === "undefined" && (() => { ${axe} })()`);
    const { violations } = (await this.page.evaluate("axe.run()")) as {
      violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
    };
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(
        ({ html, failureSummary }) =>
          `${id}: ${html.slice(0, 160)} | ${failureSummary.replaceAll("\n", " ").slice(0, 300)}`,
      ),
    );
  }

  /** Breaches of the page's policy, errors and warnings since it opened. */
  async complaints(): Promise<string[]> {
    return [...((await this.page.evaluate("window.violations")) as string[]), ...this.#errors];
  }

  async close(): Promise<void> {
    await this.page.close();
  }
}

function document(name: PageName, theme: ThemeName, nonce: string): string {
  return `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>Netwright</title>
  <link rel="stylesheet" href="/theme.css">
  <link rel="stylesheet" href="/${name}.css">
  <script nonce="${nonce}" src="/host.js"></script>
  <script nonce="${nonce}" src="/${name}.js" defer></script>
</head>
<body class="${themeClass(theme)}"><${ROOTS[name]}></${ROOTS[name]}></body>
</html>`;
}
