/** The rules of the house (docs/architecture.md): who may import whom, and what tracked files must not say. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "..");

interface Import {
  /** Both relative to src/, or "webview/..."; `to` is a package's specifier where it is not a file of ours. */
  from: string;
  to: string;
  ours: boolean;
  /** `import type` or `export type`: gone at run time. */
  typeOnly: boolean;
}

/** Every module a source names: static and dynamic imports, re-exports, and imports of types alone. */
function specifiers(code: string): { specifier: string; typeOnly: boolean }[] {
  const statements = code.matchAll(
    /^(?:import|export)\s(?<type>type\s)?(?:[^;"']*?\sfrom\s)?["'](?<specifier>[^"']+)["']/gm,
  );
  const calls = code.matchAll(/\bimport\(\s*["'](?<specifier>[^"']+)["']/g);
  return [...statements, ...calls].map((match) => ({
    specifier: match.groups?.specifier as string,
    typeOnly: match.groups?.type !== undefined,
  }));
}

const place = (file: string) => relative(root, file).replace(/^src\//, "");

function importsOf(file: string): Import[] {
  return specifiers(readFileSync(file, "utf8")).map(({ specifier, typeOnly }) => {
    const ours = specifier.startsWith(".");
    return { from: place(file), to: ours ? place(resolve(dirname(file), specifier)) : specifier, ours, typeOnly };
  });
}

const files = ["src", "webview"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(root, folder, name)),
);
const imports = files.flatMap(importsOf);
/** "designer/ollama.ts" -> "designer"; "cli.ts" -> "cli". */
const area = (path: string) => path.split("/")[0]?.replace(/\.ts$/, "") as string;
const say = ({ from, to }: Import) => `${from} imports ${to}`;

describe("arrows", () => {
  /** The areas of ours that each may import, besides itself. */
  const allowed: Record<string, string[]> = {
    study: [],
    designer: ["study"],
    novelty: ["study"],
    trainer: ["study"],
    tuner: ["study"],
    store: ["study"],
    report: ["study"],
    engine: ["study", "designer", "novelty", "trainer", "tuner", "store", "report"],
    cli: ["study", "engine"],
    editor: ["study", "engine", "webview"],
    extension: ["editor"],
    webview: ["study"],
  };
  /** What may cross besides, and why. */
  const exceptions = ({ from, to, typeOnly }: Import) =>
    // A client shows what the engine hands it, in the types of the part it came from.
    typeOnly && (area(from) === "cli" || (area(from) === "webview" && area(to) === "engine"));

  it("reads every form of import", () => {
    const code = [
      'import { a } from "./a.ts";',
      'import type { B } from "./b.ts";',
      'import {\n  c,\n  d,\n} from "./c.ts";',
      'import "./d.ts";',
      'export * from "./e.ts";',
      'export type { F } from "./f.ts";',
      'const g = await import("./g.ts");',
      'const text = "import nothing from here";',
    ].join("\n");
    const found = specifiers(code).map(
      ({ specifier, typeOnly }) => `${specifier.slice(2, 3)}${typeOnly ? " type" : ""}`,
    );
    expect(found.sort()).toEqual(["a", "b type", "c", "d", "e", "f type", "g"]);
    expect(imports.length).toBeGreaterThan(files.length);
  });

  it("every area has its rule", () => {
    expect([...new Set(files.map((file) => area(place(file))))].filter((name) => !(name in allowed))).toEqual([]);
  });

  it("go one way", () => {
    const wrong = imports.filter((link) => {
      const [from, to] = [area(link.from), area(link.to)];
      return link.ours && from !== to && !allowed[from]?.includes(to) && !exceptions(link);
    });
    expect(wrong.map(say)).toEqual([]);
  });

  it("between editor and webview pass through webview/shared", () => {
    const wrong = imports.filter(({ from, to }) => area(from) === "editor" && /^webview\/(?!shared\/)/.test(to));
    expect(wrong.map(say)).toEqual([]);
  });

  it("study/ does no I/O: it imports nothing but zod", () => {
    const wrong = imports.filter(({ from, to, ours }) => area(from) === "study" && !ours && to !== "zod");
    expect(wrong.map(say)).toEqual([]);
  });

  it("only editor/ and the extension's entry import vscode", () => {
    const wrong = imports.filter(({ from, to }) => to === "vscode" && !["editor", "extension"].includes(area(from)));
    expect(wrong.map(say)).toEqual([]);
  });

  it("form no cycles between files", () => {
    expect(cycles(imports.filter(({ ours }) => ours))).toEqual([]);
  });

  it("finds a cycle where there is one", () => {
    const link = (from: string, to: string) => ({ from, to, ours: true, typeOnly: false });
    expect(cycles([link("a", "b"), link("b", "c"), link("c", "b"), link("a", "c")])).toEqual(["b -> c -> b"]);
  });
});

/** The cycles that a depth-first walk closes, each as "a -> b -> a". */
function cycles(links: Import[]): string[] {
  const targets = Map.groupBy(links, ({ from }) => from);
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (file: string, path: string[]) => {
    const start = path.indexOf(file);
    if (start >= 0) found.push([...path.slice(start), file].join(" -> "));
    if (start >= 0 || done.has(file)) return;
    for (const { to } of targets.get(file) ?? []) visit(to, [...path, file]);
    done.add(file);
  };
  for (const file of targets.keys()) visit(file, []);
  return found;
}

describe("tracked files", () => {
  const git = (...args: string[]) => execFileSync("git", args, { cwd: root, encoding: "utf8" });
  const texts = git("ls-files", "--cached", "--others", "--exclude-standard", "-z")
    .split("\0")
    .filter((name) => existsSync(join(root, name)))
    .filter((name) => /\.(ts|mjs|js|json|py|toml|md|txt|in|sh|yml|yaml)$|^\.ci\/run$|^\.npmrc$/.test(name));
  const containing = (pattern: RegExp) => texts.filter((name) => pattern.test(readFileSync(join(root, name), "utf8")));

  it("name no path of the machine they were written on", () => {
    const escaped = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
    // These hold every checkout or every user's files: their names say nothing of this machine.
    const machine = [dirname(root), homedir()].filter((path) => !["/", "/home", "/tmp", "/Users"].includes(path));
    const paths = machine.map((path) => `${escaped(path)}/`).join("|") || "(?!)";
    expect(containing(new RegExp(`(^|[\\s"'\`(=:])(${paths})`, "m"))).toEqual([]);
  });

  it("name no package registry's host", () => {
    // Written in parts, so that this file does not match itself.
    const hosts = [
      ["registry", "npmjs", "org"],
      ["files", "pythonhosted", "org"],
      ["pypi", "org"],
      ["deb", "debian", "org"],
    ];
    expect(containing(new RegExp(hosts.map((parts) => parts.join("\\.")).join("|")))).toEqual([]);
  });

  it("record no download addresses in the lock files", () => {
    expect(readFileSync(join(root, "package-lock.json"), "utf8")).not.toContain('"resolved"');
    const locks = texts.filter((name) => /requirements.*\.txt$/.test(name));
    expect(locks.length).toBeGreaterThanOrEqual(3);
    for (const name of locks)
      expect(readFileSync(join(root, name), "utf8")).not.toMatch(/^--(index|extra|find)|:\/\//m);
  });
});
