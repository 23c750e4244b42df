import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { FadingHistogram } from "../../../src/lib/fading-histogram.js";
import { seededRandom } from "../../../src/lib/random.js";

function of(...values: number[]): FadingHistogram {
  const histogram = new FadingHistogram();
  for (const value of values) histogram.add(value);
  return histogram;
}

/** Log-normal, median 1. */
function scattered(random: () => number, deviation: number): number {
  return Math.exp(deviation * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()));
}

describe("a quantile", () => {
  test("of nothing is 0", () => {
    expect(new FadingHistogram().quantile(0.9)).toBe(0);
  });

  test("of equal values is that value", () => {
    expect(of(1.7, 1.7, 1.7, 1.7).quantile(0.9)).toBeCloseTo(1.7, 6);
  });

  test("of few values is the largest: no more can be promised", () => {
    expect(of(0.5, 1.5, 0.5, 1.5).quantile(0.9)).toBeCloseTo(1.5, 6);
  });

  test("leaves out the tenth that is largest once there are enough", () => {
    expect(of(...Array.from({ length: 90 }, (_, index) => (index % 15 === 7 ? 8 : 1))).quantile(0.9)).toBeCloseTo(1, 6);
    expect(of(...Array.from({ length: 90 }, (_, index) => (index % 5 === 2 ? 8 : 1))).quantile(0.9)).toBeCloseTo(8, 6);
  });

  test("never lies below the smallest or above the largest value", () => {
    const values = fc.array(fc.double({ min: 1e-6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(values, fc.double({ min: 0, max: 1, noNaN: true }), (all, share) => {
        const answer = of(...all).quantile(share);
        expect(answer).toBeGreaterThanOrEqual(Math.fround(Math.min(...all)));
        expect(answer).toBeLessThanOrEqual(Math.fround(Math.max(...all)));
      }),
      { seed: 7, numRuns: 300 },
    );
  });

  test.each([0.2, 0.5, 1])("covers nine of the next ten, however wide they scatter (%d)", (deviation) => {
    const random = seededRandom(11);
    const histogram = new FadingHistogram();
    let covered = 0;
    for (let turn = 0; turn < 6_000; turn += 1) {
      const value = scattered(random, deviation);
      if (turn >= 1_000 && value <= histogram.quantile(0.9)) covered += 1;
      histogram.add(value);
    }
    expect(covered / 5_000).toBeGreaterThan(0.885);
    expect(covered / 5_000).toBeLessThan(0.96);
  });

  test("follows a lasting change in either direction within a few hundred values", () => {
    const histogram = of(...Array.from({ length: 500 }, () => 1));
    for (let turn = 0; turn < 40; turn += 1) histogram.add(4);
    expect(histogram.quantile(0.9)).toBeCloseTo(4, 6);
    for (let turn = 0; turn < 250; turn += 1) histogram.add(1);
    expect(histogram.quantile(0.9)).toBeCloseTo(1, 6);
  });
});

test("what is no positive number is left out", () => {
  const histogram = of(0, -1, Number.NaN, Number.POSITIVE_INFINITY);
  expect(histogram.count).toBe(0);
  histogram.add(2);
  expect(histogram.quantile(0.9)).toBe(2);
});

test("a hundred thousand values leave sums that are still right", () => {
  const histogram = new FadingHistogram();
  for (let turn = 0; turn < 100_000; turn += 1) histogram.add(turn % 20 === 0 ? 3 : 1);
  expect(histogram.count).toBeGreaterThan(99);
  expect(histogram.count).toBeLessThan(101);
  expect(histogram.quantile(0.9)).toBeCloseTo(1, 6);
});
