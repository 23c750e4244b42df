import { expect, test } from "@jest/globals";
import { inventory, sample } from "../../build.js";
import { Dispatcher } from "../dispatcher.js";

function opposites(): Dispatcher {
  const dispatcher = new Dispatcher("resource_based", ["roomy-but-busy", "idle-but-full"]);
  dispatcher.fleet.observe(0, sample("roomy-but-busy", { memoryUsedMib: 8_000, gpuUtilizationPercent: 50 }), 1);
  dispatcher.fleet.observe(1, sample("idle-but-full", { memoryUsedMib: 40_000, gpuUtilizationPercent: 0 }), 1);
  return dispatcher;
}

test.each([
  ["nothing", {}, "idle-but-full"],
  ["little memory", { memoryMib: 2_000 }, "idle-but-full"],
  ["much memory", { memoryMib: 31_000 }, "roomy-but-busy"],
])("a request that needs %s goes where its scarcest resource lasts longest", (_, over, expected) => {
  expect(opposites().choose(over)).toBe(expected);
});

test("multiprocessors that are asked for are a larger share of a smaller GPU", () => {
  const gpus = [inventory("large", { multiprocessorCount: 132 }), inventory("small", { multiprocessorCount: 40 })];
  const dispatcher = new Dispatcher("resource_based", gpus);
  dispatcher.fleet.observe(0, sample("large", { gpuUtilizationPercent: 40 }), 1);
  dispatcher.fleet.observe(1, sample("small", { gpuUtilizationPercent: 10 }), 1);
  expect(dispatcher.choose({ requirements: { computeUnits: 4 } })).toBe("small");
  expect(dispatcher.choose({ requirements: { computeUnits: 30 } })).toBe("large");
});

test("memory that models hold already is no bottleneck for requests that bring no need of their own", () => {
  const dispatcher = new Dispatcher("resource_based", ["a", "b"]);
  dispatcher.fleet.observe(0, sample("a", { memoryUsedMib: 76_000, gpuUtilizationPercent: 10 }), 1);
  dispatcher.fleet.observe(1, sample("b", { memoryUsedMib: 70_000, gpuUtilizationPercent: 50 }), 1);
  expect(dispatcher.choose()).toBe("a");
});
