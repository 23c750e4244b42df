import { OUT } from "../../build.js";
import { expect, test } from "@jest/globals";
import { Dispatcher, frequencies } from "../dispatcher.js";

test("takes every GPU that can about as often, however busy", () => {
  const dispatcher = new Dispatcher("random", ["a", "b", "c", "d", "e"]);
  for (let turn = 0; turn < 7; turn += 1) dispatcher.fleet.place(1, 0);
  dispatcher.fleet.judged(4, OUT);
  const counts = frequencies(dispatcher, 4_000);
  expect([...counts.keys()].toSorted()).toEqual(["a", "b", "c", "d"]);
  // Four standard deviations of a fair draw are 110.
  for (const count of counts.values()) expect(Math.abs(count - 1_000)).toBeLessThan(110);
});

test("draws the same for the same request", () => {
  const draw = (): (string | null)[] => [1, 2, 3, 4, 5, 6, 7, 8].map((seed) => new Dispatcher("random", ["a", "b", "c", "d"]).choose({ seed }));
  expect(draw()).toEqual(draw());
  expect(new Set(draw()).size).toBeGreaterThan(1);
});
