// npm test: installs what is missing, then runs every check and test and sums them up. A step that fails does not hide what a later one finds.
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { ensureBuilt, ensureModules, modernNode, root, run, say } from "./bootstrap.mjs";

await ensureModules();
await ensureBuilt();
const reports = mkdtempSync(join(tmpdir(), "netwright-test-"));
process.on("exit", () => rmSync(reports, { recursive: true, force: true }));

const python = await testPython();
const bin = join(root, "node_modules", ".bin");
const env = {
  ...process.env,
  PATH: [bin, dirname(modernNode()), process.env.PATH].join(delimiter),
  NETWRIGHT_TEST_PYTHON: python,
  // The worker runs in the same environment.
  NETWRIGHT_WORKER_PYTHON: python,
  // Spinning threads of two processes on the same cores slow each other down tenfold.
  OMP_WAIT_POLICY: "PASSIVE",
};
const inPython = { env, cwd: join(root, "python") };
const tool = (name) => join(dirname(python), name);

/** The counts of a step: null for a check, which has none. */
const steps = [
  {
    title: "Format and lint (Biome)",
    command: ["biome", "ci", ...(process.stdout.isTTY ? [] : ["--colors=off"]), "."],
  },
  { title: "Types (tsc)", command: ["tsc", "--noEmit"] },
  { title: "Types of the webviews (tsc)", command: ["tsc", "-p", "webview", "--noEmit"] },
  { title: "Lint (ruff)", command: [tool("ruff"), "check"], options: inPython },
  { title: "Format (ruff)", command: [tool("ruff"), "format", "--check"], options: inPython },
  { title: "Types (mypy)", command: [tool("mypy")], options: inPython },
  {
    title: "Python tests (pytest)",
    command: [tool("pytest"), `--junitxml=${join(reports, "pytest.xml")}`],
    options: inPython,
    counts: () => pytestCounts(readFileSync(join(reports, "pytest.xml"), "utf8")),
  },
  vitest("Tests (vitest)", "vitest"),
  vitest("Tests in a real editor (vitest)", "editor", "--config=tests/e2e/vitest.config.ts"),
];

// Read while the steps below run, so they stand before them.
const ENTITIES = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&", "#10": "\n" };
const decoded = (xml) => xml.replaceAll(/&(#10|\w+);/g, (whole, name) => ENTITIES[name] ?? whole);

const total = { passed: 0, failed: 0, skipped: 0 };
const summary = [];
/** What failed, a line each: said last, where a log that is cut off still shows it. */
const failures = [];
let exitCode = 0;
let interrupted = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => (interrupted = true));
for (const { title, command, options = { env }, counts } of steps) {
  if (interrupted) {
    summary.push(`not run  ${title}`);
    continue;
  }
  process.stdout.write(`\n== ${title}\n`);
  const started = performance.now();
  const code = await run(command[0], command.slice(1), options);
  if (code !== 0) exitCode = code;
  const found = readCounts(counts);
  // A check that fails, or a runner that breaks outside its tests, counts as one failure.
  if (code !== 0 && found.failed === 0) found.failed = 1;
  for (const key of Object.keys(total)) total[key] += found[key];
  failures.push(...(found.failures ?? []));
  const seconds = Math.round((performance.now() - started) / 1000);
  const figures = counts ? `: ${found.passed} passed, ${found.failed} failed, ${found.skipped} skipped` : "";
  summary.push(`${code === 0 ? "ok     " : "FAILED "}  ${title}${figures} (${seconds} s)`);
}
process.stdout.write(`\n== Summary\n${summary.join("\n")}\n\n`);
if (failures.length > 0) process.stdout.write(`${failures.join("\n")}\n\n`);
process.stdout.write(
  `${total.passed} passed, ${total.failed} failed${total.skipped ? `, ${total.skipped} skipped` : ""}\n`,
);
process.exitCode = exitCode;

/** Makes the Python environment for tests and returns its interpreter. */
async function testPython() {
  const answer = join(reports, "python");
  const code = await run(
    modernNode(),
    ["--experimental-strip-types", "--disable-warning=ExperimentalWarning", "tests/support/install-python.ts"],
    { stdout: openSync(answer, "w") },
  );
  if (code !== 0) {
    say("\n0 passed, 1 failed");
    process.exit(code);
  }
  return readFileSync(answer, "utf8").trim();
}

function readCounts(counts) {
  try {
    return counts?.() ?? { passed: 0, failed: 0, skipped: 0 };
  } catch {
    // The runner ended before it wrote its report; its exit code tells.
    return { passed: 0, failed: 0, skipped: 0 };
  }
}

function pytestCounts(xml) {
  const figure = (name) => Number(new RegExp(`<testsuite [^>]*\\b${name}="(\\d+)"`).exec(xml)?.[1]);
  const failed = figure("errors") + figure("failures");
  const skipped = figure("skipped");
  const cases = xml.matchAll(/<testcase classname="([^"]*)" name="([^"]*)"[^>]*><(?:failure|error) message="([^"]*)"/g);
  const failures = Array.from(cases, ([, file, name, said]) => failureLine(`${file}: ${name}`, decoded(said)));
  return { passed: figure("tests") - failed - skipped, failed, skipped, failures };
}

function vitest(title, name, ...args) {
  const report = join(reports, `${name}.json`);
  return {
    title,
    command: ["vitest", "run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`, ...args],
    counts: () => vitestCounts(JSON.parse(readFileSync(report, "utf8"))),
  };
}

function vitestCounts({ numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults }) {
  const failures = testResults.flatMap(({ name, message, assertionResults }) => {
    const file = relative(root, name);
    const failed = assertionResults.filter(({ status }) => status === "failed");
    // A file may fail outside its tests.
    if (failed.length === 0) return message ? [failureLine(file, message)] : [];
    return failed.map(({ fullName, failureMessages }) => failureLine(`${file}: ${fullName}`, failureMessages[0] ?? ""));
  });
  return { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests + numTodoTests, failures };
}

/** The test, and the first lines of what it said. */
function failureLine(test, said) {
  const plain = stripVTControlCharacters(said)
    .trim()
    .split(/\s*\n\s*/)
    .slice(0, 3)
    .join(" | ");
  return `FAILED   ${test}\n         ${plain.slice(0, 300)}`;
}
