import { describe, expect, test } from "@jest/globals";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { seededRandom } from "../../../../src/lib/random.js";
import { measureSchedule, schedule, spread, type ScheduledRequest, type ScheduleOptions, type TraceSource } from "../../../../src/cli/replay/schedule.js";
import { fileFormat } from "../../../../src/sim/workload/formats/detect-format.js";
import type { TraceRow } from "../../../../src/sim/workload/formats/trace-format.js";
import { AZURE_CODE, AZURE_CONV, MOONCAKE, testWithTraces } from "../real-traces.js";

const ALL: ScheduleOptions = { speed: 1, limit: 1_000_000, fromMs: 0, durationMs: Number.POSITIVE_INFINITY, seed: 1 };

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function* from<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

async function trace(tenant: string, content: string): Promise<TraceSource> {
  const file = path.join(await mkdtemp(path.join(tmpdir(), "schedule-")), tenant);
  await writeFile(file, content);
  return { path: file, tenant, priorities: [0], format: await fileFormat(file) };
}

const azure = (tenant: string, ...times: string[]): Promise<TraceSource> =>
  trace(tenant, ["TIMESTAMP,ContextTokens,GeneratedTokens", ...times.map((time, index) => `${time},${index + 1},1`)].join("\n"));
const mooncake = (tenant: string, ...times: number[]): Promise<TraceSource> =>
  trace(tenant, times.map((timestamp, index) => JSON.stringify({ timestamp, input_length: index + 1, output_length: 1 })).join("\n"));

const times = (requests: readonly ScheduledRequest[]): [string, number][] => requests.map(({ tenant, dueMs }) => [tenant, Math.round(dueMs)]);

describe("spread", () => {
  test("moves each row within its cell, keeps order, and gives the same for the same seed", async () => {
    const rows: TraceRow[] = [0, 0, 0, 3000, 3000, 5999, 5999, 9000].map((atMs, index) => ({ atMs, inputTokens: index, outputTokens: 1 }));
    const once = await collect(spread(from(rows), 3000, seededRandom(7)));
    expect(once).toEqual(await collect(spread(from(rows), 3000, seededRandom(7))));
    expect(once).not.toEqual(await collect(spread(from(rows), 3000, seededRandom(8))));
    expect(once.map(({ atMs }) => atMs)).toEqual(once.map(({ atMs }) => atMs).sort((one, other) => one - other));
    expect(once.map(({ inputTokens }) => inputTokens).sort()).toEqual(rows.map(({ inputTokens }) => inputTokens));
    for (const { atMs, inputTokens } of once) {
      const cell = rows[inputTokens]?.atMs ?? Number.NaN;
      expect(atMs).toBeGreaterThanOrEqual(cell);
      expect(atMs).toBeLessThan(cell + 3000);
    }
  });

  test("keeps order where cells overlap", async () => {
    const rows = Array.from({ length: 500 }, (_, index): TraceRow => ({ atMs: index * 700, inputTokens: index, outputTokens: 1 }));
    const spreadMs = (await collect(spread(from(rows), 3000, seededRandom(7)))).map(({ atMs }) => atMs);
    expect(spreadMs).toHaveLength(500);
    expect(spreadMs).toEqual(spreadMs.toSorted((one, other) => one - other));
  });

  test("is uniform over the cell", async () => {
    const rows = Array.from({ length: 20_000 }, (): TraceRow => ({ atMs: 0, inputTokens: 1, outputTokens: 1 }));
    const tenths = Array.from({ length: 10 }, () => 0);
    for (const { atMs } of await collect(spread(from(rows), 3000, seededRandom(1)))) tenths[Math.floor(atMs / 300)]! += 1;
    // Binomial(20,000, 0.1) has a deviation of 42.
    for (const count of tenths) expect(Math.abs(count - 2000)).toBeLessThan(5 * 42);
  });
});

describe("schedule", () => {
  test("numbers requests in the order of sending and divides times by the speed", async () => {
    const source = await azure("a", "2023-11-16 18:00:00", "2023-11-16 18:00:01.5", "2023-11-16 18:00:04");
    const requests = await collect(schedule([source], { ...ALL, speed: 2 }));
    expect(requests).toEqual([
      { number: 0, dueMs: 0, tenant: "a", priority: 0, inputTokens: 1, outputTokens: 1, prefixHashes: [] },
      { number: 1, dueMs: 750, tenant: "a", priority: 0, inputTokens: 2, outputTokens: 1, prefixHashes: [] },
      { number: 2, dueMs: 2000, tenant: "a", priority: 0, inputTokens: 3, outputTokens: 1, prefixHashes: [] },
    ]);
  });

  test("traces of the same hour stay aligned by their calendar", async () => {
    const sources = [await azure("late", "2023-11-16 18:00:02", "2023-11-16 18:00:03"), await azure("early", "2023-11-16 18:00:00", "2023-11-16 18:00:02.5")];
    expect(times(await collect(schedule(sources, ALL)))).toEqual([["early", 0], ["late", 2000], ["early", 2500], ["late", 3000]]);
  });

  test("traces of different days, and those without dates, each begin with their first request", async () => {
    const sources = [await azure("one", "2023-11-16 18:00:00", "2023-11-16 18:00:01"), await azure("other", "2024-05-10 00:00:00", "2024-05-10 00:00:02")];
    expect(times(await collect(schedule(sources, ALL)))).toEqual([["one", 0], ["other", 0], ["one", 1000], ["other", 2000]]);
    const grid = await collect(schedule([await mooncake("m", 60_000, 63_000)], ALL));
    expect(grid[0]?.dueMs).toBe(0);
    expect(grid[1]?.dueMs).toBeLessThan(6000);
  });

  test("limit and duration cut, the duration on the traces' clock", async () => {
    const source = await azure("a", "2023-11-16 18:00:00", "2023-11-16 18:00:01", "2023-11-16 18:00:02", "2023-11-16 18:00:03");
    expect(await measureSchedule(schedule([source], { ...ALL, limit: 2 }))).toEqual({ count: 2, lastDueMs: 1000 });
    expect(await measureSchedule(schedule([source], { ...ALL, durationMs: 2500, speed: 10 }))).toEqual({ count: 3, lastDueMs: 200 });
    expect(await measureSchedule(schedule([source], { ...ALL, durationMs: 0 }))).toEqual({ count: 0, lastDueMs: 0 });
  });

  test("a start in the middle skips what is before it and begins the replay's time there", async () => {
    const sources = [await azure("early", "2023-11-16 18:00:00", "2023-11-16 18:00:02.5", "2023-11-16 18:00:06"), await azure("late", "2023-11-16 18:00:02", "2023-11-16 18:00:03")];
    const requests = await collect(schedule(sources, { ...ALL, fromMs: 2200, durationMs: 3000, speed: 2 }));
    expect(times(requests)).toEqual([["early", 150], ["late", 400]]);
    expect(requests.map(({ number }) => number)).toEqual([0, 1]);
  });

  test("several users share a trace by lot, each with its priority, the same lot for the same seed", async () => {
    const stamps = Array.from({ length: 600 }, (_, index) => new Date(Date.UTC(2023, 10, 16) + index * 100).toISOString().replace("T", " ").replace("Z", ""));
    const source = { ...(await azure("a", ...stamps)), priorities: [5, 1, 0] };
    const requests = await collect(schedule([source], ALL));
    expect(await collect(schedule([source], ALL))).toEqual(requests);
    expect(await collect(schedule([source], { ...ALL, seed: 2 }))).not.toEqual(requests);
    for (const [tenant, priority] of [["a-1", 5], ["a-2", 1], ["a-3", 0]] as const) {
      const own = requests.filter((request) => request.tenant === tenant);
      // Binomial(600, 1/3) has a deviation of 12.
      expect(Math.abs(own.length - 200)).toBeLessThan(60);
      expect(own.every((request) => request.priority === priority)).toBe(true);
    }
    // A cut leaves each request with its user.
    const whole = requests.filter(({ dueMs }) => dueMs >= 30_000).map(({ tenant }) => tenant);
    expect((await collect(schedule([source], { ...ALL, fromMs: 30_000 }))).map(({ tenant }) => tenant)).toEqual(whole);
  });

  test("hashes of the prompts' blocks go along", async () => {
    const source = await trace("m", JSON.stringify({ timestamp: 0, input_length: 600, output_length: 1, hash_ids: [7, 4_294_967_295] }));
    expect((await collect(schedule([source], ALL)))[0]?.prefixHashes).toEqual([7, 4_294_967_295]);
  });

  testWithTraces("the first twenty minutes of both Azure traces are two tenants in order of time", async () => {
    const sources = await Promise.all([AZURE_CONV, AZURE_CODE].map(async (file) => ({ path: file, tenant: path.basename(file), format: await fileFormat(file), priorities: [0] })));
    const requests = await collect(schedule(sources, { ...ALL, durationMs: 1_200_000, speed: 20 }));
    expect(requests.every(({ dueMs }, index) => dueMs <= 60_000 && dueMs >= (requests[index - 1]?.dueMs ?? 0))).toBe(true);
    const of = (name: string): number => requests.filter(({ tenant }) => tenant.includes(name)).length;
    expect({ conv: of("conv"), code: of("code") }).toEqual({ conv: 5985, code: 3189 });
  });

  testWithTraces("Mooncake, spread over its 3 s, has the inter-arrival variation of a Poisson process", async () => {
    const requests = await collect(schedule([{ path: MOONCAKE, tenant: "m", format: await fileFormat(MOONCAKE), priorities: [0] }], ALL));
    expect(requests).toHaveLength(12_031);
    const gaps = requests.slice(1).map(({ dueMs }, index) => dueMs - (requests[index]?.dueMs ?? 0));
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
    // On the raw grid it is above 3; published for the spread trace: 1.02.
    expect(deviation / mean).toBeGreaterThan(0.95);
    expect(deviation / mean).toBeLessThan(1.1);
  });
});
