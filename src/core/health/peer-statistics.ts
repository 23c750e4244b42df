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

/** What is known of one model. */
interface OfModel {
  readonly figures: Map<number, Figures>;
  /** Median error rate of the GPUs that know it; NaN when too few do. Looked at anew once a share of them have had an outcome since. */
  commonErrorRate: number;
  outcomesSince: number;
}

/** Share of the GPUs that know a model; so that an outcome costs O(log GPUs) on average, however many fail. */
const LOOK_AFTER_SHARE = 0.25;

export class PeerStatistics {
  readonly #minOutcomes: number;
  readonly #kindOf: (gpu: number) => number;
  readonly #models = new Map<string, OfModel>();

  constructor(minOutcomes: number, kindOf: (gpu: number) => number) {
    this.#minOutcomes = minOutcomes;
    this.#kindOf = kindOf;
  }

  /** `ratio` is the time that a success took over what was expected; 0 when nothing can be said of that. */
  ended(gpu: number, modelId: string, fault: boolean, ratio: number, nowMs: number): void {
    const ofModel = this.#models.get(modelId) ?? { figures: new Map<number, Figures>(), commonErrorRate: Number.NaN, outcomesSince: 0 };
    // The one with the newest outcome is last.
    this.#models.delete(modelId);
    this.#models.set(modelId, ofModel);
    if (this.#models.size > MAX_MODELS) this.#models.delete(this.#models.keys().next().value!);
    const figures = ofModel.figures.get(gpu) ?? { outcomes: 0, errorRate: 0, successes: 0, ratio: 0, atMs: 0 };
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

  /**
   * By GPU: how many times as long it takes as the median of its kind, over the models that both know well; those that cannot be compared are
   * not there. O(GPUs x models that each knows).
   */
  slowness(nowMs: number): ReadonlyMap<number, number> {
    const sums = new Map<number, { sum: number; weight: number }>();
    for (const { figures } of this.#models.values()) {
      const ofKind = new Map<number, [gpu: number, known: Figures][]>();
      for (const [gpu, known] of figures) {
        if (known.successes < SPEED_OUTCOMES * this.#minOutcomes || nowMs - known.atMs > FORGOTTEN_AFTER_MS) continue;
        const kind = this.#kindOf(gpu);
        const peers = ofKind.get(kind) ?? [];
        peers.push([gpu, known]);
        ofKind.set(kind, peers);
      }
      for (const peers of ofKind.values()) {
        if (peers.length < MIN_PEERS) continue;
        const median = lowerMedian(peers.map(([, { ratio }]) => ratio));
        for (const [gpu, { ratio, successes }] of peers) {
          const counts = Math.min(successes, 1 / GAIN);
          const { sum, weight } = sums.get(gpu) ?? { sum: 0, weight: 0 };
          sums.set(gpu, { sum: sum + (ratio / median) * counts, weight: weight + counts });
        }
      }
    }
    return new Map([...sums].map(([gpu, { sum, weight }]) => [gpu, sum / weight]));
  }

  /** Whether a model fails on most GPUs, of whatever kind, about as often as on this one: then a fault with it says nothing of the GPU. */
  failsEverywhere(gpu: number, modelId: string, nowMs: number): boolean {
    const ofModel = this.#models.get(modelId);
    const own = ofModel?.figures.get(gpu);
    if (!ofModel || !own) return false;
    if (ofModel.outcomesSince >= ofModel.figures.size * LOOK_AFTER_SHARE) {
      const rates: number[] = [];
      for (const { outcomes, errorRate, atMs } of ofModel.figures.values()) if (outcomes >= this.#minOutcomes && nowMs - atMs <= FORGOTTEN_AFTER_MS) rates.push(errorRate);
      ofModel.commonErrorRate = rates.length < MIN_PEERS ? Number.NaN : lowerMedian(rates);
      ofModel.outcomesSince = 0;
    }
    return ofModel.commonErrorRate > COMMON_SHARE * own.errorRate;
  }
}

/** Of an even number the lower of the two in the middle. */
function lowerMedian(values: number[]): number {
  values.sort((a, b) => a - b);
  return values[Math.floor((values.length - 1) / 2)]!;
}
