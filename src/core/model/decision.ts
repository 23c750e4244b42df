// A scheduling decision with its reasons. Made once, kept with the placement, printed by Explain.
import type { GpuId } from "./ids.js";

/** What the estimator expects of a request. */
export interface ResourceEstimate {
  readonly memoryMib: number;
  /** Time on the GPU, ms. */
  readonly durationMs: number;
  readonly source: "request" | "learned" | "default";
  /** Of work that is measured in tokens only. */
  readonly inputTokens?: number;
  /** Of work that is measured in tokens only, as expected. */
  readonly outputTokens?: number;
  /** Nine times out of ten it takes at most this, ms; there where a decision hung on it, and in what is explained. */
  readonly p90Ms?: number;
}

/** How near estimates of time came to what one kind of work took, lately. */
export interface EstimateAccuracy {
  readonly type: string;
  readonly modelId: string;
  /** Successes that it rests on. */
  readonly outcomes: number;
  /** Mean of |expected - actual| / actual; errors above 10 count as 10. */
  readonly meanRelativeError: number;
  /** Mean of actual / expected, 10 at most: above 1 it takes longer than expected. */
  readonly meanRatio: number;
  /** Share that stayed within what nine of ten should; 0..1. */
  readonly withinP90: number;
}

/** GPUs that one filter removed. */
export interface FilterCount {
  readonly filter: string;
  readonly removed: number;
  /** What the request would have needed, in words. */
  readonly needed: string;
}

/** A named part of every score of a decision; the weights of a decision sum to 1. */
export interface ScorerWeight {
  readonly scorer: string;
  readonly weight: number;
}

/** A GPU that passed every filter. */
export interface Candidate {
  readonly gpuId: GpuId;
  readonly score: number;
  /** What each scorer of the decision said, 0..1, in their order. Numbers alone: decisions are most of what the journal holds. */
  readonly values: readonly number[];
  /** Age of the telemetry that was used, ms; -1 when there was none. */
  readonly telemetryAgeMs: number;
}

/** One decision. `candidates[0]`, when there is one, is the choice; the others are runners-up. */
export interface Decision {
  readonly strategy: string;
  readonly considered: number;
  readonly filters: readonly FilterCount[];
  readonly scorers: readonly ScorerWeight[];
  readonly candidates: readonly Candidate[];
  /** Seed of the tie-break. */
  readonly seed: number;
  readonly estimate: ResourceEstimate;
}

/** The scorer whose value is the time from the placement to the end, in seconds. */
const OWN_TIME = "own_seconds";

/** How long the work should take on the GPU that was chosen: work in tokens of which nothing was learned as long as its strategy has predicted. */
export function expectedTime({ estimate, candidates, scorers }: Decision): { readonly durationMs: number; readonly source: ResourceEstimate["source"] | "predicted" } {
  const { durationMs, source, inputTokens = 0, outputTokens = 0 } = estimate;
  const ownSeconds = candidates[0]?.values[scorers.findIndex(({ scorer }) => scorer === OWN_TIME)];
  const predicted = source === "default" && inputTokens + outputTokens > 0 && ownSeconds !== undefined;
  return predicted ? { durationMs: Math.round(ownSeconds * 1_000), source: "predicted" } : { durationMs, source };
}
