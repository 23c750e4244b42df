// Percentiles of few runs say no more than was measured.
import { expect, test } from "@jest/globals";
import { percentiles } from "./percentiles.js";

test("are samples themselves, in whatever order these came", () => {
  const samples = Array.from({ length: 50 }, (_, index) => 50 - index);
  expect(percentiles(samples)).toEqual({ runs: 50, p50Ms: 25, p95Ms: 48, p99Ms: 50, maxMs: 50 });
  expect(percentiles([7])).toEqual({ runs: 1, p50Ms: 7, p95Ms: 7, p99Ms: 7, maxMs: 7 });
});
