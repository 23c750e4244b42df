import { describe, expect, test } from "@jest/globals";
import { inventory } from "../../build.js";
import { A100, Dispatcher, T4 } from "../dispatcher.js";

describe("slots are kept for higher priorities", () => {
  test.each([
    [1, 4],
    [2, 5],
    [3, 6],
    [4, 7],
    [5, 8],
  ] as const)("priority %i gets %i of each GPU's eight when half is headroom", (priority, slots) => {
    const dispatcher = new Dispatcher("priority_based", ["a", "b"]);
    expect(dispatcher.fill(100, { priority })).toEqual({ a: slots, b: slots });
  });

  test("what low priorities may not take, high ones do, and the wait is explained", () => {
    const dispatcher = new Dispatcher("priority_based", ["a"]);
    dispatcher.fill(100, { priority: 1 });
    expect(dispatcher.explain({ priority: 1 }).filters).toEqual([{ filter: "headroom", removed: 1, needed: expect.stringContaining("fewer than 4 requests") }]);
    expect(dispatcher.fill(100, { priority: 5 })).toEqual({ a: 4 });
  });

  test("an idle GPU takes anything: nobody starves because of the headroom", () => {
    const dispatcher = new Dispatcher("priority_based", ["a"], { priorityHeadroom: 1 });
    expect(dispatcher.fill(100, { priority: 1 })).toEqual({ a: 1 });
  });

  test("without headroom all may take all", () => {
    const dispatcher = new Dispatcher("priority_based", ["a"], { priorityHeadroom: 0 });
    expect(dispatcher.fill(100, { priority: 1 })).toEqual({ a: 8 });
  });
});

describe("speed", () => {
  test.each([
    [5, "fast"],
    [1, "slow"],
  ] as const)("of two idle GPUs priority %i gets the %s one", (priority, expected) => {
    const dispatcher = new Dispatcher("priority_based", [inventory("fast", { name: A100 }), inventory("slow", { name: T4 })]);
    expect(dispatcher.choose({ priority })).toBe(expected);
  });

  test("an urgent request leaves the fast GPU when that is nearly full", () => {
    const dispatcher = new Dispatcher("priority_based", [inventory("fast", { name: A100 }), inventory("slow", { name: T4 })]);
    for (let turn = 0; turn < 7; turn += 1) dispatcher.fleet.place(0, 0);
    expect(dispatcher.choose({ priority: 5 })).toBe("slow");
  });

  test("says nothing where all GPUs are alike: requests of every priority spread", () => {
    for (const priority of [1, 3, 5] as const) expect(new Dispatcher("priority_based", ["a", "b", "c", "d"]).fill(8, { priority })).toEqual({ a: 2, b: 2, c: 2, d: 2 });
  });
});
