/** Page objects: the workbench and its parts, by what people see and press. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Frame, Locator, Page } from "playwright-core";

const axe = readFileSync(resolve(import.meta.dirname, "../../../node_modules/axe-core/axe.min.js"), "utf8");

/** Where screenshots go. */
export const OUTPUT = resolve(import.meta.dirname, "../../../.vitest/e2e");

export const THEMES = ["Dark Modern", "Light Modern", "Dark High Contrast"] as const;
export type Theme = (typeof THEMES)[number];

/** What a busy machine may take for one step; what hangs is ended by it. */
const LIMIT_MILLISECONDS = 60_000;

/** Asks until the answer is neither false nor null. */
async function until<T>(what: string, ask: () => Promise<T | false | null>): Promise<T> {
  const limit = AbortSignal.timeout(LIMIT_MILLISECONDS);
  while (!limit.aborted) {
    const answer = await ask();
    if (answer) return answer;
    await delay(200);
  }
  throw new Error(`Not in time: ${what}`);
}

/** What is used of a page's globals. */
interface PageGlobals {
  document: { hasFocus(): boolean; activeElement: { matches(selector: string): boolean } | null };
}

interface Kept {
  keptApi?: { postMessage(message: unknown): void };
}

/** In every frame, before its scripts: a page may ask for VS Code's API once, so what it got is kept for tests. */
function keepApi(): void {
  let acquire: (() => Kept["keptApi"]) | undefined;
  Object.defineProperty(globalThis, "acquireVsCodeApi", {
    configurable: true,
    get: () => acquire,
    set: (original: () => Kept["keptApi"]) => {
      acquire = () => {
        const api = original();
        Object.assign(globalThis, { keptApi: api });
        return api;
      };
    },
  });
}

export class Workbench {
  readonly page: Page;
  readonly palette: Palette;
  readonly notifications: Notifications;
  readonly walkthrough: Walkthrough;
  readonly panel: Panel;
  readonly dashboard: Dashboard;
  /** What went wrong in the extension's own pages; the workbench has errors of its own, as when a window closes. */
  readonly errors: string[] = [];

  private constructor(page: Page) {
    this.page = page;
    this.palette = new Palette(page);
    this.notifications = new Notifications(page);
    this.walkthrough = new Walkthrough(page);
    this.panel = new Panel(this);
    this.dashboard = new Dashboard(this);
    page.on("pageerror", ({ stack = "" }) => {
      if (stack.includes("netwright")) this.errors.push(stack);
    });
  }

  static async open(page: Page, url: string): Promise<Workbench> {
    page.setDefaultTimeout(LIMIT_MILLISECONDS);
    await page.addInitScript(keepApi);
    const workbench = new Workbench(page);
    await page.goto(url);
    await workbench.#loaded();
    return workbench;
  }

  /** As a person does it: the window saves what it shows. */
  async reload(): Promise<void> {
    const loaded = this.page.waitForEvent("load");
    await this.palette.run("Developer: Reload Window");
    await loaded;
    await this.#loaded();
  }

  async close(): Promise<void> {
    await this.page.context().close();
  }

  /** Into the output folder; its path. */
  async screenshot(name: string): Promise<string> {
    const path = join(OUTPUT, `${name.replaceAll(/[^A-Za-z0-9]+/g, "-")}.png`);
    await this.page.screenshot({ path });
    return path;
  }

  async #loaded(): Promise<void> {
    await this.page.locator(".monaco-workbench .statusbar").waitFor();
    // Extensions have been told: until then no command of theirs is known.
    await this.activity("Netwright").waitFor();
  }

  activity(name: string): Locator {
    return this.page.locator(".activitybar").getByRole("tab", { name, exact: true });
  }

  tab(name: string | RegExp): Locator {
    return this.page.locator(".tabs-container").getByRole("tab", { name });
  }

  get editor(): Locator {
    return this.page.locator(".editor-group-container.active .monaco-editor").last();
  }

  /** Waits until the active editor's text has the keyboard: its tab is there before. */
  async editorFocused(): Promise<void> {
    await this.page.locator(".editor-group-container.active .monaco-editor.focused").first().waitFor();
  }

  get diff(): Locator {
    return this.page.locator(".monaco-diff-editor");
  }

  statusItem(text: string | RegExp): Locator {
    return this.page.locator(".statusbar-item").filter({ hasText: text });
  }

  /** An action in the title of the active editor. */
  editorAction(name: string): Locator {
    return this.page.locator(".editor-group-container.active .title .editor-actions").getByRole("button", { name });
  }

  /** A modal dialog of the workbench. */
  get dialog(): Locator {
    return this.page.locator(".monaco-dialog-box");
  }

  /** Opens a file of the folder. */
  async quickOpen(file: string): Promise<void> {
    await this.page.keyboard.press("Control+P");
    await this.palette.input.waitFor();
    await this.palette.input.fill(file);
    await this.palette.pick(file);
    await this.tab(file).waitFor();
  }

  /** Waits until the editor suggests this where the cursor stands: a language that is just starting knows nothing yet. */
  async suggested(text: string): Promise<void> {
    const row = this.page.locator(".suggest-widget .monaco-list-row").filter({ hasText: text });
    await until(`${text} is suggested`, async () => {
      await this.page.keyboard.press("Escape");
      await this.page.keyboard.press("Control+Space");
      return row.waitFor({ timeout: 3000 }).then(
        () => true,
        () => false,
      );
    });
  }

  /** Drags the side bar to this width. */
  async sideBarWidth(pixels: number): Promise<void> {
    const bar = await this.page.locator(".part.sidebar").boundingBox();
    if (!bar) throw new Error("the side bar is hidden");
    const y = bar.y + bar.height / 2;
    await this.page.mouse.move(bar.x + bar.width, y);
    await this.page.mouse.down();
    await this.page.mouse.move(bar.x + pixels, y, { steps: 5 });
    await this.page.mouse.up();
  }

  async theme(theme: Theme): Promise<void> {
    await this.palette.run("Preferences: Color Theme");
    await this.palette.type(theme);
    await this.palette.widget.waitFor({ state: "hidden" });
    const kind = { "Dark Modern": "vs-dark", "Light Modern": "vs", "Dark High Contrast": "hc-black" }[theme];
    await this.page.locator(`.monaco-workbench.${kind}`).waitFor();
  }
}

export class Palette {
  readonly #page: Page;

  constructor(page: Page) {
    this.#page = page;
  }

  get widget(): Locator {
    return this.#page.locator(".quick-input-widget:visible");
  }

  get input(): Locator {
    return this.widget.locator("input[type=text]");
  }

  get rows(): Locator {
    return this.widget.locator(".monaco-list-row");
  }

  async has(command: string): Promise<boolean> {
    await this.#ask(command);
    await this.rows.first().waitFor();
    const found = (await this.#row(command).count()) > 0;
    await this.#page.keyboard.press("Escape");
    await this.widget.waitFor({ state: "hidden" });
    return found;
  }

  /** Runs the command, waiting until it is enabled. */
  async run(command: string): Promise<void> {
    await until(`${command} is enabled`, () => this.has(command));
    await this.#ask(command);
    await this.#row(command).first().click();
    // What the command asks comes in the same widget: until then, an answer would go to the palette.
    await until("the palette is left", async () => {
      // A window that reloads has none.
      if (!(await this.widget.isVisible().catch(() => false))) return true;
      const text = await this.input.inputValue({ timeout: 1000 }).catch(() => ">");
      return !text.startsWith(">");
    });
  }

  /** As {@link run}, but by keyboard alone. */
  async enter(command: string): Promise<void> {
    await until(`${command} is enabled`, () => this.has(command));
    await this.#ask("");
    await this.#page.keyboard.type(command);
    await this.#row(command).first().waitFor();
    await this.#page.keyboard.press("Enter");
    await this.widget.waitFor({ state: "hidden" });
  }

  /** A list that is just closing takes no text, and swallows the key: then it is pressed again. */
  async #ask(command: string): Promise<void> {
    await until("the palette is open", async () => {
      await this.#page.keyboard.press("F1");
      const filled = this.input.fill(`>${command}`, { timeout: 3000 });
      return filled.then(
        () => true,
        () => false,
      );
    });
  }

  #row(command: string): Locator {
    return this.rows.filter({ has: this.#page.getByText(command, { exact: true }) });
  }

  /** Answers the input box, or picks by typing. */
  async type(text: string): Promise<void> {
    await this.input.fill(text);
    // On the field itself: a page that is still being drawn may have taken the focus meanwhile.
    await this.input.press("Enter");
  }

  async pick(label: string | RegExp): Promise<void> {
    await this.rows.filter({ hasText: label }).first().click();
  }
}

export class Notifications {
  readonly #page: Page;

  constructor(page: Page) {
    this.#page = page;
  }

  toast(text: string | RegExp): Locator {
    return this.#page.locator(".notifications-toasts .notification-list-item").filter({ hasText: text });
  }

  async press(text: string | RegExp, button: string): Promise<void> {
    await this.toast(text).getByRole("button", { name: button, exact: true }).click();
  }
}

/** The walkthrough's page: steps that open when pressed, each with a button and a mark. */
export class Walkthrough {
  readonly root: Locator;

  constructor(page: Page) {
    this.root = page.locator(".gettingStartedContainer");
  }

  #step(title: string): Locator {
    return this.root.locator(".getting-started-step").filter({ hasText: title });
  }

  /** Opens the step. */
  async show(title: string): Promise<void> {
    const step = this.#step(title);
    await step.waitFor();
    const button = step.getByRole("button").last();
    await until(`the step ${title} is open`, async () => {
      // Pressing the open one would close it.
      if (!(await button.isVisible())) await step.getByText(title).first().click();
      await delay(500);
      return button.isVisible();
    });
  }

  /** Opens the step and presses its button. */
  async press(title: string, button: string): Promise<void> {
    await this.show(title);
    await this.#step(title).getByRole("button", { name: button, exact: true }).click();
  }

  /** Waits until the step has its mark. */
  async done(title: string): Promise<void> {
    await this.#step(title).locator(".complete").first().waitFor();
  }
}

/** A webview: its content lies two frames deep, and other webviews may lie beside it. */
abstract class WebviewFrame {
  protected readonly workbench: Workbench;
  protected abstract readonly root: string;
  /** The theme color that shows through it. */
  protected abstract readonly behind: string;

  constructor(workbench: Workbench) {
    this.workbench = workbench;
  }

  /** The frame whose body is this page; waits for it. */
  async frame(): Promise<Frame> {
    const { page } = this.workbench;
    return until(`a frame shows ${this.root}`, async () => {
      for (const frame of page.frames()) {
        const found = await frame.$(this.root).catch(() => null);
        if (found) return frame;
      }
      return null;
    });
  }

  async find(selector: string): Promise<Locator> {
    return (await this.frame()).locator(selector);
  }

  /** Sends the extension a message as the page would, whatever its shape. */
  async send(message: unknown): Promise<void> {
    const frame = await this.frame();
    await frame.evaluate((value) => (globalThis as unknown as Kept).keptApi?.postMessage(value), message);
  }

  /** Gives the page the keyboard, by a command of the workbench. */
  async focus(command: string): Promise<void> {
    await this.workbench.palette.enter(command);
    await until("the page has the keyboard", () => this.hasKeyboard("*"));
  }

  /** Presses Tab until an element that fits has the keyboard. */
  async tabTo(selector: string): Promise<void> {
    const target = (await this.find(selector)).first();
    await target.waitFor();
    for (let presses = 0; presses < 40; presses++) {
      await this.workbench.page.keyboard.press("Tab");
      if (await this.hasKeyboard(selector)) return;
    }
    throw new Error(`Tab does not lead to ${selector}`);
  }

  async hasKeyboard(selector: string): Promise<boolean> {
    const frame = await this.frame();
    return frame.evaluate((wanted) => {
      const { document } = globalThis as unknown as PageGlobals;
      return document.hasFocus() && (document.activeElement?.matches(wanted) ?? false);
    }, selector);
  }

  async button(name: string | RegExp): Promise<Locator> {
    return (await this.frame()).locator("vscode-button").filter({ hasText: name });
  }

  /** Violations of the accessibility rules, as lines: "rule: element". */
  async violations(): Promise<string[]> {
    const frame = await this.frame();
    await frame.evaluate(axe);
    // The page is transparent, which axe takes for white; behind it is the part of the workbench that it lies in.
    await frame.locator("body").evaluate((body, color) => {
      body.style.backgroundColor = `var(--vscode-${color}-background)`;
    }, this.behind);
    return frame.evaluate(async (root) => {
      const { axe } = globalThis as unknown as {
        axe: { run(root: string): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
      };
      const { violations } = await axe.run(root);
      return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`));
    }, this.root);
  }
}

export class Panel extends WebviewFrame {
  protected readonly root = "netwright-panel";
  protected readonly behind = "sideBar";

  async show(): Promise<void> {
    const tab = this.workbench.activity("Netwright");
    // A window that is being restored may show the panel by itself a moment later: a click would then hide it.
    await until("the panel is shown", async () => {
      if ((await tab.getAttribute("aria-selected")) !== "true") await tab.click();
      await delay(500);
      return (await tab.getAttribute("aria-selected")) === "true";
    });
    await this.frame();
  }

  async step(candidates: number): Promise<void> {
    const count = (await this.find("vscode-textfield.count")).locator("input");
    await count.fill(String(candidates));
    await count.press("Tab");
    await (await this.button("Step Cycle")).click();
    await (await this.button("Stop")).waitFor();
  }

  /** A row's own button, which is there while the pointer is over the row. */
  async press(row: string | RegExp, action: "accept" | "reject" | "open" | "compare"): Promise<void> {
    const found = await this.row(row);
    await found.hover();
    await found.locator(`[data-action=${action}]`).click();
  }

  /** The candidate's row, by its own name: others may name it as their parent. */
  async row(name: string | RegExp): Promise<Locator> {
    const frame = await this.frame();
    return frame.locator("[role=row][data-id]").filter({ has: frame.locator(".cell.name").filter({ hasText: name }) });
  }

  async rows(): Promise<Locator> {
    return this.find("[role=row][data-id]");
  }

  async text(): Promise<string> {
    // As it is laid out: what is hidden is not said.
    // biome-ignore lint/performance/useDomNodeTextContent: words of hidden elements do not count
    return (await this.find(this.root)).innerText();
  }
}

export class Dashboard extends WebviewFrame {
  protected readonly root = "netwright-dashboard";
  protected readonly behind = "editor";
}
