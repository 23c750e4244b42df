import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { SlidingWindow } from "../../../../src/core/quota/sliding-window.js";

const MINUTE = 60_000;
const SLOT = 1_000;

test("counts what happened within the window, and forgets it at most one slot late", () => {
  const window = new SlidingWindow(MINUTE, SLOT);
  window.add(10_500);
  window.add(10_900);
  window.add(30_000);
  expect(window.used(30_000)).toBe(3);
  expect(window.used(10_900 + MINUTE - 1)).toBe(3);
  expect(window.used(11_000 + MINUTE)).toBe(1);
  expect(window.used(31_000 + MINUTE)).toBe(0);
});

test("says when there is room below a limit, also below one that was lowered", () => {
  const window = new SlidingWindow(MINUTE, SLOT);
  for (const atMs of [1_000, 2_000, 3_000]) window.add(atMs);
  expect(window.roomAtMs(4, 5_000)).toBe(5_000);
  expect(window.roomAtMs(3, 5_000)).toBe(2_000 + MINUTE);
  expect(window.roomAtMs(1, 5_000)).toBe(4_000 + MINUTE);
  expect(window.roomAtMs(0, 5_000)).toBe(Number.POSITIVE_INFINITY);
  expect(window.nextDropMs(5_000)).toBe(2_000 + MINUTE);
  expect(new SlidingWindow(MINUTE, SLOT).nextDropMs(0)).toBe(0);
});

test("questions change nothing that a snapshot holds", () => {
  const asked = new SlidingWindow(MINUTE, SLOT);
  const left = new SlidingWindow(MINUTE, SLOT);
  for (const atMs of [1_000, 2_500, 40_000]) for (const window of [asked, left]) window.add(atMs);
  expect(asked.used(500_000)).toBe(0);
  expect(asked.dump()).toEqual(left.dump());
});

test("a clock that went back counts into the newest slot", () => {
  const window = new SlidingWindow(MINUTE, SLOT);
  window.add(50_000);
  window.add(20_000);
  expect(window.used(50_000)).toBe(2);
  expect(window.used(51_000 + MINUTE)).toBe(0);
});

test("what a clock that was far ahead has counted does not count when it is right again, nor later", () => {
  const window = new SlidingWindow(MINUTE, SLOT);
  window.add(10_000);
  expect(window.used(9_000_000)).toBe(0);
  // A question alone forgets nothing.
  expect(window.used(20_000)).toBe(1);
  window.add(9_000_000, 5);
  expect([window.used(9_000_000), window.used(20_000), window.roomAtMs(1, 20_000), window.nextDropMs(20_000)]).toEqual([5, 0, 20_000, 0]);
  const restored = new SlidingWindow(MINUTE, SLOT);
  restored.load(window.dump());
  for (const one of [window, restored]) {
    one.add(20_000);
    expect([one.used(20_000), one.nextDropMs(20_000), one.used(9_000_000)]).toEqual([1, 21_000 + MINUTE, 0]);
  }
});

test("a clock that was ahead by less than the window holds up for no more than another one", () => {
  const window = new SlidingWindow(MINUTE, SLOT);
  window.add(10_000 + MINUTE, 3);
  expect(window.used(9_999)).toBe(0);
  expect(window.used(10_000)).toBe(3);
  expect(window.roomAtMs(3, 10_000)).toBe(11_000 + 2 * MINUTE);
});

describe("whoever stays below the limit at each moment", () => {
  const gaps = fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: 1, maxLength: 300 });

  test("never has more than that within any window, and a restored one says the same", () => {
    fc.assert(
      fc.property(gaps, fc.integer({ min: 1, max: 12 }), (steps, limit) => {
        let window = new SlidingWindow(MINUTE, SLOT);
        const accepted: number[] = [];
        let nowMs = 1_000_000;
        for (const [place, gap] of steps.entries()) {
          nowMs += gap;
          if (place % 7 === 3) {
            const restored = new SlidingWindow(MINUTE, SLOT);
            restored.load(window.dump());
            expect(restored.used(nowMs)).toBe(window.used(nowMs));
            expect(restored.roomAtMs(limit, nowMs)).toBe(window.roomAtMs(limit, nowMs));
            window = restored;
          }
          if (window.used(nowMs) >= limit) {
            expect(window.roomAtMs(limit, nowMs)).toBeGreaterThan(nowMs);
            continue;
          }
          window.add(nowMs);
          accepted.push(nowMs);
          expect(accepted.filter((atMs) => atMs > nowMs - MINUTE).length).toBeLessThanOrEqual(limit);
        }
      }),
      { seed: 11, numRuns: 200 },
    );
  });
});
