import { describe, expect, test } from "@jest/globals";
import { weightedScorers } from "../../../../src/core/scheduling/weighted-scorers.js";
import { StrategyScore } from "../../../../src/core/scheduling/strategy-score.js";
import { weighted } from "../../../../src/core/scheduling/strategies/weighted.js";
import { fleetOf, settings } from "../build.js";

const scorers = ["usage", "priority", "health"].map((name) => ({ name, valueForAll: () => 0 }));
const shares = (weights: Record<string, number>): [string, number][] => weightedScorers(scorers, weights).map(({ scorer, weight }) => [scorer.name, weight]);

describe("weightedScorers", () => {
  test("keeps a full set that sums to 1", () => {
    expect(shares({ usage: 0.5, priority: 0.25, health: 0.25 })).toEqual([["usage", 0.5], ["priority", 0.25], ["health", 0.25]]);
  });

  test("normalises a partial set by its sum", () => {
    expect(shares({ usage: 0.3, health: 0.1 })).toEqual([["usage", expect.closeTo(0.75, 12)], ["health", expect.closeTo(0.25, 12)]]);
  });

  test("leaves out what weighs nothing", () => {
    expect(shares({ usage: 2, priority: 0 })).toEqual([["usage", 1]]);
  });

  test.each([
    [{ speed: 1 }, 'Unknown weight "speed": use usage, priority, health.'],
    [{ usage: -0.1 }, 'Weight "usage" must be a finite number of at least 0: it is -0.1.'],
    [{ usage: Number.NaN }, 'Weight "usage" must be a finite number of at least 0: it is NaN.'],
    [{ usage: Number.POSITIVE_INFINITY }, 'Weight "usage" must be a finite number of at least 0: it is Infinity.'],
    [{ usage: 0 }, "At least one weight of usage, priority, health must be above 0."],
    [{}, "At least one weight of usage, priority, health must be above 0."],
  ])("refuses %j", (weights, message) => {
    expect(() => shares(weights as Record<string, number>)).toThrow(message);
  });

  test("gives the reference shares for the defaults, and the deployment guide's set", () => {
    const of = (weights: Record<string, number>): [string, number][] =>
      new StrategyScore(weighted(settings({ weights })), []).weights(fleetOf([])).map(({ scorer, weight }) => [scorer, Number(weight.toFixed(12))]);
    expect(of(settings().weights)).toEqual([["usage", 0.35], ["priority", 0.25], ["type_compatibility", 0.15], ["performance", 0.15], ["health", 0.1]]);
    expect(of({ usage: 0.4, priority: 0.3, performance: 0.2, health: 0.1 })).toEqual([["usage", 0.4], ["priority", 0.3], ["performance", 0.2], ["health", 0.1]]);
  });
});
