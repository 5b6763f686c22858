/** The report's page in a real browser: read by its parser, in both schemes, on a phone and on paper. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { writeReport } from "../../src/engine/report.ts";
import type { Study } from "../../src/engine/study.ts";
import { CHROMIUM_ARGUMENTS, chromiumForTests } from "../webview/page.ts";
import { folder, HOSTILE, hostileStudy, makeStudy, tellingStudy, untunedStudy } from "./studies.ts";

const executablePath = chromiumForTests();
const axe = readFileSync(resolve(import.meta.dirname, "../../node_modules/axe-core/axe.min.js"), "utf8");

describe.skipIf(!executablePath)("the report in a browser", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executablePath as string, args: CHROMIUM_ARGUMENTS });
  });
  afterAll(() => browser?.close());

  /** Opens a study's page; `asked` collects what it asked for besides itself. */
  async function open(
    study: Study,
    untuned: string | null,
    look: BrowserContextOptions = {},
  ): Promise<{ page: Page; asked: string[] }> {
    const dir = folder();
    writeReport(study, dir, untuned);
    // Without the page's own policy: the escaping has to hold by itself, and the test has to look inside.
    const context = await browser.newContext({ bypassCSP: true, viewport: { width: 1280, height: 900 }, ...look });
    onTestFinished(() => context.close());
    const page = await context.newPage();
    page.setDefaultTimeout(110_000);
    const asked: string[] = [];
    const url = pathToFileURL(join(dir, "report.html")).href;
    page.on("request", (request) => {
      if (request.url() !== url) asked.push(request.url());
    });
    page.on("dialog", (dialog) => {
      asked.push(dialog.message());
      void dialog.dismiss();
    });
    await page.goto(url);
    return { page, asked };
  }

  const width = (page: Page) => page.evaluate("document.documentElement.scrollWidth - innerWidth");

  it.each([
    ["light", 1280],
    ["dark", 1280],
    ["light", 390],
  ] as const)("is accessible, and no wider than its window: %s, %i pixels", async (colorScheme, pixels) => {
    const { page, asked } = await open(tellingStudy().study, untunedStudy().dir, {
      colorScheme,
      viewport: { width: pixels, height: 900 },
    });
    expect(await width(page)).toBeLessThanOrEqual(0);
    await page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true");
    await page.addScriptTag({ content: axe });
    const found = (await page.evaluate("axe.run()")) as { violations: { id: string; nodes: { html: string }[] }[] };
    expect(found.violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
    expect(asked).toEqual([]);
  });

  it("follows the colour scheme, and prints on white", async () => {
    const { page } = await open(tellingStudy().study, null, { colorScheme: "dark" });
    const ground = () => page.evaluate("getComputedStyle(document.documentElement).backgroundColor");
    expect(await ground()).toBe("rgb(21, 24, 28)");
    await page.emulateMedia({ colorScheme: "light" });
    expect(await ground()).toBe("rgb(255, 255, 255)");
    await page.emulateMedia({ colorScheme: "dark", media: "print" });
    expect(await ground()).toBe("rgb(255, 255, 255)");
    // A4 less its margins.
    await page.setViewportSize({ width: 688, height: 1000 });
    expect(await width(page)).toBeLessThanOrEqual(0);
  });

  it("shows what a model wrote as it wrote it, and runs none of it", async () => {
    const { page, asked } = await open(hostileStudy(), null);
    await page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true");
    expect(await page.evaluate("window.broken")).toBeUndefined();
    expect(asked).toEqual([]);
    expect(await page.locator("script, img, b[onclick], svg[onload]").count()).toBe(0);
    expect(await page.locator("pre code").first().textContent()).toBe(
      HOSTILE.replace("\u202e", "\\u{202e}")
        .replace("\u2066", "\\u{2066}")
        .replace("\0", "\\u{0}")
        .replace("\u001b", "\\u{1b}"),
    );
    expect(await page.locator("article h3").first().textContent()).toBe('<b onclick="x">`n`|[a](b)</b>');
    // What comes after the code is where it was: nothing was closed early.
    expect(await page.locator("main > section > h2").last().textContent()).toBe("What was tried and failed");
  });

  it("shows a study of one cycle, and one of none", async () => {
    for (const study of [hostileStudy(), makeStudy("empty")]) {
      const { page } = await open(study, null);
      const broken =
        "[...document.querySelectorAll('svg *')].filter((each) => /NaN|undefined|Infinity/.test(each.outerHTML)).length";
      expect(await page.evaluate(broken)).toBe(0);
    }
  });
});
