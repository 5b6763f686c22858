/** Reports of real records: the figures, the page in its forms, and what cannot break out of it. */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeReport } from "../../src/engine/report.ts";
import type { Study } from "../../src/engine/study.ts";
import { wilson } from "../../src/report/format.ts";
import type { JsonReport } from "../../src/report/json.ts";
import { visible } from "../../src/report/markup.ts";
import { openStore } from "../../src/store/store.ts";
import { protocolOf } from "../../src/study/config.ts";
import {
  addFailed,
  addNet,
  beginCycle,
  folder,
  hostileStudy,
  makeStudy,
  tellingStudy,
  untunedStudy,
} from "./studies.ts";

function written(study: Study, untuned: string | null = null) {
  const dir = folder();
  const { files } = writeReport(study, dir, untuned);
  const read = (name: string) => readFileSync(join(dir, name), "utf8");
  expect(files).toEqual(["report.html", "report.md", "report.json"].map((name) => join(dir, name)));
  expect(readdirSync(dir).sort()).toEqual(["report.html", "report.json", "report.md"]);
  const json = JSON.parse(read("report.json")) as JsonReport;
  return { html: read("report.html"), markdown: read("report.md"), json };
}

/** An HTML page's text, cell by cell. */
const words = (html: string) => html.replaceAll(/<[^>]*>/g, " ").replaceAll(/\s+/g, " ");

describe("report.json", () => {
  it("has the figures of each cycle", () => {
    const { study } = tellingStudy();
    const { json } = written(study);
    expect(json.protocol).toEqual(protocolOf(study.config));
    expect(json.designer).toEqual({
      models: ["qwen2.5-coder-1.5b"],
      modes: ["delta", "full"],
      sampling: [{ temperature: 0.8, topP: 0.95, minP: 0.05, maxTokens: 1024 }],
      exemplars: 1,
      repair: true,
    });
    const shared = { accepted: 1 };
    expect(json.cycles).toEqual([
      // Of six: one new, one with the seed's structure, one at chance, three broken.
      {
        cycle: 1,
        candidates: 6,
        valid: 2,
        newAndValid: 1,
        meanAccuracy: 0.46,
        bestAccuracy: 0.46,
        atLeastThreshold: 1,
        newStructures: 1,
        generation: 0,
        ...shared,
      },
      // Of five valid ones: twins, one with the structure of cycle 1's failure, two of their own.
      {
        cycle: 2,
        candidates: 5,
        valid: 5,
        newAndValid: 3,
        meanAccuracy: 0.4,
        bestAccuracy: 0.52,
        atLeastThreshold: 2,
        newStructures: 3,
        generation: 1,
        ...shared,
      },
    ]);
    expect(json.untuned).toBeNull();
    expect(Object.keys(json)).toEqual(["protocol", "designer", "cycles", "untuned"]);
  });

  it("has those of the untuned study beside them", () => {
    const { json } = written(tellingStudy().study, untunedStudy().dir);
    expect(
      json.untuned?.map(({ cycle, candidates, valid, meanAccuracy, generation }) => [
        cycle,
        candidates,
        valid,
        meanAccuracy,
        generation,
      ]),
    ).toEqual([
      [1, 2, 2, 0.355, 0],
      [2, 2, 1, 0.45, 0],
    ]);
    expect(json.untuned?.map((row) => row.atLeastThreshold)).toEqual([1, 1]);
    expect(Object.keys(json.untuned?.[0] ?? {})).toEqual(Object.keys(json.cycles[0] ?? {}));
  });

  it("is the same for the same record", () => {
    const { study } = tellingStudy();
    expect(written(study)).toEqual(written(study));
  });
});

describe("the page", () => {
  it("says what the figures stand under, and that they are not the paper's", () => {
    const { html, markdown } = written(tellingStudy().study);
    for (const text of [words(html), markdown]) {
      expect(text).toContain("CIFAR-10");
      expect(text).toContain("10,000");
      expect(text).toMatch(/are a reference, not a comparison/);
      expect(text).toContain("training images: 10,000, not all");
      expect(text).toContain("batch: 64 images, not 16 images");
      expect(text).toContain("base model (cycle 1); generation 1 (cycle 2)");
      expect(text).toContain("temperature 0.8");
      expect(text).toContain("50.6 % on average, 74.5 % at best");
      expect(text).toContain("28.1 % → 51.0 %");
    }
  });

  it("says that figures are comparable where the protocol is the paper's", () => {
    const study = makeStudy("published", { protocol: { name: "paper", batch: 16 } });
    beginCycle(study.store, 1);
    addNet(study, { cycle: 1, name: "published_c1_01", width: 8, accuracy: 0.5 });
    expect(written(study).html).toContain("its figures are comparable");
  });

  it("counts figures that were measured under another protocol", () => {
    const study = makeStudy("changed");
    beginCycle(study.store, 2);
    addNet(study, { cycle: 1, name: "changed_c1_01", width: 8, accuracy: 0.5 });
    expect(written(study).html).not.toContain("another protocol:");
    addNet(study, {
      cycle: 1,
      name: "changed_c1_02",
      width: 9,
      accuracy: 0.6,
      protocol: { ...protocolOf(study.config), epochs: 2 },
    });
    expect(written(study).html).toContain("1 figure in this report was measured under another protocol");
  });

  it("shows each generation: what it was tuned on, its loss, its probe, its worth", () => {
    const { html, markdown } = written(tellingStudy().study);
    for (const text of [words(html), markdown]) {
      expect(text).toMatch(/1 accepted net of the cycles up to 1: 22 examples, 3 held out/);
      expect(text).toContain(
        "rank 16, alpha 32, dropout 0.05, learning rate 0.0002, at most 3 epochs, 4 examples a step",
      );
      expect(text).toContain("new and valid: 5 of 8, its parent 2 of 8 (valid: 7, its parent 4)");
      expect(text).toContain("100 tokens per second");
      expect(text).toContain("18.0 MiB");
      expect(text).toContain("telling:g1");
    }
    expect(html).toContain("<title>Step 5, Held out: 0.58</title>");
  });

  it("shows accepted nets best first, with their lineage back to a seed and their code", () => {
    const { study, ids } = tellingStudy();
    const { html, markdown } = written(study);
    const places = [ids.grandchild, ids.child, ids.seed].map((id) => html.indexOf(`id="net-${id}"`));
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(places.every((place) => place > 0)).toBe(true);
    expect(html).toContain(
      `<dt>Lineage</dt><dd><a href="#net-${ids.child}">telling_c1_01</a> (46.0 %) ← <a href="#net-${ids.seed}">ResidualNet</a> (a seed, 44.0 %)</dd>`,
    );
    expect(html).toContain("<code>class Net:\n    width = 16\n</code>");
    expect(markdown).toContain(`[telling_c1_01](#net-${ids.child})`);
    expect(markdown).toContain("```python\nclass Net:\n    width = 16\n```");
    expect(html).not.toContain(`id="net-${ids.twin}"`);
  });

  it("links to nothing that is not there", () => {
    const { html, markdown } = written(tellingStudy().study, untunedStudy().dir);
    const targets = new Set([...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id));
    const links = [...html.matchAll(/ (?:href="#|aria-labelledby=")([^"]+)"/g)].flatMap(
      ([, id]) => id?.split(" ") ?? [],
    );
    expect(links.length).toBeGreaterThan(10);
    expect(links.filter((id) => !targets.has(id))).toEqual([]);
    const anchors = new Set([...markdown.matchAll(/<a id="([^"]+)">/g)].map(([, id]) => id));
    expect(
      [...markdown.matchAll(/\]\(#([^)]+)\)/g)].map(([, id]) => id).filter((id) => !anchors.has(id ?? "")),
    ).toEqual([]);
    expect(targets.size).toBe([...html.matchAll(/ id="/g)].length);
  });

  it("says what failed, with the message that most of them gave, and why nets were rejected", () => {
    const { html, markdown } = written(tellingStudy().study);
    expect(words(html)).toMatch(
      /forward 3 \(27\.3 %\) Failed on a batch of images shapes differ \(telling_c1_05 and 1 more\)/,
    );
    expect(words(html)).toMatch(/chance 1 \(9\.1 %\)/);
    expect(words(html)).toContain(
      "3 valid nets had a structure that was known. 1 were asked for a repair, 1 of them became valid.",
    );
    expect(words(html)).toMatch(/telling_c2_02 valid – by its user the same again/);
    expect(markdown).toContain("| forward | 3 (27.3 %) |");
    expect(markdown).toContain("the same again");
  });

  it("compares a tuned and an untuned study over the cycles that both have", () => {
    const { study } = tellingStudy();
    const plain = untunedStudy({ protocol: { trainImages: 10_000, batch: 32 } });
    beginCycle(plain.store, 1);
    addNet(plain, { cycle: 3, name: "plain_c3_01", width: 99, accuracy: 0.9 });
    plain.store.endCycle(3);
    const { html } = written(study, plain.dir);
    expect(words(html)).toContain("Tuned and untuned, the first 2 cycles of each");
    expect(words(html)).toContain("Best accuracy 52.0 % 45.0 %");
    expect(words(html)).toContain("This study has 2 cycles, the untuned one 3");
    expect(words(html)).toContain("batch: 32 images, not 64 images");
    expect(html).toContain("<title>Cycle 3, Best, untuned: 90.0 %</title>");
  });

  it("refuses an untuned study that was tuned, that is the study itself, or that is none", () => {
    const { study } = tellingStudy();
    const plain = untunedStudy();
    expect(() => writeReport(plain, folder(), study.dir)).toThrow(/generation 1 designed its cycle 2/);
    expect(() => writeReport(plain, folder(), plain.dir)).toThrow(expect.objectContaining({ code: "not-untuned" }));
    expect(() => writeReport(plain, folder(), folder())).toThrow(expect.objectContaining({ code: "no-study" }));
  });
});

describe("a study that is not far", () => {
  it("says so, and what to do next", () => {
    const study = makeStudy("empty");
    const { html, markdown, json } = written(study);
    for (const text of [words(html), markdown]) {
      expect(text).toContain("No cycle has run yet");
      expect(text).toContain("netwright cycle");
      expect(text).toContain("The designer has not been tuned");
      expect(text).toContain("netwright tune");
      expect(text).toContain("No net is accepted yet");
      expect(text).toContain("Nothing has been tried yet");
      expect(text).not.toMatch(/NaN|undefined|null/);
    }
    expect(json.cycles).toEqual([]);
  });

  it("is told of nets that wait for a review, of a cycle without a valid net, and of one that has not ended", () => {
    const study = makeStudy("early");
    beginCycle(study.store, 2);
    addFailed(study.store, 1, "early_c1_01", { outcome: "syntax", message: "invalid syntax", line: 1, source: "x" });
    study.store.endCycle(1);
    const generation = study.store.generations.begin({
      parent: 0,
      cycle: 1,
      accepted: 1,
      base: "b",
      settings: {
        rank: 16,
        alpha: 32,
        dropout: 0,
        learningRate: 1e-5,
        epochs: 1,
        accumulation: 1,
        gradient: "all" as const,
      },
    });
    study.store.generations.end(generation, "failed", "the disk is full");
    beginCycle(study.store, 4);
    addNet(study, { cycle: 2, name: "early_c2_01", width: 8, accuracy: 0.5 });
    const { html, json } = written(study);
    expect(words(html)).toContain("1 net is proposed and waits for a review");
    expect(words(html)).toContain("2 (not ended)");
    expect(words(html)).toContain("its last cycle has not ended");
    expect(words(html)).toContain("failed: the disk is full");
    expect(words(html)).not.toMatch(/NaN|undefined|null/);
    expect(json.cycles[0]).toMatchObject({ valid: 0, meanAccuracy: null, bestAccuracy: null, atLeastThreshold: 0 });
  });
});

describe("what a model wrote", () => {
  it("is text in the HTML: no tag, no attribute, no character that hides", () => {
    const { html } = written(hostileStudy());
    const tags = new Set([...html.matchAll(/<\/?([a-z][a-z0-9]*)/gi)].map(([, name]) => name));
    for (const tag of ["script", "img", "b onclick", "iframe", "object"]) expect(tags).not.toContain(tag);
    // Every tag is one of the page's own, with the attributes that it writes.
    const attributes = new Set(
      [...html.matchAll(/<[a-z][^<>]*>/gi)].flatMap(([tag]) =>
        [...tag.replaceAll(/"[^"]*"/g, '""').matchAll(/\s([a-z-]+)=/gi)].map(([, name]) => name),
      ),
    );
    expect([...attributes].filter((name) => /^on/i.test(name ?? ""))).toEqual([]);
    expect(html).toContain("&lt;img src=x onerror=&quot;window.broken = true&quot;&gt;");
    expect(html).toContain("&lt;/script&gt;&lt;/style&gt;");
    expect(html).toContain("user\\u{202e} \\u{2066}# admin");
    expect(html).toContain("\\u{0}\\u{1b}[2J");
  });

  it("is text in the Markdown: code stays in its fence, the rest is escaped", () => {
    const { markdown } = written(hostileStudy());
    expect(markdown).toContain("`````python\n</script>");
    const outside = markdown
      .replaceAll(/`````python\n[\s\S]*?\n`````/g, "")
      .replaceAll(/```python\n[\s\S]*?\n```/g, "");
    const tags = new Set([...outside.matchAll(/<\/?([a-z]+)/gi)].map(([, name]) => name));
    expect([...tags].sort()).toEqual(["a", "code", "details", "summary"]);
    expect(outside).not.toMatch(/(?<!\\)\]\(javascript/);
    expect(outside).not.toContain("https://evil");
    // A cell stays a cell.
    const row = outside.split("\n").find((line) => line.startsWith("| forward"));
    expect(row?.match(/(?<!\\)\|/g)).toHaveLength(5);
  });

  it("shows its hidden characters, and keeps its lines and tabs", () => {
    expect(visible("a\tb\r\nc\u200bd é 🧠")).toBe("a\tb\nc\\u{200b}d é 🧠");
    expect(visible("\ud800")).toBe("\\u{d800}");
  });

  it("meets a page that loads nothing and runs nothing", () => {
    const { html } = written(tellingStudy().study, untunedStudy().dir);
    expect(html).toContain(
      `content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"`,
    );
    expect(html).not.toMatch(/<(script|link|img|iframe)\b|\ssrc=|url\(|@import|href="(?!#)/);
  });
});

describe("writing", () => {
  it("replaces an older report, and makes the folders it needs", () => {
    const { study } = tellingStudy();
    const dir = join(folder(), "new", "place");
    writeReport(study, dir, null);
    writeFileSync(join(dir, "report.md"), "old");
    writeReport(study, dir, null);
    expect(readFileSync(join(dir, "report.md"), "utf8")).toMatch(/^# Study telling\n/);
  });

  it("says which folder cannot be written to, and leaves the old report", () => {
    const { study } = tellingStudy();
    const file = join(folder(), "file");
    writeFileSync(file, "");
    expect(() => writeReport(study, join(file, "report"), null)).toThrow(/^Cannot write the report to .*report/);
    const dir = folder();
    mkdirSync(join(dir, "report.html"));
    expect(() => writeReport(study, dir, null)).toThrow(expect.objectContaining({ code: "file" }));
  });

  it.skipIf(!existsSync("/dev/full"))("says that the disk is full, and leaves the old report", () => {
    const { study } = tellingStudy();
    const dir = folder();
    writeReport(study, dir, null);
    const before = readFileSync(join(dir, "report.html"), "utf8");
    addFailed(study.store, 2, "telling_c2_06", { outcome: "no-code", message: "none", line: null, source: null });
    // What the new page is written to before it takes the old one's place.
    symlinkSync("/dev/full", join(dir, "report.html.partial"));
    expect(() => writeReport(study, dir, null)).toThrow(
      expect.objectContaining({ code: "disk-full", message: expect.stringContaining("Free some space") }),
    );
    expect(readFileSync(join(dir, "report.html"), "utf8")).toBe(before);
  });

  it("reads a record that another client has open", () => {
    const { study } = tellingStudy();
    const other = openStore(join(study.stateDir, "study.db"));
    other.transaction(() => expect(written(study).json.cycles).toHaveLength(2));
    other.close();
  });
});

it("gives a rate the interval of Wilson's score", () => {
  // Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
  const percents = ([low, high]: [number, number]) => [low.toFixed(4), high.toFixed(4)];
  expect(percents(wilson(81, 263))).toEqual(["0.2553", "0.3662"]);
  expect(percents(wilson(15, 148))).toEqual(["0.0624", "0.1605"]);
  expect(percents(wilson(0, 20))).toEqual(["0.0000", "0.1611"]);
  expect(percents(wilson(1, 29))).toEqual(["0.0061", "0.1718"]);
});
