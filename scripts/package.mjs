// npm run package: the extension as VSIX files in dist/ (or in `--to FOLDER`). One for every platform, without the embedded model's
// program; and one each for the platforms that have a prebuilt llama.cpp, with it. `npm run package -- universal linux-x64`: only those.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { modernNode, must, root, say } from "./bootstrap.mjs";
import { buildAll } from "./build.mjs";

/**
 * A target of VS Code, and the prebuilt llama.cpp that goes in. CUDA (180 to 540 MB) stays out: who has such a card runs Ollama.
 */
const TARGETS = {
  universal: [],
  "linux-x64": ["linux-x64", "linux-x64-vulkan"],
  "linux-arm64": ["linux-arm64"],
  "darwin-arm64": ["mac-arm64-metal"],
  "darwin-x64": ["mac-x64"],
};

const modules = join(root, "node_modules");
const readJson = (file) => JSON.parse(readFileSync(file, "utf8"));
const { name, version } = readJson(join(root, "package.json"));
const lock = readJson(join(root, "package-lock.json"));

const { values, positionals: asked } = parseArgs({
  options: { to: { type: "string", default: join(root, "dist") } },
  allowPositionals: true,
});
const unknown = asked.filter((target) => !Object.hasOwn(TARGETS, target));
if (unknown.length > 0) {
  say(`${unknown.join(", ")}: unknown; there are ${Object.keys(TARGETS).join(", ")}`);
  process.exit(2);
}

const work = mkdtempSync(join(tmpdir(), "netwright-package-"));
process.on("exit", () => rmSync(work, { recursive: true, force: true }));
const staged = join(work, "extension");
mkdirSync(staged);
for (const file of ["package.json", "README.md", "CHANGELOG.md", "LICENSE", ".vscodeignore", "media", "python"]) {
  if (existsSync(join(root, file))) cpSync(join(root, file), join(staged, file), { recursive: true, filter: isSource });
}
const readme = join(staged, "README.md");
writeFileSync(readme, withoutFiles(readFileSync(readme, "utf8")));
const built = await buildAll({ minify: true, outdir: join(staged, "dist") });
const bundled = Object.values(built).flatMap(({ inputs }) => Object.keys(inputs));
const llama = await traceLlama();
mkdirSync(values.to, { recursive: true });
for (const target of asked.length > 0 ? asked : Object.keys(TARGETS)) await packageFor(target, TARGETS[target]);

/** Caches of Python tools hold thousands of files that the allow-list would drop anyway. */
function isSource(path) {
  return !/^(__pycache__|\..*_cache|tests|bench)$/.test(basename(path));
}

/**
 * The page that shows an extension's README loads nothing from the package, and its links lead to the web alone: pictures of the
 * repository are left out, and links into it become their text.
 */
function withoutFiles(markdown) {
  return markdown
    .replaceAll(/(:?)\n\n!\[[^\]]*\]\((?!https:)[^)]*\)/g, (_, colon) => (colon ? "." : ""))
    .replaceAll(/ \(\[picture\]\((?!https:)[^)]*\)\)/g, "")
    .replaceAll(/\[([^\]]*)\]\((?!https?:|#)[^)]*\)/g, "$1");
}

async function packageFor(target, prebuilt) {
  const embedded = join(staged, "dist", "node_modules");
  rmSync(embedded, { recursive: true, force: true });
  const packages = new Set(bundled.map(packageOf).filter(Boolean));
  if (prebuilt.length > 0) {
    for (const file of llama) copyModule(file, embedded);
    for (const file of llama) packages.add(packageOf(file));
    for (const each of prebuilt) copyPrebuilt(`@node-llama-cpp/${each}`, embedded);
  }
  writeFileSync(join(staged, "THIRD-PARTY-NOTICES.txt"), notices([...packages].sort()));
  const file = join(values.to, `${name}-${version}${target === "universal" ? "" : `-${target}`}.vsix`);
  const vsce = join(modules, "@vscode", "vsce", "vsce");
  // The repository is not public: there is nothing to rewrite links to.
  const options = ["--no-dependencies", "--allow-missing-repository", "--no-rewrite-relative-links", "--out", file];
  if (target !== "universal") options.push("--target", target);
  await must(modernNode(), [vsce, "package", ...options], { cwd: staged, stdout: process.stderr.fd });
  process.stdout.write(`${relative(process.cwd(), file)}  ${(statSync(file).size / 1e6).toFixed(1)} MB\n`);
}

/** The files of node-llama-cpp and of what it uses that can be reached when a prebuilt binary is loaded; paths relative to the root. */
async function traceLlama() {
  const own = join("node_modules", "node-llama-cpp");
  const { metafile } = await build({
    absWorkingDir: root,
    // The second is a program that it runs to try a binary.
    entryPoints: [join(own, "dist", "index.js"), join(own, "dist", "bindings", "utils", "testBindingBinary.js")],
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["@node-llama-cpp/*", "@reflink/*"],
    outdir: work,
    write: false,
    metafile: true,
    logLevel: "error",
  });
  const data = ["binariesGithubRelease.json", "llama.cpp.info.json"].map((file) => join(own, "llama", file));
  const files = [...Object.keys(metafile.inputs), ...data];
  return [...new Set(files.flatMap((file) => [file, ...manifestsOf(file)]))];
}

/** The package.json of a file's package, and those of folders within it, which say how their modules are to be read. */
function manifestsOf(file) {
  const found = [];
  for (let dir = dirname(file); ; dir = dirname(dir)) {
    if (existsSync(join(root, dir, "package.json"))) found.push(join(dir, "package.json"));
    if (dir === packageOf(file)) return found;
  }
}

/** "../node_modules/a/node_modules/@b/c/d.js" -> "node_modules/a/node_modules/@b/c"; null for a file of ours. */
function packageOf(file) {
  return /node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? null;
}

function copyModule(file, to) {
  cpSync(join(root, file), join(to, relative("node_modules", file)));
}

/** From node_modules, where npm put those of this machine; else fetched, and held against the lock file. */
function copyPrebuilt(prebuilt, to) {
  const installed = join(modules, prebuilt);
  if (existsSync(installed)) {
    cpSync(installed, join(to, prebuilt), { recursive: true });
    return;
  }
  const locked = lock.packages[`node_modules/${prebuilt}`];
  const folder = mkdtempSync(join(work, "prebuilt-"));
  say(`Fetching ${prebuilt} ${locked.version} ...`);
  execFileSync("npm", ["pack", `${prebuilt}@${locked.version}`, "--silent", "--pack-destination", folder], {
    cwd: work,
  });
  const [archive] = readdirSync(folder);
  const digest = createHash("sha512")
    .update(readFileSync(join(folder, archive)))
    .digest("base64");
  if (`sha512-${digest}` !== locked.integrity) throw new Error(`${prebuilt} is not what package-lock.json names`);
  execFileSync("tar", ["-xzf", archive], { cwd: folder });
  mkdirSync(dirname(join(to, prebuilt)), { recursive: true });
  cpSync(join(folder, "package"), join(to, prebuilt), { recursive: true });
}

/** The licences of what is bundled. */
function notices(packages) {
  const parts = packages.map((folder) => {
    const { name, version, license } = readJson(join(root, folder, "package.json"));
    const text = readdirSync(join(root, folder))
      .filter((file) => /^(licen[cs]e|copying)/i.test(file))
      .map((file) => readFileSync(join(root, folder, file), "utf8").trim());
    return [`${name} ${version} (${license})`, ...text].join("\n\n");
  });
  return `${["Netwright contains these packages.", ...parts].join(`\n\n${"-".repeat(80)}\n\n`)}\n`;
}
