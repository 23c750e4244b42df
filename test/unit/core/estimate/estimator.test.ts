import { describe, expect, test } from "@jest/globals";
import { Estimator } from "../../../../src/core/estimate/estimator.js";
import type { UserId } from "../../../../src/core/model/ids.js";
import type { RunStatistics } from "../../../../src/core/model/request.js";
import { spec, wishes } from "../build.js";

function ran(over: Partial<RunStatistics>): RunStatistics {
  return { runMs: 100, firstOutputMs: 0, inputTokens: 0, outputTokens: 0, peakMemoryMib: 0, ...over };
}

/** An estimator that saw these run times of the default spec. */
function taught(...outcomes: Partial<RunStatistics>[]): Estimator {
  const estimator = new Estimator();
  for (const outcome of outcomes) estimator.learn(spec("r"), ran(outcome));
  return estimator;
}

describe("an estimate", () => {
  test.each([
    ["inference", 1_000],
    ["training", 60_000],
  ])("of %s before anything is known is %i ms and no memory", (type, durationMs) => {
    expect(new Estimator().estimate(spec("r", { type }))).toEqual({ memoryMib: 0, durationMs, source: "default" });
  });

  test("is what the request says, each part by itself", () => {
    const estimator = taught({ runMs: 50, peakMemoryMib: 500 }, { runMs: 50 }, { runMs: 50 });
    expect(estimator.estimate(spec("r", { requirements: { expectedDurationMs: 700 } }))).toMatchObject({ durationMs: 700, source: "request" });
    expect(estimator.estimate(spec("r", { requirements: { memoryMib: 9_000 } }))).toEqual({ memoryMib: 9_000, durationMs: 50, source: "learned" });
  });

  test("is learned after three outcomes, not before", () => {
    expect(taught({ runMs: 300 }, { runMs: 300 }).estimate(spec("r")).source).toBe("default");
    expect(taught({ runMs: 200 }, { runMs: 300 }, { runMs: 400 }).estimate(spec("r"))).toMatchObject({ durationMs: 300, source: "learned" });
  });

  test("of one that does not learn stays a guess", () => {
    const estimator = new Estimator(false);
    for (let outcome = 0; outcome < 5; outcome += 1) estimator.learn(spec("r"), ran({ runMs: 300 }));
    expect(estimator.estimate(spec("r"))).toEqual({ memoryMib: 0, durationMs: 1_000, source: "default" });
  });

  test("scales with the tokens that are asked for", () => {
    const estimator = taught({ runMs: 1_000, outputTokens: 100 }, { runMs: 2_000, outputTokens: 200 }, { runMs: 500, outputTokens: 50 });
    expect(estimator.estimate(spec("r", { requirements: { outputTokens: 300 } })).durationMs).toBe(3_000);
  });

  test("is per type, model and user, else per type and model, else per type; another type's outcomes say nothing", () => {
    const estimator = new Estimator();
    const teach = (runMs: number, of: Parameters<typeof spec>[1]): void => {
      for (let turn = 0; turn < 3; turn += 1) estimator.learn(spec("r", of), ran({ runMs, peakMemoryMib: 700 }));
    };
    teach(100, { model: "small", userId: "ann" as UserId });
    teach(500, { model: "small", userId: "bob" as UserId });
    const durationOf = (of: Parameters<typeof spec>[1]) => estimator.estimate(spec("r", of)).durationMs;
    expect([durationOf({ model: "small", userId: "ann" as UserId }), durationOf({ model: "small", userId: "bob" as UserId })]).toEqual([100, 500]);
    expect(durationOf({ model: "small", userId: "cy" as UserId })).toBe(300);
    // A model that nobody has used: its time is like that of others, its memory is not.
    expect(estimator.estimate(spec("r", { model: "new" }))).toEqual({ memoryMib: 0, durationMs: 300, source: "learned" });
    expect(estimator.estimate(spec("r", { model: "small", type: "training" })).source).toBe("default");
  });

  test("of an answer to a model that nobody has used is as long as those of others", () => {
    const estimator = taught(...Array.from({ length: 300 }, () => ({ inputTokens: 50, outputTokens: 700 })));
    const { outputTokens } = estimator.estimate(spec("r", { model: "new", requirements: { inputTokens: 40 } }));
    expect(outputTokens).toBeGreaterThan(690);
    // Whether its work is measured in tokens at all is not known.
    expect(estimator.estimate(spec("r", { model: "new" })).outputTokens).toBeUndefined();
  });

  test("of an answer is not as short as the first that end: those are the short ones, and what was guessed counts like sixteen", () => {
    const first = Array.from({ length: 4 }, () => ({ inputTokens: 50, outputTokens: 10 }));
    // 200 is the guess where nothing is known.
    expect(taught(...first).estimate(spec("r")).outputTokens).toBe(Math.round((16 * 200 + 4 * 10) / 20));
    const settled = Array.from({ length: 400 }, () => ({ inputTokens: 50, outputTokens: 10 }));
    expect(taught(...settled).estimate(spec("r")).outputTokens).toBe(10);
  });

  test("of an answer to one user begins with what is known of the model", () => {
    const estimator = new Estimator();
    const answers = (user: string, outputTokens: number, count: number): void => {
      for (let turn = 0; turn < count; turn += 1) estimator.learn(spec("r", { userId: user as UserId }), ran({ runMs: 1_000, inputTokens: 50, outputTokens }));
    };
    answers("ann", 1_000, 400);
    answers("bob", 900, 3);
    const { outputTokens = 0 } = estimator.estimate(spec("r", { userId: "bob" as UserId }));
    expect(outputTokens).toBeGreaterThan(950);
    expect(outputTokens).toBeLessThan(1_000);
  });

  test("follows a lasting change, a tenth of the way each time", () => {
    const estimator = taught(...Array.from({ length: 20 }, () => ({ runMs: 100 })), { runMs: 200 });
    expect(estimator.estimate(spec("r")).durationMs).toBe(110);
  });

  test("takes memory up at once and down slowly", () => {
    const estimator = taught({ peakMemoryMib: 100 }, { peakMemoryMib: 1_000 }, { peakMemoryMib: 100 });
    expect(estimator.estimate(spec("r")).memoryMib).toBe(910);
  });
});

describe("the spread of an estimate", () => {
  test("is a guess until something was learned, a smaller one when the request tells its time", () => {
    const estimator = new Estimator();
    expect([estimator.spread(spec("r")), estimator.spread(spec("r", { requirements: { expectedDurationMs: 5 } }))]).toEqual([3, 1.3]);
  });

  test("is what outcomes were beside their estimates, nine times out of ten", () => {
    const always = new Estimator();
    for (let turn = 0; turn < 5; turn += 1) always.learn(spec("r"), ran({ runMs: 200 }), 100);
    expect(always.spread(spec("r"))).toBeCloseTo(2, 6);
    // One of fifteen takes eight times as long: no deviation tells that apart from all taking half as long again.
    const skewed = new Estimator();
    for (let turn = 0; turn < 90; turn += 1) skewed.learn(spec("r"), ran({ runMs: turn % 15 === 7 ? 800 : 100 }), 100);
    expect(skewed.spread(spec("r"))).toBeCloseTo(1, 6);
    expect(new Set([always.spread(spec("r", { userId: "new" as UserId })), always.spread(spec("r", { model: "new" }))])).toEqual(new Set([2]));
  });

  test("is below one only where requests say more than they take themselves", () => {
    const estimator = new Estimator();
    for (let turn = 0; turn < 5; turn += 1) estimator.learn(spec("r"), ran({ runMs: 40 }), 100);
    expect(estimator.spread(spec("r", { requirements: { expectedDurationMs: 100 } }))).toBeCloseTo(0.4, 6);
    expect(estimator.spread(spec("r"))).toBe(1);
  });

  test("of work on several GPUs is its own", () => {
    const estimator = new Estimator();
    const four = spec("r", { wishes: wishes({ gpus: 4 }) });
    for (let turn = 0; turn < 3; turn += 1) estimator.learn(four, ran({ runMs: 500 }), 100);
    expect([estimator.spread(four), estimator.spread(spec("r"))]).toEqual([5, 3]);
    expect([estimator.estimate(four).durationMs, estimator.estimate(spec("r")).durationMs]).toEqual([500, 1_000]);
  });
});

describe("the speed of an outcome", () => {
  test("is not known before there is something to compare with", () => {
    const estimator = new Estimator();
    expect([1, 2, 3].map(() => estimator.learn(spec("r"), ran({})))).toEqual([-1, -1, -1]);
  });

  test.each([
    [100, 0.5],
    [200, 0.25],
    [50, 1],
    [10, 1],
    [0, -1],
  ])("of %i ms against a mean of 100 is %d", (runMs, expected) => {
    expect(taught({}, {}, {}).learn(spec("r"), ran({ runMs }))).toBeCloseTo(expected, 12);
  });

  test("is per token where tokens are counted", () => {
    const estimator = taught(...Array.from({ length: 3 }, () => ({ runMs: 1_000, outputTokens: 100 })));
    expect(estimator.learn(spec("r"), ran({ runMs: 4_000, outputTokens: 200 }))).toBeCloseTo(0.25, 12);
  });
});

test("groups are bounded: the least recently learned is forgotten first", () => {
  const estimator = new Estimator();
  const teach = (model: string): void => {
    for (let turn = 0; turn < 3; turn += 1) estimator.learn(spec("r", { model }), ran({}));
  };
  for (let turn = 0; turn < 3; turn += 1) estimator.learn(spec("r", { model: "old" }), ran({ runMs: 5_000 }));
  teach("kept");
  for (let index = 0; index < 9_998; index += 1) estimator.learn(spec("r", { model: `m${index}` }), ran({}));
  teach("kept");
  estimator.learn(spec("r", { model: "one more" }), ran({}));
  expect(estimator.estimate(spec("r", { model: "old" })).durationMs).toBe(100);
  expect(estimator.estimate(spec("r", { model: "kept" })).source).toBe("learned");
});
