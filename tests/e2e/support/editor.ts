/** What tests start from: an editor for a file's tests, and its windows, which are closed after each test. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, inject } from "vitest";
import { modelForTests, pythonForTests } from "../../support/parts.ts";
import { EditorServer, type ServerOptions } from "./server.ts";
import type { Workbench } from "./workbench.ts";

/** The editor's parts, with a worker; null where one is missing. */
export const parts = inject("editor");
export const python = parts && pythonForTests();
export const model = parts && modelForTests();

export interface Editor {
  /** A new empty folder under the editor's home. */
  folder(name: string): string;
  /** A window on a folder; null: on none. */
  open(folder: string | null, look?: { width?: number; height?: number }): Promise<Workbench>;
  server(): EditorServer;
}

/** Starts an editor before the file's tests, and ends it after them. */
export function useEditor(options: Partial<ServerOptions> = {}): Editor {
  let server: EditorServer | null = null;
  const windows: Workbench[] = [];
  const running = () => {
    if (!server) throw new Error("the editor is not running");
    return server;
  };
  beforeAll(async () => {
    if (!parts) return;
    const env = python ? { NETWRIGHT_WORKER_PYTHON: python } : {};
    server = await EditorServer.start({ ...parts, ...options, env: { ...env, ...options.env } });
  });
  // Whatever a test did: no error of the extension's pages, and no breach of their policy.
  afterEach(async ({ task }) => {
    const closed = windows.splice(0);
    for (const window of closed) {
      if (task.result?.state === "fail") await window.screenshot(`failed ${task.name}`).catch(() => undefined);
      await window.close();
    }
    expect(closed.flatMap(({ errors }) => errors)).toEqual([]);
  });
  afterAll(async () => {
    await server?.close();
  });
  return {
    folder(name) {
      const dir = join(running().home, "work", name);
      mkdirSync(dir, { recursive: true });
      return dir;
    },
    async open(folder, look) {
      const window = await running().open(folder, look);
      windows.push(window);
      return window;
    },
    server: running,
  };
}
