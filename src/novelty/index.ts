/** How much a net is like those seen before: the measures `text` and `structure`, and the index over both. */
import type { NoveltyIndex } from "../study/ports.ts";
import type { Checked, Similarity } from "../study/types.ts";
import { FINGERPRINT_VERSION, type FingerprintStore, fingerprintOf, type Measure, setFrom } from "./fingerprints.ts";
import { type Signature, signatureOf, unpackSignature } from "./minhash.ts";
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
  const indexes: Record<Measure, SimilarityIndex> = { text: open("text"), structure: open("structure") };

  /** A net is looked for, then added: what both need is worked out once. */
  const sketches = new WeakMap<Net, Record<Measure, Sketch>>();
  const sketch = (net: Net): Record<Measure, Sketch> => {
    const made = sketches.get(net) ?? sketchesOf(net);
    sketches.set(net, made);
    return made;
  };

  return {
    version: FINGERPRINT_VERSION,
    get size() {
      return known.size;
    },
    nearest(net) {
      const { text, structure } = sketch(net);
      return {
        text: indexes.text.nearest(text.set, text.signature),
        structure: indexes.structure.nearest(structure.set, structure.signature),
      };
    },
    add(id, net) {
      if (known.has(id)) return;
      const { text, structure } = sketch(net);
      store.put(id, FINGERPRINT_VERSION, {
        text: fingerprintOf(text.set, text.signature),
        structure: fingerprintOf(structure.set, structure.signature),
      });
      indexes.text.add(id, text.signature);
      indexes.structure.add(id, structure.signature);
      known.add(id);
    },
  };
}

interface Sketch {
  set: HashSet;
  signature: Signature;
}

function sketchesOf(net: Net): Record<Measure, Sketch> {
  const { text, structure } = setsOf(net);
  return {
    text: { set: text, signature: signatureOf(text) },
    structure: { set: structure, signature: signatureOf(structure) },
  };
}
