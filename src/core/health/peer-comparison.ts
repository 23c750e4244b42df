// How slow each GPU is beside its peers, worked out in rounds over all models that are known, and a slice at a time: a whole round over a large
// fleet would hold up every decision. Driven by fleet-health.ts at each tick; what it compares is peer-statistics.ts's. Not durable.
import { lowerMedian } from "./lower-median.js";
import { MIN_PEERS, WEIGHTIEST_SUCCESSES, type PeerStatistics } from "./peer-statistics.js";

/** How often a round begins, ms; later while the one before is not over. */
const ROUND_EVERY_MS = 5_000;
/** A slice ends when its work has come to this: about as much as one model on 1,000 GPUs. */
export const WORK_PER_SLICE = 1_000;
/** To judge a GPU is as much work as to compare so many. */
const WORK_PER_VERDICT = 10;
const FIRST_CAPACITY = 64;

/** What a slice has done, and what can be done now. */
export interface Slice {
  /** GPUs of models that were looked at, and GPUs that can be judged by what came of it, these `WORK_PER_VERDICT` times. */
  readonly work: number;
  /** Those that can be judged: from `from` up to before `to`. */
  readonly from: number;
  readonly to: number;
}

const NOTHING: Slice = { work: 0, from: 0, to: 0 };

export class PeerComparison {
  readonly #peers: PeerStatistics;
  readonly #kindOf: (gpu: number) => number;
  /** What is left of the round: models, the next one last, and GPUs to be judged. */
  #models: string[] = [];
  #next = 0;
  #gpus = 0;
  #startedAtMs = Number.NEGATIVE_INFINITY;
  #sinceLastMs = 0;
  /** Of the round, by GPU: its times over the medians, each as often as it counts, and how often all of them count. */
  #sums = new Float64Array(FIRST_CAPACITY);
  #weights = new Float64Array(FIRST_CAPACITY);

  constructor(peers: PeerStatistics, kindOf: (gpu: number) => number) {
    this.#peers = peers;
    this.#kindOf = kindOf;
  }

  /** Time from the beginning of the round before to that of this one, ms; 0 for the first. */
  get sinceLastMs(): number {
    return this.#sinceLastMs;
  }

  /**
   * Goes on with the round, or begins one over `gpus` GPUs when it is time. Its work is at most that of a slice, but that the last model is
   * looked at to its end.
   */
  advance(gpus: number, nowMs: number): Slice {
    if (this.#models.length === 0 && this.#next === this.#gpus) {
      if (nowMs - this.#startedAtMs < ROUND_EVERY_MS) return NOTHING;
      this.#begin(gpus, nowMs);
    }
    let work = 0;
    while (work < WORK_PER_SLICE && this.#models.length > 0) work += this.#compare(this.#models.pop()!, nowMs);
    const from = this.#next;
    const verdicts = Math.max(0, Math.floor((WORK_PER_SLICE - work) / WORK_PER_VERDICT));
    if (this.#models.length === 0) this.#next = Math.min(this.#gpus, from + verdicts);
    return { work: work + (this.#next - from) * WORK_PER_VERDICT, from, to: this.#next };
  }

  /**
   * How many times as long a GPU takes as the median of its kind, over the models that both know well; NaN when it cannot be compared.
   * Of this round, so that it holds once a slice says so.
   */
  slowness(gpu: number): number {
    const weight = this.#weights[gpu] ?? 0;
    return weight === 0 ? Number.NaN : this.#sums[gpu]! / weight;
  }

  /** Nothing of before counts for it any more. */
  forget(gpu: number): void {
    if (gpu >= this.#weights.length) return;
    this.#sums[gpu] = 0;
    this.#weights[gpu] = 0;
  }

  #begin(gpus: number, nowMs: number): void {
    this.#sinceLastMs = this.#startedAtMs === Number.NEGATIVE_INFINITY ? 0 : nowMs - this.#startedAtMs;
    this.#startedAtMs = nowMs;
    this.#models = [...this.#peers.modelIds()].toReversed();
    this.#gpus = gpus;
    this.#next = 0;
    if (gpus > this.#sums.length) {
      const capacity = 2 ** Math.ceil(Math.log2(gpus));
      this.#sums = new Float64Array(capacity);
      this.#weights = new Float64Array(capacity);
    }
    this.#sums.fill(0);
    this.#weights.fill(0);
  }

  /** Takes in what GPUs did with one model; how many of them were looked at. */
  #compare(modelId: string, nowMs: number): number {
    const { known, lookedAt } = this.#peers.speedsOf(modelId, nowMs);
    const ofKind = new Map<number, number[]>();
    known.forEach(({ gpu }, place) => {
      const kind = this.#kindOf(gpu);
      const places = ofKind.get(kind);
      if (places) places.push(place);
      else ofKind.set(kind, [place]);
    });
    for (const places of ofKind.values()) {
      if (places.length < MIN_PEERS) continue;
      const median = lowerMedian(Float64Array.from(places, (place) => known[place]!.ratio));
      for (const place of places) {
        const { gpu, ratio, successes } = known[place]!;
        // A GPU that came since the round began has its turn in the next.
        if (gpu >= this.#gpus) continue;
        const counts = Math.min(successes, WEIGHTIEST_SUCCESSES);
        this.#sums[gpu]! += (ratio / median) * counts;
        this.#weights[gpu]! += counts;
      }
    }
    return lookedAt;
  }
}
