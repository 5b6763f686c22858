import { resolve } from "node:path";
import { defineConfig } from "vitest/config";

/** Tests in a real editor: one at a time, each file with an editor of its own. `npm run test:e2e` */
export default defineConfig({
  root: resolve(import.meta.dirname, "../.."),
  test: {
    include: ["tests/e2e/*.e2e.ts"],
    globalSetup: ["tests/support/notes.ts", "tests/e2e/support/setup.ts"],
    pool: "forks",
    fileParallelism: false,
    // A busy two-core machine opens a window in half a minute and runs a cycle in five: what hangs is ended by these, nothing else.
    testTimeout: 1_200_000,
    hookTimeout: 600_000,
    expect: { poll: { timeout: 120_000, interval: 200 } },
  },
});
