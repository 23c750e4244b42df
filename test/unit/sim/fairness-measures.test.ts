// What fairness is measured by. What it comes to: fairness.slow.ts beside this; real processes: test/e2e/fairness.slow.ts.
import { describe, expect, test } from "@jest/globals";
import { backlogged, jain, lightUsers, p95WaitMs, type Served } from "./fairness-measures.js";

describe("the measures", () => {
  const one = (user: number, arrivedAtMs: number, placedAtMs: number): Served => ({ user, arrivedAtMs, placedAtMs, costMs: 1 });

  test.each([
    [[5, 5, 5], 1],
    [[9, 0, 0], 1 / 3],
    [[2, 1], 0.9],
  ])("Jain's index of %j is %d", (values, expected) => expect(jain(values)).toBeCloseTo(expected, 12));

  test("backlogged is who has something in line without a gap, whichever requests that are", () => {
    expect(backlogged([one(0, 0, 15), one(0, 12, 30), one(1, 0, 15), one(1, 16, 30), one(2, 9, Number.POSITIVE_INFINITY), one(3, 11, 30)], 4, 10, 20)).toEqual([0, 2]);
  });

  test("light is who asks for less than an equal share; who asks for nothing is nobody", () => {
    expect(lightUsers([10, 1, 0, 3, 4], 16)).toEqual([1, 3]);
  });

  test("the p95 of twenty waits is the nineteenth, of those alone that came in time", () => {
    const waits = Array.from({ length: 20 }, (_, index) => one(0, 100, 100 + 20 - index));
    expect(p95WaitMs([...waits, one(0, 50, 999), one(1, 100, 999)], [0], 100, 200)).toBe(19);
  });
});
