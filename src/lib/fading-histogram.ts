// Quantiles of positive values that come one by one, the old ones fading: a histogram with logarithmic buckets. Exact memory: two
// columns, whatever comes. Used where a share of outcomes is promised, such as "nine times out of ten".

/** Each bucket reaches this many times as far as the one before it: what one answer may be off by. */
const BUCKET_FACTOR = 2 ** (1 / 8);
const BUCKETS = 64;
/** Lower bound of the first bucket. What is below it counts there; what is above the last one, in that. */
const LOWEST = 2 ** -4;
/** What a value is worth beside the one that came after it: the last hundred or so count. */
const KEPT = 0.99;
/** Weights grow instead of old ones being shrunk; before they are no numbers any more, all are. */
const MAX_UNIT = 1e9;
/** Sums of faded weights are off by about this share. */
const ROUNDING = 1e-4;

export class FadingHistogram {
  readonly #weights = new Float32Array(BUCKETS);
  /** The largest value that came to each bucket. */
  readonly #tops = new Float32Array(BUCKETS);
  /** Weight of the next value. */
  #unit = 1;
  #total = 0;

  /** How many values the answers rest on, faded ones in part. */
  get count(): number {
    return this.#total / this.#unit;
  }

  /** Takes a value in; one that is not above 0 and finite is left out. */
  add(value: number): void {
    if (!(value > 0 && value < Number.POSITIVE_INFINITY)) return;
    this.#unit /= KEPT;
    const bucket = Math.min(BUCKETS - 1, Math.max(0, Math.floor(Math.log(value / LOWEST) / Math.log(BUCKET_FACTOR))));
    // A bucket that had all but faded begins anew.
    const begins = this.#weights[bucket]! < this.#unit * ROUNDING;
    this.#tops[bucket] = begins ? value : Math.max(this.#tops[bucket]!, value);
    this.#weights[bucket]! += this.#unit;
    this.#total += this.#unit;
    if (this.#unit > MAX_UNIT) this.#shrink();
  }

  /**
   * A value that the next one does not exceed with probability `share`, 0..1, if it is like those before; the largest of them while they
   * are too few to say. At most a bucket too high. 0 before the first.
   */
  quantile(share: number): number {
    // Of n values the k-th exceeds the next one with probability k / (n + 1).
    const mayExceed = (1 - share) * (this.count + 1) - 1 + ROUNDING * this.count;
    let exceeding = 0;
    let answer = 0;
    for (let bucket = BUCKETS - 1; bucket >= 0; bucket -= 1) {
      const weight = this.#weights[bucket]! / this.#unit;
      if (weight < ROUNDING) continue;
      answer = this.#tops[bucket]!;
      exceeding += weight;
      if (exceeding > mayExceed) break;
    }
    return answer;
  }

  #shrink(): void {
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) this.#weights[bucket]! /= this.#unit;
    this.#total /= this.#unit;
    this.#unit = 1;
  }
}
