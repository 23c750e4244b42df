import { expect, test } from "@jest/globals";
import { inventory, sample } from "../../build.js";
import { Dispatcher } from "../dispatcher.js";

const FLEET = [
  inventory("volta", { computeCapability: 7_000, memoryTotalMib: 16_384, multiprocessorCount: 80 }),
  inventory("ampere", { computeCapability: 8_000, memoryTotalMib: 40_960, multiprocessorCount: 108 }),
  inventory("hopper", { computeCapability: 9_000, memoryTotalMib: 81_559, multiprocessorCount: 132 }),
];

test.each([
  ["capability 7.0", { requirements: { minComputeCapability: 7_000 } }, "volta"],
  ["capability 8.0", { requirements: { minComputeCapability: 8_000 } }, "ampere"],
  ["capability 9.0", { requirements: { minComputeCapability: 9_000 } }, "hopper"],
  ["30 GB", { memoryMib: 30_000 }, "ampere"],
  ["120 multiprocessors", { requirements: { computeUnits: 120 } }, "hopper"],
  ["70 multiprocessors and 12 GB", { requirements: { computeUnits: 70 }, memoryMib: 12_000 }, "volta"],
])("a request for %s gets the GPU that has that and no more: %#", (_, over, expected) => {
  expect(new Dispatcher("capability_based", FLEET).choose(over)).toBe(expected);
});

test("training that asks for nothing gets the GPU with the most memory", () => {
  expect(new Dispatcher("capability_based", FLEET).choose({ type: "training" })).toBe("hopper");
});

test("of GPUs that suit alike the less loaded", () => {
  const dispatcher = new Dispatcher("capability_based", ["a", "b"]);
  dispatcher.fleet.observe(0, sample("a", { gpuUtilizationPercent: 30 }), 1);
  dispatcher.fleet.observe(1, sample("b", { gpuUtilizationPercent: 20 }), 1);
  expect(dispatcher.choose({ requirements: { minComputeCapability: 8_000 } })).toBe("b");
});
