import { describe, expect, test } from "@jest/globals";

import { DEFAULT_GOAL, goodput, LOAD_STEP, meets } from "../../../src/sim/goodput.js";
import { gpusNeeded, scaledFleet } from "../../../src/sim/gpus-needed.js";
import { measure, type Measures } from "../../../src/sim/measure.js";
import { lastThatHolds } from "../../../src/sim/step-search.js";
import { madeRun, type MadeRequest } from "./made-run.js";

/** A run of which so many of 100 requests of a user, and so many of 10 batch jobs, were good. */
function madeMeasures(ann: number, ben: number, batch: number): Measures {
  const of = (tenant: number, good: number, all: number): MadeRequest[] =>
    Array.from({ length: all }, (_, index) => (index < good ? { tenant, at: 0, placed: 0, first: 1, ended: 2, outcome: "completed" as const, ...(tenant < 3 ? { inSlo: true as const } : {}) } : { tenant, at: 0, outcome: "failed" as const }));
  return measure(madeRun([...of(0, ann, 900), ...of(2, ben, 100), ...of(3, batch, 10)]), 10_000);
}

const GOOD = madeMeasures(900, 100, 10);
const BAD = madeMeasures(700, 70, 10);

describe("a load is carried", () => {
  test.each([
    ["when 95 % are in their SLO, every user at 90 %, batch at 90 %", madeMeasures(860, 90, 9), true],
    ["not when fewer are in their SLO", madeMeasures(855, 94, 10), false],
    ["not when one user is below 90 %, however good the sum", madeMeasures(900, 89, 10), false],
    ["not when batch work is not done", madeMeasures(900, 100, 8), false],
  ])("%s", (_, measures, carried) => {
    expect(meets(measures, DEFAULT_GOAL)).toBe(carried);
  });
});

describe("the search for the goodput", () => {
  test.each([0.05, 0.7, 1, 3.21, 60])("finds where a curve falls, at %d, to one step, from any guess", async (limit) => {
    for (const guess of [0.1, 1, 20]) {
      const asked: number[] = [];
      const found = await goodput(async (load) => (asked.push(load), load <= limit ? GOOD : BAD), DEFAULT_GOAL, guess);
      expect(found.load).toBeLessThanOrEqual(limit);
      expect(found.load * LOAD_STEP).toBeGreaterThan(limit * 0.999);
      expect(found.measures).toBe(GOOD);
      expect(new Set(asked).size).toBe(asked.length);
      expect(asked.length).toBeLessThan(20);
    }
  });

  test("is 0 when nothing is carried, and about 200 when everything is", async () => {
    expect(await goodput(async () => BAD, DEFAULT_GOAL, 1)).toMatchObject({ load: 0, measures: null });
    expect(Math.abs((await goodput(async () => GOOD, DEFAULT_GOAL, 1)).load / 200 - 1)).toBeLessThan(0.03);
  });

  test("a load that cannot be set up is not carried", async () => {
    expect(await goodput(async () => null, DEFAULT_GOAL, 1)).toMatchObject({ load: 0 });
  });
});

describe("the search for the fewest GPUs", () => {
  test("ends at the most that may be tried", async () => {
    const asked: number[] = [];
    expect(await gpusNeeded(async (gpus) => (asked.push(gpus), BAD), DEFAULT_GOAL, 16, 100)).toMatchObject({ gpus: null, measures: null });
    expect(Math.max(...asked)).toBe(100);
  });

  test.each([1, 2, 17, 32, 1000])("finds %d", async (enough) => {
    for (const guess of [1, 16, 300]) {
      const found = await gpusNeeded(async (gpus) => (gpus >= enough ? GOOD : BAD), DEFAULT_GOAL, guess);
      expect(found.gpus).toBe(enough);
      expect(found.measures).toBe(GOOD);
    }
  });

  test("gives up at 4,096", async () => {
    expect(await gpusNeeded(async () => null, DEFAULT_GOAL, 8)).toMatchObject({ gpus: null, measures: null });
  });

  test("a fleet keeps its proportions, to a GPU", () => {
    const plan = { groups: [{ kind: "H100-80GB", gpus: 8, nodes: 2 }, { kind: "L40S", gpus: 4, nodes: 2 }] };
    expect(scaledFleet(plan, 24)).toEqual(plan);
    expect(scaledFleet(plan, 10)).toEqual({ groups: [{ kind: "H100-80GB", gpus: 7, nodes: 1 }, { kind: "L40S", gpus: 3, nodes: 1 }] });
    expect(scaledFleet(plan, 1)).toEqual({ groups: [{ kind: "H100-80GB", gpus: 1, nodes: 1 }] });
    expect(scaledFleet(plan, 30)).toEqual({ groups: [{ kind: "H100-80GB", gpus: 8, nodes: 2 }, { kind: "H100-80GB", gpus: 4, nodes: 1 }, { kind: "L40S", gpus: 4, nodes: 2 }, { kind: "L40S", gpus: 2, nodes: 1 }] });
    expect(scaledFleet({ openbGpus: 128 }, 64)).toEqual({ openbGpus: 64 });
  });
});

describe("the search over steps", () => {
  test.each([[0, 100], [-5, 5], [3, 3]])("agrees with looking at every step from %d to %d", async (least, most) => {
    for (let limit = least - 1; limit <= most; limit += 1) {
      for (const from of [least, most, Math.round((least + most) / 2)]) {
        expect(await lastThatHolds(async (step) => step <= limit, { from, least, most, stride: 4 })).toBe(limit < least ? null : limit);
      }
    }
  });
});
