// What holds of every way to make a stream of another: order, repetition, and that a pass from a later time is the end of the
// whole pass. Then what each is for.
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";

import { align } from "../../../../src/sim/workload/align.js";
import { between, cut, only } from "../../../../src/sim/workload/cut.js";
import { loop, renamed, reseeded } from "../../../../src/sim/workload/loop.js";
import { mergeInOrder } from "../../../../src/sim/workload/merge.js";
import { compress, pace, superpose, thin } from "../../../../src/sim/workload/scale.js";
import { split } from "../../../../src/sim/workload/split.js";
import type { Stream, StreamRequest } from "../../../../src/sim/workload/stream.js";
import { synthetic } from "../../../../src/sim/workload/synthetic.js";
import { traceOf, traceStream } from "../../../../src/sim/workload/trace.js";
import { statisticsOf } from "./arrival-statistics.js";

const HOUR = synthetic({ name: "synthetic", ratePerSecond: 2, cv: 2, input: { p50: 100, p90: 400, most: 1000 }, output: { p50: 10, p90: 30, most: 100 }, durationMs: 600_000 });
const TRACE = traceOf(
  "grid",
  Array.from({ length: 400 }, (_, index) => ({ atMs: 50_000 + Math.floor(index / 4) * 3000, inputTokens: index, outputTokens: 1, prefixHashes: [0, index], sender: index % 3 === 0 ? "a" : "b" })),
  { name: "test", calendar: false, gridMs: 3000 },
);
const GRID = traceStream(TRACE);

const STREAMS: readonly (readonly [string, Stream])[] = [
  ["synthetic", HOUR],
  ["a trace on a grid", GRID],
  ["a trace with a lead", traceStream(TRACE, 10_000)],
  ["a ring", loop(GRID)],
  ["a compressed ring", compress(loop(HOUR), 3.7)],
  ["a stretched one", compress(HOUR, 0.5)],
  ["a paced one", pace(HOUR, 2)],
  ["a thinned one", thin(GRID, 0.3, "t")],
  ["a superposed one", superpose(loop(GRID), 2.5, "s")],
  ["a split one", split(loop(HOUR), [{ name: "x", weight: 1 }, { name: "y", weight: 3 }])],
  ["one sender", only(GRID, (sender) => sender === 1)],
  ["a cut", cut(loop(GRID), 200_000, 500_000)],
  ["a window", between(HOUR, 200_000, 400_000)],
  ["another seed's", reseeded(loop(HOUR), "other")],
];

const collect = (stream: Stream, seed: number, fromMs = 0): StreamRequest[] => [...between(stream, 0, 900_000).requests(seed, fromMs)];

// Deep comparison of thousands of objects takes seconds.
const text = (requests: readonly StreamRequest[]): string => JSON.stringify(requests);

describe.each(STREAMS)("%s", (_, stream) => {
  test("is in order, within its time, the same for the same seed, and a later pass is the end of the whole", () => {
    fc.assert(
      fc.property(fc.nat({ max: 0xffff_ffff }), fc.double({ min: 0, max: 900_000, noNaN: true }), (seed, fromMs) => {
        const all = collect(stream, seed);
        expect(all.every(({ atMs }, index) => atMs >= (all[index - 1]?.atMs ?? 0) && atMs < stream.durationMs)).toBe(true);
        expect(all.every(({ sender }) => stream.senders[sender] !== undefined)).toBe(true);
        expect(text(collect(stream, seed)) === text(all)).toBe(true);
        const later = all.filter(({ atMs }) => atMs >= fromMs);
        expect(text(collect(stream, seed, fromMs)) === text(later)).toBe(true);
      }),
      { numRuns: 10, seed: 1 },
    );
  });

  test("has requests, and others for another seed", () => {
    expect(collect(stream, 1).length).toBeGreaterThan(20);
    expect(text(collect(stream, 1)) === text(collect(stream, 2))).toBe(false);
  });
});

describe("merging", () => {
  const times = fc.array(fc.nat({ max: 50 }), { maxLength: 40 }).map((list) => list.sort((one, other) => one - other));

  test("gives every item of every sequence once, in order, equal times in the order of the sequences", () => {
    fc.assert(
      fc.property(fc.array(times, { maxLength: 6 }), (sequences) => {
        const items = sequences.map((list, from) => list.map((atMs, place) => ({ atMs, from, place })));
        const expected = items.flat().sort((one, other) => one.atMs - other.atMs || one.from - other.from || one.place - other.place);
        expect([...mergeInOrder(items)]).toEqual(expected);
      }),
      { seed: 1 },
    );
  });

  test("takes no more of a sequence than it gives, and closes what it leaves", () => {
    const taken = [0, 0];
    let closed = 0;
    const endless = function* (which: number): Generator<{ atMs: number }> {
      try {
        for (let atMs = which; ; atMs += 2) {
          taken[which]! += 1;
          yield { atMs };
        }
      } finally {
        closed += 1;
      }
    };
    const seen: number[] = [];
    for (const { atMs } of mergeInOrder([endless(0), endless(1)])) {
      seen.push(atMs);
      if (seen.length === 10) break;
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(taken.every((count) => count <= 6)).toBe(true);
    expect(closed).toBe(2);
  });
});

describe("a ring", () => {
  test("is entered elsewhere by each seed, and has the whole trace in any stretch of its length", () => {
    const entries = Array.from({ length: 10 }, (_, seed) => collect(loop(GRID), seed)[0]?.inputTokens);
    expect(new Set(entries).size).toBeGreaterThan(7);
    const lap = [...between(loop(traceStream({ ...TRACE, gridMs: 0 })), 0, traceStream({ ...TRACE, gridMs: 0 }).durationMs).requests(3)];
    expect(lap.map(({ inputTokens }) => inputTokens).sort((one, other) => one - other)).toEqual(Array.from({ length: 400 }, (_, index) => index));
  });

  test("comes round after exactly its length", () => {
    const exact = traceStream({ ...TRACE, gridMs: 0 });
    const periodMs = exact.durationMs;
    const twice = [...between(loop(exact), 0, 2 * periodMs).requests(3)].map(({ atMs, inputTokens }) => ({ atMs, inputTokens }));
    expect(twice).toHaveLength(800);
    for (const [index, { atMs, inputTokens }] of twice.slice(400).entries()) expect([inputTokens, atMs - periodMs]).toEqual([twice[index]?.inputTokens, expect.closeTo(twice[index]?.atMs ?? 0, 6)]);
  });

  test("never repeats a prompt in its next lap", () => {
    const requests = [...between(loop(GRID), 0, GRID.durationMs * 3).requests(1)];
    const seen = requests.map(({ prefixHashes }) => prefixHashes[1]);
    expect(requests.length).toBeGreaterThan(1100);
    expect(new Set(seen).size).toBe(seen.length);
    // A request still shares with its own lap what it shared in the trace.
    expect(new Set(requests.map(({ prefixHashes }) => prefixHashes[0])).size).toBeLessThanOrEqual(4);
  });

  test("of nothing ends", () => {
    expect([...loop(only(GRID, () => false)).requests(1)]).toEqual([]);
  });
});

describe("load", () => {
  const rate = (stream: Stream): number => statisticsOf(collect(stream, 1)).meanPerSecond;
  const long = { ...HOUR, name: "synthetic", ratePerSecond: 4, cv: 3, input: { p50: 10, p90: 20, most: 30 }, output: { p50: 1, p90: 2, most: 3 }, durationMs: 3_600_000 };

  test("compressing multiplies the rate exactly and keeps the gaps' variation and the work", () => {
    const once = [...HOUR.requests(4)];
    const fast = [...compress(HOUR, 2.5).requests(4)];
    expect(text(fast) === text(once.map((request) => ({ ...request, atMs: request.atMs / 2.5 })))).toBe(true);
    expect(statisticsOf(fast).cv).toBeCloseTo(statisticsOf(once).cv, 6);
  });

  test("pacing keeps as many GPUs busy: jobs come faster and take less", () => {
    const jobs = traceStream(traceOf("jobs", [0, 1, 2].map((hour) => ({ atMs: hour * 3_600_000, inputTokens: 0, outputTokens: 0, gpus: 2, workMs: 7_200_000 })), { name: "test", calendar: true, gridMs: 0 }));
    expect([...pace(jobs, 60).requests(1)].map(({ atMs, workMs, gpus }) => [atMs, workMs, gpus])).toEqual([[0, 120_000, 2], [60_000, 120_000, 2], [120_000, 120_000, 2]]);
  });

  test("superposing multiplies the rate and smooths, thinning divides it", () => {
    const ring = loop(synthetic(long));
    const three = superpose(ring, 3.5, "s");
    expect(rate(three) / rate(ring)).toBeGreaterThan(3.2);
    expect(rate(three) / rate(ring)).toBeLessThan(3.8);
    expect(statisticsOf(collect(three, 1)).cv).toBeLessThan(statisticsOf(collect(ring, 1)).cv - 0.5);
    expect(rate(thin(ring, 0.25, "t")) / rate(ring)).toBeCloseTo(0.25, 1);
    expect(superpose(ring, 1, "s")).toBe(ring);
    expect(collect(superpose(ring, 0, "s"), 1)).toEqual([]);
  });

  test("copies share no prompts", () => {
    const hashes = collect(superpose(loop(GRID), 3, "s"), 1).map(({ prefixHashes }) => prefixHashes[1]);
    expect(hashes.length).toBeGreaterThan(3000);
    expect(new Set(hashes).size).toBe(hashes.length);
    expect([...renamed(GRID, "x").requests(1)].map(({ atMs }) => atMs)).toEqual([...GRID.requests(1)].map(({ atMs }) => atMs));
  });
});

describe("splitting", () => {
  const shares = [1, 1 / 2, 1 / 3].map((weight, index) => ({ name: `user-${index}`, weight }));

  test("gives each user its share and changes nothing else", () => {
    const whole = [...between(loop(HOUR), 0, 6_000_000).requests(1)];
    const parted = [...between(split(loop(HOUR), shares), 0, 6_000_000).requests(1)];
    expect(text(parted.map((request) => ({ ...request, sender: 0 }))) === text(whole)).toBe(true);
    const counts = [0, 1, 2].map((user) => parted.filter(({ sender }) => sender === user).length / parted.length);
    for (const [index, expected] of [6 / 11, 3 / 11, 2 / 11].entries()) expect(Math.abs((counts[index] ?? 0) - expected)).toBeLessThan(0.02);
  });

  test("by senders keeps each sender's requests with its user and leaves out those of none", () => {
    const parted = [...split(GRID, [{ name: "of a", weight: 1, senders: ["a"] }]).requests(1)];
    expect(parted).toHaveLength(134);
    expect(parted.every(({ inputTokens, sender }) => inputTokens % 3 === 0 && sender === 0)).toBe(true);
  });
});

test("a cut has the clock of its beginning, a window that of the stream", () => {
  const window = [...between(HOUR, 100_000, 200_000).requests(1)];
  expect(window.every(({ atMs }) => atMs >= 100_000 && atMs < 200_000)).toBe(true);
  expect([...cut(HOUR, 100_000, 200_000).requests(1)].map(({ atMs }) => atMs)).toEqual(window.map(({ atMs }) => atMs - 100_000));
  expect(cut(HOUR, 100_000, 9_000_000).durationMs).toBe(500_000);
});

test("traces that start within an hour of each other share a clock, others do not", () => {
  expect(align([7_200_000, null, 7_000_000, 0, 9_000_000])).toEqual([
    { leadMs: 200_000, group: 2 },
    { leadMs: 0, group: 1 },
    { leadMs: 0, group: 2 },
    { leadMs: 0, group: 3 },
    { leadMs: 2_000_000, group: 2 },
  ]);
});
