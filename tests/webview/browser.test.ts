/** The built pages in a real Chromium, under the policy and the themes of VS Code; the tests speak for the extension. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Candidate } from "../../src/study/types.ts";
import { buildWebviews } from "../../webview/build.mjs";
import type { Blocked, CandidateContext, FromWebview, PageName, ToWebview } from "../../webview/shared/contract.ts";
import { readFromWebview } from "../../webview/shared/read-message.ts";
import * as fixtures from "../fixtures/snapshots.ts";
import { CHROMIUM_ARGUMENTS, chromiumForTests, WebviewPage } from "./page.ts";
import type { ThemeName } from "./themes.ts";

const executablePath = chromiumForTests();
/** What is read of an element in the page. */
type Placed = { getBoundingClientRect(): { top: number } };
type Scrolled = { scrollTop: number; clientHeight: number; scrollHeight: number };
const THEMES: ThemeName[] = ["dark", "light", "contrast"];

describe.skipIf(!executablePath)("webviews in a browser", () => {
  const dist = mkdtempSync(join(tmpdir(), "netwright-webview-"));
  let browser: Browser;
  let opened: WebviewPage[] = [];

  beforeAll(async () => {
    await buildWebviews({ minify: true, outdir: dist });
    browser = await chromium.launch({ executablePath: executablePath as string, args: CHROMIUM_ARGUMENTS });
  });

  afterAll(async () => {
    await browser?.close();
    rmSync(dist, { recursive: true });
  });

  // Whatever a test did: no breach of the policy, no error, and no message that the extension would refuse.
  afterEach(async () => {
    const pages = opened;
    opened = [];
    for (const page of pages) {
      expect(await page.complaints()).toEqual([]);
      for (const message of await page.posted()) expect(readFromWebview(message)).toEqual(message);
      await page.close();
    }
  });

  async function open(name: PageName, look: Parameters<typeof WebviewPage.open>[3] = {}): Promise<WebviewPage> {
    const page = await WebviewPage.open(browser, dist, name, look);
    opened.push(page);
    return page;
  }

  async function panel(
    snapshot = fixtures.idleSnapshot(),
    look: Parameters<typeof WebviewPage.open>[3] = {},
  ): Promise<WebviewPage> {
    const view = await open("panel", look);
    await view.say({ type: "snapshot", snapshot });
    await view.forget();
    return view;
  }

  const rows = (view: WebviewPage) => view.page.locator(".rows > .row");
  const names = (view: WebviewPage) => view.page.locator(".rows > .row .name .text").allTextContents();
  const activeRow = (view: WebviewPage) =>
    view.page.evaluate("document.querySelector('netwright-candidates').getAttribute('aria-activedescendant')");
  const selectedCount = (view: WebviewPage) => view.page.locator(".rows > .row[aria-selected=true]").count();
  const last = async (view: WebviewPage): Promise<FromWebview | undefined> => (await view.posted()).at(-1);

  describe.each(THEMES)("in the %s theme", (theme) => {
    it("the panel has no axe violations: idle, tuning, in a run, running, empty, failed, setting up, interrupted", async () => {
      const states = [
        fixtures.idleSnapshot(),
        fixtures.generationsSnapshot(),
        fixtures.tuningSnapshot(),
        fixtures.stoppedTuningSnapshot(),
        fixtures.runSnapshot(),
        fixtures.runningSnapshot(),
        fixtures.emptySnapshot(),
        fixtures.errorSnapshot(),
        fixtures.setupSnapshot(),
        fixtures.interruptedSnapshot(),
      ];
      const wide = await open("panel", { theme, width: 760 });
      await wide.say({ type: "snapshot", snapshot: fixtures.runningSnapshot() });
      expect(await wide.violations()).toEqual([]);
      const narrow = await open("panel", { theme, width: 300 });
      for (const snapshot of states) {
        await narrow.say({ type: "snapshot", snapshot });
        expect(await narrow.violations()).toEqual([]);
      }
      await narrow.say({ type: "snapshot", snapshot: fixtures.idleSnapshot() });
      await narrow.page.getByLabel("Filter and sort").click();
      await rows(narrow).nth(1).click();
      await rows(narrow)
        .nth(2)
        .click({ modifiers: ["Shift"] });
      expect(await narrow.violations()).toEqual([]);
    });

    it("no state in which there is no study has axe violations", async () => {
      const view = await open("panel", { theme });
      const states: Blocked[] = [
        { kind: "no-folder" },
        { kind: "no-study" },
        { kind: "several-studies", studies: [{ dir: "/nets/a", name: "A" }] },
        { kind: "untrusted" },
        { kind: "connecting" },
        { kind: "failed", code: "study-config", message: "netwright.json has a mistake." },
      ];
      for (const why of states) {
        await view.say({ type: "blocked", why });
        expect(await view.violations()).toEqual([]);
      }
    });

    it("the dashboard has no axe violations, as charts and as tables", async () => {
      const view = await open("dashboard", { theme, width: 1000, height: 1200 });
      await view.say({ type: "snapshot", snapshot: fixtures.idleSnapshot() });
      expect(await view.violations()).toEqual([]);
      for (const button of await view.page.getByRole("button", { name: /as a table$/ }).all()) await button.click();
      await view.settle();
      expect(await view.page.getByRole("table").count()).toBe(7);
      expect(await view.page.locator("caption").count()).toBe(7);
      expect(await view.violations()).toEqual([]);
      await view.say({ type: "snapshot", snapshot: fixtures.tuningSnapshot() });
      expect(await view.page.getByRole("table").count()).toBe(8);
      expect(await view.violations()).toEqual([]);
      await view.page.getByRole("button", { name: "Losses of generation 4 as a table" }).click();
      expect(await view.page.getByRole("table").count()).toBe(9);
      expect(await view.violations()).toEqual([]);
      await view.say({ type: "snapshot", snapshot: fixtures.emptySnapshot() });
      expect(await view.violations()).toEqual([]);
    });
  });

  it("in high contrast no button is filled", async () => {
    const view = await open("panel", { theme: "contrast" });
    await view.say({ type: "snapshot", snapshot: fixtures.errorSnapshot() });
    const fills = (await view.page.evaluate(
      "[...document.querySelectorAll('vscode-button')].map((each) => getComputedStyle(each.shadowRoot.querySelector('.base')).backgroundColor)",
    )) as string[];
    expect(fills.length).toBeGreaterThan(2);
    expect(new Set(fills).size).toBe(1);
  });

  describe("the panel by keyboard alone", () => {
    it("steps a cycle with the number and the form that were set", async () => {
      const view = await panel();
      const { keyboard } = view.page;
      await keyboard.press("Tab");
      await keyboard.press("Enter");
      expect(await last(view)).toEqual({ type: "step", candidates: 8, mode: "full" });
      await keyboard.press("Tab");
      await keyboard.press("ControlOrMeta+A");
      await keyboard.type("12");
      await keyboard.press("Tab");
      await keyboard.press("ArrowDown");
      await keyboard.press("Shift+Tab");
      await keyboard.press("Shift+Tab");
      await keyboard.press("Space");
      expect(await last(view)).toEqual({ type: "step", candidates: 12, mode: "delta" });
    });

    it("steps as many as the settings say, until the user says otherwise", async () => {
      const view = await panel();
      const button = view.page.getByRole("button", { name: "Step Cycle" });
      for (const candidatesPerCycle of [3, 5]) {
        await view.say({ type: "settings", candidatesPerCycle });
        await button.click();
        expect(await last(view)).toEqual({ type: "step", candidates: candidatesPerCycle, mode: "full" });
      }
      await view.page.getByLabel("Candidates in the next cycle").fill("2");
      await view.page.keyboard.press("Tab");
      await view.say({ type: "settings", candidatesPerCycle: 7 });
      await button.click();
      expect(await last(view)).toEqual({ type: "step", candidates: 2, mode: "full" });
    });

    it("moves, selects, accepts, rejects, opens, and reaches the buttons of a row", async () => {
      const view = await panel();
      const { keyboard, page } = { keyboard: view.page.keyboard, page: view.page };
      await page.getByLabel("Search candidates").focus();
      for (let i = 0; i < 2; i++) await keyboard.press("Tab");
      // The keyboard is on the table: its first row is active, and nothing is selected by arriving.
      await view.settle();
      expect(await activeRow(view)).toBe("row-44");
      expect(await selectedCount(view)).toBe(0);

      await keyboard.press("ArrowDown");
      await keyboard.press("Shift+ArrowDown");
      await keyboard.press("Shift+ArrowDown");
      await view.settle();
      expect(await activeRow(view)).toBe("row-41");
      expect(await selectedCount(view)).toBe(3);
      expect(await last(view)).toEqual({ type: "select", ids: [43, 42, 41] });
      await keyboard.press("x");
      expect(await last(view)).toEqual({ type: "run", action: "reject", ids: [43, 42, 41] });
      // Of the three only one is valid: accepting takes what can be accepted.
      await keyboard.press("a");
      expect(await last(view)).toEqual({ type: "run", action: "accept", ids: [41] });

      await keyboard.press("ControlOrMeta+A");
      await view.settle();
      expect(((await last(view)) as { ids: number[] }).ids).toHaveLength(44);
      await keyboard.press("Escape");
      await view.settle();
      expect(await selectedCount(view)).toBe(0);

      await keyboard.press("Control+ArrowDown");
      await keyboard.press("Space");
      await keyboard.press("Enter");
      await view.settle();
      expect(await last(view)).toEqual({ type: "run", action: "open", ids: [40] });

      await keyboard.press("Home");
      for (let i = 0; i < 3; i++) await keyboard.press("ArrowDown");
      await keyboard.press("Tab");
      const button = page.locator("button:focus");
      expect(await button.getAttribute("aria-label")).toBe("Accept Demo_c4_07");
      await keyboard.press("Tab");
      await keyboard.press("Tab");
      await keyboard.press("Enter");
      expect(await last(view)).toEqual({ type: "run", action: "compare", ids: [41] });
      await keyboard.press("Escape");
      expect(await page.evaluate("document.activeElement.localName")).toBe("netwright-candidates");
    });

    it("searches, filters, sorts, and clears again", async () => {
      const view = await panel();
      const { keyboard, page } = { keyboard: view.page.keyboard, page: view.page };
      await page.getByLabel("Search candidates").focus();
      await keyboard.type("c4_0");
      await view.settle();
      expect(await names(view)).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1].map((n) => `Demo_c4_0${n}`));
      await keyboard.press("Escape");
      await keyboard.press("Tab");
      await keyboard.press("Enter");
      await keyboard.press("Tab");
      await keyboard.type("Acc");
      await view.settle();
      expect(await page.locator(".count").last().textContent()).toMatch(/^\d+ of 44 candidates$/);
      for (let i = 0; i < 2; i++) await keyboard.press("Tab");
      await keyboard.type("Sort: acc");
      await view.settle();
      const figures = (await page.locator(".rows .accuracy .figure").allTextContents()).map(Number.parseFloat);
      expect(figures.length).toBeGreaterThan(3);
      expect(figures).toEqual(figures.toSorted((a, b) => b - a));
      await keyboard.press("Tab");
      await keyboard.press("Enter");
      await view.settle();
      const turned = (await page.locator(".rows .accuracy .figure").allTextContents()).map(Number.parseFloat);
      expect(turned).toEqual(figures.toReversed());
      await page.getByLabel("Search candidates").focus();
      await keyboard.type("nothing like it");
      await view.settle();
      await page.getByRole("button", { name: "Clear Filters" }).press("Enter");
      await view.settle();
      expect(await page.locator(".count").last().textContent()).toBe("44 candidates");
    });
  });

  describe("the table", () => {
    it("is an ARIA grid whose headers sort", async () => {
      const view = await panel(undefined, { width: 760 });
      const { page } = view;
      expect(await page.getByRole("grid").getAttribute("aria-rowcount")).toBe("45");
      expect(await rows(view).first().getAttribute("aria-rowindex")).toBe("2");
      const header = page.getByRole("columnheader", { name: "Params" });
      expect(await header.getAttribute("aria-sort")).toBe("none");
      await header.getByRole("button").click();
      expect(await header.getAttribute("aria-sort")).toBe("descending");
      await header.getByRole("button").press("Enter");
      expect(await header.getAttribute("aria-sort")).toBe("ascending");
    });

    it("takes two lines a row where it is narrow, and cuts nothing off sideways", async () => {
      for (const width of [220, 300, 420, 620, 900]) {
        const view = await panel(undefined, { width });
        const narrow = width < 600;
        expect(
          await rows(view)
            .first()
            .evaluate((row: { clientHeight: number }) => row.clientHeight),
        ).toBe(narrow ? 44 : 22);
        const overflow = await view.page.evaluate(
          "[...document.querySelectorAll('.rows .figure, .controls *, .toolbar *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5).length",
        );
        expect(overflow).toBe(0);
      }
    });

    it("selects with the mouse as VS Code's lists do", async () => {
      const view = await panel();
      await rows(view).nth(0).click();
      await rows(view)
        .nth(2)
        .click({ modifiers: ["ControlOrMeta"] });
      expect(await last(view)).toEqual({ type: "select", ids: [44, 42] });
      await rows(view)
        .nth(4)
        .click({ modifiers: ["Shift"] });
      expect(await last(view)).toEqual({ type: "select", ids: [42, 41, 40] });
      await rows(view).nth(3).dblclick();
      expect(await last(view)).toEqual({ type: "run", action: "open", ids: [41] });
    });

    it("gives VS Code's context menu the selection, or the row that is not part of it", async () => {
      const view = await panel();
      await rows(view).nth(3).click();
      await rows(view)
        .nth(5)
        .click({ modifiers: ["ControlOrMeta"] });
      await view.settle();
      // As VS Code reads it: what an element says, over what those around it say.
      const context = (selector: string) =>
        view.page.evaluate(`{
          let context = {};
          for (let each = document.querySelector("${selector}"); each; each = each.parentElement)
            context = { ...JSON.parse(each.dataset.vscodeContext ?? "{}"), ...context };
          context;
        }`) as Promise<CandidateContext>;
      expect(await context("#row-41")).toMatchObject({ webviewSection: "candidate", ids: [41, 39], single: false });
      expect(await context("#row-44")).toMatchObject({ ids: [44], single: true, canAccept: false, canReject: true });
      // The menu key asks on the grid.
      expect(await context("netwright-candidates")).toMatchObject({ ids: [41, 39], canAccept: true });
      await rows(view).nth(0).click({ button: "right" });
      await view.settle();
      expect(await last(view)).toEqual({ type: "select", ids: [44] });
    });

    it("says once what is selected, however many rows are", async () => {
      const view = await panel(fixtures.largeSnapshot());
      await rows(view).nth(3).click();
      await view.page.keyboard.press("ControlOrMeta+A");
      await view.settle();
      expect(await selectedCount(view)).toBeGreaterThan(10);
      const said = (await view.page.evaluate(
        "[...document.querySelectorAll('[data-vscode-context]')].map((each) => JSON.parse(each.dataset.vscodeContext).ids.length)",
      )) as number[];
      // Around the rows, and on the grid for the menu key.
      expect(said).toEqual([10_004, 10_004]);
      await view.page.keyboard.press("x");
      expect(((await last(view)) as { ids: number[] }).ids.length).toBeGreaterThan(8000);
    });

    it("has a word of its own for a net that was seen before and not trained", async () => {
      const snapshot = fixtures.idleSnapshot();
      const known = snapshot.candidates.findLast(({ outcome }) => outcome === "valid") as Candidate;
      known.accuracy = { validation: null, test: null };
      const view = await panel(snapshot);
      const cell = view.page.locator(`#row-${known.id} .outcome`);
      expect(await cell.textContent()).toMatch(/^\s*Known\s*$/);
      expect(await cell.getAttribute("title")).toContain("not trained again");
    });

    it("offers a row's actions where it is pointed at, and those for many in the summary", async () => {
      const view = await panel();
      await rows(view).nth(3).hover();
      await view.page.getByRole("button", { name: "Evaluate Again Demo_c4_07" }).click();
      expect(await last(view)).toEqual({ type: "run", action: "evaluateAgain", ids: [41] });
      await rows(view).nth(3).click();
      await rows(view)
        .nth(5)
        .click({ modifiers: ["Shift"] });
      await view.page.getByRole("button", { name: "Accept: 2 of 3 selected" }).click();
      expect(await last(view)).toEqual({ type: "run", action: "accept", ids: [41, 39] });
    });

    it("draws few of 10,000 rows, and the last is a key away", async () => {
      const view = await panel(fixtures.largeSnapshot());
      expect(await view.page.getByRole("grid").getAttribute("aria-rowcount")).toBe("10005");
      expect(await rows(view).count()).toBeLessThan(40);
      await view.page.evaluate("document.querySelector('netwright-candidates').scrollTop = 220000");
      await view.settle();
      expect(await rows(view).count()).toBeLessThan(40);
      expect(await view.page.locator("[aria-rowindex='5002']").count()).toBe(1);
      await view.page.locator("[aria-rowindex='5004']").click();
      await view.page.keyboard.press("End");
      await view.settle();
      expect(await view.page.locator("[aria-rowindex='10005'].active").isVisible()).toBe(true);
      expect(await rows(view).count()).toBeLessThan(40);
      // The active row stays in the page, so that it can be named and its buttons reached.
      await view.page.evaluate("document.querySelector('netwright-candidates').scrollTop = 0");
      await view.settle();
      expect(await view.page.locator("[aria-rowindex='10005']").count()).toBe(1);
    });

    it("changes one row for one change, and none for a tick of the cycle", async () => {
      const snapshot = fixtures.runningSnapshot();
      const view = await panel(snapshot, { height: 1400 });
      await view.page.evaluate(`{
        window.touched = [];
        const rowOf = (node) => (node instanceof Element ? node : node.parentElement)?.closest(".rows > .row")?.dataset.id ?? "table";
        new MutationObserver((records) => window.touched.push(...records.map(({ target }) => rowOf(target))))
          .observe(document.querySelector("netwright-candidates"), { subtree: true, childList: true, characterData: true, attributes: true });
      }`);
      const tick = {
        ...snapshot.activity,
        underway: snapshot.activity.underway.map((each) =>
          each.training ? { ...each, training: { ...each.training, batch: 400 } } : each,
        ),
      };
      await view.say({ type: "changes", number: 2, changes: [{ kind: "activity", activity: tick }] });
      expect(await view.page.evaluate("window.touched")).toEqual([]);
      expect(await view.page.locator(".underway").textContent()).toContain("56 %");
      const trained = snapshot.candidates.find(({ name }) => name === "Demo_c5_03") as Candidate;
      const candidate: Candidate = { ...trained, outcome: "valid", accuracy: { validation: 0.4731, test: 0.47 } };
      await view.say({ type: "changes", number: 3, changes: [{ kind: "candidate", candidate }] });
      expect([...new Set((await view.page.evaluate("window.touched")) as string[])]).toEqual([String(candidate.id)]);
      expect(await view.page.locator(`#row-${candidate.id}`).textContent()).toContain("47.3 %");
      expect(await view.page.locator(".announcer").textContent()).toBe("Demo_c5_03: valid, accuracy 47 %.");
    });

    it("takes new rows as they arrive, without losing the place of the keyboard", async () => {
      const snapshot = fixtures.idleSnapshot();
      const view = await panel(snapshot);
      await rows(view).nth(2).click();
      const candidate = { ...(snapshot.candidates.at(-1) as Candidate), id: 45, name: "Demo_c5_01", cycle: 5 };
      await view.say({ type: "changes", number: 2, changes: [{ kind: "candidate", candidate }] });
      expect((await names(view))[0]).toBe("Demo_c5_01");
      await view.page.keyboard.press("ArrowDown");
      expect(await last(view)).toEqual({ type: "select", ids: [41] });
    });
  });

  describe("the running cycle", () => {
    it("shows stages, time left, and stops", async () => {
      const view = await panel(fixtures.runningSnapshot());
      const text = (await view.page.locator(".running").textContent())?.replaceAll(/\s+/g, " ");
      for (const part of ["Cycle 5", "about 3 min left", "Designed 3/8", "Trained 2/3", "Training 33 %", "Repairing"]) {
        expect(text).toContain(part);
      }
      await view.page.getByRole("button", { name: "Stop" }).click();
      expect(await last(view)).toEqual({ type: "stop" });
      const stopping = { ...fixtures.runningSnapshot().activity, state: "stopping" as const };
      await view.say({ type: "changes", number: 2, changes: [{ kind: "activity", activity: stopping }] });
      expect(await view.page.getByRole("button", { name: "Stopping…" }).isDisabled()).toBe(true);
    });

    it("streams the net being written on demand, follows its end, and lets go of it", async () => {
      const snapshot = fixtures.runningSnapshot();
      const view = await panel(snapshot);
      const id = snapshot.activity.underway.at(-1)?.id as number;
      const name = snapshot.activity.underway.at(-1)?.name as string;
      await view.page.getByRole("button", { name }).press("Enter");
      expect(await last(view)).toEqual({ type: "watch", id });
      await view.say({ type: "written", id, text: "import torch\n" });
      await view.say({ type: "writing", id, piece: "import torch.nn as nn\n" });
      await view.say({ type: "writing", id: id - 1, piece: "of another net" });
      const pre = view.page.locator("pre");
      expect(await pre.textContent()).toBe("import torch\nimport torch.nn as nn\n");
      expect(await pre.getAttribute("aria-live")).toBe("off");
      await view.say({ type: "writing", id, piece: "x = 1\n".repeat(100) });
      expect(await pre.evaluate((e: Scrolled) => e.scrollTop + e.clientHeight >= e.scrollHeight - 1)).toBe(true);
      // Someone reads back: what arrives does not pull the text away.
      await pre.evaluate((e: Scrolled) => {
        e.scrollTop = 0;
      });
      await view.settle();
      await view.say({ type: "writing", id, piece: "y = 2\n" });
      expect(await pre.evaluate((e: Scrolled) => e.scrollTop)).toBe(0);

      const underway = snapshot.activity.underway.slice(0, -1);
      const activity = { ...snapshot.activity, underway };
      await view.say({ type: "changes", number: 2, changes: [{ kind: "activity", activity }] });
      expect(await pre.count()).toBe(0);
      expect(await last(view)).toEqual({ type: "watch", id: null });
    });

    it("does not turn its icons where less motion is asked for", async () => {
      const motion = (view: WebviewPage) =>
        view.page.evaluate("getComputedStyle(document.querySelector('.underway .codicon-loading')).animationName");
      expect(await motion(await panel(fixtures.runningSnapshot(), { reducedMotion: true }))).toBe("none");
      expect(await motion(await panel(fixtures.runningSnapshot(), { reducedMotion: false }))).not.toBe("none");
    });

    it("resumes what was interrupted, and offers the fix of what failed", async () => {
      const view = await panel(fixtures.interruptedSnapshot());
      await view.page.getByRole("button", { name: "Resume Cycle 4" }).click();
      expect(await last(view)).toEqual({ type: "resume" });
      await view.say({ type: "snapshot", snapshot: fixtures.errorSnapshot() });
      expect(await view.page.getByRole("alert").textContent()).toContain("No Python 3.10 or newer was found");
      await view.page.getByRole("button", { name: "Check Setup" }).click();
      expect(await last(view)).toEqual({ type: "command", command: "checkSetup" });
    });

    it("shows what is being fetched, and how much of it", async () => {
      const view = await panel(fixtures.setupSnapshot());
      const bar = view.page.getByRole("progressbar", { name: "Downloading Qwen2.5-Coder 1.5B" });
      expect(await bar.first().getAttribute("aria-valuenow")).toBe("37");
      expect(await view.page.locator(".setup").textContent()).toContain("412 MiB of 1.1 GiB");
    });
  });

  describe("the designer", () => {
    const line = async (view: WebviewPage) =>
      (await view.page.getByRole("region", { name: "Designer" }).textContent())?.replaceAll(/\s+/g, " ").trim();

    it("is named with its generation", async () => {
      const view = await panel(fixtures.generationsSnapshot());
      expect(await view.page.locator(".facts").textContent()).toContain("qwen2.5-coder:1.5b, generation 2");
    });

    it("is tuned on request when nets are accepted, and says why not otherwise", async () => {
      const view = await panel();
      const button = view.page.getByRole("button", { name: "Fine-Tune…" });
      expect(await line(view)).toContain("6 new accepted nets");
      await button.press("Enter");
      expect(await last(view)).toEqual({ type: "command", command: "fineTune" });
      await view.forget();
      await view.say({ type: "snapshot", snapshot: fixtures.generationsSnapshot() });
      expect(await line(view)).toContain("No new accepted net");
      expect(await button.isDisabled()).toBe(true);
      await button.click({ force: true });
      expect(await view.posted()).toEqual([]);
      await view.say({ type: "snapshot", snapshot: fixtures.stoppedTuningSnapshot() });
      expect(await line(view)).toContain("Generation 4 stopped");
      await view.page.getByRole("button", { name: "Continue…" }).click();
      expect(await last(view)).toEqual({ type: "command", command: "fineTune" });
      // Nothing to learn from, nothing to say.
      await view.say({ type: "snapshot", snapshot: fixtures.emptySnapshot() });
      expect(await view.page.getByRole("region", { name: "Designer" }).count()).toBe(0);
    });

    it("rolls back to what came before", async () => {
      const view = await panel(fixtures.generationsSnapshot());
      await view.page.getByRole("button", { name: "Roll back to the model itself" }).press("Enter");
      expect(await last(view)).toEqual({ type: "useGeneration", generation: 0 });
    });

    it("in the making shows its step, its losses as figures and as a curve, and stops", async () => {
      const snapshot = fixtures.tuningSnapshot();
      const view = await panel(snapshot);
      const section = view.page.getByRole("region", { name: "Fine-tuning" });
      const text = async () => (await section.textContent())?.replaceAll(/\s+/g, " ");
      for (const part of ["Generation 4", "about 4 min left", "Training, step 14 of 36", "1,834 tokens/s"]) {
        expect(await text()).toContain(part);
      }
      const { losses } = snapshot.activity.tuning as NonNullable<typeof snapshot.activity.tuning>;
      expect(await text()).toContain(`Loss ${losses.at(-1)?.training.toFixed(3)}`);
      const curve = section.getByRole("img");
      expect(await curve.getAttribute("aria-label")).toMatch(
        /^Loss over 14 steps: from 1\.\d+ to 0\.\d+; held-out loss/,
      );
      // As far as the run is: 14 of 36 steps.
      const ends = async () =>
        Number((await curve.locator(".training").getAttribute("d"))?.split("L").at(-1)?.split(",")[0]);
      expect(await ends()).toBeCloseTo((100 * 14) / 36, 1);
      const tuning = { ...snapshot.activity.tuning, step: 15, losses: fixtures.losses(15, 36) };
      const activity = { ...snapshot.activity, tuning } as typeof snapshot.activity;
      await view.say({ type: "changes", number: 2, changes: [{ kind: "activity", activity }] });
      expect(await ends()).toBeCloseTo((100 * 15) / 36, 1);
      expect(await text()).toContain("step 15 of 36");
      await view.page.getByRole("button", { name: "Stop" }).click();
      expect(await last(view)).toEqual({ type: "stop" });
    });

    it("is announced when it is probed and published, once", async () => {
      const snapshot = fixtures.tuningSnapshot();
      const view = await panel(snapshot);
      const made = snapshot.generations.at(-1) as (typeof snapshot.generations)[number];
      const generations = [...snapshot.generations.slice(0, -1), { ...made, state: "probing" as const }];
      await view.say({ type: "changes", number: 2, changes: [{ kind: "generations", generations }] });
      expect(await view.page.locator(".announcer").textContent()).toBe("Generation 4 is tuned, and being probed.");
    });
  });

  describe("a run of cycles", () => {
    it("shows how far it is, pauses, takes that back with the keyboard in place, and stops", async () => {
      const snapshot = fixtures.runSnapshot();
      const view = await panel(snapshot);
      expect(await view.page.locator(".run").textContent()).toBe("Run: cycle 2 of 5, 8 of 64 candidates");
      await view.page.getByRole("button", { name: "Pause" }).press("Enter");
      expect(await last(view)).toEqual({ type: "command", command: "pauseRun" });
      const run = { ...(snapshot.activity.run as NonNullable<typeof snapshot.activity.run>), pausing: true };
      await view.say({
        type: "changes",
        number: 2,
        changes: [{ kind: "activity", activity: { ...snapshot.activity, run } }],
      });
      expect(await view.page.locator(".run").textContent()).toContain("Pauses after this cycle");
      await view.page.keyboard.press("Enter");
      expect(await last(view)).toEqual({ type: "command", command: "continueRun" });
      await view.page.getByRole("button", { name: "Stop" }).click();
      expect(await last(view)).toEqual({ type: "stop" });
      // A cycle that is stepped alone has nothing to pause.
      await view.say({ type: "snapshot", snapshot: fixtures.runningSnapshot() });
      expect(await view.page.getByRole("button", { name: /Pause|Continue/ }).count()).toBe(0);
    });
  });

  describe("the page and the extension", () => {
    it("a gap in the numbers asks for a new snapshot, once, and takes nothing until it comes", async () => {
      const view = await panel();
      const candidate = { ...(fixtures.idleSnapshot().candidates[43] as Candidate), name: "Demo_renamed" };
      const changes: ToWebview = { type: "changes", number: 5, changes: [{ kind: "candidate", candidate }] };
      await view.say(changes);
      await view.say({ ...changes, number: 6 });
      expect(await view.posted()).toEqual([{ type: "refresh" }]);
      expect((await names(view))[0]).toBe("Demo_c4_10");
      const snapshot = fixtures.idleSnapshot();
      snapshot.candidates[43] = candidate;
      await view.say({ type: "snapshot", snapshot: { ...snapshot, number: 6 } });
      expect((await names(view))[0]).toBe("Demo_renamed");
      await view.say({ type: "changes", number: 7, changes: [{ kind: "cycles", cycles: [] }] });
      expect(await view.posted()).toHaveLength(1);
    });

    it("the view comes back as it was left, with nothing of the study kept", async () => {
      const snapshot = fixtures.largeSnapshot();
      const view = await panel(snapshot);
      const { page } = view;
      await page.getByLabel("Search candidates").fill("_0");
      await page.getByLabel("Filter and sort").click();
      await page.getByLabel("Outcome or review").selectOption("valid");
      await page.getByLabel("Sort by").selectOption("accuracy");
      await page.evaluate("document.querySelector('netwright-candidates').scrollTop = 4400");
      await view.settle();
      await page.locator("[aria-rowindex='105']").click();
      const before = { names: await names(view), active: await activeRow(view) };
      await view.reload();
      const kept = (await page.evaluate("sessionStorage.getItem('state')")) as string;
      expect(kept.length).toBeLessThan(500);
      expect(kept).not.toContain("Demo");
      await view.say({ type: "snapshot", snapshot });
      await view.settle();
      expect(await names(view)).toEqual(before.names);
      expect(await activeRow(view)).toBe(before.active);
      expect(await selectedCount(view)).toBe(1);
      expect(await page.evaluate("document.querySelector('netwright-candidates').scrollTop")).toBe(4400);
    });

    it("the net being written is asked for again when the view comes back", async () => {
      const snapshot = fixtures.runningSnapshot();
      const view = await panel(snapshot);
      const { id, name } = snapshot.activity.underway.at(-1) as { id: number; name: string };
      await view.page.getByRole("button", { name }).click();
      await view.reload();
      await view.say({ type: "snapshot", snapshot });
      await view.expectPosted({ type: "watch", id });
      // Gone when the view comes back later still: nothing is watched any more.
      await view.reload();
      await view.say({ type: "snapshot", snapshot: fixtures.idleSnapshot() });
      await view.expectPosted({ type: "watch", id: null });
    });

    it("another study begins with nothing selected and nothing filtered", async () => {
      const view = await panel();
      await view.page.getByLabel("Search candidates").fill("c4_0");
      await rows(view).nth(2).click();
      const { study, ...rest } = fixtures.idleSnapshot();
      const other = { ...rest, study: { ...study, dir: "/home/ada/others" } };
      // Also where the page sees nothing of either for a while.
      await view.say({ type: "blocked", why: { kind: "connecting" } });
      await view.say({ type: "snapshot", snapshot: other });
      expect(await selectedCount(view)).toBe(0);
      expect(await activeRow(view)).toBe(null);
      expect(await view.page.locator(".count").last().textContent()).toBe("44 candidates");
    });

    it("tells the extension what is selected when it comes back, unless that was in another study", async () => {
      const snapshot = fixtures.idleSnapshot();
      const view = await panel(snapshot);
      await rows(view).nth(2).click();
      await view.reload();
      expect(await view.posted()).toEqual([{ type: "ready" }]);
      await view.say({ type: "snapshot", snapshot });
      expect(await last(view)).toEqual({ type: "select", ids: [42] });
      await view.forget();
      await view.say({ type: "snapshot", snapshot });
      expect(await view.posted()).toEqual([]);
      await view.reload();
      await view.say({
        type: "snapshot",
        snapshot: { ...snapshot, study: { ...snapshot.study, dir: "/home/ada/others" } },
      });
      expect(await view.posted()).toEqual([{ type: "ready" }]);
    });

    it.each<[Blocked, string, FromWebview]>([
      [{ kind: "no-folder" }, "Open Folder", { type: "command", command: "openFolder" }],
      [{ kind: "no-study" }, "New Study", { type: "command", command: "newStudy" }],
      [{ kind: "untrusted" }, "Manage Workspace Trust", { type: "command", command: "manageTrust" }],
      [{ kind: "failed", code: "disk-full", message: "The disk is full." }, "Try Again", { type: "refresh" }],
      [
        { kind: "failed", code: "study-config", message: "A mistake." },
        "Open netwright.json",
        { type: "command", command: "openConfig" },
      ],
      [
        { kind: "several-studies", studies: [{ dir: "/nets/b", name: "Second" }] },
        "Second",
        { type: "chooseStudy", dir: "/nets/b" },
      ],
    ])("without a study (%j) the button %s leads on", async (why, label, message) => {
      const view = await open("panel");
      await view.say({ type: "blocked", why });
      expect(await view.page.getByRole("grid").count()).toBe(0);
      await view.page.getByRole("button", { name: label }).press("Enter");
      expect(await last(view)).toEqual(message);
    });

    it("an empty study says what a cycle will do", async () => {
      const view = await panel(fixtures.emptySnapshot());
      expect(await view.page.locator(".welcome").textContent()).toContain("designs networks as PyTorch code");
      expect(await view.page.locator(".toolbar").count()).toBe(0);
    });
  });

  describe("the dashboard", () => {
    async function dashboard(snapshot = fixtures.idleSnapshot()): Promise<WebviewPage> {
      const view = await open("dashboard", { width: 1000, height: 1600 });
      await view.say({ type: "snapshot", snapshot });
      await view.forget();
      return view;
    }

    it("selects rows of the panel: by a press, by dragging, and by keyboard in the table", async () => {
      const view = await dashboard();
      const { page } = view;
      const canvas = page.locator("netwright-scatter canvas");
      const box = (await canvas.boundingBox()) as { x: number; y: number; width: number; height: number };
      await page.mouse.move(box.x + 50, box.y + 12);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width - 14, box.y + box.height - 38, { steps: 4 });
      await page.mouse.up();
      const valid = fixtures
        .idleSnapshot()
        .candidates.filter(({ outcome, novelty }) => outcome === "valid" && novelty.structure);
      const dragged = (await last(view)) as { type: string; ids: number[] };
      expect(dragged.type).toBe("select");
      expect(dragged.ids.toSorted()).toEqual(valid.map(({ id }) => id).toSorted());
      // Nothing there: nothing selected.
      await page.mouse.click(box.x + box.width - 20, box.y + box.height - 45);
      expect(await last(view)).toEqual({ type: "select", ids: [] });
      await page.getByRole("button", { name: "Accuracy against novelty as a table" }).press("Enter");
      await page.getByRole("button", { name: "Demo_c3_07" }).first().press("Enter");
      const chosen = fixtures.idleSnapshot().candidates.find(({ name }) => name === "Demo_c3_07") as Candidate;
      expect(await last(view)).toEqual({ type: "select", ids: [chosen.id] });
      await page.locator(".node", { hasText: "c2_07" }).click();
      expect(((await last(view)) as { ids: number[] }).ids).toHaveLength(1);
    });

    it("leaves the paper's figures out on demand, and remembers that", async () => {
      const view = await dashboard();
      const legend = view.page.locator("netwright-line-chart .legend", { hasText: "arXiv 2601.02997" });
      expect(await legend.count()).toBe(3);
      await view.page.locator(".reference").click();
      await view.settle();
      expect(await legend.count()).toBe(0);
      await view.reload();
      await view.say({ type: "snapshot", snapshot: fixtures.idleSnapshot() });
      expect(await legend.count()).toBe(0);
    });

    it("states the published figures and no others", async () => {
      const view = await dashboard();
      await view.page.getByRole("button", { name: "First-epoch accuracy as a table" }).click();
      const reference = (card: string, column: number) =>
        view.page.locator("section", { hasText: card }).first().locator(`td:nth-child(${column})`).allTextContents();
      expect(await reference("First-epoch accuracy", 4)).toEqual(["28.1 %", "–", "–", "–", "51.0 %"]);
      await view.page.getByRole("button", { name: "Valid nets at or above 40 % as a table" }).click();
      expect(await reference("Valid nets at or above 40 %", 3)).toEqual(["2.0 %", "–", "–", "–", "96.8 %"]);
      // Of no other accuracy does the paper state a share.
      const snapshot = fixtures.idleSnapshot();
      await view.say({ type: "snapshot", snapshot: { ...snapshot, study: { ...snapshot.study, threshold: 0.5 } } });
      expect(await reference("Valid nets at or above 50 %", 3)).toEqual([]);
    });

    it("draws the lines of a family from label to label, and none behind another", async () => {
      const view = await dashboard();
      await view.page.locator(".family").scrollIntoViewIfNeeded();
      const crossed = await view.page.evaluate(`{
        const labels = [...document.querySelectorAll(".family .hit")].map((hit) => hit.getBBox());
        const inside = ({ x, y }, box) =>
          x > box.x + 1 && x < box.x + box.width - 1 && y > box.y + 1 && y < box.y + box.height - 1;
        const links = [...document.querySelectorAll(".family path.link")];
        const crossed = links.filter((link) => {
          const length = link.getTotalLength();
          for (let at = 0; at <= length; at++)
            if (labels.some((box) => inside(link.getPointAtLength(at), box))) return true;
          return false;
        });
        [links.length > 3, crossed.length];
      }`);
      expect(crossed).toEqual([true, 0]);
    });

    it("of a net without a figure says why", async () => {
      const snapshot = fixtures.idleSnapshot();
      const parents = new Set(snapshot.candidates.map(({ parent }) => parent));
      const known = snapshot.candidates.find(({ id, outcome }) => outcome === "valid" && parents.has(id)) as Candidate;
      known.accuracy = { validation: null, test: null };
      const view = await dashboard(snapshot);
      const label = view.page.locator(".node", { hasText: `${known.name}: ` });
      expect(await label.locator(".quiet").textContent()).toMatch(/^known/);
    });

    it("draws anew in the colours of another theme", async () => {
      const view = await dashboard();
      const pixels = () =>
        view.page.evaluate(
          "[...document.querySelectorAll('canvas')].map((canvas) => canvas.toDataURL()).join('')",
        ) as Promise<string>;
      const before = await pixels();
      await view.page.evaluate(`{
        for (const name of ["foreground", "descriptionForeground", "charts-blue"]) document.documentElement.style.setProperty("--vscode-" + name, "#ff00ff");
        document.body.className = "vscode-light";
      }`);
      await view.settle();
      expect(await pixels()).not.toBe(before);
    });

    it("follows changes, and asks anew after a gap", async () => {
      const snapshot = fixtures.idleSnapshot();
      const view = await dashboard(snapshot);
      const { page } = view;
      await page.getByRole("button", { name: "Novel and accepted nets as a table" }).click();
      const candidate = snapshot.candidates.find(
        (each) => each.cycle === 3 && each.outcome === "valid" && each.accepted !== true,
      );
      const accepted = () =>
        page
          .locator("section", { hasText: "Novel and accepted nets" })
          .first()
          .locator("tbody tr:nth-child(3) td:last-child")
          .textContent();
      const before = Number(await accepted());
      await view.say({
        type: "changes",
        number: 2,
        changes: [{ kind: "candidate", candidate: { ...(candidate as Candidate), accepted: true } }],
      });
      await expect.poll(accepted, { timeout: 10_000 }).toBe(String(before + 1));
      await view.say({ type: "changes", number: 9, changes: [] });
      expect(await last(view)).toEqual({ type: "refresh" });
    });

    it("lists the generations with their figures, newest first", async () => {
      const view = await dashboard(fixtures.generationsSnapshot());
      const rows = view.page.locator("#generations > .table tbody tr");
      const cells = async (row: number) =>
        (await rows.nth(row).locator("th, td").allTextContents()).map((text) => text.replaceAll(/\s+/g, " ").trim());
      expect(await rows.count()).toBe(4);
      expect(await cells(0)).toEqual([
        "Generation 3",
        "Kept",
        "2",
        "12 nets, cycle 3",
        "1.20 → 0.42",
        "0.74 → 0.62",
        "5/16 (8/16)",
        "35 MiB",
        "13 min",
        "Use Anyway Delete",
      ]);
      expect((await cells(1)).at(1)).toBe("In use");
      expect((await cells(1)).at(-1)).toBe("Roll Back");
      expect((await cells(2)).at(-1)).toBe("");
      expect((await cells(3)).at(-1)).toBe("Use");
    });

    it("uses, rolls back and deletes a generation, but not while the engine is at work", async () => {
      const view = await dashboard(fixtures.generationsSnapshot());
      const button = (name: string) => view.page.getByRole("button", { name, exact: true });
      await button("Use Anyway generation 3").press("Enter");
      expect(await last(view)).toEqual({ type: "useGeneration", generation: 3 });
      await button("Roll Back to the model itself").press("Enter");
      expect(await last(view)).toEqual({ type: "useGeneration", generation: 0 });
      await button("Delete generation 3").press("Enter");
      expect(await last(view)).toEqual({ type: "deleteGeneration", generation: 3 });
      const activity = fixtures.runningSnapshot().activity;
      await view.say({ type: "changes", number: 2, changes: [{ kind: "activity", activity }] });
      await expect.poll(() => button("Delete generation 3").isDisabled(), { timeout: 10_000 }).toBe(true);
    });

    it("draws the losses of the generation that is chosen, and follows the one in the making", async () => {
      const snapshot = fixtures.tuningSnapshot();
      const view = await dashboard(snapshot);
      const title = () => view.page.locator("#losses-title").textContent();
      const summary = () => view.page.locator("#generations netwright-line-chart .plot").getAttribute("aria-label");
      expect(await title()).toBe("Losses of generation 4");
      expect(await summary()).toContain("steps 1 to 14");
      const tuning = { ...snapshot.activity.tuning, step: 15, losses: fixtures.losses(15, 36) };
      const activity = { ...snapshot.activity, tuning } as typeof snapshot.activity;
      await view.say({ type: "changes", number: 2, changes: [{ kind: "activity", activity }] });
      await expect.poll(summary, { timeout: 10_000 }).toContain("steps 1 to 15");
      await view.page.getByRole("button", { name: "Generation 2", exact: true }).press("Enter");
      await view.settle();
      expect(await title()).toBe("Losses of generation 2");
      await view.say({ type: "showGeneration", generation: 3 });
      expect(await title()).toBe("Losses of generation 3");
      expect(await view.page.locator("#generations").evaluate((e: Placed) => e.getBoundingClientRect().top < 900)).toBe(
        true,
      );
    });

    it("says which generation designed each cycle, in the charts and their tables", async () => {
      const view = await dashboard(fixtures.generationsSnapshot());
      const card = view.page.locator("section", { hasText: "Valid candidates" }).first();
      expect(await card.locator(".legend .at").textContent()).toBe("Cycle 4, generation 2");
      expect(await card.locator(".plot").getAttribute("aria-label")).toContain(
        "From cycle 2 on generation 1 designed.",
      );
      await view.page.getByRole("button", { name: "Valid candidates as a table" }).click();
      expect(await card.locator("thead th").nth(1).textContent()).toBe("Generation");
      expect(await card.locator("tbody td:nth-child(2)").allTextContents()).toEqual(["0", "1", "1", "2"]);
    });

    it("without generations says what fine-tuning is, and marks no cycle", async () => {
      const view = await dashboard();
      expect(await view.page.locator("#generations").textContent()).toContain("Fine-Tune Designer");
      await view.page.getByRole("button", { name: "Valid candidates as a table" }).click();
      expect(await view.page.getByRole("columnheader", { name: "Generation" }).count()).toBe(0);
    });

    it("takes 10,000 candidates", async () => {
      const view = await dashboard(fixtures.largeSnapshot());
      expect(await view.page.locator(".node").count()).toBeGreaterThan(100);
      await view.page.getByRole("button", { name: "Accuracy against novelty as a table" }).click();
      expect(
        await view.page.locator("section", { hasText: "Accuracy against novelty" }).locator("tbody tr").count(),
      ).toBe(500);
    });
  });
});
