import type { Neighbour } from "../study/ports.ts";
import { agreeingBits, agreeingBytes, PERMUTATIONS, type Signature, similarityEstimate } from "./minhash.ts";
import { type HashSet, jaccard } from "./sets.ts";

/** Sets whose 8-bit signatures are read, best by their 1-bit signatures. */
const SHORTLIST = 4096;
/** Sets whose elements are read, best by their 8-bit signatures. */
const MAX_READ = 96;
/** Standard deviations of the estimate within which a set may still be the nearest. */
const MARGIN = 3;

/**
 * Finds the most similar of many sets. It keeps 300 bytes of each in memory and asks for the elements of the few that it compares.
 *
 * A set equal to the query is found by its digest. Otherwise all sets are ranked by their 1-bit signatures, the best of them
 * by their 8-bit signatures, and the best of those are compared exactly, for as long as the next could be the nearest. The
 * similarity told is therefore always exact, and that of the nearest set but for the chance that the estimates of more than MAX_READ
 * farther sets come out higher.
 */
export class SimilarityIndex {
  readonly #read: (id: number) => HashSet;
  #ids = new Float64Array(1024);
  #sizes = new Uint32Array(1024);
  #bits = new Int32Array(1024 * (PERMUTATIONS / 32));
  #bytes = new Int32Array(1024 * (PERMUTATIONS / 4));
  #agreement = new Uint16Array(1024);
  #size = 0;
  /** The first set with each digest. */
  readonly #byDigest = new Map<number, number>();

  /** `read` gives the elements of a set that was added. */
  constructor(read: (id: number) => HashSet) {
    this.#read = read;
  }

  get size(): number {
    return this.#size;
  }

  add(id: number, signature: Signature): void {
    const at = this.#size++;
    if (at === this.#ids.length) this.#grow();
    this.#ids[at] = id;
    this.#sizes[at] = signature.size;
    this.#bits.set(signature.bits, at * signature.bits.length);
    this.#bytes.set(signature.bytes, at * signature.bytes.length);
    if (!this.#byDigest.has(signature.digest)) this.#byDigest.set(signature.digest, id);
  }

  /**
   * The set most similar to `set`, whose signature is given, and their exact Jaccard similarity; null when the index is empty.
   * Of equal sets, the first added.
   */
  nearest(set: HashSet, signature: Signature): Neighbour | null {
    const twin = this.#byDigest.get(signature.digest);
    if (twin !== undefined && jaccard(set, this.#read(twin)) === 1) return { id: twin, similarity: 1 };

    const byAgreement: number[][] = Array.from({ length: PERMUTATIONS + 1 }, () => []);
    for (const at of this.#shortlist(signature.bits)) {
      byAgreement[agreeingBytes(signature.bytes, this.#bytes, at * signature.bytes.length)]?.push(at);
    }
    let best: Neighbour | null = null;
    let read = 0;
    for (let agreeing = PERMUTATIONS; agreeing >= 0; agreeing--) {
      for (const at of byAgreement[agreeing] as number[]) {
        const similarity = best?.similarity ?? -1;
        const deviation = Math.sqrt(Math.max(0, similarity * (1 - similarity)) / PERMUTATIONS);
        if (best && (read === MAX_READ || similarityEstimate(agreeing) + MARGIN * deviation < similarity)) return best;
        // No set of this size can be more similar.
        const size = this.#sizes[at] as number;
        if (Math.min(size, set.length) / Math.max(size, set.length) <= similarity) continue;
        const id = this.#ids[at] as number;
        const exact = jaccard(set, this.#read(id));
        read++;
        if (exact > similarity) best = { id, similarity: exact };
      }
    }
    return best;
  }

  /** Positions of the SHORTLIST sets that agree in the most bits. */
  #shortlist(bits: Int32Array): number[] {
    const counts = new Uint32Array(PERMUTATIONS + 1);
    for (let at = 0; at < this.#size; at++) {
      const agreeing = agreeingBits(bits, this.#bits, at * bits.length);
      this.#agreement[at] = agreeing;
      counts[agreeing] = (counts[agreeing] as number) + 1;
    }
    let threshold = PERMUTATIONS;
    let above = 0;
    while (threshold > 0 && above + (counts[threshold] as number) < SHORTLIST) above += counts[threshold--] as number;
    // Of those at the threshold, only as many as there is room for.
    let room = SHORTLIST - above;
    const positions: number[] = [];
    for (let at = 0; at < this.#size; at++) {
      const agreeing = this.#agreement[at] as number;
      if (agreeing > threshold || (agreeing === threshold && room-- > 0)) positions.push(at);
    }
    return positions;
  }

  #grow(): void {
    const grown = <T extends Float64Array | Uint32Array | Int32Array | Uint16Array>(old: T, larger: T): T => {
      larger.set(old);
      return larger;
    };
    this.#ids = grown(this.#ids, new Float64Array(2 * this.#ids.length));
    this.#sizes = grown(this.#sizes, new Uint32Array(2 * this.#sizes.length));
    this.#bits = grown(this.#bits, new Int32Array(2 * this.#bits.length));
    this.#bytes = grown(this.#bytes, new Int32Array(2 * this.#bytes.length));
    this.#agreement = new Uint16Array(2 * this.#agreement.length);
  }
}
