import { expect, test } from "@jest/globals";
import { StallWatch } from "../../../src/link/stall-watch.js";

test("looks in time, and somewhat late, are no stall", () => {
  const watch = new StallWatch(50);
  expect([1_000, 1_050, 1_100, 1_350].map((nowMs) => watch.look(nowMs))).toEqual([0, 0, 0, 0]);
});

test("a stall is what a look comes too late by, once", () => {
  const watch = new StallWatch(50);
  expect([0, 50, 10_100, 10_150].map((nowMs) => watch.look(nowMs))).toEqual([0, 0, 10_000, 0]);
});

test("the time before the first look is none", () => {
  expect(new StallWatch(50).look(999_999)).toBe(0);
});
