import { describe, expect, test } from "vitest";
import { accuracyOf, chanceLevel, decodePredictions } from "../../src/trainer/scoring.ts";

describe("scoring", () => {
  test("accuracy is the share of equal classes", () => {
    expect(accuracyOf(Uint8Array.of(0, 1, 2, 3), Uint8Array.of(0, 1, 3, 3))).toBe(0.75);
    expect(() => accuracyOf(Uint8Array.of(1), Uint8Array.of(1, 1))).toThrow(RangeError);
    expect(() => accuracyOf(new Uint8Array(), new Uint8Array())).toThrow(RangeError);
  });

  test("predictions must be one known class for each image", () => {
    const encode = (...classes: number[]) => Buffer.from(classes).toString("base64");
    expect([...(decodePredictions(encode(0, 9, 3), 3, 10) ?? [])]).toEqual([0, 9, 3]);
    expect(decodePredictions(encode(0, 9), 3, 10)).toBeNull();
    expect(decodePredictions(encode(0, 9, 3, 3), 3, 10)).toBeNull();
    expect(decodePredictions(encode(0, 10, 3), 3, 10)).toBeNull();
    expect(decodePredictions("", 3, 10)).toBeNull();
  });

  test("chance is the most frequent class and three standard errors", () => {
    const balanced = Uint8Array.from({ length: 10_000 }, (_, i) => i % 10);
    expect(chanceLevel(balanced, 10)).toBeCloseTo(0.1 + 3 * Math.sqrt(0.09 / 10_000), 10);
    const skewed = Uint8Array.from({ length: 1000 }, (_, i) => (i < 900 ? 0 : 1));
    const constant = accuracyOf(new Uint8Array(1000), skewed);
    expect(chanceLevel(skewed, 2)).toBeGreaterThan(constant);
    expect(chanceLevel(skewed, 2)).toBeCloseTo(0.9 + 3 * Math.sqrt(0.09 / 1000), 10);
  });
});
