import { describe, expect, test } from "@jest/globals";
import { inventory, sample } from "../../build.js";
import { Dispatcher } from "../dispatcher.js";

/** Two GPUs that are each other's opposite, in a fleet whose other GPUs are as given. */
function fleetWith(others: { readonly memoryUsedMib: number; readonly gpuUtilizationPercent: number }): Dispatcher {
  const dispatcher = new Dispatcher("dynamic", ["roomy-but-busy", "idle-but-full", ...Array.from({ length: 8 }, (_, index) => inventory(`other-${index}`))]);
  dispatcher.fleet.observe(0, sample("roomy-but-busy", { memoryUsedMib: 20_000, gpuUtilizationPercent: 60 }), 1);
  dispatcher.fleet.observe(1, sample("idle-but-full", { memoryUsedMib: 50_000, gpuUtilizationPercent: 20 }), 1);
  for (let gpu = 2; gpu < 10; gpu += 1) dispatcher.fleet.observe(gpu, sample(`other-${gpu}`, others), 1);
  return dispatcher;
}

describe("the same two GPUs", () => {
  test("where memory is scarce the one with memory is better", () => {
    expect(fleetWith({ memoryUsedMib: 79_000, gpuUtilizationPercent: 5 }).choose()).toBe("roomy-but-busy");
  });

  test("where compute is scarce the idle one is better", () => {
    expect(fleetWith({ memoryUsedMib: 2_000, gpuUtilizationPercent: 94 }).choose()).toBe("idle-but-full");
  });
});

test("the weights that Explain shows are those of now, and sum to 1", () => {
  const dispatcher = fleetWith({ memoryUsedMib: 60_000, gpuUtilizationPercent: 10 });
  const weights = (): number[] => dispatcher.explain().scorers.map(({ weight }) => weight);
  const [memory = 0, compute = 0] = weights();
  expect(memory + compute).toBeCloseTo(1, 12);
  expect(memory).toBeGreaterThan(0.6);
  for (let gpu = 2; gpu < 10; gpu += 1) dispatcher.fleet.observe(gpu, sample(`other-${gpu}`, { memoryUsedMib: 0, gpuUtilizationPercent: 90 }), 2);
  expect(weights()[1]).toBeGreaterThan(0.6);
});

test("what was placed a moment ago counts before any telemetry shows it", () => {
  const dispatcher = new Dispatcher("dynamic", ["a", "b", "c", "d"]);
  expect(dispatcher.fill(32)).toEqual({ a: 8, b: 8, c: 8, d: 8 });
});
