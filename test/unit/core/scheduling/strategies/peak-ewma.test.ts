import { describe, expect, test } from "@jest/globals";
import { Dispatcher } from "../dispatcher.js";

const ROOM = { maxConcurrentTasksPerGpu: 256 };

function twoKnown(): Dispatcher {
  const dispatcher = new Dispatcher("peak_ewma", ["a", "b"], ROOM);
  dispatcher.fleet.outcomes.ended(0, 200, false, dispatcher.nowMs);
  dispatcher.fleet.outcomes.ended(1, 200, false, dispatcher.nowMs);
  return dispatcher;
}

test("a GPU that was slow once is avoided at once: four times the latency, a quarter of the requests", () => {
  const dispatcher = twoKnown();
  dispatcher.fleet.outcomes.ended(1, 800, false, dispatcher.nowMs);
  const { a = 0, b = 0 } = dispatcher.fill(100);
  expect(a / b).toBeGreaterThan(3.5);
  expect(a / b).toBeLessThan(4.5);
});

test("one quick answer does not clear a slow GPU, the time without slow ones does", () => {
  const dispatcher = twoKnown();
  dispatcher.fleet.outcomes.ended(1, 5_000, false, dispatcher.nowMs);
  dispatcher.fleet.outcomes.ended(1, 200, false, dispatcher.nowMs + 10);
  dispatcher.nowMs += 10;
  expect(dispatcher.choose()).toBe("a");
  // Both are seen again after a minute, b no slower than a.
  dispatcher.nowMs += 60_000;
  dispatcher.fleet.outcomes.ended(0, 210, false, dispatcher.nowMs);
  dispatcher.fleet.outcomes.ended(1, 180, false, dispatcher.nowMs);
  expect(dispatcher.choose()).toBe("b");
});

test("a GPU that refuses within a millisecond attracts nobody: a failure counts as five seconds", () => {
  const dispatcher = twoKnown();
  dispatcher.fleet.outcomes.ended(1, 1, true, dispatcher.nowMs);
  const { b = 0 } = dispatcher.fill(20);
  expect(b).toBe(0);
});

test("a failure after longer than that counts as long as it took", () => {
  const dispatcher = twoKnown();
  dispatcher.fleet.outcomes.ended(0, 1, true, dispatcher.nowMs);
  dispatcher.fleet.outcomes.ended(1, 20_000, true, dispatcher.nowMs);
  expect(dispatcher.choose()).toBe("a");
});

describe("a GPU that nothing is known of", () => {
  test("counts as one second: behind a quick one, before a slow one", () => {
    const dispatcher = new Dispatcher("peak_ewma", ["new", "known"], ROOM);
    dispatcher.fleet.outcomes.ended(1, 500, false, dispatcher.nowMs);
    expect(dispatcher.choose()).toBe("known");
    dispatcher.fleet.outcomes.ended(1, 2_000, false, dispatcher.nowMs);
    expect(dispatcher.choose()).toBe("new");
  });

  test("does not draw all of a burst: what it was given counts", () => {
    const { a = 0, b = 0, c = 0 } = new Dispatcher("peak_ewma", ["a", "b", "c"], ROOM).fill(30);
    expect([a, b, c]).toEqual([10, 10, 10]);
  });
});

test("works on for days: neither long pauses nor large clocks upset it", () => {
  const dispatcher = new Dispatcher("peak_ewma", ["a", "b"], ROOM);
  dispatcher.nowMs = 1.8e12;
  const { outcomes } = dispatcher.fleet;
  for (let hour = 0; hour < 72; hour += 1) {
    dispatcher.nowMs += 3_600_000;
    outcomes.ended(0, 300, false, dispatcher.nowMs);
    outcomes.ended(1, hour % 2 === 0 ? 100 : 900, false, dispatcher.nowMs);
    expect(dispatcher.choose()).toBe(hour % 2 === 0 ? "b" : "a");
    const [best] = dispatcher.explain().candidates;
    expect(best?.values[0]).toBeCloseTo(hour % 2 === 0 ? 0.1 : 0.3, 6);
  }
});

test("the cost that Explain shows has decayed since the last outcome", () => {
  const dispatcher = new Dispatcher("peak_ewma", ["a"]);
  dispatcher.fleet.outcomes.ended(0, 2_000, false, dispatcher.nowMs);
  dispatcher.nowMs += 10_000;
  expect(dispatcher.explain().candidates[0]?.values[0]).toBeCloseTo(2 / Math.E, 6);
});
