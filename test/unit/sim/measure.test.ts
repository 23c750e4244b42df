import { describe, expect, test } from "@jest/globals";

import { figuresOf } from "../../../src/sim/figures.js";
import { attainmentOf, completionOf, fairness, measure, pooled, worstUser } from "../../../src/sim/measure.js";
import { madeRun, type MadeRequest } from "./made-run.js";

const REQUESTS: readonly MadeRequest[] = [
  { tenant: 0, at: 0, placed: 100, first: 500, ended: 1000, outcome: "completed", inSlo: true, input: 1024, cached: 512, output: 10, gpu: 0 },
  { tenant: 1, at: 1000, placed: 1000, first: 1200, ended: 2000, outcome: "completed", inSlo: true, input: 100, output: 10, gpu: 1 },
  { tenant: 2, at: 6000, placed: 7000, first: 9000, ended: 12_000, outcome: "completed", input: 100, output: 10, gpu: 0 },
  { tenant: 2, at: 7000, ended: 7001, outcome: "failed" },
  { tenant: 3, at: 0, placed: 0, first: 4000, ended: 8000, outcome: "completed", input: 300, output: 46, gpu: 0 },
  { tenant: 3, at: 2000, outcome: "unfinished" },
];
const measures = measure(madeRun(REQUESTS), 10_000);
const figures = figuresOf(measures);

describe("what is measured of a run", () => {
  test("counts attainment over requests with an SLO, and by user over all the user's models", () => {
    expect(attainmentOf(measures.interactive)).toBe(0.5);
    expect(measures.users.map((user) => [user.name, user.requests, attainmentOf(user)])).toEqual([
      ["ann", 2, 1],
      ["batch", 2, 0],
      ["ben", 2, 0],
    ]);
    expect(worstUser(measures)).toEqual({ name: "ben", attainment: 0 });
    expect(fairness(measures)).toBe(0.5);
  });

  test("counts batch work by its completion", () => {
    expect(completionOf(measures.batch)).toBe(0.5);
    expect(figures.batchCompletion).toBe(0.5);
  });

  test("a request that was refused at once counts as given up after 30 s, not as a fast one", () => {
    expect(figures.response.meanMs).toBeCloseTo((1000 + 1000 + 6000 + 30_000) / 4, 6);
    expect(figures.firstOutput.p99Ms).toBeGreaterThan(29_800);
  });

  test("a request that never ended counts until the end of the run, and at least 30 s", () => {
    const long = measure(madeRun([{ tenant: 3, at: 2000, outcome: "unfinished" }], { durationMs: 92_000 }), 10_000);
    expect(long.users.find(({ name }) => name === "batch")?.response.sumMs).toBe(90_000);
    expect(figures.users.find(({ name }) => name === "batch")?.response.meanMs).toBe((8000 + 30_000) / 2);
  });

  test("waits are by priority, from arrival to placement, or to the end of what was never placed", () => {
    expect(measures.waits.map(({ count, sumMs }) => [count, sumMs])).toEqual([
      [2, 18_000],
      [2, 1001],
      [0, 0],
      [0, 0],
      [2, 100],
    ]);
  });

  test("the fleet's use counts while requests arrive, the drain does not", () => {
    expect(measures.busyShare).toBe(0.75);
    expect(measures.timeline.busy).toHaveLength(2);
    expect(measures.busyByKind).toEqual([
      { kind: "H100-80GB", busyShare: 0.5 },
      { kind: "L40S", busyShare: 0.2 },
    ]);
  });

  test("prefix hits are of what reached a GPU; the skew is the largest GPU's tokens against the mean", () => {
    expect(figures.cachedTokenShare).toBeCloseTo(512 / 1524, 9);
    expect(figures.cachedBlockShare).toBeCloseTo(1 / 5, 9);
    expect(measures.loadSkew).toBeCloseTo(1490 / 800, 9);
  });

  test("what was kept over time is by arrival", () => {
    expect(measures.timeline.arrived).toEqual([2, 2]);
    expect(measures.timeline.kept).toEqual([2, 0]);
  });

  test("a run without requests is no failure", () => {
    const empty = measure(madeRun([]), 10_000);
    expect([attainmentOf(empty.interactive), completionOf(empty.batch), worstUser(empty), fairness(empty)]).toEqual([1, 1, null, 1]);
    expect(figuresOf(empty).firstOutput.p95Ms).toBeNull();
  });
});

describe("several runs pooled", () => {
  const other = measure(madeRun([{ tenant: 0, at: 0, placed: 0, first: 1, ended: 2, outcome: "completed", inSlo: true }], { seed: 2 }), 10_000);
  const both = pooled([measures, other]);

  test("are as one run of all requests", () => {
    const together = measure(madeRun([...REQUESTS, { tenant: 0, at: 0, placed: 0, first: 1, ended: 2, outcome: "completed", inSlo: true }]), 10_000);
    expect(both.interactive).toEqual(together.interactive);
    expect(both.firstOutput).toEqual(together.firstOutput);
    expect(both.waits).toEqual(together.waits);
    expect(both.users).toEqual(together.users);
  });

  test("keep each seed's figures for the spread", () => {
    expect(both.seeds.map(({ seed, attainment }) => [seed, attainment])).toEqual([
      [1, 0.5],
      [2, 1],
    ]);
    const { lowest, highest, deviation } = figuresOf(both).attainmentSpread;
    expect([lowest, highest]).toEqual([0.5, 1]);
    expect(deviation).toBeCloseTo(Math.SQRT1_2 / 2, 9);
  });
});
