import { describe, expect, test } from "@jest/globals";
import { Dispatcher, frequencies } from "../dispatcher.js";

const ids = (count: number): string[] => Array.from({ length: count }, (_, index) => `g${index}`);
const ROOM = { maxConcurrentTasksPerGpu: 1_000 };

describe("the draw", () => {
  test("is fair among equals: the tie-break of the same seed does not favour the first half", () => {
    const counts = frequencies(new Dispatcher("power_of_two", ids(10)), 10_000);
    // Four standard deviations of a fair draw are 120.
    for (const id of ids(10)) expect(Math.abs((counts.get(id) ?? 0) - 1_000)).toBeLessThan(120);
  });

  test("looks at two only: one idle GPU among a hundred busy ones is found about twice in a hundred times", () => {
    const dispatcher = new Dispatcher("power_of_two", ids(100));
    for (let gpu = 1; gpu < 100; gpu += 1) dispatcher.fleet.place(gpu, 0);
    const found = frequencies(dispatcher, 5_000).get("g0") ?? 0;
    expect(found).toBeGreaterThan(60);
    expect(found).toBeLessThan(150);
  });

  test("is the whole fleet when that is two", () => {
    const dispatcher = new Dispatcher("power_of_two", ids(2), ROOM);
    expect(dispatcher.fill(20)).toEqual({ g0: 10, g1: 10 });
  });

  test("shows in Explain: two candidates of all that were considered", () => {
    const decision = new Dispatcher("power_of_two", ids(50)).explain();
    expect(decision.considered).toBe(50);
    expect(decision.candidates).toHaveLength(2);
    expect(new Set(decision.candidates.map(({ gpuId }) => gpuId)).size).toBe(2);
  });
});

test("the fullest GPU has much less than under a random choice", () => {
  const fullest = (strategy: string): number => Math.max(...Object.values(new Dispatcher(strategy, ids(200), ROOM).fill(2_000)));
  // Expected: about 10 + 3 for two choices, about 10 + 10 for one.
  expect(fullest("power_of_two")).toBeLessThanOrEqual(14);
  expect(fullest("random")).toBeGreaterThanOrEqual(17);
});
