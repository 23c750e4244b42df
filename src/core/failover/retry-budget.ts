// How many retries may be made: a share of the recent first attempts, and a few per second in any case. When what fails makes more work
// than there was, trying again makes it worse: retries above the budget wait for it. Called by attempts.ts.

/** What counts as recent, ms, and the steps it moves in. */
const WINDOW_MS = 10_000;
const STEP_MS = 1_000;
const STEPS = WINDOW_MS / STEP_MS;
/** Of the first attempts in the window. */
const SHARE = 0.2;
const PER_SECOND = 10;

export class RetryBudget {
  // By step modulo the window.
  readonly #first = new Float64Array(STEPS);
  readonly #retried = new Float64Array(STEPS);
  #step = Number.NEGATIVE_INFINITY;

  /** A request was dispatched for the first time. */
  firstAttempt(nowMs: number): void {
    this.#first[this.#at(nowMs)]! += 1;
  }

  /** Whether one more may be made now; it is then counted. */
  take(nowMs: number): boolean {
    const at = this.#at(nowMs);
    const allowed = SHARE * sum(this.#first) + (PER_SECOND * WINDOW_MS) / 1000;
    if (sum(this.#retried) + 1 > allowed) return false;
    this.#retried[at]! += 1;
    return true;
  }

  #at(nowMs: number): number {
    const step = Math.floor(nowMs / STEP_MS);
    const passed = Math.min(STEPS, step - this.#step);
    for (let back = 0; back < passed; back += 1) {
      const place = (step - back) % STEPS;
      this.#first[place] = 0;
      this.#retried[place] = 0;
    }
    this.#step = Math.max(this.#step, step);
    return step % STEPS;
  }
}

function sum(column: Float64Array): number {
  let total = 0;
  for (const value of column) total += value;
  return total;
}
