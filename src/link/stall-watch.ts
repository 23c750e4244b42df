// Whether this process itself stood still: its event loop was held up, it was stopped, its machine slept. Called where silence is judged:
// who did not listen must not take others for dead. Without I/O; the caller looks at even distances and tells the time.

/** Looks that come later than this are a stall and not a busy moment, ms. */
const TOLERATED_MS = 200;

export class StallWatch {
  readonly #everyMs: number;
  #lookedAtMs: number | null = null;

  /** `everyMs` is the distance of two looks. */
  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  /** For how long the process stood still since the last look, ms; 0 when it did not. */
  look(nowMs: number): number {
    const lateMs = this.#lookedAtMs === null ? 0 : nowMs - this.#lookedAtMs - this.#everyMs;
    this.#lookedAtMs = nowMs;
    return lateMs > TOLERATED_MS ? lateMs : 0;
  }
}
