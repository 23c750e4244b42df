// A scheduling decision with its reasons. Made once, kept with the placement, printed by Explain.
import type { GpuId } from "./ids.js";

/** What the estimator expects of a request. */
export interface ResourceEstimate {
  readonly memoryMib: number;
  /** Time on the GPU, ms. */
  readonly durationMs: number;
  readonly source: "request" | "learned" | "default";
}

/** GPUs that one filter removed. */
export interface FilterCount {
  readonly filter: string;
  readonly removed: number;
  /** What the request would have needed, in words. */
  readonly needed: string;
}

/** One named part of a score: value 0..1, weights sum to 1. */
export interface ScoreTerm {
  readonly scorer: string;
  readonly value: number;
  readonly weight: number;
}

/** A GPU that passed every filter. */
export interface Candidate {
  readonly gpuId: GpuId;
  readonly score: number;
  readonly terms: readonly ScoreTerm[];
  /** Age of the telemetry that was used, ms; -1 when there was none. */
  readonly telemetryAgeMs: number;
}

/** One decision. `candidates[0]`, when there is one, is the choice; the others are runners-up. */
export interface Decision {
  readonly strategy: string;
  readonly considered: number;
  readonly filters: readonly FilterCount[];
  readonly candidates: readonly Candidate[];
  /** Seed of the tie-break. */
  readonly seed: number;
  readonly estimate: ResourceEstimate;
}
