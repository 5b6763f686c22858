import { describe, expect, it } from "vitest";
import { type FingerprintStore, MemoryFingerprints, openNoveltyIndex, similarity } from "../../src/novelty/index.ts";
import { graphOf, NET, randomFrom, variations } from "../bench/synthetic.ts";

const nets = variations(NET, 40, 0, 5, randomFrom(31)).map((stages, i) => ({
  code: stages.map(({ kind, width }) => `x = f${i}(${"x, ".repeat(kind)}${width})\n`).join(""),
  checked: { parameters: 0, graph: graphOf(stages) },
}));
type Net = (typeof nets)[number];

function filled(store: FingerprintStore) {
  const index = openNoveltyIndex(store);
  for (const [i, net] of nets.slice(1).entries()) index.add(i + 1, net);
  return index;
}

describe("the novelty index", () => {
  const asked = nets[0] as Net;

  it("knows nothing at first", () => {
    const index = openNoveltyIndex(new MemoryFingerprints());
    expect(index.size).toBe(0);
    expect(index.nearest(asked)).toEqual({ text: null, structure: null });
  });

  it("finds the nearest under each measure, as similar as `similarity` says", () => {
    const { text, structure } = filled(new MemoryFingerprints()).nearest(asked);
    const all = nets.map((net) => similarity(asked, net)).slice(1);
    expect(text?.similarity).toBe(Math.max(...all.map((s) => s.text)));
    expect(structure?.similarity).toBe(Math.max(...all.map((s) => s.structure)));
    expect(all[(text?.id ?? 0) - 1]?.text).toBe(text?.similarity);
    expect(all[(structure?.id ?? 0) - 1]?.structure).toBe(structure?.similarity);
  });

  it("does not change a net's place by looking for it", () => {
    const index = filled(new MemoryFingerprints());
    expect(index.nearest(asked)).toEqual(index.nearest(asked));
    index.add(99, asked);
    expect(index.nearest({ ...asked }).structure?.similarity).toBe(1);
    expect(index.nearest({ ...asked }).text?.similarity).toBe(1);
  });

  it("is the same when it is opened again", () => {
    const store = new MemoryFingerprints();
    const index = filled(store);
    const again = openNoveltyIndex(store);
    expect(again.size).toBe(39);
    expect(again.nearest(asked)).toEqual(index.nearest(asked));
  });

  it("counts a net that is added twice once", () => {
    const index = filled(new MemoryFingerprints());
    index.add(1, nets[1] as Net);
    expect(index.size).toBe(39);
  });

  it("leaves out fingerprints of another version, until the candidate is added again", () => {
    const store = new MemoryFingerprints();
    filled(store);
    const { version } = openNoveltyIndex(store);
    const stale = { hashes: new Uint8Array(3), signature: new Uint8Array(3) };
    store.put(7, version - 1, { text: stale, structure: stale });
    const index = openNoveltyIndex(store);
    expect(index.size).toBe(38);
    index.add(7, nets[7] as Net);
    expect(openNoveltyIndex(store).size).toBe(39);
    expect(openNoveltyIndex(store).nearest(nets[7] as Net).structure?.similarity).toBe(1);
  });
});

describe("similarity", () => {
  it("is 1 with itself and symmetric", () => {
    for (const a of nets.slice(0, 8)) {
      expect(similarity(a, a)).toEqual({ text: 1, structure: 1 });
      for (const b of nets.slice(0, 8)) expect(similarity(a, b)).toEqual(similarity(b, a));
    }
  });

  it("keeps the measures apart", () => {
    const [a, b] = nets as [Net, Net];
    expect(similarity(a, { ...a, code: b.code }).structure).toBe(1);
    expect(similarity(a, { ...b, code: a.code }).text).toBe(1);
  });
});
