import { describe, expect, test } from "@jest/globals";
import { PeerComparison } from "../../../../src/core/health/peer-comparison.js";
import { PeerStatistics } from "../../../../src/core/health/peer-statistics.js";

const NOW = 1_000_000;
const MIN_OUTCOMES = 5;

function peers(): PeerStatistics {
  return new PeerStatistics(MIN_OUTCOMES);
}

/** GPUs 0 to 3 are of one kind, 4 to 7 of another. Few enough for one slice. */
function slowness(statistics: PeerStatistics, gpu: number, nowMs: number): number {
  const comparison = new PeerComparison(statistics, (each) => (each < 4 ? 0 : 1));
  expect(comparison.advance(8, nowMs)).toMatchObject({ from: 0, to: 8 });
  return comparison.slowness(gpu);
}

function successes(statistics: PeerStatistics, gpu: number, ratio: number, count = 20, model = "m"): void {
  for (let turn = 0; turn < count; turn += 1) statistics.ended(gpu, model, false, ratio, NOW);
}

describe("speed", () => {
  test("is measured against the median of the kind", () => {
    const statistics = peers();
    [1, 1.1, 1, 3].forEach((ratio, gpu) => successes(statistics, gpu, ratio));
    expect([0, 1, 2, 3].map((gpu) => slowness(statistics, gpu, NOW))).toEqual([1, 1.1, 1, 3].map((ratio) => expect.closeTo(ratio, 9)));
  });

  test("of a slow model or a slow kind is nobody's fault", () => {
    const statistics = peers();
    for (let gpu = 0; gpu < 8; gpu += 1) successes(statistics, gpu, gpu < 4 ? 1 : 9);
    for (let gpu = 0; gpu < 4; gpu += 1) successes(statistics, gpu, 15, 20, "slow-model");
    for (let gpu = 0; gpu < 8; gpu += 1) expect(slowness(statistics, gpu, NOW)).toBeCloseTo(1, 9);
  });

  test("cannot be told of two GPUs, nor from a few outcomes, nor from old ones", () => {
    const two = peers();
    successes(two, 0, 1);
    successes(two, 1, 9);
    expect(slowness(two, 1, NOW)).toBeNaN();
    successes(two, 2, 1, 19);
    expect(slowness(two, 1, NOW)).toBeNaN();
    successes(two, 2, 1, 1);
    expect(slowness(two, 1, NOW)).toBeCloseTo(9, 9);
    expect(slowness(two, 1, NOW + 600_001)).toBeNaN();
  });

  test("over several models counts each as much as it was used", () => {
    const statistics = peers();
    for (let gpu = 0; gpu < 4; gpu += 1) {
      successes(statistics, gpu, gpu === 3 ? 3 : 1, 20, "a");
      successes(statistics, gpu, 1, 20, "b");
    }
    expect(slowness(statistics, 3, NOW)).toBeCloseTo(2, 9);
  });

  test("one odd measurement moves it by a bounded step", () => {
    const statistics = peers();
    for (let gpu = 0; gpu < 4; gpu += 1) successes(statistics, gpu, 1);
    statistics.ended(0, "m", false, 1e9, NOW);
    expect(slowness(statistics, 0, NOW)).toBeLessThan(3);
  });

  test("is unknown again when the GPU is forgotten", () => {
    const statistics = peers();
    for (let gpu = 0; gpu < 4; gpu += 1) successes(statistics, gpu, gpu === 0 ? 9 : 1);
    statistics.forget(0);
    expect(slowness(statistics, 0, NOW)).toBeNaN();
  });
});

describe("errors", () => {
  const outcomes = (statistics: PeerStatistics, gpu: number, faults: number, of: number): void => {
    for (let turn = 0; turn < of; turn += 1) statistics.ended(gpu, "m", turn < faults, 1, NOW);
  };

  test("that a model makes on most GPUs are the model's", () => {
    const statistics = peers();
    for (const gpu of [0, 1, 5]) outcomes(statistics, gpu, 10, 10);
    expect(statistics.failsEverywhere(0, "m", NOW)).toBe(true);
    expect(statistics.failsEverywhere(0, "another", NOW)).toBe(false);
  });

  test("that only one GPU makes are its own", () => {
    const statistics = peers();
    outcomes(statistics, 0, 10, 10);
    for (const gpu of [1, 2, 5]) outcomes(statistics, gpu, 0, 10);
    expect(statistics.failsEverywhere(0, "m", NOW)).toBe(false);
  });

  test("are a GPU's own where too few others know the model", () => {
    const statistics = peers();
    outcomes(statistics, 0, 10, 10);
    outcomes(statistics, 1, 10, 10);
    outcomes(statistics, 2, 4, 4);
    expect(statistics.failsEverywhere(0, "m", NOW)).toBe(false);
    outcomes(statistics, 2, 1, 1);
    expect(statistics.failsEverywhere(0, "m", NOW)).toBe(true);
  });
});
