import { expect, test } from "@jest/globals";
import { DrainRate } from "../../../src/core/drain-rate.js";

test("while nothing was measured, a second", () => {
  expect(new DrainRate().retryAfterMs(1_000)).toBe(1_000);
});

test("a line that gets shorter by ten a second has room for one more in a tenth of one, for the next a tenth later", () => {
  const drain = new DrainRate();
  for (let nowMs = 0; nowMs <= 60_000; nowMs += 100) drain.note(nowMs);
  expect(drain.perMs(60_000)).toBeCloseTo(0.01, 3);
  const told = [1, 2, 3, 4].map(() => drain.retryAfterMs(60_000));
  expect(told[0]).toBeGreaterThanOrEqual(100);
  for (const [place, ms] of told.entries()) expect(Math.abs(ms - 100 * (place + 1))).toBeLessThanOrEqual(15 * (place + 1));
});

test("the rate is right from the first second on, not only when the memory is full", () => {
  const drain = new DrainRate();
  for (let nowMs = 0; nowMs <= 2_000; nowMs += 20) drain.note(nowMs);
  expect(Math.abs(drain.perMs(2_000) - 0.05)).toBeLessThan(0.005);
});

test("a line that stands still tells to come back in a minute at most", () => {
  const drain = new DrainRate();
  drain.note(0);
  const far = Array.from({ length: 50 }, () => drain.retryAfterMs(300_000));
  expect(Math.max(...far)).toBe(60_000);
});
