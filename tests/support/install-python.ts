/** Makes the Python environment for tests and checks in the data home, and prints its interpreter's path. */
import { resolve } from "node:path";
import { netwrightHome, pythonPackage } from "../../src/engine/paths.ts";
import { UserError } from "../../src/study/ports.ts";
import { ensureEnvironment } from "../../src/trainer/environment.ts";

const cancelled = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => cancelled.abort());
let last = "";
try {
  const python = await ensureEnvironment(
    {
      name: "the Python environment for tests",
      folder: resolve(netwrightHome(), "python-test"),
      packageDir: pythonPackage,
      requirements: ["requirements.txt", "requirements-test.txt", "requirements-test-nodeps.txt"],
      imports: ["torch", "numpy", "PIL", "sklearn", "datasketch"],
      bytes: 6e9,
    },
    ({ what }) => {
      if (what !== last) process.stderr.write(`${what} ...\n`);
      last = what;
    },
    cancelled.signal,
  );
  process.stdout.write(`${python}\n`);
} catch (error) {
  process.stderr.write(`${error instanceof UserError ? error.message : (error as Error).stack}\n`);
  process.exitCode = cancelled.signal.aborted ? 130 : 1;
}
