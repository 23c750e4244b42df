import { expect, test } from "@jest/globals";
import { sample } from "../../build.js";
import { Dispatcher } from "../dispatcher.js";

test("a burst between two samples spreads evenly", () => {
  expect(new Dispatcher("least_outstanding", ["a", "b", "c", "d"]).fill(20)).toEqual({ a: 5, b: 5, c: 5, d: 5 });
});

test("goes by what was placed, not by what telemetry says", () => {
  const dispatcher = new Dispatcher("least_outstanding", ["busy-with-one", "idle-with-three"]);
  dispatcher.fleet.place(0, 0);
  for (let turn = 0; turn < 3; turn += 1) dispatcher.fleet.place(1, 0);
  dispatcher.fleet.observe(0, sample("busy-with-one", { gpuUtilizationPercent: 100 }), 1);
  dispatcher.fleet.observe(1, sample("idle-with-three", { gpuUtilizationPercent: 3 }), 1);
  expect(dispatcher.choose()).toBe("busy-with-one");
});

test("what ends makes room at once", () => {
  const dispatcher = new Dispatcher("least_outstanding", ["a", "b"]);
  dispatcher.fill(10);
  dispatcher.fleet.release(1, 0, false);
  expect(dispatcher.choose()).toBe("b");
});
