// The rounds of comparing: what one tick may cost, and that a round in slices comes to what one in one go would.
import { describe, expect, test } from "@jest/globals";
import { PeerComparison, WORK_PER_SLICE } from "../../../../src/core/health/peer-comparison.js";
import { PeerStatistics } from "../../../../src/core/health/peer-statistics.js";

const MIN_OUTCOMES = 1;
const TICK_MS = 50;
/** Enough for speeds to count. */
const OUTCOMES = 4;

/** `gpus` GPUs that all know `models` models; each GPU is as slow as `ratioOf` says. */
function known(gpus: number, models: number, ratioOf: (gpu: number) => number): PeerStatistics {
  const statistics = new PeerStatistics(MIN_OUTCOMES);
  for (let model = 0; model < models; model += 1) {
    for (let gpu = 0; gpu < gpus; gpu += 1) for (let turn = 0; turn < OUTCOMES; turn += 1) statistics.ended(gpu, `m${model}`, false, ratioOf(gpu), 0);
  }
  return statistics;
}

interface Round {
  readonly works: readonly number[];
  readonly slowness: ReadonlyMap<number, number>;
}

/** A whole round, a tick at a time: what each tick cost, and what it said of each GPU. */
function round(comparison: PeerComparison, gpus: number, fromMs: number, between: (tick: number) => void = () => {}): Round {
  const works: number[] = [];
  const slowness = new Map<number, number>();
  for (let tick = 0; slowness.size < gpus; tick += 1) {
    expect(tick).toBeLessThan(1_000);
    const { work, from, to } = comparison.advance(gpus, fromMs + tick * TICK_MS);
    works.push(work);
    for (let gpu = from; gpu < to; gpu += 1) slowness.set(gpu, comparison.slowness(gpu));
    between(tick);
  }
  return { works, slowness };
}

describe("a tick", () => {
  test("over 1,000 GPUs and 10 models looks at 1,000 of their 10,000 figures at most", () => {
    const statistics = known(1_000, 10, () => 1);
    const { works } = round(new PeerComparison(statistics, () => 0), 1_000, 0);
    expect(Math.max(...works)).toBeLessThanOrEqual(WORK_PER_SLICE);
    expect(works.reduce((sum, work) => sum + work, 0)).toBe(10 * 1_000 + 1_000 * 10);
    // Within a second of ticks, so that the next round begins when it is time.
    expect(works.length).toBeLessThanOrEqual(20);
  });

  test("of a fleet with a thousand models goes on where the last one stopped", () => {
    const statistics = known(20, 1_000, () => 1);
    const { works } = round(new PeerComparison(statistics, () => 0), 20, 0);
    expect(Math.max(...works)).toBeLessThanOrEqual(WORK_PER_SLICE);
    expect(works).toHaveLength(21);
  });

  test("between two rounds costs nothing", () => {
    const comparison = new PeerComparison(known(8, 2, () => 1), () => 0);
    expect(comparison.advance(8, 0).work).toBeGreaterThan(0);
    expect(comparison.advance(8, 4_999)).toEqual({ work: 0, from: 0, to: 0 });
    expect(comparison.advance(8, 5_000).work).toBeGreaterThan(0);
    expect(comparison.sinceLastMs).toBe(5_000);
  });
});

describe("a round in slices", () => {
  const ratioOf = (gpu: number): number => (gpu % 100 === 7 ? 3 : 1);

  test("finds the slow ones of a large fleet, and only these", () => {
    const { slowness } = round(new PeerComparison(known(1_000, 5, ratioOf), (gpu) => gpu % 3), 1_000, 0);
    for (const [gpu, ratio] of slowness) expect([gpu, ratio]).toEqual([gpu, expect.closeTo(ratioOf(gpu), 9)]);
  });

  test("comes to the same every time", () => {
    const once = (): Round => round(new PeerComparison(known(1_000, 5, (gpu) => 1 + (gpu % 13) / 10), (gpu) => gpu % 2), 1_000, 0);
    expect(once()).toEqual(once());
  });

  test("knows nothing of a GPU that was forgotten while it was under way", () => {
    const statistics = known(1_000, 3, ratioOf);
    const comparison = new PeerComparison(statistics, () => 0);
    const { slowness } = round(comparison, 1_000, 0, (tick) => {
      if (tick !== 1) return;
      statistics.forget(7);
      comparison.forget(7);
    });
    expect(slowness.get(7)).toBeNaN();
    expect(slowness.get(107)).toBeCloseTo(3, 9);
  });

  test("leaves a GPU that came meanwhile, and models that went, to the next", () => {
    const statistics = known(500, 4, () => 1);
    const comparison = new PeerComparison(statistics, () => 0);
    const { slowness } = round(comparison, 500, 0, (tick) => {
      if (tick === 0) for (let turn = 0; turn < OUTCOMES; turn += 1) statistics.ended(700, "m3", false, 9, 0);
    });
    expect(slowness.size).toBe(500);
    expect(comparison.slowness(700)).toBeNaN();
    // The next round begins with all of them, and has room for them.
    expect(round(comparison, 701, 10_000).slowness.get(700)).toBeCloseTo(9, 9);
  });
});
