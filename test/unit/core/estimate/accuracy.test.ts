import { expect, test } from "@jest/globals";
import { Accuracy } from "../../../../src/core/estimate/accuracy.js";
import { Estimator } from "../../../../src/core/estimate/estimator.js";
import { modelId, spec } from "../build.js";

const of = (type: string, model = "m") => ({ type, modelId: modelId(model) });

test("says by type and model how far expectations were off, which way, and how often nine of ten held", () => {
  const accuracy = new Accuracy();
  accuracy.learn(of("inference"), { expectedMs: 100, p90Ms: 150, actualMs: 200 });
  accuracy.learn(of("inference"), { expectedMs: 100, p90Ms: 150, actualMs: 100 });
  accuracy.learn(of("training"), { expectedMs: 300, p90Ms: 300, actualMs: 200 });
  expect(accuracy.all(10)).toEqual([
    { type: "inference", modelId: "m", outcomes: 2, meanRelativeError: 0.25, meanRatio: 1.5, withinP90: 0.5 },
    { type: "training", modelId: "m", outcomes: 1, meanRelativeError: 0.5, meanRatio: 2 / 3, withinP90: 1 },
  ]);
  expect(accuracy.all(1)).toHaveLength(1);
});

test("one odd outcome does not drown the rest, and one without a time says nothing", () => {
  const accuracy = new Accuracy();
  for (const actualMs of [1, 0, Number.NaN]) accuracy.learn(of("inference"), { expectedMs: 1_000_000, p90Ms: 0, actualMs });
  expect(accuracy.all(10)).toMatchObject([{ outcomes: 1, meanRelativeError: 10 }]);
});

test("kinds of work are bounded: the one that learned longest ago goes first", () => {
  const accuracy = new Accuracy();
  for (let index = 0; index <= 1_000; index += 1) accuracy.learn(of("inference", `m${index}`), { expectedMs: 1, p90Ms: 1, actualMs: 1 });
  const models = accuracy.all(2_000).map((kind) => kind.modelId);
  expect(models).toHaveLength(1_000);
  expect(models).not.toContain("m0");
});

test("the estimator measures itself: what it expected, and its nine of ten, against what came", () => {
  const estimator = new Estimator();
  const statistics = { firstOutputMs: 0, inputTokens: 0, outputTokens: 0, peakMemoryMib: 0 };
  for (const runMs of [100, 100, 100, 100]) estimator.learn(spec("r"), { ...statistics, runMs }, 100);
  // Expected to take 100 ms nine times out of ten, as it always has.
  estimator.learn(spec("r"), { ...statistics, runMs: 200 }, 100);
  const [kind] = estimator.accuracy(10);
  expect(kind).toMatchObject({ type: "inference", modelId: "m", outcomes: 5 });
  expect(kind?.meanRelativeError).toBeCloseTo(0.1, 12);
  expect(kind?.meanRatio).toBeCloseTo(1.2, 12);
  expect(kind?.withinP90).toBeCloseTo(0.8, 12);
});
