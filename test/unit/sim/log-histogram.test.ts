import { describe, expect, test } from "@jest/globals";

import { seededRandom } from "../../../src/lib/random.js";
import { curve, emptyHistogram, meanMs, mergedHistogram, quantileMs, record } from "../../../src/sim/log-histogram.js";

describe("a histogram of durations", () => {
  const random = seededRandom(5);
  const values = Array.from({ length: 5000 }, () => 10 ** (random() * 6 - 0.5));
  const all = emptyHistogram();
  for (const value of values) record(all, value);
  const sorted = values.toSorted((a, b) => a - b);

  test.each([0.01, 0.5, 0.95, 0.99, 1])("has the quantile %d within half a percent", (ratio) => {
    const exact = sorted[Math.ceil(ratio * sorted.length) - 1] ?? Number.NaN;
    expect(Math.abs((quantileMs(all, ratio) ?? Number.NaN) / exact - 1)).toBeLessThan(0.00501);
  });

  test("has the exact mean", () => {
    expect(meanMs(all)).toBeCloseTo(values.reduce((sum, value) => sum + value, 0) / values.length, 6);
  });

  test("is the same when the values come in parts", () => {
    const parts = [emptyHistogram(), emptyHistogram()];
    values.forEach((value, index) => record(parts[index % 2] ?? emptyHistogram(), value));
    expect(mergedHistogram(parts).bins).toEqual(all.bins);
    expect(mergedHistogram(parts).count).toBe(5000);
  });

  test("has a curve that rises to 1", () => {
    const points = curve(all);
    expect(points.at(-1)?.[1]).toBe(1);
    expect(points.every(([ms, share], index) => index === 0 || (ms > (points[index - 1]?.[0] ?? 0) && share > (points[index - 1]?.[1] ?? 0)))).toBe(true);
    expect(points.length).toBeLessThanOrEqual(202);
  });

  test("without values knows nothing; 0 ms and a year have a place", () => {
    const edge = emptyHistogram();
    expect([meanMs(edge), quantileMs(edge, 0.5), curve(edge)]).toEqual([null, null, []]);
    record(edge, 0);
    record(edge, 3.15e10);
    expect(quantileMs(edge, 0.5)).toBeLessThan(0.1);
    expect(quantileMs(edge, 1)).toBeGreaterThan(9e7);
  });
});
