/** One editor with a profile of its own and the packed extension installed, and the browser that shows it. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { type Browser, chromium } from "playwright-core";
import { freePort } from "../../support/ports.ts";
import { CHROMIUM_ARGUMENTS } from "../../webview/page.ts";
import { writesLogs } from "./code-server.ts";
import { Workbench } from "./workbench.ts";

const SETTINGS = {
  "workbench.startupEditor": "none",
  "workbench.enableExperiments": false,
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "chat.disableAIFeatures": true,
  "extensions.autoUpdate": false,
  "extensions.autoCheckUpdates": false,
  "extensions.ignoreRecommendations": true,
  "telemetry.telemetryLevel": "off",
  "update.mode": "none",
  "security.workspace.trust.startupPrompt": "never",
  // Native dialogs of the browser cannot be driven.
  "files.simpleDialog.enable": true,
  "window.confirmBeforeClose": "never",
};

export interface ServerOptions {
  /** code-server's entry, a Chromium, the packed extension. */
  entry: string;
  browser: string;
  vsix: string;
  /** Ask for trust, as the desktop does. Off: every folder is trusted. */
  trust?: boolean;
  /** As a user whom modes hold: root may write everywhere, unless it gives that right up. */
  unprivileged?: boolean;
  settings?: Record<string, unknown>;
  env?: Record<string, string>;
}

export class EditorServer {
  /** Everything of this editor: profile, pipes, and folders for tests. */
  readonly home: string;
  readonly #process: ChildProcess;
  readonly #browser: Browser;
  readonly #address: string;
  readonly #writesLogs: boolean;

  private constructor(home: string, process: ChildProcess, browser: Browser, address: string, writesLogs: boolean) {
    this.home = home;
    this.#process = process;
    this.#browser = browser;
    this.#address = address;
    this.#writesLogs = writesLogs;
  }

  static async start(options: ServerOptions): Promise<EditorServer> {
    // Short: a pipe's path has 107 bytes at most.
    const home = mkdtempSync(join(tmpdir(), "nw-"));
    const folder = (name: string) => {
      mkdirSync(join(home, name), { recursive: true, mode: 0o700 });
      return join(home, name);
    };
    const profile = ["--user-data-dir", folder("user"), "--extensions-dir", folder("extensions")];
    mkdirSync(join(home, "user", "User"), { recursive: true });
    writeFileSync(join(home, "user", "User", "settings.json"), JSON.stringify({ ...SETTINGS, ...options.settings }));
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      XDG_CONFIG_HOME: folder("config"),
      XDG_RUNTIME_DIR: folder("run"),
      OMP_WAIT_POLICY: "PASSIVE",
      // Else it asks the login shell for an environment of its own.
      VSCODE_CLI: "1",
      ...options.env,
    };
    // Of an editor that these tests may have been started from.
    delete env.VSCODE_IPC_HOOK_CLI;
    await promisify(execFile)(process.execPath, [options.entry, ...profile, "--install-extension", options.vsix], {
      env,
    });
    const port = await freePort();
    const asUser =
      options.unprivileged && process.getuid?.() === 0 ? ["setpriv", "--bounding-set=-dac_override", "--"] : [];
    const [command = "", ...before] = [...asUser, process.execPath];
    const child = spawn(
      command,
      [
        ...[...before, options.entry, ...profile, "--auth", "none", "--bind-addr", `127.0.0.1:${port}`],
        ...(options.trust ? [] : ["--disable-workspace-trust"]),
        ...["--disable-telemetry", "--disable-update-check", "--disable-getting-started-override"],
        ...["--reconnection-grace-time", "30"],
      ],
      { env, stdio: ["ignore", "pipe", "pipe"], detached: true },
    );
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        said = (said + text).slice(-20_000);
      });
    }
    const address = `http://127.0.0.1:${port}`;
    while (!(await answers(`${address}/healthz`))) {
      if (child.exitCode !== null) throw new Error(`code-server ended with exit code ${child.exitCode}:\n${said}`);
      await delay(200);
    }
    const browser = await chromium.launch({
      executablePath: options.browser,
      args: [...CHROMIUM_ARGUMENTS, "--disable-quic", "--disable-sync"],
    });
    return new EditorServer(home, child, browser, address, writesLogs(options.entry));
  }

  /** A window on a folder (null: on none), in a browser context of its own. */
  async open(folder: string | null, look: { width?: number; height?: number } = {}): Promise<Workbench> {
    const { width = 1280, height = 800 } = look;
    const context = await this.#browser.newContext({
      viewport: { width, height },
      permissions: ["clipboard-read", "clipboard-write"],
    });
    const page = await context.newPage();
    const query = folder === null ? "?ew=true" : `?folder=${encodeURI(folder)}`;
    return Workbench.open(page, `${this.#address}/${query}`);
  }

  /** The lines of the extension's log, of all windows; null where the editor writes none, for want of a compiler for its helper. */
  log(): string | null {
    if (!this.#writesLogs) return null;
    return globSync(join(this.home, "user", "logs", "*", "exthost*", "**", "*Netwright*.log"))
      .sort()
      .map((file) => readFileSync(file, "utf8"))
      .join("");
  }

  async close(): Promise<void> {
    await this.#browser.close();
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    kill(-(this.#process.pid as number), "SIGTERM");
    await ended;
    for (const pid of this.engines()) kill(pid, "SIGTERM");
    while (this.engines().length > 0) await delay(100);
    rmSync(this.home, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }

  /** The processes of the engines of studies under this editor's home. */
  engines(): number[] {
    return globSync(join(this.home, "**", ".netwright", "engine.pid"), { exclude: ["user", "extensions"] })
      .map((file) => Number(readFileSync(file, "utf8")))
      .filter(isAlive);
  }
}

export function enginePid(study: string): number | null {
  const file = join(study, ".netwright", "engine.pid");
  const pid = existsSync(file) ? Number(readFileSync(file, "utf8")) : 0;
  return pid > 0 && isAlive(pid) ? pid : null;
}

function isAlive(pid: number): boolean {
  return kill(pid, 0);
}

function kill(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

async function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    (response) => response.ok,
    () => false,
  );
}
