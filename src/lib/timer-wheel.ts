// Many deadlines, one caller that asks what is due. Keys are cancelled by the time they were scheduled for.

/** Keys due at times, in buckets of `widthMs`. Schedule and cancel are O(1); a key fires at most `widthMs` late. */
export class TimerWheel<K> {
  readonly #buckets = new Map<number, Set<K>>();
  readonly #widthMs: number;
  #firedUpTo = Number.NEGATIVE_INFINITY;

  constructor(widthMs: number) {
    this.#widthMs = widthMs;
  }

  schedule(key: K, atMs: number): void {
    // What is already due goes into the next bucket to fire, never into one that has fired.
    const bucket = Math.max(Math.ceil(atMs / this.#widthMs), this.#firedUpTo + 1);
    const keys = this.#buckets.get(bucket);
    if (keys) keys.add(key);
    else this.#buckets.set(bucket, new Set([key]));
  }

  /** `atMs` as it was scheduled. A key that has fired or was late is simply not found. */
  cancel(key: K, atMs: number): void {
    const bucket = Math.ceil(atMs / this.#widthMs);
    const keys = this.#buckets.get(bucket);
    if (keys?.delete(key) && keys.size === 0) this.#buckets.delete(bucket);
  }

  /** Removes and returns what is due at `nowMs`, earliest bucket first. */
  advance(nowMs: number): K[] {
    const current = Math.floor(nowMs / this.#widthMs);
    if (current <= this.#firedUpTo) return [];
    const due: K[] = [];
    const steps = current - this.#firedUpTo;
    const buckets =
      steps > this.#buckets.size
        ? [...this.#buckets.keys()].filter((bucket) => bucket <= current).sort((a, b) => a - b)
        : Array.from({ length: steps }, (_, step) => this.#firedUpTo + 1 + step);
    for (const bucket of buckets) {
      const keys = this.#buckets.get(bucket);
      if (!keys) continue;
      due.push(...keys);
      this.#buckets.delete(bucket);
    }
    this.#firedUpTo = current;
    return due;
  }
}
