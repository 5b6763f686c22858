/** How much a net is like those seen before: the measures `text` and `structure`, and the index over both. */
import type { NoveltyIndex } from "../study/ports.ts";
import type { Checked, Similarity } from "../study/types.ts";
import {
  FINGERPRINT_VERSION,
  type FingerprintStore,
  fingerprintOf,
  MEASURES,
  type Measure,
  setFrom,
} from "./fingerprints.ts";
import { unpackSignature } from "./minhash.ts";
import { type HashSet, jaccard } from "./sets.ts";
import { SimilarityIndex } from "./similarity-index.ts";
import { structureSet } from "./structure.ts";
import { textSet } from "./text.ts";

export type { Fingerprint, FingerprintStore, Measure } from "./fingerprints.ts";
export { MemoryFingerprints } from "./fingerprints.ts";

interface Net {
  code: string;
  checked: Checked;
}

/** Both measures of a net as sets. Throws a RangeError when the graph is malformed. */
function setsOf(net: Net): Record<Measure, HashSet> {
  return { text: textSet(net.code), structure: structureSet(net.checked.graph) };
}

/** The exact similarities of two nets, each in 0..1. */
export function similarity(a: Net, b: Net): Similarity {
  const left = setsOf(a);
  const right = setsOf(b);
  return { text: jaccard(left.text, right.text), structure: jaccard(left.structure, right.structure) };
}

/** A novelty index whose fingerprints are of `version`; candidates that the store has none of are to be added again. */
export interface StoredNoveltyIndex extends NoveltyIndex {
  readonly version: number;
}

/** Reads the index from its store. A net added twice under one id counts once, as it was first. */
export function openNoveltyIndex(store: FingerprintStore): StoredNoveltyIndex {
  const known = new Set<number>();
  const open = (measure: Measure): SimilarityIndex => {
    const index = new SimilarityIndex((id) => setFrom(store.hashes(measure, id)));
    for (const { id, signature } of store.signatures(measure, FINGERPRINT_VERSION)) {
      index.add(id, unpackSignature(signature));
      known.add(id);
    }
    return index;
  };
  const indexes = { text: open("text"), structure: open("structure") };
  return {
    version: FINGERPRINT_VERSION,
    get size() {
      return known.size;
    },
    nearest(net) {
      const sets = setsOf(net);
      return { text: indexes.text.nearest(sets.text), structure: indexes.structure.nearest(sets.structure) };
    },
    add(id, net) {
      if (known.has(id)) return;
      const sets = setsOf(net);
      const fingerprints = { text: fingerprintOf(sets.text), structure: fingerprintOf(sets.structure) };
      store.put(id, FINGERPRINT_VERSION, fingerprints);
      for (const measure of MEASURES) indexes[measure].add(id, unpackSignature(fingerprints[measure].signature));
      known.add(id);
    },
  };
}
