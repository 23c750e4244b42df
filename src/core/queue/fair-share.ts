// Whose turn it is within a band: start-time fair queueing over users (Goyal, Vin, Cheng 1996). Each user has a virtual time,
// which grows with the GPU time that is spent on it; the lowest goes first. Charged at dispatch by estimate, settled at the end.
// Not durable: after a restart all begin level.

/** A user in one band. */
export interface Share {
  readonly userId: string;
  /** GPU time charged so far, ms, on the band's clock. Never falls, so that heaps may hold old values. */
  virtualMs: number;
  /** Charged too much; taken off the next charges. At most `largestMs`: a claim that was far too high gives no right to all of the GPUs. */
  creditMs: number;
  /** The largest charge of late, ms. */
  largestMs: number;
  waiting: number;
}

/** Share of the largest charge that the next one remembers. */
const LARGEST_LEFT = 0.9;
/** Bound on idle users that are remembered per band. */
const MAX_IDLE = 10_000;

/** The users of one band. */
export class FairShare {
  readonly #shares = new Map<string, Share>();
  /** Virtual time of the one who was served last, credit taken off. */
  #nowMs = 0;
  /** Users who wait. */
  #waiting = 0;

  /** Users that are remembered. */
  get size(): number {
    return this.#shares.size;
  }

  /** One more of the user's requests waits. Who returns from idle begins where the others are: idling saves nothing up. */
  arrive(userId: string): Share {
    let share = this.#shares.get(userId);
    if (!share) {
      if (this.#shares.size - this.#waiting >= MAX_IDLE) this.#forgetIdle();
      share = { userId, virtualMs: this.#nowMs, creditMs: 0, largestMs: 0, waiting: 0 };
      this.#shares.set(userId, share);
    }
    if (share.waiting === 0) {
      this.#waiting += 1;
      if (share.virtualMs < this.#nowMs) share.virtualMs = this.#nowMs;
    }
    share.waiting += 1;
    return share;
  }

  leave(userId: string): void {
    const share = this.#shares.get(userId);
    if (!share) return;
    share.waiting -= 1;
    if (share.waiting === 0) this.#waiting -= 1;
  }

  /** The user gets this much GPU time, as estimated. */
  charge(userId: string, gpuMs: number): void {
    const share = this.#shares.get(userId);
    if (!share || !Number.isFinite(gpuMs)) return;
    this.#nowMs = Math.max(this.#nowMs, share.virtualMs - share.creditMs);
    share.largestMs = Math.max(gpuMs, share.largestMs * LARGEST_LEFT);
    const credit = Math.min(share.creditMs, gpuMs);
    share.creditMs -= credit;
    share.virtualMs += gpuMs - credit;
  }

  /** What a charge turned out to be wrong by: positive when it was too low. */
  settle(userId: string, gpuMs: number): void {
    const share = this.#shares.get(userId);
    if (!share || !Number.isFinite(gpuMs)) return;
    if (gpuMs > 0) share.virtualMs += gpuMs;
    else share.creditMs = Math.min(share.largestMs, share.creditMs - gpuMs);
  }

  #forgetIdle(): void {
    for (const [userId, { waiting }] of this.#shares) if (waiting === 0) this.#shares.delete(userId);
  }
}
