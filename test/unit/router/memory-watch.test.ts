import { afterEach, beforeEach, expect, jest, test } from "@jest/globals";
import { MemoryWatch } from "../../../src/router/memory-watch.js";
import { keptLog } from "./fakes.js";

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

test("tells of the larger share while memory is short, and once when it is not any more", () => {
  const told: number[] = [];
  const { log, lines } = keptLog();
  const uses = [
    { heapShare: 0.5, processShare: 0.7 },
    { heapShare: 0.9, processShare: 0.7 },
    { heapShare: 0.6, processShare: 1.2 },
    { heapShare: 0.6, processShare: 0.7 },
    { heapShare: 0.6, processShare: 0.7 },
  ];
  const watch = new MemoryWatch(0.8, log, (share) => told.push(share), () => uses.shift() ?? { heapShare: 1, processShare: 1 });
  jest.advanceTimersByTime(5_000);
  expect(told).toEqual([0.9, 1, 0.7]);
  expect(lines.map(({ msg }) => msg)).toEqual(["memory is short: only more urgent requests come in, in the place of less urgent ones", "memory is no longer short"]);
  watch.stop();
  jest.advanceTimersByTime(5_000);
  expect(told).toHaveLength(3);
});

test("what this process really has in use is a share", () => {
  const told: number[] = [];
  const watch = new MemoryWatch(0, keptLog().log, (share) => told.push(share));
  jest.advanceTimersByTime(1_000);
  watch.stop();
  expect(told).toEqual([expect.any(Number)]);
  expect(told[0]).toBeGreaterThan(0);
  expect(told[0]).toBeLessThanOrEqual(1);
});
