// Chance of a simulated run: seeded streams of numbers with names, so that one more draw in one place leaves the others as they were.
import { hash32, seededRandom } from "../../../src/lib/random.js";

export class Draw {
  /** In [0, 1). */
  readonly next: () => number;
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    this.next = seededRandom(hash32(path));
  }

  /** A stream of its own. */
  of(name: string): Draw {
    return new Draw(`${this.#path}/${name}`);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }

  /** Whole, both ends included. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  /** Throws on an empty list. */
  pick<T>(from: readonly T[]): T {
    const picked = from[Math.floor(this.next() * from.length)];
    if (picked === undefined) throw new Error("nothing to pick from");
    return picked;
  }
}
