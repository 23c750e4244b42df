// What a simulated run gives: one row per request in columns, and the fleet over time. Reports are made of it and of nothing else.
import type { Tenant } from "./workload/arrival.js";

export const OUTCOMES = ["unfinished", "completed", "failed", "cancelled"] as const;
export type SimulatedOutcome = (typeof OUTCOMES)[number];

/** By request in the order of arrival; `count` of the entries are used. Times are ms since the start; NaN for what did not happen. */
export interface RequestColumns {
  readonly count: number;
  /** Index into `tenants`. */
  readonly tenant: Uint16Array;
  readonly arrivedAtMs: Float64Array;
  /** Of the last attempt. */
  readonly placedAtMs: Float64Array;
  readonly firstOutputAtMs: Float64Array;
  readonly endedAtMs: Float64Array;
  /** Index into OUTCOMES. */
  readonly outcome: Uint8Array;
  /** 1 when it was completed within its tenant's SLO; 0 when not, or without one. */
  readonly inSlo: Uint8Array;
  readonly attempts: Uint8Array;
  readonly inputTokens: Uint32Array;
  /** Of these, found in the GPU's prefix cache. */
  readonly cachedTokens: Uint32Array;
  readonly outputTokens: Uint32Array;
  /** Index into `gpus` of the last attempt; -1 without one. */
  readonly gpu: Int32Array;
}

/** The fleet at fixed intervals; entry k is the mean over interval k, or what holds at its end for counts. */
export interface Timeline {
  readonly everyMs: number;
  /** GPUs that worked, as a share of all, 0..1. */
  readonly busy: readonly number[];
  /** Requests on GPUs. */
  readonly running: readonly number[];
  /** Waiting requests by priority: index 0 is priority 1. */
  readonly waiting: readonly (readonly number[])[];
}

export interface SimulatedRun {
  /** Name of the policy as the report shows it, such as "hybrid" or "least_loaded, batch isolated". */
  readonly policy: string;
  readonly scenario: string;
  /** Multiple of the trace's own load. */
  readonly load: number;
  readonly seed: number;
  /** Simulated time, ms: to the end of the last request, or to where it was cut. */
  readonly durationMs: number;
  readonly gpus: readonly { readonly gpuId: string; readonly kind: string }[];
  readonly tenants: readonly Tenant[];
  readonly requests: RequestColumns;
  readonly timeline: Timeline;
  /** By GPU: time in which it worked, ms. */
  readonly busyMs: readonly number[];
  /** What the simulation itself cost. */
  readonly wallMs: number;
  readonly events: number;
}
