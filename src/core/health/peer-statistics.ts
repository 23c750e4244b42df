// How each GPU does beside the others of its kind with the same models: what is slow or fails everywhere is the model's doing, not the
// GPU's. Told of every outcome by fleet-health.ts, asked by it now and then. Not durable.

/** What one GPU did with one model. */
interface Figures {
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
const MIN_PEERS = 3;
/** A speed takes so many times as many outcomes as an error rate: times scatter more. */
const SPEED_OUTCOMES = 4;
/** What is older says nothing any more, ms. */
const FORGOTTEN_AFTER_MS = 600_000;
/** Bound on models; the one whose outcomes are oldest goes first. */
const MAX_MODELS = 1_000;
/** A model that fails on the median GPU this often beside what it does on one has that in common with it. */
const COMMON_SHARE = 0.5;

export class PeerStatistics {
  readonly #minOutcomes: number;
  readonly #kindOf: (gpu: number) => number;
  readonly #models = new Map<string, Map<number, Figures>>();

  constructor(minOutcomes: number, kindOf: (gpu: number) => number) {
    this.#minOutcomes = minOutcomes;
    this.#kindOf = kindOf;
  }

  /** `ratio` is the time that a success took over what was expected; 0 when nothing can be said of that. */
  ended(gpu: number, modelId: string, fault: boolean, ratio: number, nowMs: number): void {
    const figures = this.#figures(gpu, modelId);
    figures.outcomes += 1;
    figures.errorRate += ((fault ? 1 : 0) - figures.errorRate) * Math.max(GAIN, 1 / figures.outcomes);
    figures.atMs = nowMs;
    if (fault || !(ratio > 0)) return;
    figures.successes += 1;
    figures.ratio += (Math.min(MAX_RATIO, ratio) - figures.ratio) * Math.max(GAIN, 1 / figures.successes);
  }

  /** Nothing of before counts for it any more. */
  forget(gpu: number): void {
    for (const ofModel of this.#models.values()) ofModel.delete(gpu);
  }

  /** How many times as long it takes as the median of its kind, over the models that both know well; NaN when none can be compared. */
  slowness(gpu: number, nowMs: number): number {
    let sum = 0;
    let weight = 0;
    for (const ofModel of this.#models.values()) {
      const own = ofModel.get(gpu);
      if (!own || own.successes < SPEED_OUTCOMES * this.#minOutcomes || nowMs - own.atMs > FORGOTTEN_AFTER_MS) continue;
      const ratios: number[] = [];
      for (const [other, { successes, ratio, atMs }] of ofModel) {
        if (this.#kindOf(other) === this.#kindOf(gpu) && successes >= SPEED_OUTCOMES * this.#minOutcomes && nowMs - atMs <= FORGOTTEN_AFTER_MS) ratios.push(ratio);
      }
      if (ratios.length < MIN_PEERS) continue;
      const counts = Math.min(own.successes, 1 / GAIN);
      sum += (own.ratio / lowerMedian(ratios)) * counts;
      weight += counts;
    }
    return weight === 0 ? Number.NaN : sum / weight;
  }

  /** Whether a model fails on the others, of whatever kind, about as often as on this GPU: then a fault with it says nothing of the GPU. */
  failsEverywhere(gpu: number, modelId: string, nowMs: number): boolean {
    const ofModel = this.#models.get(modelId);
    const own = ofModel?.get(gpu);
    if (!ofModel || !own) return false;
    const rates: number[] = [];
    for (const [other, { outcomes, errorRate, atMs }] of ofModel) {
      if (other !== gpu && outcomes >= this.#minOutcomes && nowMs - atMs <= FORGOTTEN_AFTER_MS) rates.push(errorRate);
    }
    return rates.length >= MIN_PEERS - 1 && lowerMedian(rates) > COMMON_SHARE * own.errorRate;
  }

  #figures(gpu: number, modelId: string): Figures {
    const ofModel = this.#models.get(modelId) ?? new Map<number, Figures>();
    // The one with the newest outcome is last.
    this.#models.delete(modelId);
    this.#models.set(modelId, ofModel);
    if (this.#models.size > MAX_MODELS) this.#models.delete(this.#models.keys().next().value!);
    let figures = ofModel.get(gpu);
    if (!figures) {
      figures = { outcomes: 0, errorRate: 0, successes: 0, ratio: 0, atMs: 0 };
      ofModel.set(gpu, figures);
    }
    return figures;
  }
}

/** Of an even number the lower of the two in the middle. */
function lowerMedian(values: number[]): number {
  values.sort((a, b) => a - b);
  return values[Math.floor((values.length - 1) / 2)]!;
}
