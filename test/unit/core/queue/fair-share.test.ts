import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { FairShare, type Share } from "../../../../src/core/queue/fair-share.js";
import { seededRandom } from "../../../../src/lib/random.js";

/** Users who always have more to do; serves whose turn it is and counts the GPU time that each got. */
class Race {
  readonly line = new FairShare();
  readonly got = new Map<string, number>();
  readonly #shares = new Map<string, Share>();

  join(userId: string): void {
    this.#shares.set(userId, this.line.arrive(userId));
    this.got.set(userId, 0);
  }

  leave(userId: string): void {
    this.line.leave(userId);
    this.#shares.delete(userId);
  }

  get next(): string {
    return [...this.#shares.values()].reduce((first, share) => (share.virtualMs < first.virtualMs ? share : first)).userId;
  }

  /** Serves the next one for `expectedMs`; it takes `actualMs`, which is known at once. */
  serve(expectedMs: number, actualMs = expectedMs): string {
    const userId = this.next;
    this.line.charge(userId, expectedMs);
    if (actualMs !== expectedMs) this.line.settle(userId, actualMs - expectedMs);
    this.got.set(userId, this.got.get(userId)! + actualMs);
    return userId;
  }

  gap(a: string, b: string): number {
    return Math.abs(this.got.get(a)! - this.got.get(b)!);
  }
}

function race(...users: string[]): Race {
  const one = new Race();
  for (const user of users) one.join(user);
  return one;
}

describe("users with something to do", () => {
  test("get the same GPU time, whatever the size of their requests", () => {
    const both = race("small", "large");
    for (let turn = 0; turn < 2_000; turn += 1) both.serve(both.next === "small" ? 10 : 200);
    expect(both.gap("small", "large")).toBeLessThanOrEqual(210);
    expect(both.got.get("small")).toBeGreaterThan(10_000);
  });

  test("are never further apart than their two largest charges (start-time fair queueing)", () => {
    const charge = fc.integer({ min: 1, max: 1_000 });
    fc.assert(
      fc.property(fc.array(fc.tuple(charge, charge, charge), { minLength: 5, maxLength: 200 }), (charges) => {
        const users = ["a", "b", "c"];
        const all = race(...users);
        for (const each of charges) all.serve(each[users.indexOf(all.next)]!);
        const largest = users.map((_, place) => Math.max(...charges.map((each) => each[place]!)));
        for (const [i, a] of users.entries()) for (const [j, b] of users.entries()) if (i < j) expect(all.gap(a, b)).toBeLessThanOrEqual(largest[i]! + largest[j]!);
      }),
      { seed: 5, numRuns: 300 },
    );
  });

  test("are settled by what it really took: who is always guessed too long gets no less for it, who is guessed too short no more", () => {
    const all = race("long", "short", "right");
    for (let turn = 0; turn < 3_000; turn += 1) all.serve(...({ long: [300, 100], short: [20, 100], right: [100, 100] } as const)[all.next as "long"]);
    for (const user of ["long", "short"]) expect(all.gap(user, "right")).toBeLessThanOrEqual(600);
  });

  test("are settled though many of each are under way", () => {
    const random = seededRandom(8);
    const all = race("a", "b");
    const under: { userId: string; error: number }[] = [];
    for (let turn = 0; turn < 4_000; turn += 1) {
      const actual = 50 + random() * 100;
      const expected = all.next === "a" ? actual * (0.5 + 1.5 * random()) : actual;
      const userId = all.serve(expected);
      all.got.set(userId, all.got.get(userId)! - expected + actual);
      under.push({ userId, error: actual - expected });
      if (under.length > 20) for (const { userId: of, error } of under.splice(Math.floor(random() * 20), 1)) all.line.settle(of, error);
    }
    expect(all.gap("a", "b")).toBeLessThan(20 * 300);
  });
});

describe("who comes back from idling", () => {
  test("begins where the others are: nothing was saved up", () => {
    const both = race("idler", "worker");
    both.serve(10);
    both.leave("idler");
    for (let turn = 0; turn < 100; turn += 1) both.serve(100);
    both.join("idler");
    const before = both.got.get("worker")!;
    for (let turn = 0; turn < 20; turn += 1) both.serve(100);
    expect(both.got.get("worker")! - before).toBeGreaterThanOrEqual(900);
  });

  test("has not paid its debts by leaving", () => {
    const both = race("greedy", "other");
    expect(both.serve(10_000)).toBe("greedy");
    both.leave("greedy");
    both.join("greedy");
    for (let turn = 0; turn < 50; turn += 1) expect(both.serve(100)).toBe("other");
  });
});

describe("a claim that was far too high", () => {
  test("by one who was alone gives no right to all of the GPUs when others come", () => {
    const alone = new Race();
    alone.join("liar");
    for (let turn = 0; turn < 50; turn += 1) alone.line.charge("liar", 1_000_000);
    for (let turn = 0; turn < 50; turn += 1) alone.line.settle("liar", 10 - 1_000_000);
    alone.serve(100);
    alone.join("honest");
    alone.got.set("liar", 0);
    for (let turn = 0; turn < 400; turn += 1) alone.serve(100);
    expect(alone.got.get("honest")).toBeGreaterThan(100 * 150);
  });
});

describe("what is kept", () => {
  test("of users who have nothing to do is bounded", () => {
    const line = new FairShare();
    for (let user = 0; user < 50_000; user += 1) {
      line.arrive(`u${user}`);
      line.charge(`u${user}`, 1);
      line.leave(`u${user}`);
    }
    expect(line.size).toBeLessThanOrEqual(10_001);
  });

  test("of users who wait is never lost, and many of them cost a newcomer nothing", () => {
    const line = new FairShare();
    const first = line.arrive("first");
    const startedMs = performance.now();
    for (let user = 0; user < 60_000; user += 1) line.arrive(`u${user}`);
    // Looking through all that wait for each that comes takes minutes.
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    line.charge("first", 5);
    expect(first.virtualMs).toBe(5);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])("is a time that can be compared, though somebody measured %d", (gpuMs) => {
    const line = new FairShare();
    const share = line.arrive("u");
    line.charge("u", 5);
    line.charge("u", gpuMs);
    line.settle("u", gpuMs);
    line.charge("u", 5);
    expect([share.virtualMs, share.creditMs]).toEqual([10, 0]);
  });

  test("says nothing of users it does not know", () => {
    const line = new FairShare();
    line.leave("nobody");
    line.charge("nobody", 5);
    line.settle("nobody", -5);
    expect(line.size).toBe(0);
  });
});
