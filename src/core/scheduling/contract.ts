// The plug-in contract of scheduling: what a filter, a scorer and a strategy are.
// A pass over a thousand GPUs must stay within microseconds, so each plug-in gets the whole candidate list and loops over
// the fleet's columns itself; nothing is allocated per GPU.
import type { BatchRoom } from "../batches/batch-room.js";
import type { Fleet, StateFilter } from "../fleet/fleet.js";
import type { ResourceEstimate } from "../model/decision.js";
import type { GpuId } from "../model/ids.js";
import type { RequestSpec } from "../model/request.js";
import type { GpuRoom } from "../quota/quotas.js";
import type { CoreSettings } from "../settings.js";

export type { StateFilter };

/** What is being placed. */
export interface Ask {
  readonly spec: RequestSpec;
  readonly estimate: ResourceEstimate;
  /** The GPU of its last attempt, to be avoided while there is another; "" when none. */
  readonly avoidGpuId: GpuId | "";
  /** Decides whatever is left to chance in its decision, so that the same state gives the same choice; 32 bits. */
  readonly seed: number;
  /** When it was accepted, ms. */
  readonly acceptedAtMs: number;
  readonly nowMs: number;
  /** It cannot be in time any more: nothing was promised to it. */
  readonly late: boolean;
  /** GPUs of one node that it runs on at once. */
  readonly gpus: number;
  /** It has its GPUs to itself. */
  readonly exclusive: boolean;
  /** Whose turn it is: higher bands first, Infinity for who has waited too long. */
  readonly band: number;
  /** How many times the expected it may take: not exceeded in nine of ten cases. Exact only while GPUs are kept for somebody. */
  readonly spread: number;
  /** The GPUs that the quota leaves it, where not all; absent or null for all. */
  readonly quota?: GpuRoom | null;
  /** What the others of its batch leave it; absent or null for a request of none. */
  readonly batch?: BatchRoom | null;
}

/**
 * Removes GPUs that this request cannot use. What holds for every request alike is a `StateFilter` instead: it is
 * evaluated when a GPU changes, not when a request comes.
 */
export interface RequestFilter {
  readonly name: string;
  /** False when the request asks nothing of this filter; it is skipped then. */
  applies(ask: Ask): boolean;
  /** In words, what the request needs. */
  needed(ask: Ask): string;
  /** Moves the GPUs that pass to the front of `candidates` and returns how many they are. Keeps their order. */
  keep(fleet: Fleet, ask: Ask, candidates: Int32Array, count: number): number;
  /** The same as if the GPUs held none of our requests; left out where that makes no difference. For what is to come. */
  keepWhenIdle?(fleet: Fleet, ask: Ask, candidates: Int32Array, count: number): number;
  /** By how much a GPU that it removes falls short, as in "4,000 MiB short"; for Explain. Left out where there is no degree of it. */
  readonly shortfall?: { readonly unit: string; by(fleet: Fleet, ask: Ask, gpu: number): number };
  /** True when a GPU that it removes may pass later though nothing happens to it: it judges by the clock. */
  readonly healsWithTime?: boolean;
  /** True when it judges by what classes of waiting requests do not go by: where one of them is refused, the next may pass. */
  readonly bySize?: boolean;
  /** False when no GPU of the fleet passes, whatever its load. Only asked when it applies and nothing fitted. */
  everPasses(fleet: Fleet, ask: Ask): boolean;
}

/** What `keepWhenIdle` is where an idle GPU always passes. */
export function keepAll(_fleet: Fleet, _ask: Ask, _candidates: Int32Array, count: number): number {
  return count;
}

/**
 * One term of a score that depends on the GPU and at most on the request's type: 0..1, 1 best. Evaluated when a GPU changes,
 * not when a request comes.
 */
export interface StateScorer {
  readonly name: string;
  value(fleet: Fleet, gpu: number, type: string): number;
}

/** One term of a score that depends on more of the request: 0..1, 1 best. Evaluated for each decision. */
export interface RequestScorer {
  readonly name: string;
  value(fleet: Fleet, ask: Ask, gpu: number): number;
  /**
   * Adds `weight * value` of `candidates[k]` to `totals[k]`, for k below `count`: the loop over `value`, in the scorer's own
   * file so that it is compiled for it alone.
   */
  add(fleet: Fleet, ask: Ask, candidates: Int32Array, count: number, weight: number, totals: Float64Array): void;
}

/** One term of a score that is the same for every GPU: it moves the score, never the choice. */
export interface UniformScorer {
  readonly name: string;
  valueForAll(ask: Ask): number;
}

export type Scorer = StateScorer | RequestScorer | UniformScorer;

/** A scorer and its share; the shares of a strategy whose values are 0..1 sum to 1. */
export interface WeightedScorer {
  readonly scorer: Scorer;
  readonly weight: number;
}

/** A scorer whose share follows the state of the fleet; asked for at each decision. */
export interface ShiftingScorer {
  readonly scorer: RequestScorer;
  readonly weightNow: (fleet: Fleet) => number;
}

/**
 * A named way to choose: the GPU with the highest weighted sum. A strategy that thinks in seconds has scorers whose values
 * are seconds and whose weights are -1.
 */
export interface Strategy {
  readonly name: string;
  /** Filters of its own, after those that hold for every strategy. */
  readonly filters?: readonly RequestFilter[];
  /** Leaves only some of the GPUs to be scored, as power-of-two-choices does: moves them to the front and returns how many. */
  readonly sample?: (ask: Ask, candidates: Int32Array, count: number) => number;
  /** Whether a request can no longer be in time on any GPU, not even an idle one. Never when left out. */
  readonly tooLate?: (fleet: Fleet, ask: Ask) => boolean;
  readonly scorers: readonly (WeightedScorer | ShiftingScorer)[];
  /** Scores within this share of the best count as equal, and chance decides; 0.001 by default, 0 when order is all. */
  readonly tieShare?: number;
}

/** A filter or scorer that depends on settings is made by a function of them. */
export type FromSettings<T> = (settings: CoreSettings) => T;
