/**
 * What the extension costs in a real editor, with 10,000 candidates in the study: `node tests/e2e/measure.ts`. Prints figures; no test
 * depends on them. Linux alone: memory is read from /proc.
 */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fillRecord } from "./support/record.ts";
import { EditorServer, enginePid } from "./support/server.ts";
import { editorParts } from "./support/setup.ts";
import { makeStudy } from "./support/study.ts";
import type { Workbench } from "./support/workbench.ts";

const CANDIDATES = 10_000;
const WINDOWS = 5;
const FRAMES = 240;

const parts = await editorParts();
if (!parts) throw new Error("Measuring needs an editor and a browser.");
const server = await EditorServer.start(parts);
try {
  await activationByCommand();
  await memoryAndStart("nothing recorded", 0);
  await memoryAndStart(`${CANDIDATES} candidates`, CANDIDATES);
} finally {
  await server.close();
}

/** In a window that has long started and has no study: nothing else starts beside it. */
async function activationByCommand(): Promise<void> {
  const work = join(server.home, "work", "empty");
  mkdirSync(work, { recursive: true });
  const opened = await server.open(work);
  const activations: number[] = [];
  for (let n = 0; n < WINDOWS; n++) {
    await opened.page.reload({ waitUntil: "commit" });
    await opened.page.locator(".monaco-workbench .statusbar").waitFor();
    await opened.page.waitForTimeout(8_000);
    await opened.palette.run("Netwright: Show Log");
    await opened.page.waitForTimeout(1_000);
    activations.push(await activation(opened));
  }
  print("no study", "activation by a command, median", `${median(activations)} ms (${activations.join(", ")})`);
  await opened.close();
}

async function memoryAndStart(what: string, count: number): Promise<void> {
  const work = join(server.home, "work", String(count));
  const study = makeStudy(join(work, "digits"), null);
  if (count > 0) fillRecord(study, count);
  const shown = count > 0 ? "[role=row][data-id]" : ".welcome";
  const opened = await server.open(work);
  // The panel comes back by itself in a window that had it.
  await opened.panel.show();
  await (await opened.panel.find(shown)).first().waitFor();
  const workbenches: number[] = [];
  const starts: number[] = [];
  const activations: number[] = [];
  for (let n = 0; n < WINDOWS; n++) {
    const begun = performance.now();
    await opened.page.reload({ waitUntil: "commit" });
    await opened.page.locator(".monaco-workbench .statusbar").waitFor();
    workbenches.push(performance.now() - begun);
    await (await opened.panel.find(shown)).first().waitFor();
    starts.push(performance.now() - begun);
    activations.push(await activation(opened));
  }
  // Garbage of the start is collected meanwhile.
  await opened.page.waitForTimeout(15_000);
  const [host] = extensionHosts();
  const engine = enginePid(study);
  print(what, "activation beside all that starts, median", `${median(activations)} ms (${activations.join(", ")})`);
  print(what, "window opened to the workbench, median", `${Math.round(median(workbenches))} ms`);
  print(what, "window opened to the first row, median", `${Math.round(median(starts))} ms`);
  print(what, "memory of the extension host", `${host ? residentMegabytes(host) : "?"} MB`);
  print(what, "memory of the engine", `${engine ? residentMegabytes(engine) : "?"} MB`);
  if (count > 0) {
    for (const [width, layout] of [
      [300, "two lines a row"],
      [700, "columns"],
    ] as const) {
      await opened.sideBarWidth(width);
      for (const step of [40, 400, 4000])
        print(what, `${layout}, scrolled ${step} px a frame`, await frames(opened, step));
    }
  }
  await opened.close();
}

/** Of the extension in this window, as the editor counts it. Milliseconds. */
async function activation(window: Workbench): Promise<number> {
  await window.palette.run("Developer: Show Running Extensions");
  const row = window.page.locator(".runtime-extensions-editor .extension").filter({ hasText: "Netwright" });
  const text = await row.locator(".activation-time").textContent();
  await window.page.keyboard.press("Control+F4");
  return Number(/(\d+)\s*ms/.exec(text ?? "")?.[1]);
}

/** Scrolls the table frame by frame; how long frames took. */
async function frames(window: Workbench, step: number): Promise<string> {
  const frame = await window.panel.frame();
  const gaps = await frame.evaluate(
    async ({ step, count }) => {
      const { document, requestAnimationFrame } = globalThis as unknown as {
        document: { querySelector(selector: string): { scrollTop: number } };
        requestAnimationFrame(next: (at: number) => void): void;
      };
      const next = () => new Promise<number>((resolve) => requestAnimationFrame(resolve));
      const table = document.querySelector("netwright-candidates");
      table.scrollTop = 0;
      const gaps: number[] = [];
      let last = await next();
      for (let n = 0; n < count; n++) {
        table.scrollTop += step;
        const at = await next();
        gaps.push(at - last);
        last = at;
      }
      return gaps;
    },
    { step, count: FRAMES },
  );
  gaps.sort((a, b) => a - b);
  const at = (share: number) => (gaps[Math.floor(share * (gaps.length - 1))] as number).toFixed(1);
  return `median ${at(0.5)} ms, 95 % ${at(0.95)} ms, longest ${at(1)} ms a frame`;
}

/** The processes of this editor's extension hosts, newest first. */
function extensionHosts(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const command = read(`/proc/${pid}/cmdline`);
      return command.includes("--type=extensionHost") && read(`/proc/${pid}/environ`).includes(server.home);
    })
    .sort((a, b) => b - a);
}

function residentMegabytes(pid: number): number {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1]) / 1024);
}

/** Empty for a process that is gone meanwhile. */
function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}

function print(what: string, figure: string, value: string): void {
  process.stdout.write(`${what.padEnd(18)} ${figure.padEnd(44)} ${value}\n`);
}
