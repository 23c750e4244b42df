// Numbers of the report checked against lists whose answers are known by hand.
import { describe, expect, test } from "@jest/globals";

import { cumulativeCurve, distribution, quantile, sortedValues } from "../../../../src/cli/replay/distribution.js";
import { newOutcome, type RequestOutcome } from "../../../../src/cli/replay/outcome.js";
import { reportJson } from "../../../../src/cli/replay/report-json.js";
import { reportText } from "../../../../src/cli/replay/report-text.js";
import { buildReport, isSound, type ReplayPlan, type ReplayReport } from "../../../../src/cli/replay/report.js";
import { seriesOf } from "../../../../src/cli/replay/series.js";
import { styleFor } from "../../../../src/cli/style.js";
import { testTerminal } from "../test-terminal.js";

export const PLAN: ReplayPlan = {
  runId: "r1",
  router: "127.0.0.1:1",
  traces: [{ file: "a.csv", format: "Azure CSV", tenant: "a", users: 1 }],
  model: "m",
  speed: 20,
  seed: 1,
  requests: 10,
  scheduleMs: 3000,
  maxInFlight: 100,
};

function outcome(change: Partial<RequestOutcome>): RequestOutcome {
  return { ...newOutcome("id", "a", 0, 0), ...change };
}

function completed(dueMs: number, endedMs: number, change: Partial<RequestOutcome> = {}): RequestOutcome {
  return outcome({ dueMs, fate: "completed", answeredMs: dueMs + 5, endedMs, waitMs: 10, ends: 1, attempts: 1, ...change });
}

function report(outcomes: readonly RequestOutcome[], elapsedMs: number): ReplayReport {
  return buildReport(PLAN, { outcomes, startedAtMs: Date.UTC(2026, 0, 2), elapsedMs, heldBack: { count: 0, longestMs: 0 }, generatorBusyShare: 0.95 }, false, null);
}

describe("attainment", () => {
  test("counts what was completed in time of all that had an SLO, refusals among them, over all and by user", () => {
    const { attainment, tenants } = report(
      [
        completed(0, 100, { inSlo: true }),
        completed(0, 900, { inSlo: false }),
        completed(0, 100, { inSlo: true, tenant: "b" }),
        outcome({ fate: "refused", inSlo: false, tenant: "b" }),
        completed(0, 100, { tenant: "c" }),
      ],
      1000,
    );
    expect(attainment).toEqual({ asked: 4, kept: 2, share: 0.5 });
    expect(tenants.map(({ tenant, attainment: own }) => [tenant, own])).toEqual([
      ["a", { asked: 2, kept: 1, share: 0.5 }],
      ["b", { asked: 2, kept: 1, share: 0.5 }],
      ["c", null],
    ]);
  });

  test("is shown when there was an SLO, and not when there was none", () => {
    const style = styleFor(testTerminal().stdout, {});
    expect(reportText(report([completed(0, 100, { inSlo: true })], 1000), style)).toContain("in time 1 of 1 with an SLO (100%)");
    expect(report([completed(0, 100)], 1000).attainment).toBeNull();
    expect(reportText(report([completed(0, 100)], 1000), style)).not.toContain("SLO");
  });
});

describe("distribution", () => {
  test("quantiles are by nearest rank", () => {
    const sorted = sortedValues(Array.from({ length: 100 }, (_, index) => 100 - index));
    expect(distribution(sorted)).toEqual({ count: 100, meanMs: 50.5, p50Ms: 50, p95Ms: 95, p99Ms: 99, maxMs: 100 });
    expect([0, 0.001, 0.015, 1].map((ratio) => quantile(sorted, ratio))).toEqual([1, 1, 2, 100]);
    expect(distribution(sortedValues([7, null]))).toEqual({ count: 1, meanMs: 7, p50Ms: 7, p95Ms: 7, p99Ms: 7, maxMs: 7 });
  });

  test("nothing measured gives null, never zero", () => {
    expect(distribution(sortedValues([null]))).toEqual({ count: 0, meanMs: null, p50Ms: null, p95Ms: null, p99Ms: null, maxMs: null });
    expect(cumulativeCurve(sortedValues([]))).toEqual([]);
  });

  test("the cumulative curve rises in both directions to the maximum at 1", () => {
    const curve = cumulativeCurve(sortedValues(Array.from({ length: 5000 }, (_, index) => index ** 2)));
    expect(curve.at(-1)).toEqual([4999 ** 2, 1]);
    for (const [index, [ms, share]] of curve.entries()) {
      const before = curve[index - 1] ?? [0, -1];
      expect(ms).toBeGreaterThanOrEqual(before[0]);
      expect(share).toBeGreaterThan(before[1]);
    }
  });
});

describe("buildReport", () => {
  const outcomes = [
    completed(0, 400, { gpuId: "g10", acceptedAtMs: 1000, startedAtMs: 1000, completedAtMs: 1300, runMs: 300, inputTokens: 100, outputTokens: 30, firstOutputMs: 150 }),
    completed(500, 1300, { gpuId: "g10", acceptedAtMs: 1500, startedAtMs: 1200, completedAtMs: 1600, runMs: 400, inputTokens: 200, outputTokens: 70, attempts: 2 }),
    completed(1000, 2000, { tenant: "b", gpuId: "g9", acceptedAtMs: 2000, startedAtMs: 2400, completedAtMs: 3000, runMs: 600, inputTokens: 0, outputTokens: 0 }),
    outcome({ fate: "failed", code: "timeout", answeredMs: 20, endedMs: 2500, ends: 1, gpuId: "g9", retries: 3, reconnects: 1 }),
    outcome({ fate: "cancelled", answeredMs: 20, endedMs: 900, ends: 1, gpuId: "" }),
    outcome({ fate: "refused", code: "RESOURCE_EXHAUSTED", lateMs: 8 }),
    outcome({ fate: "refused", code: "RESOURCE_EXHAUSTED" }),
    outcome({ fate: "unanswered", code: "UNAVAILABLE" }),
    outcome({ fate: "lost", code: "NOT_FOUND", answeredMs: 20 }),
    outcome({ fate: "unfinished", code: "INTERRUPTED", answeredMs: 20 }),
  ];
  const built = report(outcomes, 4000);

  test("every request is counted once, by fate and code", () => {
    expect(built.counts).toEqual({
      sent: 10,
      accepted: 7,
      completed: 3,
      failed: 1,
      cancelled: 1,
      refused: 2,
      unanswered: 1,
      lost: 1,
      unfinished: 1,
      endedTwice: 0,
      redispatched: 1,
      retries: 3,
      reconnects: 1,
    });
    expect(built.codes[0]).toEqual({ fate: "refused", code: "RESOURCE_EXHAUSTED", count: 2 });
    expect(built.codes.reduce((sum, { count }) => sum + count, 0)).toBe(7);
  });

  test("latencies count from the due time", () => {
    const of = (name: string) => built.latencies.find((each) => each.name === name);
    expect(of("total")).toMatchObject({ count: 3, meanMs: (400 + 800 + 1000) / 3, p50Ms: 800, maxMs: 1000 });
    expect(of("answer")).toMatchObject({ count: 7, p50Ms: 20, maxMs: 20 });
    expect(of("first_output")).toMatchObject({ count: 1, p50Ms: 150 });
    expect(of("wait")).toMatchObject({ count: 3, p50Ms: 10 });
    expect(built.lateness).toMatchObject({ count: 10, maxMs: 8 });
  });

  test("throughput is over the time until the last end", () => {
    expect(built.throughput).toEqual({ sentPerSecond: 2.5, completedPerSecond: 0.75, inputTokensPerSecond: 75, outputTokensPerSecond: 25, peakInFlight: 5 });
  });

  test("a GPU is busy while at least one request runs, and overlaps count once", () => {
    // Window on the router's clock: 1,000 to 3,000. g10 runs 1,000-1,300 and 1,200-1,600.
    expect(built.gpus).toEqual([
      { gpuId: "g9", requests: 2, completed: 1, busyShare: 0.3, meanConcurrency: 0.3, inputTokens: 0, outputTokens: 0 },
      { gpuId: "g10", requests: 2, completed: 2, busyShare: 0.3, meanConcurrency: 0.35, inputTokens: 300, outputTokens: 100 },
    ]);
  });

  test("tenants have their own figures", () => {
    expect(built.tenants.map(({ tenant, sent, completed: done, p50Ms }) => ({ tenant, sent, done, p50Ms }))).toEqual([
      { tenant: "a", sent: 9, done: 2, p50Ms: 400 },
      { tenant: "b", sent: 1, done: 1, p50Ms: 1000 },
    ]);
  });

  test("it is sound only when every request met exactly one end", () => {
    expect(isSound(built)).toBe(false);
    expect(isSound(report([completed(0, 1), outcome({ fate: "refused" }), outcome({ fate: "failed", ends: 1 })], 10))).toBe(true);
    for (const bad of [outcome({ fate: "lost" }), outcome({ fate: "unfinished" }), outcome({ fate: "unanswered" }), completed(0, 1, { ends: 2 })]) {
      expect(isSound(report([completed(0, 1), bad], 10))).toBe(false);
    }
  });

  test("a replay in which nothing was answered still reports", () => {
    const empty = report([outcome({ fate: "unanswered", code: "UNAVAILABLE" })], 0);
    expect(empty.gpus).toEqual([]);
    expect(reportText(empty, styleFor(testTerminal().stdout, {}))).toContain("unanswered UNAVAILABLE: 1");
  });

  test("the text carries the figures, JSON has snake_case keys and the same numbers", () => {
    const text = reportText(built, styleFor(testTerminal().stdout, {}));
    expect(text).toContain("lost 1, ended twice 0, unfinished 1, unanswered 1");
    expect(text).toMatch(/total\s+3\s+733 ms\s+800 ms\s+1\.00 s\s+1\.00 s\s+1\.00 s/);
    expect(text).toMatch(/g10\s+2\s+2\s+30\.0%\s+0\.35\s+300\s+100/);
    expect(text).toContain("the generator itself was busy 95.0% of the time");
    expect(text).not.toContain("\u001B");
    const json = reportJson(built) as { counts: Record<string, number>; gpus: { busy_share: number }[]; latencies: { name: string; p50_ms: number }[] };
    expect(json.counts["ended_twice"]).toBe(0);
    expect(json.gpus[1]?.busy_share).toBe(0.3);
    expect(json.latencies.find(({ name }) => name === "first_output")?.p50_ms).toBe(150);
    expect(JSON.stringify(json)).not.toMatch(/"[a-z]+[A-Z]\w*":/);
  });
});

describe("seriesOf", () => {
  test("counts by second: sent when sent, ended when ended, latency when due", () => {
    const { points, bucketSeconds } = seriesOf([completed(100, 1100), completed(200, 300), completed(1500, 2500), outcome({ dueMs: 900, fate: "refused" })], 2500);
    expect(bucketSeconds).toBe(1);
    expect(points.map(({ sent, completed: done, notCompleted, inFlight, p50Ms }) => [sent, done, notCompleted, inFlight, p50Ms])).toEqual([
      [3, 1, 1, 2, 100],
      [1, 1, 0, 1, 1000],
      [0, 1, 0, 1, null],
    ]);
  });

  test("a long replay keeps to 1,200 points and loses no request", () => {
    const outcomes = Array.from({ length: 10_000 }, (_, index) => completed(index * 1000, index * 1000 + 50));
    const { points, bucketSeconds } = seriesOf(outcomes, 10_000_000);
    expect(points.length).toBeLessThanOrEqual(1200);
    expect(bucketSeconds).toBe(9);
    for (const key of ["sent", "completed"] as const) expect(points.reduce((sum, point) => sum + point[key], 0)).toBe(10_000);
  });
});
