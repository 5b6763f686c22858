/** The 32-bit finaliser of MurmurHash3 (Appleby, public domain): a bijection under which every input bit reaches every output bit. */
export function mix32(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/**
 * An order-dependent hash of a sequence of numbers (integers below 2^53) and strings, 53 bits wide: two 32-bit lanes with
 * different multipliers, so that its value is an exact JavaScript number and may itself be hashed, compared and sorted.
 */
export class Hasher {
  #a = 0x243f6a88;
  #b = 0x13198a2e;

  add(value: number): this {
    this.#word(value | 0);
    this.#word((value / 0x1_0000_0000) | 0);
    return this;
  }

  addText(text: string): this {
    this.#word(text.length);
    for (let i = 0; i < text.length; i++) this.#word(text.charCodeAt(i));
    return this;
  }

  /** The hash of all that was added so far: an integer in [0, 2^53). */
  get value(): number {
    const high = mix32(this.#a ^ Math.imul(this.#b, 0x9e3779b1)) >>> 11;
    const low = mix32(this.#b ^ (this.#a >>> 7)) >>> 0;
    return high * 0x1_0000_0000 + low;
  }

  #word(word: number): void {
    const a = Math.imul(this.#a ^ word, 0xcc9e2d51);
    const b = Math.imul(this.#b ^ word, 0x1b873593);
    this.#a = ((a ^ (a >>> 15)) + 0x165667b1) | 0;
    this.#b = ((b ^ (b >>> 13)) + 0x27d4eb2f) | 0;
  }
}
