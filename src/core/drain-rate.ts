// How fast the line gets shorter, measured, and from that when it is worth to ask again. Owned by admission.

/** What was longer ago than this counts little, ms. */
const MEMORY_MS = 10_000;
const LEAST_MS = 100;
const MOST_MS = 60_000;
/** Shortest time that a rate is taken of. */
const AT_LEAST_MS = 1_000;
/** While nothing has been measured yet. */
const UNKNOWN_MS = 1_000;

export class DrainRate {
  /** Requests per ms, as of `#atMs`. */
  #perMs = 0;
  #atMs = 0;
  #firstAtMs = Number.NaN;
  /** When the room is there that was promised last: each who is sent away gets a later one, so that they do not all come back at once. */
  #promisedMs = 0;

  /** A request has left the line for a GPU. */
  note(nowMs: number): void {
    this.#perMs = this.#faded(nowMs) + 1 / MEMORY_MS;
    this.#atMs = nowMs;
    if (Number.isNaN(this.#firstAtMs)) this.#firstAtMs = nowMs;
  }

  /** Requests per ms of late; 0 before the first. */
  perMs(nowMs: number): number {
    if (Number.isNaN(this.#firstAtMs)) return 0;
    // At first not all of the memory has been filled.
    const filled = 1 - Math.exp(-Math.max(AT_LEAST_MS, nowMs - this.#firstAtMs) / MEMORY_MS);
    return this.#faded(nowMs) / filled;
  }

  #faded(nowMs: number): number {
    return this.#perMs * Math.exp(-Math.max(0, nowMs - this.#atMs) / MEMORY_MS);
  }

  /** When there should be room for one who is sent away now, as many ms from now; 100 to 60,000. */
  retryAfterMs(nowMs: number): number {
    if (Number.isNaN(this.#firstAtMs)) return UNKNOWN_MS;
    const eachMs = 1 / Math.max(this.perMs(nowMs), 1 / MOST_MS);
    this.#promisedMs = Math.min(Math.max(this.#promisedMs, nowMs) + eachMs, nowMs + MOST_MS);
    return Math.max(LEAST_MS, Math.ceil(this.#promisedMs - nowMs));
  }
}
