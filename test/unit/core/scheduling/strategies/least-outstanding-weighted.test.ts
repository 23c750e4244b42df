import { expect, test } from "@jest/globals";
import { relativeSpeed } from "../../../../../src/core/estimate/gpu-speeds.js";
import { inventory } from "../../build.js";
import { A100, Dispatcher, T4 } from "../dispatcher.js";

const MIXED = [inventory("fast", { name: A100 }), inventory("slow", { name: T4 })];
const ROOM = { maxConcurrentTasksPerGpu: 256 };

test("requests lie on the GPUs in proportion to their speed", () => {
  const { fast = 0, slow = 0 } = new Dispatcher("least_outstanding_weighted", MIXED, ROOM).fill(120);
  expect(fast + slow).toBe(120);
  const share = relativeSpeed(A100) / (relativeSpeed(A100) + relativeSpeed(T4));
  expect(Math.abs(fast - 120 * share)).toBeLessThanOrEqual(1);
});

test("of idle GPUs the fastest is first", () => {
  for (let turn = 0; turn < 10; turn += 1) expect(new Dispatcher("least_outstanding_weighted", MIXED).choose({ seed: turn })).toBe("fast");
});

test("GPUs of unknown kinds share evenly", () => {
  expect(new Dispatcher("least_outstanding_weighted", ["a", "b", "c"], ROOM).fill(30)).toEqual({ a: 10, b: 10, c: 10 });
});

test("a straggler of the same kind gets less once its outcomes show it, and its share back when they are good again", () => {
  const dispatcher = new Dispatcher("least_outstanding_weighted", ["well", "ill"].map((id) => inventory(id, { name: A100 })), ROOM);
  const share = (): number => {
    const { ill = 0 } = dispatcher.fill(60);
    for (let gpu = 0; gpu < 2; gpu += 1) while (dispatcher.fleet.active[gpu]! > 0) dispatcher.fleet.release(gpu, 0, false);
    return ill / 60;
  };
  for (let turn = 0; turn < 60; turn += 1) dispatcher.fleet.learnSpeed(1, 0.1);
  expect(share()).toBeLessThan(0.4);
  for (let turn = 0; turn < 60; turn += 1) dispatcher.fleet.learnSpeed(1, 0.5);
  expect(share()).toBeCloseTo(0.5, 1);
});
