// Counts a replay: a pure function from outcomes to the report that `report-text.ts`, `report-html.ts` and --json show.
// Latencies count from the time the trace wanted a request sent (no coordinated omission), but for "wait", which is the router's own.
import { cumulativeCurve, distribution, sortedValues, type Distribution } from "./distribution.js";
import type { Fate, RequestOutcome } from "./outcome.js";
import type { ReplayRun } from "./run.js";
import { seriesOf, type Series } from "./series.js";
import type { Verification } from "./verify.js";

/** What was asked for. */
export interface ReplayPlan {
  readonly runId: string;
  readonly router: string;
  readonly traces: readonly { readonly file: string; readonly format: string; readonly tenant: string; readonly users: number }[];
  readonly model: string;
  readonly speed: number;
  readonly seed: number;
  /** Requests in the schedule. */
  readonly requests: number;
  /** Length of the schedule in the replay's time, ms. */
  readonly scheduleMs: number;
  readonly maxInFlight: number;
}

export type LatencyName = "answer" | "wait" | "first_output" | "total";

/** One kind of latency: its figures and its cumulative curve of [ms, share] points. */
export interface Latency extends Distribution {
  readonly name: LatencyName;
  readonly curve: readonly (readonly [number, number])[];
}

export interface GpuUse {
  readonly gpuId: string;
  /** Requests whose last attempt was here. */
  readonly requests: number;
  readonly completed: number;
  /** Share of the replay in which at least one request ran here, 0..1. */
  readonly busyShare: number;
  /** Run time of all requests over the time of the replay: how many ran at once on average. */
  readonly meanConcurrency: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

export interface TenantUse extends Distribution {
  readonly tenant: string;
  readonly sent: number;
  readonly completed: number;
  readonly attainment: Attainment | null;
}

/** Of requests with an SLO, refused ones included. */
export interface Attainment {
  readonly asked: number;
  /** Completed in time. */
  readonly kept: number;
  /** 0..1. */
  readonly share: number;
}

export interface ReplayReport {
  readonly plan: ReplayPlan;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly elapsedMs: number;
  /** Ctrl-C ended the sending early. */
  readonly interrupted: boolean;
  readonly counts: Readonly<Record<Fate, number>> & {
    readonly sent: number;
    readonly accepted: number;
    /** Requests whose end was seen more than once, or turned out to be another one later. */
    readonly endedTwice: number;
    /** Requests that took more than one dispatch. */
    readonly redispatched: number;
    /** Calls of Route and streams of Watch that were made again. */
    readonly retries: number;
    readonly reconnects: number;
  };
  /** Every fate but completed, by code, most frequent first. */
  readonly codes: readonly { readonly fate: Fate; readonly code: string; readonly count: number }[];
  readonly throughput: {
    readonly sentPerSecond: number;
    readonly completedPerSecond: number;
    readonly inputTokensPerSecond: number;
    readonly outputTokensPerSecond: number;
    readonly peakInFlight: number;
  };
  readonly latencies: readonly Latency[];
  /** null when no request had an SLO. */
  readonly attainment: Attainment | null;
  /** How late the generator itself was, waiting at the bound on requests in flight included. */
  readonly lateness: Distribution;
  readonly heldBack: ReplayRun["heldBack"];
  readonly generatorBusyShare: number;
  readonly gpus: readonly GpuUse[];
  readonly tenants: readonly TenantUse[];
  readonly series: Series;
  readonly verification: Verification | null;
}

/** What each latency measures, in words. */
export const LATENCY_MEANING: Readonly<Record<LatencyName, string>> = {
  answer: "due to Route's answer",
  wait: "acceptance to start, on the router's clock",
  first_output: "due to the first output, where known",
  total: "due to the end, completed requests",
};

/** Whether every request that was sent met one end that the router promises. */
export function isSound({ counts }: ReplayReport): boolean {
  return counts.lost === 0 && counts.unfinished === 0 && counts.unanswered === 0 && counts.endedTwice === 0;
}

/** Above this share of its time the generator may be slower than the router, and latencies include its own delays. */
export const GENERATOR_LIMIT_SHARE = 0.9;

/** The report of a run. */
export function buildReport(plan: ReplayPlan, run: ReplayRun, interrupted: boolean, verification: Verification | null): ReplayReport {
  const { outcomes, elapsedMs } = run;
  const seconds = Math.max(elapsedMs, 1) / 1000;
  const completed = outcomes.filter((outcome) => outcome.fate === "completed");
  const series = seriesOf(outcomes, elapsedMs);
  const counts = countFates(outcomes);
  return {
    plan,
    startedAt: new Date(run.startedAtMs).toISOString(),
    elapsedMs,
    interrupted,
    counts,
    codes: countCodes(outcomes),
    throughput: {
      sentPerSecond: counts.sent / seconds,
      completedPerSecond: counts.completed / seconds,
      inputTokensPerSecond: sum(completed, (outcome) => outcome.inputTokens) / seconds,
      outputTokensPerSecond: sum(completed, (outcome) => outcome.outputTokens) / seconds,
      peakInFlight: series.points.reduce((most, point) => Math.max(most, point.inFlight), 0),
    },
    latencies: [
      latency("answer", outcomes.map((outcome) => since(outcome, outcome.answeredMs))),
      latency("wait", outcomes.map((outcome) => outcome.waitMs)),
      latency("first_output", completed.map((outcome) => since(outcome, outcome.firstOutputMs))),
      latency("total", completed.map((outcome) => since(outcome, outcome.endedMs))),
    ],
    attainment: attainmentOf(outcomes),
    lateness: distribution(sortedValues(outcomes.map((outcome) => outcome.lateMs))),
    heldBack: run.heldBack,
    generatorBusyShare: run.generatorBusyShare,
    gpus: gpuUse(outcomes),
    tenants: tenantUse(outcomes),
    series,
    verification,
  };
}

function since(outcome: RequestOutcome, ms: number | null): number | null {
  return ms === null ? null : Math.max(0, ms - outcome.dueMs);
}

function attainmentOf(outcomes: readonly RequestOutcome[]): Attainment | null {
  const asked = sum(outcomes, ({ inSlo }) => Number(inSlo !== null));
  const kept = sum(outcomes, ({ inSlo }) => Number(inSlo === true));
  return asked === 0 ? null : { asked, kept, share: kept / asked };
}

function sum<T>(items: Iterable<T>, value: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += value(item);
  return total;
}

function latency(name: LatencyName, values: Iterable<number | null>): Latency {
  const sorted = sortedValues(values);
  return { name, ...distribution(sorted), curve: cumulativeCurve(sorted) };
}

function countFates(outcomes: readonly RequestOutcome[]): ReplayReport["counts"] {
  const fates: Record<Fate, number> = { completed: 0, failed: 0, cancelled: 0, refused: 0, unanswered: 0, lost: 0, unfinished: 0 };
  for (const { fate } of outcomes) fates[fate] += 1;
  return {
    ...fates,
    sent: outcomes.length,
    accepted: outcomes.length - fates.refused - fates.unanswered,
    endedTwice: sum(outcomes, ({ ends }) => Number(ends > 1)),
    redispatched: sum(outcomes, ({ attempts }) => Number(attempts > 1)),
    retries: sum(outcomes, ({ retries }) => retries),
    reconnects: sum(outcomes, ({ reconnects }) => reconnects),
  };
}

function countCodes(outcomes: readonly RequestOutcome[]): ReplayReport["codes"] {
  const rows = new Map<string, { fate: Fate; code: string; count: number }>();
  for (const { fate, code } of outcomes) {
    if (fate === "completed") continue;
    const row = rows.get(`${fate} ${code}`) ?? { fate, code, count: 0 };
    row.count += 1;
    rows.set(`${fate} ${code}`, row);
  }
  return Array.from(rows.values()).sort((one, other) => other.count - one.count);
}

function groupBy(outcomes: readonly RequestOutcome[], key: (outcome: RequestOutcome) => string): [string, RequestOutcome[]][] {
  const groups = new Map<string, RequestOutcome[]>();
  for (const outcome of outcomes) {
    const group = groups.get(key(outcome));
    if (group === undefined) groups.set(key(outcome), [outcome]);
    else group.push(outcome);
  }
  return Array.from(groups).sort(([one], [other]) => one.localeCompare(other, "en", { numeric: true }));
}

/** Per GPU, over the time from the first acceptance to the last end on the router's clock. */
function gpuUse(outcomes: readonly RequestOutcome[]): readonly GpuUse[] {
  const ended = outcomes.filter((outcome) => outcome.gpuId !== "");
  const firstMs = ended.reduce((first, { acceptedAtMs }) => Math.min(first, acceptedAtMs ?? first), Number.POSITIVE_INFINITY);
  const lastMs = ended.reduce((last, { completedAtMs }) => Math.max(last, completedAtMs ?? last), Number.NEGATIVE_INFINITY);
  const windowMs = Math.max(1, lastMs - firstMs);
  return groupBy(ended, ({ gpuId }) => gpuId).map(([gpuId, group]) => ({
    gpuId,
    requests: group.length,
    completed: sum(group, ({ fate }) => Number(fate === "completed")),
    busyShare: coveredMs(group) / windowMs,
    meanConcurrency: sum(group, ({ runMs }) => runMs) / windowMs,
    inputTokens: sum(group, ({ inputTokens }) => inputTokens),
    outputTokens: sum(group, ({ outputTokens }) => outputTokens),
  }));
}

/** Length of the union of the requests' runs: each begins at its start and lasts as long as the runner counted. */
function coveredMs(outcomes: readonly RequestOutcome[]): number {
  const runs = outcomes
    .flatMap(({ startedAtMs, runMs }) => (startedAtMs === null || runMs <= 0 ? [] : [[startedAtMs, startedAtMs + runMs] as const]))
    .sort(([one], [other]) => one - other);
  let covered = 0;
  let untilMs = Number.NEGATIVE_INFINITY;
  for (const [fromMs, toMs] of runs) {
    if (toMs > untilMs) covered += toMs - Math.max(fromMs, untilMs);
    untilMs = Math.max(untilMs, toMs);
  }
  return covered;
}

function tenantUse(outcomes: readonly RequestOutcome[]): readonly TenantUse[] {
  return groupBy(outcomes, ({ tenant }) => tenant).map(([tenant, group]) => {
    const completed = group.filter(({ fate }) => fate === "completed");
    return {
      tenant,
      sent: group.length,
      completed: completed.length,
      attainment: attainmentOf(group),
      ...distribution(sortedValues(completed.map((outcome) => since(outcome, outcome.endedMs)))),
    };
  });
}
