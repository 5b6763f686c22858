/**
 * How long one candidate takes to place in an archive, and what the index finds there, beside datasketch on the same sets.
 * By hand: `node tests/bench/novelty.ts [CANDIDATES] [QUERIES]`, with NETWRIGHT_TEST_PYTHON naming a Python that has datasketch.
 */
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type Fingerprint, fingerprintOf, setFrom } from "../../src/novelty/fingerprints.ts";
import { signatureOf, unpackSignature } from "../../src/novelty/minhash.ts";
import type { HashSet } from "../../src/novelty/sets.ts";
import { SimilarityIndex } from "../../src/novelty/similarity-index.ts";
import { structureSet } from "../../src/novelty/structure.ts";
import { shingleSet } from "../../src/novelty/text.ts";
import { CODE, graphOf, NET, randomFrom, tokensOf, variations } from "./synthetic.ts";

const DUPLICATE = 0.9;
const count = Number(process.argv[2] ?? 100_000);
const queries = Number(process.argv[3] ?? 400);

/** Exact intersection sizes of a query with every set of the archive, by an inverted index. */
function exactSearch(archive: HashSet[]): (query: HashSet) => Float64Array {
  const lists = new Map<number, number>();
  const lengths: number[] = [];
  for (const set of archive) {
    for (const hash of set) {
      const list = lists.get(hash) ?? lengths.push(0) - 1;
      lists.set(hash, list);
      lengths[list] = (lengths[list] as number) + 1;
    }
  }
  const starts = new Uint32Array(lengths.length + 1);
  for (const [list, length] of lengths.entries()) starts[list + 1] = (starts[list] as number) + length;
  const fill = starts.slice();
  const postings = new Uint32Array(starts.at(-1) as number);
  for (const [at, set] of archive.entries()) {
    for (const hash of set) {
      const list = lists.get(hash) as number;
      postings[fill[list] as number] = at;
      fill[list] = (fill[list] as number) + 1;
    }
  }
  return (query) => {
    const shared = new Float64Array(archive.length);
    for (const hash of query) {
      const list = lists.get(hash);
      if (list === undefined) continue;
      for (let i = starts[list] as number; i < (starts[list + 1] as number); i++) {
        const at = postings[i] as number;
        shared[at] = (shared[at] as number) + 1;
      }
    }
    return shared.map((both, at) => both / (query.length + (archive[at] as HashSet).length - both));
  };
}

function quantile(values: number[], q: number): number {
  return [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))] as number;
}

/** Sets as little-endian 32-bit words: how many in the archive, how many queries, then each with its length in front. */
function writeSets(file: string, archive: HashSet[], asked: HashSet[]): void {
  const out = openSync(file, "w");
  writeSync(out, Uint32Array.of(archive.length, asked.length));
  for (const set of [...archive, ...asked]) writeSync(out, Uint32Array.of(set.length, ...set));
  closeSync(out);
}

function measure(name: string, sets: HashSet[], dir: string): void {
  const random = randomFrom(7);
  // Queries are drawn from the whole archive, planted near copies included, and leave it.
  const archive = [...sets];
  const asked = Array.from({ length: queries }, () => archive.splice(random(archive.length), 1)[0] as HashSet);
  const meanSize = archive.reduce((sum, set) => sum + set.length, 0) / archive.length;
  console.log(`\n${name}: ${archive.length} sets of ${meanSize.toFixed(0)} elements on average, ${queries} queries`);

  const database = new DatabaseSync(join(dir, `${name}.sqlite`));
  database.exec(`PRAGMA journal_mode = WAL; CREATE TABLE hashes (id INTEGER PRIMARY KEY, value BLOB);
     CREATE TABLE signatures (id INTEGER PRIMARY KEY, value BLOB)`);
  const insertHashes = database.prepare("INSERT INTO hashes VALUES (?, ?)");
  const insertSignature = database.prepare("INSERT INTO signatures VALUES (?, ?)");
  const insert = (id: number, { hashes, signature }: Fingerprint) => {
    insertHashes.run(id, hashes);
    insertSignature.run(id, signature);
  };
  const select = database.prepare("SELECT value FROM hashes WHERE id = ?");
  database.exec("BEGIN");
  for (const [id, set] of archive.entries()) {
    insert(id, fingerprintOf(set, signatureOf(set)));
  }
  database.exec("COMMIT");

  const before = process.memoryUsage();
  const processor = () => (process.cpuUsage().user + process.cpuUsage().system) / 1000;
  const loading = performance.now();
  const loadingCpu = processor();
  let reads = 0;
  const index = new SimilarityIndex((id) => {
    reads++;
    return setFrom(select.get(id)?.value as Uint8Array);
  });
  for (const row of database.prepare("SELECT id, value FROM signatures ORDER BY id").iterate()) {
    index.add(row.id as number, unpackSignature(row.value as Uint8Array));
  }
  const loaded = (performance.now() - loading) / 1000;
  const loadedCpu = (processor() - loadingCpu) / 1000;
  const after = process.memoryUsage();
  const memory = (after.arrayBuffers - before.arrayBuffers + Math.max(0, after.heapUsed - before.heapUsed)) / 2 ** 20;

  const search = exactSearch(archive);
  const truth = asked.map((query) => search(query));
  const times: number[] = [];
  const signatures: Uint8Array[] = [];
  let duplicates = 0;
  let ofDuplicates = 0;
  let nearest = 0;
  const gaps: number[] = [];
  const best: number[] = [];
  const writes: number[] = [];
  let cpu = 0;
  for (const [i, query] of asked.entries()) {
    const start = performance.now();
    const startCpu = processor();
    const sketch = signatureOf(query);
    const found = index.nearest(query, sketch);
    const fingerprint = fingerprintOf(query, sketch);
    times.push(performance.now() - start);
    cpu += processor() - startCpu;
    database.exec("BEGIN");
    insert(archive.length + i, fingerprint);
    database.exec("COMMIT");
    writes.push(performance.now() - start - (times.at(-1) as number));
    signatures.push(fingerprint.signature);
    // What was asked stays out of the index, so that the truth is one archive's; adding to it is timed below.
    const all = truth[i] as Float64Array;
    const highest = all.reduce((a, b) => Math.max(a, b), 0);
    if (!found || found.similarity !== all[found.id]) throw new Error("a similarity that is not exact");
    best.push(highest);
    gaps.push(highest - found.similarity);
    if (found.similarity === highest) nearest++;
    if (highest >= DUPLICATE) duplicates++;
    if (found.similarity >= DUPLICATE) ofDuplicates++;
  }
  const adding = performance.now();
  for (const [i, signature] of signatures.entries()) index.add(archive.length + i, unpackSignature(signature));
  const added = (performance.now() - adding) / queries;
  const median = quantile(times, 0.5) + added;
  const histogram = Array.from(
    { length: 10 },
    (_, d) => best.filter((b) => Math.min(9, Math.floor(10 * b)) === d).length,
  );
  console.log(`  highest similarity of the queries, by tenths: ${histogram.join(" ")}`);
  console.log(
    `  load ${loaded.toFixed(2)} s (processor's time ${loadedCpu.toFixed(2)} s), index in memory ${memory.toFixed(0)} MiB`,
  );
  console.log(
    `  place (nearest + add): median ${median.toFixed(2)} ms, 95% ${(quantile(times, 0.95) + added).toFixed(2)} ms, processor's time ${(cpu / queries).toFixed(2)} ms; write to disk ${quantile(writes, 0.5).toFixed(2)} ms; sets read ${(reads / queries).toFixed(1)}`,
  );
  console.log(`  recall at ${DUPLICATE}: ${ofDuplicates} of ${duplicates} (${(ofDuplicates / duplicates).toFixed(4)})`);
  console.log(
    `  the nearest itself in ${nearest} of ${queries}; short of it by ${(gaps.reduce((a, b) => a + b) / queries).toFixed(4)} on average, ${Math.max(...gaps).toFixed(4)} at most`,
  );

  const python = process.env.NETWRIGHT_TEST_PYTHON;
  if (!python) {
    console.log("  datasketch: not measured, NETWRIGHT_TEST_PYTHON names no Python");
    return;
  }
  const file = join(dir, `${name}.sets`);
  writeSets(file, archive, asked);
  const script = join(import.meta.dirname, "novelty_datasketch.py");
  const peer = JSON.parse(
    execFileSync(python, [script, file, String(DUPLICATE)], { maxBuffer: 2 ** 30 }).toString(),
  ) as {
    version: string;
    build: number;
    place: number[];
    cpu: number;
    found: number[][];
  };
  const peerFound = peer.found.filter((ids, i) => ids.some((id) => (truth[i]?.[id] ?? 0) >= DUPLICATE)).length;
  const peerMedian = quantile(peer.place, 0.5);
  console.log(
    `  datasketch ${peer.version} MinHashLSH(${DUPLICATE}, 256): place median ${peerMedian.toFixed(2)} ms, processor's time ${(peer.cpu / queries).toFixed(2)} ms, recall ${peerFound} of ${duplicates} (${(peerFound / duplicates).toFixed(4)}), build ${peer.build.toFixed(0)} s`,
  );
  console.log(
    `  ours to datasketch's, which finds no nearest below ${DUPLICATE}: ${(median / peerMedian).toFixed(1)} in time, ${(cpu / peer.cpu).toFixed(1)} in processor's time`,
  );
}

const dir = mkdtempSync(join(tmpdir(), "netwright-bench-"));
try {
  const total = count + queries;
  const planted = Math.floor(total / 10);
  const lines = variations(CODE, total, planted, 40, randomFrom(1));
  measure(
    "text",
    lines.map((net) => shingleSet(tokensOf(net))),
    dir,
  );
  const stages = variations(NET, total, planted, 40, randomFrom(2));
  const timing = performance.now();
  const structures = stages.map((net) => structureSet(graphOf(net)));
  console.log(`\na graph to a set: ${((performance.now() - timing) / total).toFixed(3)} ms`);
  measure("structure", structures, dir);
} finally {
  rmSync(dir, { recursive: true });
}
