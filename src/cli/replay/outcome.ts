// What became of one replayed request, as the client saw it. `run.ts` makes them, `report.ts` counts them.

/**
 * completed, failed and cancelled are the three ends the router promises one of. `refused`: Route said no. `unanswered`: no
 * answer to Route before giving up. `lost`: acknowledged, and later unknown to the router. `unfinished`: acknowledged, and
 * its end was not seen before giving up.
 */
export type Fate = "completed" | "failed" | "cancelled" | "refused" | "unanswered" | "lost" | "unfinished";

/** Times count from the start of the replay, ms; null where nothing was seen. */
export interface RequestOutcome {
  readonly requestId: string;
  readonly tenant: string;
  /** When the trace wanted it sent; every latency counts from here. */
  readonly dueMs: number;
  /** How much later it was sent, for reasons of the generator itself, ms. */
  readonly lateMs: number;
  fate: Fate;
  /** gRPC status or the router's error code; "" for a good end. */
  code: string;
  /** When Route was answered. */
  answeredMs: number | null;
  /** When the first output was seen, or was made where its runner says that this was before what was seen of it. */
  firstOutputMs: number | null;
  /** When the end was seen. */
  endedMs: number | null;
  /** Whether it was completed in time; null when it had no SLO. */
  inSlo: boolean | null;
  /** From acceptance to start on the router's clock, ms. */
  waitMs: number | null;
  gpuId: string;
  /** UTC on the router's clock, ms. */
  acceptedAtMs: number | null;
  startedAtMs: number | null;
  completedAtMs: number | null;
  /** As the runner counted. */
  runMs: number;
  inputTokens: number;
  outputTokens: number;
  /** Dispatches, as the router counted. */
  attempts: number;
  /** Ends seen; more than one is the router's fault. */
  ends: number;
  /** Calls of Route made again. */
  retries: number;
  /** Streams of Watch opened again. */
  reconnects: number;
}

/** A request that was just sent. */
export function newOutcome(requestId: string, tenant: string, dueMs: number, lateMs: number): RequestOutcome {
  return {
    requestId,
    tenant,
    dueMs,
    lateMs,
    fate: "unanswered",
    code: "",
    answeredMs: null,
    firstOutputMs: null,
    endedMs: null,
    inSlo: null,
    waitMs: null,
    gpuId: "",
    acceptedAtMs: null,
    startedAtMs: null,
    completedAtMs: null,
    runMs: 0,
    inputTokens: 0,
    outputTokens: 0,
    attempts: 0,
    ends: 0,
    retries: 0,
    reconnects: 0,
  };
}
