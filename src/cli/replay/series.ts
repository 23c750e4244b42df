// A replay over time: what was sent, ended and in flight in each stretch of it, and the latency of what was due then.
import { quantile, sortedValues } from "./distribution.js";
import type { RequestOutcome } from "./outcome.js";

/** One stretch. Latencies are of requests that were due in it and completed, from due to end; null when there are none. */
export interface SeriesPoint {
  /** Start of the stretch, seconds from the start of the replay. */
  readonly atSeconds: number;
  readonly sent: number;
  readonly completed: number;
  /** Ended any other way, refusals included. */
  readonly notCompleted: number;
  /** Most accepted requests at once that had not ended. */
  readonly inFlight: number;
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
}

export interface Series {
  /** Length of a stretch: 1 unless the replay is longer than 20 minutes. */
  readonly bucketSeconds: number;
  readonly points: readonly SeriesPoint[];
}

const MAX_POINTS = 1200;

/** Cuts a replay into stretches of a second or, for long ones, of as many as keep to 1,200 points. */
export function seriesOf(outcomes: readonly RequestOutcome[], elapsedMs: number): Series {
  const bucketSeconds = Math.max(1, Math.ceil(elapsedMs / 1000 / MAX_POINTS));
  const length = Math.max(1, Math.ceil(elapsedMs / 1000 / bucketSeconds));
  const bucketOf = (ms: number): number => Math.min(length - 1, Math.floor(ms / 1000 / bucketSeconds));
  const sent = new Uint32Array(length);
  const completed = new Uint32Array(length);
  const notCompleted = new Uint32Array(length);
  const latencies: number[][] = Array.from({ length }, () => []);
  for (const outcome of outcomes) {
    const sentBucket = bucketOf(outcome.dueMs + outcome.lateMs);
    sent[sentBucket] = (sent[sentBucket] ?? 0) + 1;
    const counts = outcome.fate === "completed" ? completed : notCompleted;
    const endBucket = bucketOf(outcome.endedMs ?? outcome.answeredMs ?? outcome.dueMs + outcome.lateMs);
    if (outcome.fate !== "unfinished") counts[endBucket] = (counts[endBucket] ?? 0) + 1;
    if (outcome.fate === "completed" && outcome.endedMs !== null) latencies[bucketOf(outcome.dueMs)]?.push(outcome.endedMs - outcome.dueMs);
  }
  const inFlight = mostInFlight(outcomes, length, bucketOf);
  const points = latencies.map((values, index) => {
    const sorted = sortedValues(values);
    return {
      atSeconds: index * bucketSeconds,
      sent: sent[index] ?? 0,
      completed: completed[index] ?? 0,
      notCompleted: notCompleted[index] ?? 0,
      inFlight: inFlight[index] ?? 0,
      p50Ms: quantile(sorted, 0.5),
      p95Ms: quantile(sorted, 0.95),
      p99Ms: quantile(sorted, 0.99),
    };
  });
  return { bucketSeconds, points };
}

/** The highest number of accepted, unended requests in each stretch. */
function mostInFlight(outcomes: readonly RequestOutcome[], length: number, bucketOf: (ms: number) => number): Uint32Array {
  const accepted = outcomes.filter((outcome) => outcome.answeredMs !== null);
  const starts = sortedValues(accepted.map((outcome) => outcome.dueMs + outcome.lateMs));
  const ends = sortedValues(accepted.map((outcome) => outcome.endedMs));
  const most = new Uint32Array(length);
  let started = 0;
  let ended = 0;
  for (let bucket = 0; bucket < length; bucket += 1) {
    most[bucket] = started - ended;
    while (started < starts.length && bucketOf(starts[started] ?? 0) <= bucket) {
      const startMs = starts[started] ?? 0;
      while (ended < ends.length && (ends[ended] ?? 0) < startMs) ended += 1;
      started += 1;
      most[bucket] = Math.max(most[bucket] ?? 0, started - ended);
    }
    while (ended < ends.length && bucketOf(ends[ended] ?? 0) <= bucket) ended += 1;
  }
  return most;
}
