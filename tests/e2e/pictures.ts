/**
 * Takes the pictures of the documentation, in a real editor and of a real study:
 *
 *     node tests/e2e/pictures.ts [OUT] [STUDY]      # docs/images/ and .vitest/pictures/demo/ unless given
 *
 * STUDY is made first where it is not there, by four cycles of the embedded model, with the proposed nets accepted after each: ten minutes
 * or more on a small machine. It learns from CIFAR-10 where NETWRIGHT_TEST_CIFAR10 names one, else from the digits. What is photographed
 * is a copy. Each picture comes in three themes: NAME-dark.png, NAME-light.png, NAME-contrast.png.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Candidate, CycleSummary } from "../../src/study/types.ts";
import { cifar10ForTests, modelForTests, pythonForTests } from "../support/parts.ts";
import { EditorServer, enginePid } from "./support/server.ts";
import { editorParts } from "./support/setup.ts";
import { THEMES, type Theme, type Workbench } from "./support/workbench.ts";

const CYCLES = 4;
const CANDIDATES = 8;
const SUFFIX: Record<Theme, string> = {
  "Dark Modern": "dark",
  "Light Modern": "light",
  "Dark High Contrast": "contrast",
};

const root = resolve(import.meta.dirname, "../..");
const [out = join(root, "docs", "images"), study = join(root, ".vitest", "pictures", "demo")] = process.argv
  .slice(2)
  .map((path) => resolve(path));

const python = pythonForTests();
const model = modelForTests();
if (!python || !model)
  throw new Error("Pictures need the Python environment (npm test) and a model (netwright setup).");
const env = { ...process.env, NETWRIGHT_WORKER_PYTHON: python };
await makeStudy();
await takePictures();

/** Makes the study, or goes on with one whose cycles are not all there yet. */
async function makeStudy(): Promise<void> {
  if (!existsSync(join(study, "netwright.json"))) {
    const source = cifar10ForTests();
    const config = {
      name: "Demo",
      data: source ? { dataset: "cifar10", source } : { dataset: "digits" },
      protocol: source ? { trainImages: 5000 } : { batch: 16 },
      designer: { provider: "llama.cpp", model },
      trainer: { device: "cpu" },
      admission: { accuracy: 0.3 },
    };
    mkdirSync(study, { recursive: true });
    writeFileSync(join(study, "netwright.json"), `${JSON.stringify(config, null, 2)}\n`);
  }
  const { cycles } = JSON.parse(netwright("status", "--json")) as { cycles: CycleSummary[] };
  for (let cycle = cycles.filter((each) => each.cycle > 0).length + 1; cycle <= CYCLES; cycle++) {
    netwright("cycle", "--candidates", String(CANDIDATES));
    while (enginePid(study)) await delay(200);
    const proposed = JSON.parse(netwright("list", "--proposed", "--json")) as Candidate[];
    // Of the last cycle one is left to decide on.
    const ids = proposed.map(({ id }) => String(id)).slice(0, cycle === CYCLES ? -1 : undefined);
    if (ids.length > 0) netwright("accept", ...ids);
  }
}

function netwright(...args: string[]): string {
  return execFileSync(process.execPath, [join(root, "scripts", "netwright.mjs"), ...args, "--study", study], {
    env,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
}

async function takePictures(): Promise<void> {
  const parts = await editorParts();
  if (!parts) throw new Error("Pictures need an editor and a browser.");
  mkdirSync(out, { recursive: true });
  const server = await EditorServer.start({
    ...parts,
    env: { NETWRIGHT_WORKER_PYTHON: python as string },
    settings: { "editor.minimap.enabled": false, "window.commandCenter": false },
  });
  try {
    const work = join(server.home, "work", "nets");
    cpSync(study, join(work, "demo"), { recursive: true });
    // As it is read first: before there is a study.
    const fresh = join(server.home, "work", "fresh");
    mkdirSync(fresh);
    await walkthrough(server, fresh);
    await review(server, work);
    await dashboard(server, work);
    await midCycle(server, work);
  } finally {
    await server.close();
  }
}

async function inThemes(window: Workbench, name: string, ready: () => Promise<unknown>): Promise<void> {
  for (const theme of THEMES) {
    await window.theme(theme);
    await ready();
    // The pointer leaves no trace: neither a hovered row nor a tooltip.
    await window.page.mouse.move(0, 0);
    await window.page.waitForTimeout(500);
    const path = join(out, `${name}-${SUFFIX[theme]}.png`);
    await window.page.screenshot({ path });
    process.stdout.write(`${path}\n`);
  }
}

async function walkthrough(server: EditorServer, work: string): Promise<void> {
  const window = await server.open(work, { width: 1440, height: 860 });
  await window.panel.show();
  await inThemes(window, "walkthrough", async () => {
    // A page that is drawn anew in another theme forgets where it was.
    await window.palette.run("Welcome: Open Walkthrough...");
    await window.palette.choose("Get Started with Netwright");
    await window.walkthrough.show("Step the first cycle");
  });
  await window.close();
}

async function review(server: EditorServer, work: string): Promise<void> {
  const window = await server.open(work, { width: 1440, height: 860 });
  await window.panel.show();
  // The newest valid net that was written as a variant of another, or else the newest of all.
  const valid = (await window.panel.rows()).filter({ hasText: /_c\d_/ }).filter({ hasText: /\d %/ });
  await valid.first().click();
  await window.palette.run("Netwright: Compare with Nearest");
  await window.diff.waitFor();
  await inThemes(window, "review", () => window.diff.waitFor());
  await window.close();
}

async function dashboard(server: EditorServer, work: string): Promise<void> {
  const window = await server.open(work, { width: 1440, height: 1160 });
  await window.palette.run("Netwright: Open Dashboard");
  await window.panel.show();
  await inThemes(window, "dashboard", async () => (await window.dashboard.find("canvas, svg")).first().waitFor());
  await inThemes(window, "family", async () => (await window.dashboard.find(".family")).scrollIntoViewIfNeeded());
  await window.close();
}

async function midCycle(server: EditorServer, work: string): Promise<void> {
  const window = await server.open(work, { width: 1440, height: 860 });
  await window.panel.show();
  await window.sideBarWidth(400);
  await (await window.panel.rows()).filter({ hasText: /_c\d_/ }).filter({ hasText: /\d %/ }).first().dblclick();
  await window.editor("_c").getByText("class").first().waitFor();
  await window.panel.step(CANDIDATES);
  // Some are done, others under way.
  const done = (await window.panel.rows()).filter({ hasText: `_c${CYCLES + 1}_` }).filter({ hasText: /\d %/ });
  await done.first().waitFor({ timeout: 300_000 });
  await inThemes(window, "panel", async () => {
    // A net that is being written: it closes when that net is done, and then the next one is opened.
    const written = await window.panel.find("#written");
    if ((await written.count()) === 0) await (await window.panel.find(".underway button.line")).first().click();
    await written.filter({ hasText: /nn\./ }).waitFor();
  });
  await (await window.panel.button("Stop")).click();
  await (await window.panel.button(/Resume Cycle/)).waitFor();
  await window.close();
}
