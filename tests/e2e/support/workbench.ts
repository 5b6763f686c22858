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
const LIMIT_MILLISECONDS = 120_000;

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

/** Whether it came to be within its own limit. */
const done = (attempt: Promise<unknown>): Promise<boolean> =>
  attempt.then(
    () => true,
    () => false,
  );

/** What is used of a page's globals. */
interface PageGlobals {
  document: {
    hasFocus(): boolean;
    activeElement: { matches(selector: string): boolean } | null;
    addEventListener(type: string, heard: (event: { violatedDirective: string; blockedURI: string }) => void): void;
  };
  location: { href: string };
  console: { error(text: string): void };
}

interface Kept {
  keptApi?: { postMessage(message: unknown): void };
}

/** What the console says of a breach of a page's policy, which is no error of a script. */
const BREACH = "Breach of the policy:";

/**
 * In every frame, before its scripts. A page may ask for VS Code's API once, so what it got is kept for tests; and the extension's own
 * pages say in the console what their policy stopped.
 */
function listenIn(breach: string): void {
  let acquire: (() => Kept["keptApi"]) | undefined;
  Object.defineProperty(globalThis, "acquireVsCodeApi", {
    configurable: true,
    get: () => acquire,
    set: (original: () => Kept["keptApi"]) => {
      // Here the page begins: the document of before, and what listened to it, is gone.
      const { document, location, console } = globalThis as unknown as PageGlobals;
      document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
        if (location.href.includes("extensionId=netwright"))
          console.error(`${breach} ${violatedDirective}, ${blockedURI}`);
      });
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
    page.on("console", (message) => {
      if (message.text().startsWith(BREACH)) this.errors.push(message.text());
    });
  }

  static async open(page: Page, url: string): Promise<Workbench> {
    page.setDefaultTimeout(LIMIT_MILLISECONDS);
    await page.addInitScript(listenIn, BREACH);
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

  /** The text of this file in the active group: its tab is there before, beside the text of the file before. */
  editor(file: string): Locator {
    return this.page.locator(`.editor-group-container.active .monaco-editor[data-uri*="${file}"]`).last();
  }

  /** Waits until the text of this file has the keyboard. */
  async editorFocused(file: string): Promise<void> {
    await this.page.locator(`.editor-group-container.active .monaco-editor.focused[data-uri*="${file}"]`).waitFor();
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

  /** Opens a file of the folder: what is new there is found a little later. */
  async quickOpen(file: string): Promise<void> {
    await until(`${file} is found`, async () => {
      await this.palette.open("Control+P", file);
      return done(this.palette.rows.filter({ hasText: file }).first().click({ timeout: 3000 }));
    });
    await this.editor(file).waitFor();
  }

  /** Answers the workbench's own dialog for folders, which writes into its field for as long as it reads. */
  async chooseFolder(folder: string, button: string): Promise<void> {
    const { input, widget } = this.palette;
    await until(`${folder} is chosen`, async () => {
      await input.fill(`${folder}/`);
      await delay(1000);
      if ((await input.inputValue()) !== `${folder}/`) return false;
      await this.page.getByRole("button", { name: button }).click();
      return done(widget.waitFor({ state: "hidden", timeout: 5000 }));
    });
  }

  /** Waits until the editor suggests this where the cursor stands: a language that is just starting knows nothing yet. */
  async suggested(text: string): Promise<void> {
    const row = this.page.locator(".suggest-widget .monaco-list-row").filter({ hasText: text });
    await until(`${text} is suggested`, async () => {
      await this.page.keyboard.press("Escape");
      await this.page.keyboard.press("Control+Space");
      return done(row.waitFor({ timeout: 3000 }));
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
    await this.palette.choose(theme);
    await this.palette.widget.waitFor({ state: "hidden" });
    const kind = { "Dark Modern": "vs-dark", "Light Modern": "vs", "Dark High Contrast": "hc-black" }[theme];
    await this.page.locator(`.monaco-workbench.${kind}`).waitFor();
  }
}

/** A command that every window has, and no question is like. */
const ALWAYS = "Help: About";

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
    const answer = await until(`${command} is looked for`, async () => {
      await this.open("F1", `>${ALWAYS}`);
      const always = this.#row(ALWAYS).first();
      // A list shows what was there before until it has followed the text: it has, once a command that was there is gone.
      const followed =
        (await done(always.waitFor({ timeout: 10_000 }))) &&
        (await done(this.input.fill(`>${command}`, { timeout: 3000 }))) &&
        (await done(always.waitFor({ state: "hidden", timeout: 10_000 })));
      const found = (await this.#row(command).count()) > 0;
      // Whatever takes the focus closes the list, as a command that ends in the panel does: then it is opened again.
      return followed && (await this.widget.isVisible()) ? { found } : null;
    });
    await this.#page.keyboard.press("Escape");
    await this.widget.waitFor({ state: "hidden" });
    return answer.found;
  }

  /** Runs the command, waiting until it is enabled. */
  async run(command: string): Promise<void> {
    await until(`${command} is enabled`, () => this.has(command));
    await this.open("F1", `>${command}`);
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
    await this.open("F1", ">");
    await this.#page.keyboard.type(command);
    // Enter is for the row that has the focus, which may be another one until the list has followed the text.
    await this.widget.locator(".monaco-list-row.focused").and(this.#row(command)).waitFor();
    await this.#page.keyboard.press("Enter");
    await this.widget.waitFor({ state: "hidden" });
  }

  /** Opens a list by its key and writes into it. A window that is just opening and a list that is just closing swallow the key. */
  async open(key: string, text: string): Promise<void> {
    await until("the list is open", async () => {
      await this.#page.keyboard.press(key);
      return done(this.input.fill(text, { timeout: 3000 }));
    });
  }

  #row(command: string): Locator {
    return this.rows.filter({ has: this.#page.getByText(command, { exact: true }) });
  }

  /** Answers the input box. */
  async type(text: string): Promise<void> {
    await this.input.fill(text);
    // On the field itself: a page that is still being drawn may have taken the focus meanwhile.
    await this.input.press("Enter");
  }

  /** Picks from a list that is long. */
  async choose(label: string): Promise<void> {
    await this.input.fill(label);
    await this.pick(label);
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
    await until("the panel stays", async () => {
      const frame = await this.frame();
      await delay(500);
      return !frame.isDetached();
    });
  }

  /** Presses the row, so that the keyboard is on it. */
  async select(row: string | RegExp): Promise<void> {
    await until("the rows have the keyboard", async () => {
      await (await this.row(row)).click();
      return this.hasKeyboard("netwright-candidates");
    });
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
