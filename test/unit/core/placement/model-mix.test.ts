// The fluid model of the fleet: what a change of models is worth before anybody orders it.
import { describe, expect, test } from "@jest/globals";
import { ModelMix, type MixHost } from "../../../../src/core/placement/model-mix.js";

function host(models: readonly string[], cost: Readonly<Record<string, number>>, taken = 0): MixHost {
  return { models: new Set(models), cost: new Map(Object.entries(cost)), taken };
}

describe("demand", () => {
  test("is spread evenly over GPUs that are alike, and all of it is", () => {
    const mix = new ModelMix([host(["a"], { a: 0.8 }), host(["a"], { a: 0.8 })], ["a"]);
    expect(mix.busyOf(0)).toBeCloseTo(0.4, 3);
    expect(mix.part("a", 0) + mix.part("a", 1)).toBeCloseTo(0.8, 6);
  });

  test("goes to the faster GPU first, and away from one that is taken", () => {
    expect(new ModelMix([host(["a"], { a: 0.1 }), host(["a"], { a: 0.4 })], ["a"]).part("a", 1)).toBeCloseTo(0, 6);
    expect(new ModelMix([host(["a"], { a: 0.4 }, 1), host(["a"], { a: 0.4 })], ["a"]).part("a", 0)).toBeCloseTo(0, 6);
  });
});

describe("a change", () => {
  test("gains where a busy model gets another GPU, more the busier it is", () => {
    const gain = (cost: number): number => new ModelMix([host(["a"], { a: cost }), host([], { a: cost })], ["a"]).gain(1, [], "a");
    expect(gain(0.2)).toBeGreaterThan(0);
    expect(gain(0.8)).toBeGreaterThan(10 * gain(0.2));
    expect(gain(3)).toBeGreaterThan(gain(0.8));
  });

  test("loses where a model loses the GPU that it needs, and most where it would lie nowhere", () => {
    const hosts = [host(["a"], { a: 0.6, b: 0.1 }), host(["a", "b"], { a: 0.6, b: 0.1 })];
    const mix = new ModelMix(hosts, ["a", "b"]);
    expect(mix.gain(0, ["a"], null)).toBeLessThan(0);
    expect(mix.gain(1, ["b"], null)).toBeLessThan(10 * mix.gain(0, ["a"], null));
  });

  test("tells what the arrangement would hold after it", () => {
    const costs = { a: 0.7, b: 0.3 };
    const before = new ModelMix([host(["a"], costs), host(["b"], costs)], ["a", "b"]);
    const after = new ModelMix([host(["a"], costs), host(["a", "b"], costs)], ["a", "b"]);
    expect(before.gain(1, [], "a")).toBeCloseTo(before.content - after.content, 1);
  });
});

test("counts the GPUs that it looks at: a change looks at those where its models lie, whatever else there is", () => {
  const costs = { a: 0.2, b: 0.2 };
  const mixOf = (others: number): ModelMix => new ModelMix([host(["a"], costs), host(["b"], costs), host([], costs), ...Array.from({ length: others }, () => host(["c"], { c: 0.1 }))], ["a", "b"]);
  for (const mix of [mixOf(0), mixOf(500)]) {
    const before = mix.looks;
    mix.gain(2, [], "a");
    expect(mix.looks - before).toBe(2);
  }
});
