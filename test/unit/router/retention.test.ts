import { afterEach, beforeEach, expect, jest, test } from "@jest/globals";
import type { LmdbJournal } from "../../../src/journal/lmdb-journal.js";
import { Retention } from "../../../src/router/retention.js";
import { keptLog, TestClock, turn } from "./fakes.js";

const LIMITS = { finishedForMs: 60_000, finishedAtMost: 1_000 };
let calls: [number, number, number][];
let settle: { resolve: (dropped: number) => void; reject: (error: Error) => void };
const clock = new TestClock();
const journal = {
  purge: (...args: [number, number, number]) => {
    calls.push(args);
    return new Promise<number>((resolve, reject) => {
      settle = { resolve, reject };
    });
  },
} as unknown as LmdbJournal;

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ["setImmediate", "queueMicrotask", "nextTick"] });
  calls = [];
});
afterEach(() => {
  jest.useRealTimers();
});

test("drops once a second what is older or more than the limits allow", async () => {
  const retention = new Retention(journal, clock, LIMITS, keptLog().log);
  expect(calls).toEqual([]);
  jest.advanceTimersByTime(1_000);
  expect(calls).toEqual([[clock.atMs - 60_000, 1_000, expect.any(Number)]]);
  settle.resolve(5);
  await turn();
  jest.advanceTimersByTime(1_000);
  expect(calls).toHaveLength(2);
  settle.resolve(0);
  await retention.stop();
});

test("never runs twice at the same time", async () => {
  const retention = new Retention(journal, clock, LIMITS, keptLog().log);
  jest.advanceTimersByTime(10_000);
  expect(calls).toHaveLength(1);
  settle.resolve(0);
  await retention.stop();
});

test("says when it fails, and tries again", async () => {
  const { log, lines } = keptLog();
  const retention = new Retention(journal, clock, LIMITS, log);
  jest.advanceTimersByTime(1_000);
  settle.reject(new Error("No space left on device"));
  await turn();
  expect(lines).toMatchObject([{ msg: "cannot drop finished requests", error: "Error: No space left on device" }]);
  jest.advanceTimersByTime(1_000);
  expect(calls).toHaveLength(2);
  settle.resolve(0);
  await retention.stop();
});

test("a stop waits for the run under way and starts no other", async () => {
  const retention = new Retention(journal, clock, LIMITS, keptLog().log);
  jest.advanceTimersByTime(1_000);
  let stopped = false;
  const stop = retention.stop().then(() => (stopped = true));
  await turn();
  expect(stopped).toBe(false);
  settle.resolve(0);
  await stop;
  jest.advanceTimersByTime(5_000);
  expect(calls).toHaveLength(1);
});
