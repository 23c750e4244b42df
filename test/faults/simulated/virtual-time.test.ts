import { beforeEach, describe, expect, test } from "@jest/globals";
import { SimulatedProcess, VirtualTime } from "./virtual-time.js";
import { EPOCH_MS, virtualGlobals } from "./virtual-globals.js";

let time: VirtualTime;
let happened: string[];
const nothing = (): void => {};
const run = (untilMs: number): Promise<void> => time.run(untilMs, nothing, () => false);
const note = (what: string) => () => void happened.push(`${what} at ${time.nowMs}`);

beforeEach(() => {
  time = new VirtualTime();
  happened = [];
});

describe("Virtual time", () => {
  test("runs events in the order of their time, and of their coming where that is the same", async () => {
    time.after(20, null, note("late"));
    time.after(10, null, note("first"));
    time.after(10, null, note("second"));
    await run(15);
    expect([happened, time.nowMs]).toEqual([["first at 10", "second at 10"], 15]);
    await run(100);
    expect(happened.at(-1)).toBe("late at 20");
  });

  test("a killed process does nothing more", async () => {
    const process = new SimulatedProcess("p");
    time.after(10, process, note("never"));
    time.after(5, null, () => void (process.alive = false));
    await run(100);
    expect(happened).toEqual([]);
  });

  test.each([
    [true, ["timer at 50", "message at 50"]],
    [false, ["message at 50", "timer at 50"]],
  ])("what comes to a paused process comes when it goes on, all at once (timers first: %s)", async (timersFirst, expected) => {
    const process = new SimulatedProcess("p");
    time.pause(process);
    time.after(10, process, note("message"));
    time.after(20, process, note("timer"), true);
    time.after(50, null, () => time.resume(process, timersFirst));
    await run(100);
    expect(happened).toEqual(expected);
  });

  test("promises of a process are settled before anything else happens", async () => {
    const process = new SimulatedProcess("p");
    time.after(10, process, () => void Promise.resolve().then(() => Promise.resolve()).then(note("promise")));
    time.after(10, null, note("next"));
    await run(100);
    expect(happened).toEqual(["promise at 10", "next at 10"]);
  });
});

describe("The globals of a simulated process", () => {
  test("are virtual within it, and what they were outside of it and afterwards", async () => {
    const { setTimeout: realSetTimeout, performance: realPerformance } = globalThis;
    const restore = virtualGlobals(time, () => 0.25);
    try {
      const process = new SimulatedProcess("p", 5_000);
      time.after(1_000, process, () => {
        happened.push(`${Date.now() - EPOCH_MS} ${performance.now()} ${Math.random()}`);
        setTimeout(note("timer"), 70);
        const interval = setInterval(() => {
          note("interval")();
          if (happened.length >= 4) clearInterval(interval);
        }, 30);
        setImmediate(note("immediate"));
      });
      await run(5_000);
      expect(Date.now()).toBeLessThan(EPOCH_MS);
    } finally {
      restore();
    }
    expect(happened).toEqual(["6000 1000 0.25", "immediate at 1000", "interval at 1030", "interval at 1060", "timer at 1070"]);
    expect([setTimeout, performance]).toEqual([realSetTimeout, realPerformance]);
  });
});
