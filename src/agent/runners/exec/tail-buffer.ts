// The last bytes of a stream of unknown length, in bounded memory. Used by `exec.ts` for stdout and stderr.

/** Keeps the last `maxBytes` of what is pushed. Copies; memory grows with need up to `maxBytes`. */
export class TailBuffer {
  readonly #maxBytes: number;
  #ring = Buffer.alloc(0);
  /** Bytes ever pushed. The ring holds the last `min(total, maxBytes)`, the byte `n` at `n % maxBytes`. */
  #total = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get truncated(): boolean {
    return this.#total > this.#maxBytes;
  }

  push(data: Uint8Array): void {
    // Of one large piece only its end can stay.
    const skipped = Math.max(0, data.length - this.#maxBytes);
    const kept = data.subarray(skipped);
    this.#total += skipped;
    this.#grow(Math.min(this.#total + kept.length, this.#maxBytes));
    const at = this.#maxBytes === 0 ? 0 : this.#total % this.#maxBytes;
    const first = Math.min(kept.length, this.#maxBytes - at);
    this.#ring.set(kept.subarray(0, first), at);
    this.#ring.set(kept.subarray(first), 0);
    this.#total += kept.length;
  }

  /** A copy, oldest first. A character of UTF-8 that was cut at the front is left out. */
  bytes(): Buffer {
    if (!this.truncated) return Buffer.from(this.#ring.subarray(0, this.#total));
    const at = this.#total % this.#maxBytes;
    const all = Buffer.concat([this.#ring.subarray(at), this.#ring.subarray(0, at)]);
    let from = 0;
    while (from < 3 && from < all.length && ((all[from] ?? 0) & 0xc0) === 0x80) from += 1;
    return all.subarray(from);
  }

  #grow(needed: number): void {
    if (needed <= this.#ring.length) return;
    const grown = Buffer.alloc(Math.min(this.#maxBytes, Math.max(needed, this.#ring.length * 2, 4096)));
    grown.set(this.#ring);
    this.#ring = grown;
  }
}
