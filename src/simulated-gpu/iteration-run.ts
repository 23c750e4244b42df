// A run of iterations that take ever longer by the same amount: its arithmetic. Used by token-batch.ts for what happens without events.

export class IterationRun {
  /** How many it is of; 0 for none. */
  count = 0;
  /** Of the first iteration, and how much each is longer than the one before; at least 0. */
  firstMs = 0;
  growthMs = 0;

  get spanMs(): number {
    return this.#msOf(this.count);
  }

  /** Iterations that are over after `elapsedMs`. */
  completedAfter(elapsedMs: number): number {
    if (this.count === 0 || elapsedMs < this.firstMs) return 0;
    // The root of growth/2·n² + (first - growth/2)·n = elapsed, written so that nothing cancels when the growth is small.
    const linear = this.firstMs - this.growthMs / 2;
    const root = (2 * elapsedMs) / (linear + Math.sqrt(linear * linear + 2 * this.growthMs * elapsedMs));
    let done = root < this.count ? Math.floor(root) : this.count;
    while (done < this.count && this.#msOf(done + 1) <= elapsedMs) done += 1;
    while (done > 0 && this.#msOf(done) > elapsedMs) done -= 1;
    return done;
  }

  /** Ends it with the iteration that is in flight after `elapsedMs`, the first at the earliest. */
  cut(elapsedMs: number): void {
    if (this.count <= 1) return;
    const done = this.completedAfter(elapsedMs);
    const needed = this.#msOf(done) >= elapsedMs ? done : done + 1;
    this.count = Math.max(1, Math.min(this.count, needed));
  }

  #msOf(count: number): number {
    return count * this.firstMs + ((count * (count - 1)) / 2) * this.growthMs;
  }
}
