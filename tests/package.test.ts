/** What is packed: a small extension, and no more than the allow-list names. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "..");

describe("the packed extension", () => {
  const folder = mkdtempSync(join(tmpdir(), "netwright-packed-"));
  const packed = join(folder, "extension");
  let files: string[];

  beforeAll(() => {
    const said = execFileSync(process.execPath, ["scripts/package.mjs", "--to", folder, "universal"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    const file = said.split("  ")[0] as string;
    // A VSIX is a zip; Python is needed for the rest anyway.
    execFileSync("python3", ["-m", "zipfile", "-e", file, folder]);
    files = execFileSync("python3", ["-m", "zipfile", "-l", file], { encoding: "utf8" })
      .split("\n")
      .slice(1)
      .map((line) => line.split(/\s/)[0] as string)
      .filter((name) => name.startsWith("extension/"))
      .map((name) => name.slice("extension/".length));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it("imports in the extension host nothing but the editor and Node", () => {
    const code = readFileSync(join(packed, "dist", "extension.cjs"), "utf8");
    const imported = [...code.matchAll(/(?:\bfrom|\bimport)\s*\(?"([^"]+)"/g)].map(([, name]) => name as string);
    const required = [...code.matchAll(/\brequire\("([^"]+)"\)/g)].map(([, name]) => name as string);
    expect(required).toContain("vscode");
    expect([...imported, ...required].filter((name) => name !== "vscode" && !isBuiltin(name))).toEqual([]);
    // zod, the store and the model's client would each be more than what is left.
    expect(statSync(join(packed, "dist", "extension.cjs")).size).toBeLessThan(150_000);
    expect(code).not.toMatch(/ZodObject|node:sqlite/);
  });

  it("has what runs, and neither sources nor maps nor caches", () => {
    for (const name of ["extension.cjs", "cli.js", "engine.js", "llama.js"]) expect(files).toContain(`dist/${name}`);
    expect(files).toEqual(
      expect.arrayContaining([
        "dist/netwright.schema.json",
        "dist/webview/panel.js",
        "dist/webview/codicon.ttf",
        "media/netwright.svg",
        "python/netwright/worker.py",
        "python/requirements.txt",
        "python/requirements-installer.txt",
        "python/seeds/PlainConv.py",
        "THIRD-PARTY-NOTICES.txt",
      ]),
    );
    expect(files.filter((name) => /\.(ts|map|pyc|mjs)$|^(src|tests|scripts|docs)\/|node_modules/.test(name))).toEqual(
      [],
    );
  });

  it("has a README whose pictures and links all lead somewhere", () => {
    const readme = readFileSync(join(packed, "readme.md"), "utf8");
    const source = readFileSync(join(root, "README.md"), "utf8");
    expect(readme.match(/^#+ .*$/gm)).toEqual(source.match(/^#+ .*$/gm));
    const targets = (text: string) => [...text.matchAll(/\]\(([^)]*)\)/g)].map(([, target]) => target as string);
    expect(targets(readme)).toEqual(targets(source).filter((target) => target.startsWith("https:")));
    expect(readme).not.toMatch(/!\[|:\n\n\n/);
  });

  it("says that the embedded model cannot run where its program is not packed, and what to do", () => {
    // Nothing listens there, and nothing is installed.
    const env = { ...process.env, OLLAMA_HOST: "127.0.0.1:9", NETWRIGHT_HOME: join(folder, "home") };
    const doctor = spawnSync(process.execPath, [join(packed, "dist", "cli.js"), "doctor", "--json"], {
      cwd: folder,
      env,
      encoding: "utf8",
    });
    expect(doctor.status, doctor.stderr).toBe(1);
    const findings = JSON.parse(doctor.stdout) as { what: string; state: string; remedy: string | null }[];
    const designer = findings.find(({ what }) => what === "Designer");
    expect(designer?.state).toBe("missing");
    expect(designer?.remedy).toMatch(/ollama pull .*or install the Netwright package for/);
  });

  it("contributes nothing that it does not have", () => {
    const manifest = readFileSync(join(packed, "package.json"), "utf8");
    const code = readFileSync(join(root, "src", "editor", "commands.ts"), "utf8");
    const { contributes } = JSON.parse(manifest) as { contributes: { commands: { command: string }[] } };
    for (const { command } of contributes.commands) {
      expect(code).toMatch(new RegExp(`\\b${command.replace("netwright.", "")}: \\(`));
    }
    const named = [...manifest.matchAll(/"(media\/[^"]+)"/g)].map(([, file]) => file as string);
    expect(named.filter((file) => !files.includes(file))).toEqual([]);
  });
});

function isBuiltin(name: string): boolean {
  return name.startsWith("node:") || ["crypto", "fs", "net", "os", "path", "util", "child_process"].includes(name);
}
