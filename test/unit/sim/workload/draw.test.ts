import { describe, expect, test } from "@jest/globals";

import { seededRandom } from "../../../../src/lib/random.js";
import { gamma, gammaShape, lotOf, normal, seedFor, weibull, weibullShape } from "../../../../src/sim/workload/draw.js";

function moments(count: number, draw: () => number): { readonly mean: number; readonly cv: number } {
  const values = Array.from({ length: count }, draw);
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  return { mean, cv: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count) / mean };
}

test("the normal distribution has mean 0 and deviation 1", () => {
  const random = seededRandom(1);
  // Moved away from 0, where the coefficient of variation says nothing.
  const { mean, cv } = moments(100_000, () => 10 + normal(random));
  expect(mean).toBeCloseTo(10, 1);
  expect(cv * mean).toBeCloseTo(1, 1);
});

test.each([0.3, 1, 2.5])("gaps by Gamma of variation %d have that variation, and the shape for a mean", (cv) => {
  const random = seededRandom(2);
  const shape = gammaShape(cv);
  const seen = moments(200_000, () => gamma(shape, random));
  expect(seen.mean / shape).toBeCloseTo(1, 1);
  expect(seen.cv / cv).toBeCloseTo(1, 1);
});

test.each([0.3, 1, 2.5])("gaps by Weibull of variation %d have that variation", (cv) => {
  const random = seededRandom(3);
  const shape = weibullShape(cv);
  expect(moments(200_000, () => weibull(shape, random)).cv / cv).toBeCloseTo(1, 1);
});

test("a Weibull distribution of variation 1 is exponential", () => {
  expect(weibullShape(1)).toBeCloseTo(1, 6);
});

describe("lots", () => {
  const requests = Array.from({ length: 20_000 }, (_, index) => ({ atMs: index / 7, inputTokens: 100, outputTokens: 10 }));

  test("are uniform over requests that differ in little", () => {
    const tenths = Array.from({ length: 10 }, () => 0);
    for (const request of requests) tenths[Math.floor(lotOf(5, request) * 10)]! += 1;
    // Binomial(20,000, 0.1) has a deviation of 42.
    for (const count of tenths) expect(Math.abs(count - 2000)).toBeLessThan(5 * 42);
  });

  test("of two seeds have nothing to do with each other", () => {
    const both = requests.filter((request) => lotOf(seedFor("a", 1), request) < 0.5 && lotOf(seedFor("b", 1), request) < 0.5).length;
    expect(Math.abs(both - 5000)).toBeLessThan(5 * 61);
  });
});
