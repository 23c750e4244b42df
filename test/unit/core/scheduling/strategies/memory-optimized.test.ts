import { expect, test } from "@jest/globals";
import { inventory, sample } from "../../build.js";
import { Dispatcher } from "../dispatcher.js";

function fleet(strategy: string): Dispatcher {
  const dispatcher = new Dispatcher(strategy, ["a", "b", "c"].map((id) => inventory(id, { memoryTotalMib: 40_000 })));
  dispatcher.fleet.observe(0, sample("a", { memoryUsedMib: 1_000 }), 1);
  dispatcher.fleet.observe(1, sample("b", { memoryUsedMib: 14_000 }), 1);
  dispatcher.fleet.observe(2, sample("c", { memoryUsedMib: 26_000 }), 1);
  return dispatcher;
}

test.each([
  [9_000, "c"],
  [11_000, "b"],
  [21_000, "b"],
  [23_000, "a"],
])("%i MiB go where least is left over", (memoryMib, expected) => {
  expect(fleet("memory_optimized").choose({ memoryMib })).toBe(expected);
});

test("small requests leave a gap for a large one, where spreading them does not", () => {
  const large = { memoryMib: 34_000 };
  const packed = fleet("memory_optimized");
  packed.fill(4, { memoryMib: 4_000 });
  expect(packed.choose(large)).toBe("a");
  const spread = fleet("least_loaded");
  spread.fill(4, { memoryMib: 4_000 });
  expect(spread.choose(large)).toBeNull();
});

test("requests that bring no memory need of their own are not piled on the fullest GPU", () => {
  expect(fleet("memory_optimized").fill(12)).toEqual({ a: 4, b: 4, c: 4 });
});
