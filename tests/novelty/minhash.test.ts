import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import {
  agreeingBits,
  agreeingBytes,
  minHashes,
  PERMUTATIONS,
  packSignature,
  signatureOf,
  similarityEstimate,
  unpackSignature,
} from "../../src/novelty/minhash.ts";
import { type HashSet, jaccard, setOf, setOfMultiset } from "../../src/novelty/sets.ts";
import { randomFrom } from "../bench/synthetic.ts";
import { pythonForTests } from "../support/parts.ts";
import { hasDatasketch, oracle } from "./oracle.ts";

const random = randomFrom(11);
const hash = () => random(2 ** 32);

/** Two random sets of about `size` elements whose Jaccard similarity is about `similarity`. */
function pair(size: number, similarity: number): [HashSet, HashSet] {
  const shared = Array.from({ length: Math.round((2 * size * similarity) / (1 + similarity)) }, hash);
  const own = () => Array.from({ length: size - shared.length }, hash);
  return [setOf([...shared, ...own()]), setOf([...shared, ...own()])];
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function estimates(a: HashSet, b: HashSet): { minima: number; bytes: number; bits: number } {
  const [left, right] = [minHashes(a), minHashes(b)];
  const [s, t] = [signatureOf(a), signatureOf(b)];
  return {
    minima: left.filter((value, i) => value === right[i]).length / PERMUTATIONS,
    bytes: similarityEstimate(agreeingBytes(s.bytes, t.bytes, 0)),
    bits: (2 * agreeingBits(s.bits, t.bits, 0)) / PERMUTATIONS - 1,
  };
}

describe("sets", () => {
  it("are sorted and without repeats", () => {
    expect([...setOf([3, -1, 3, 0])]).toEqual([0, 3, 0xffffffff]);
  });

  it("of multisets have the weighted Jaccard similarity of the counts", () => {
    for (let i = 0; i < 100; i++) {
      const draw = () => Array.from({ length: random(60) }, () => random(8));
      const [a, b] = [draw(), draw()];
      const count = (list: number[], value: number) => list.filter((v) => v === value).length;
      const values = [0, 1, 2, 3, 4, 5, 6, 7].map((value) => [count(a, value), count(b, value)] as [number, number]);
      const minima = values.reduce((sum, pair) => sum + Math.min(...pair), 0);
      const maxima = values.reduce((sum, pair) => sum + Math.max(...pair), 0);
      expect(jaccard(setOfMultiset(a), setOfMultiset(b))).toBe(maxima === 0 ? 1 : minima / maxima);
    }
  });
});

describe("MinHash", () => {
  // 200 pairs of 256 permutations: the mean of an unbiased estimate is within 4 standard deviations, 4 sqrt(J (1-J) / 51200), and
  // as the deviation of the bits is larger, sqrt(1 - J^2) / 16 for one pair, so is their bound.
  it.each([
    [30, 0.1],
    [30, 0.9],
    [1000, 0.02],
    [1000, 0.3],
    [1000, 0.5],
    [1000, 0.9],
    [1000, 0.98],
  ])("is unbiased for sets of %i elements at a similarity of %f", (size, similarity) => {
    const pairs = Array.from({ length: 200 }, () => pair(size, similarity));
    const found = pairs.map(([a, b]) => {
      const exact = jaccard(a, b);
      const { minima, bytes, bits } = estimates(a, b);
      return { minima: minima - exact, bytes: bytes - exact, bits: bits - exact };
    });
    const deviation = Math.sqrt((similarity * (1 - similarity)) / PERMUTATIONS);
    const bound = (4 * deviation) / Math.sqrt(200) + 1e-3;
    expect(Math.abs(mean(found.map((f) => f.minima)))).toBeLessThan(bound);
    expect(Math.abs(mean(found.map((f) => f.bytes)))).toBeLessThan(bound);
    expect(Math.abs(mean(found.map((f) => f.bits)))).toBeLessThan(
      (4 * Math.sqrt(1 - similarity ** 2)) / 16 / Math.sqrt(200),
    );
    // And no wider than independent permutations make it, which is what the index's margins count on.
    expect(Math.sqrt(mean(found.map((f) => f.minima ** 2)))).toBeLessThan(1.2 * deviation + 1e-3);
  });

  it("counts agreements as one by one", () => {
    for (const [a, b] of [pair(50, 0.4), pair(50, 0), pair(50, 1)]) {
      const [s, t] = [signatureOf(a), signatureOf(b)];
      const many = (words: Int32Array) => Int32Array.of(7, ...words);
      const octets = (words: Int32Array) => [...new Uint8Array(Int32Array.from(words).buffer)];
      const bits = (words: Int32Array) => octets(words).flatMap((octet) => [...octet.toString(2).padStart(8, "0")]);
      const agree = <T>(x: T[], y: T[]) => x.filter((value, i) => value === y[i]).length;
      expect(agreeingBytes(s.bytes, many(t.bytes), 1)).toBe(agree(octets(s.bytes), octets(t.bytes)));
      expect(agreeingBits(s.bits, many(t.bits), 1)).toBe(agree(bits(s.bits), bits(t.bits)));
    }
    const opposite = new Int32Array(64).fill(-1);
    expect(agreeingBytes(new Int32Array(64), opposite, 0)).toBe(0);
    expect(agreeingBits(new Int32Array(8), opposite, 0)).toBe(0);
  });

  it("survives storage, wherever the bytes lie", () => {
    const signature = signatureOf(pair(100, 0.5)[0]);
    const packed = packSignature(signature);
    expect(unpackSignature(packed)).toEqual(signature);
    expect(unpackSignature(new Uint8Array([0, ...packed]).subarray(1))).toEqual(signature);
    expect(() => unpackSignature(packed.subarray(4))).toThrow(RangeError);
  });

  it("agrees with the npm package minhash", () => {
    interface Peer {
      update(text: string): void;
      jaccard(other: Peer): number;
    }
    const { Minhash } = createRequire(import.meta.url)("minhash") as { Minhash: new (options: object) => Peer };
    const differences = Array.from({ length: 40 }, (_, i) => {
      const [a, b] = pair(60, i / 40);
      const [left, right] = [a, b].map((set) => {
        const peer = new Minhash({ numPerm: PERMUTATIONS });
        for (const element of set) peer.update(`element ${element}`);
        return peer;
      }) as [Peer, Peer];
      return estimates(a, b).minima - left.jaccard(right);
    });
    // The difference of two estimates at J = 0.5 has a standard deviation of 0.044.
    expect(Math.max(...differences.map(Math.abs))).toBeLessThan(0.2);
    expect(Math.abs(mean(differences))).toBeLessThan(0.03);
  });

  const python = pythonForTests();
  it.skipIf(!python || !hasDatasketch(python))("agrees with PyPI's datasketch", () => {
    const pairs = Array.from({ length: 100 }, (_, i) => pair(300, i / 100));
    const request = { minhash: pairs.map((sets) => sets.map((set) => [...set])) };
    const peer = oracle<number>(python as string, request);
    const differences = pairs.map(([a, b], i) => estimates(a, b).minima - (peer[i] as number));
    expect(Math.max(...differences.map(Math.abs))).toBeLessThan(0.2);
    expect(Math.abs(mean(differences))).toBeLessThan(0.02);
  });
});
