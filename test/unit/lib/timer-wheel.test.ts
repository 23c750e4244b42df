import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "../../../src/lib/random.js";
import { TimerWheel } from "../../../src/lib/timer-wheel.js";

describe("TimerWheel", () => {
  test("fires a key at its time or at most a bucket later, never early, and once", () => {
    const wheel = new TimerWheel<string>(50);
    wheel.schedule("a", 101);
    expect(wheel.advance(100)).toEqual([]);
    expect(wheel.advance(149)).toEqual([]);
    expect(wheel.advance(150)).toEqual(["a"]);
    expect(wheel.advance(1_000)).toEqual([]);
  });

  test("fires a key on a bucket's edge exactly then", () => {
    const wheel = new TimerWheel<string>(50);
    wheel.schedule("edge", 100);
    expect(wheel.advance(99)).toEqual([]);
    expect(wheel.advance(100)).toEqual(["edge"]);
  });

  test("fires what was already due when it was scheduled with the next bucket", () => {
    const wheel = new TimerWheel<string>(50);
    wheel.advance(1_000);
    wheel.schedule("late", 10);
    expect(wheel.advance(1_049)).toEqual([]);
    expect(wheel.advance(1_050)).toEqual(["late"]);
  });

  test("forgets a cancelled key, and ignores the cancelling of one that has fired or was never there", () => {
    const wheel = new TimerWheel<string>(50);
    wheel.schedule("a", 100);
    wheel.schedule("b", 100);
    wheel.cancel("a", 100);
    wheel.cancel("c", 100);
    expect(wheel.advance(100)).toEqual(["b"]);
    wheel.cancel("b", 100);
    expect(wheel.advance(200)).toEqual([]);
  });

  test("fires earlier buckets first after a jump over many", () => {
    const wheel = new TimerWheel<number>(50);
    wheel.advance(0);
    for (const at of [1_000_000, 60, 500_000, 120]) wheel.schedule(at, at);
    expect(wheel.advance(2_000_000)).toEqual([60, 120, 500_000, 1_000_000]);
  });

  test("survives a clock that steps back", () => {
    const wheel = new TimerWheel<string>(50);
    wheel.advance(10_000);
    expect(wheel.advance(500)).toEqual([]);
    wheel.schedule("a", 10_100);
    expect(wheel.advance(10_100)).toEqual(["a"]);
  });

  test("agrees with a sorted list on random schedules, cancels and steps", () => {
    const random = seededRandom(3);
    const wheel = new TimerWheel<number>(50);
    const due = new Map<number, number>();
    let nowMs = 0;
    for (let key = 0; key < 3_000; key += 1) {
      const atMs = nowMs + 1 + Math.floor(random() * 2_000);
      wheel.schedule(key, atMs);
      due.set(key, atMs);
      if (random() < 0.3) {
        const victim = Math.floor(random() * (key + 1));
        const victimAtMs = due.get(victim);
        if (victimAtMs !== undefined) {
          wheel.cancel(victim, victimAtMs);
          due.delete(victim);
        }
      }
      if (random() < 0.3) {
        nowMs += Math.floor(random() * 300);
        for (const fired of wheel.advance(nowMs)) {
          expect(due.get(fired)).toBeLessThanOrEqual(nowMs);
          due.delete(fired);
        }
        for (const left of due.values()) expect(left).toBeGreaterThan(nowMs - 50);
      }
    }
  });
});
