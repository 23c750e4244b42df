// What each GPU did with each model, and what fails everywhere: that is the model's doing, not the GPU's. Told of every outcome by
// fleet-health.ts; peer-comparison.ts compares speeds. Not durable.
import { putLast } from "../../lib/put-last.js";
import { lowerMedian } from "./lower-median.js";

/** What one GPU did with one model. */
interface Figures {
  readonly gpu: number;
  outcomes: number;
  /** 0..1, decayed by outcomes. */
  errorRate: number;
  successes: number;
  /** Time that a success took over what was expected of it; decayed by outcomes. */
  ratio: number;
  /** When its last outcome came, ms. */
  atMs: number;
}

const GAIN = 0.1;
/** No outcome counts for more than this many times what was expected: one odd measurement must not. */
const MAX_RATIO = 20;
/** GPUs of a kind that must know a model, itself included, before one of them can be told from the rest. */
export const MIN_PEERS = 3;
/** A speed counts as often as it was measured, up to here: it is made of the last so many. */
export const WEIGHTIEST_SUCCESSES = 1 / GAIN;
/** A speed takes so many times as many outcomes as an error rate: times scatter more. */
const SPEED_OUTCOMES = 4;
/** What is older says nothing any more, ms. */
const FORGOTTEN_AFTER_MS = 600_000;
/** Bound on models; the one whose outcomes are oldest goes first. */
const MAX_MODELS = 1_000;
/** A model that fails on the median GPU this often beside what it does on one has that in common with it. */
const COMMON_SHARE = 0.5;

/** What is known of one model. */
interface OfModel {
  readonly figures: Map<number, Figures>;
  /** Median error rate of the GPUs that know it; NaN when too few do. Looked at anew once a share of them have had an outcome since. */
  commonErrorRate: number;
  outcomesSince: number;
}

/** Share of the GPUs that know a model; so that an outcome costs O(log GPUs) on average, however many fail. */
const LOOK_AFTER_SHARE = 0.25;

/** What a GPU's speed with a model is made of. */
export type Speed = Readonly<Pick<Figures, "gpu" | "ratio" | "successes">>;

export class PeerStatistics {
  readonly #minOutcomes: number;
  readonly #models = new Map<string, OfModel>();

  constructor(minOutcomes: number) {
    this.#minOutcomes = minOutcomes;
  }

  /** `ratio` is the time that a success took over what was expected; 0 when nothing can be said of that. */
  ended(gpu: number, modelId: string, fault: boolean, ratio: number, nowMs: number): void {
    const ofModel = this.#models.get(modelId) ?? { figures: new Map<number, Figures>(), commonErrorRate: Number.NaN, outcomesSince: 0 };
    putLast(this.#models, modelId, ofModel, MAX_MODELS);
    const figures = ofModel.figures.get(gpu) ?? { gpu, outcomes: 0, errorRate: 0, successes: 0, ratio: 0, atMs: 0 };
    ofModel.figures.set(gpu, figures);
    ofModel.outcomesSince += 1;
    figures.outcomes += 1;
    figures.errorRate += ((fault ? 1 : 0) - figures.errorRate) * Math.max(GAIN, 1 / figures.outcomes);
    figures.atMs = nowMs;
    if (fault || !(ratio > 0)) return;
    figures.successes += 1;
    figures.ratio += (Math.min(MAX_RATIO, ratio) - figures.ratio) * Math.max(GAIN, 1 / figures.successes);
  }

  /** Nothing of before counts for it any more. */
  forget(gpu: number): void {
    for (const { figures } of this.#models.values()) figures.delete(gpu);
  }

  /** The models that something is known of. */
  modelIds(): Iterable<string> {
    return this.#models.keys();
  }

  /** Of the GPUs that know a model well, and lately; and how many it had to look at. O(GPUs that know it). */
  speedsOf(modelId: string, nowMs: number): { readonly known: readonly Speed[]; readonly lookedAt: number } {
    const known: Speed[] = [];
    const figures = this.#models.get(modelId)?.figures ?? new Map<number, Figures>();
    for (const each of figures.values()) if (each.successes >= SPEED_OUTCOMES * this.#minOutcomes && nowMs - each.atMs <= FORGOTTEN_AFTER_MS) known.push(each);
    return { known, lookedAt: figures.size };
  }

  /** Whether a model fails on most GPUs, of whatever kind, about as often as on this one: then a fault with it says nothing of the GPU. */
  failsEverywhere(gpu: number, modelId: string, nowMs: number): boolean {
    const ofModel = this.#models.get(modelId);
    const own = ofModel?.figures.get(gpu);
    if (!ofModel || !own) return false;
    if (ofModel.outcomesSince >= ofModel.figures.size * LOOK_AFTER_SHARE) {
      const rates: number[] = [];
      for (const { outcomes, errorRate, atMs } of ofModel.figures.values()) if (outcomes >= this.#minOutcomes && nowMs - atMs <= FORGOTTEN_AFTER_MS) rates.push(errorRate);
      ofModel.commonErrorRate = rates.length < MIN_PEERS ? Number.NaN : lowerMedian(Float64Array.from(rates));
      ofModel.outcomesSince = 0;
    }
    return ofModel.commonErrorRate > COMMON_SHARE * own.errorRate;
  }
}
