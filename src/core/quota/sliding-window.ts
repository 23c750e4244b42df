// Counts what happened within the last so many milliseconds, in slots, so that a day costs no more than its busy slots.

/** Dead slots at the front that are kept before they are cut off. */
const MAX_DEAD = 64;

/**
 * A slot counts until the window has passed since its end: never more than the limit within any window, and room comes back at most one
 * slot late. What lies more than a window ahead of the clock does not count: a clock that was wrong holds nobody up for longer than that.
 */
export class SlidingWindow {
  readonly #windowMs: number;
  readonly #slotMs: number;
  /** Slot numbers and their counts, oldest first. */
  readonly #slots: number[] = [];
  readonly #counts: number[] = [];
  /** The first that counts, and the first behind it that does not, for whoever asked last. */
  #first = 0;
  #end = 0;
  /** Of all from `#first` to before `#end`. */
  #total = 0;
  #askedMs = 0;
  /** The first that counted when something was added last: questions change nothing that a snapshot holds. */
  #kept = 0;

  constructor(windowMs: number, slotMs: number) {
    this.#windowMs = windowMs;
    this.#slotMs = slotMs;
  }

  /** A clock that went back by no more than the window counts into the newest slot; what lies further ahead is forgotten. */
  add(atMs: number, count = 1): void {
    this.#lookAt(atMs);
    this.#slots.splice(this.#end);
    this.#counts.splice(this.#end);
    this.#cut(atMs);
    const slot = Math.floor(atMs / this.#slotMs);
    const last = this.#slots.length - 1;
    if (last >= this.#first && this.#slots[last]! >= slot) this.#counts[last]! += count;
    else {
      this.#slots.push(slot);
      this.#counts.push(count);
      this.#end = this.#slots.length;
    }
    this.#total += count;
  }

  used(nowMs: number): number {
    this.#lookAt(nowMs);
    return this.#total;
  }

  /** When fewer than `limit` will be counted, ms: now when that is so already, Infinity for a limit of 0. */
  roomAtMs(limit: number, nowMs: number): number {
    let left = this.used(nowMs);
    if (left < limit) return nowMs;
    for (let place = this.#first; place < this.#end; place += 1) {
      left -= this.#counts[place]!;
      if (left < limit) return this.#goneAtMs(place);
    }
    return Number.POSITIVE_INFINITY;
  }

  /** When the oldest of what is counted falls out, ms; 0 when nothing is counted. */
  nextDropMs(nowMs: number): number {
    return this.used(nowMs) === 0 ? 0 : this.#goneAtMs(this.#first);
  }

  /** Slot numbers and counts by turns, oldest first; plain data for a snapshot. */
  dump(): number[] {
    return this.#slots.slice(this.#kept).flatMap((slot, place) => [slot, this.#counts[this.#kept + place]!]);
  }

  load(dumped: readonly number[]): void {
    for (let place = 0; place + 1 < dumped.length; place += 2) this.add(dumped[place]! * this.#slotMs, dumped[place + 1]!);
  }

  #goneAtMs(place: number): number {
    return (this.#slots[place]! + 1) * this.#slotMs + this.#windowMs;
  }

  #lookAt(nowMs: number): void {
    if (nowMs < this.#askedMs) {
      // What had fallen out may count again.
      this.#first = this.#kept;
      this.#end = this.#kept;
      this.#total = 0;
    }
    this.#askedMs = nowMs;
    for (; this.#end < this.#slots.length && this.#slots[this.#end]! * this.#slotMs <= nowMs + this.#windowMs; this.#end += 1) this.#total += this.#counts[this.#end]!;
    for (; this.#first < this.#end && this.#goneAtMs(this.#first) <= nowMs; this.#first += 1) this.#total -= this.#counts[this.#first]!;
  }

  #cut(atMs: number): void {
    while (this.#kept < this.#slots.length && this.#goneAtMs(this.#kept) <= atMs) this.#kept += 1;
    if (this.#kept < MAX_DEAD && this.#kept < this.#slots.length) return;
    this.#slots.splice(0, this.#kept);
    this.#counts.splice(0, this.#kept);
    this.#first -= this.#kept;
    this.#end -= this.#kept;
    this.#kept = 0;
  }
}
