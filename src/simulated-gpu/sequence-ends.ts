// Which request of the batch has its last token next. Owned by token-batch.ts.
import { Heap } from "../lib/heap.js";
import type { Sequence, SequenceEnd } from "./sequence.js";

/** Every request that decodes gets one token in each iteration, so ends are known as iterations, whatever those take. */
export class SequenceEnds {
  readonly #ends = new Heap<SequenceEnd>((a, b) => a.iteration < b.iteration || (a.iteration === b.iteration && a.order < b.order));
  #order = 0;

  /** After `iteration` the sequence has its last token; unless its `end` is set to something else before. */
  schedule(sequence: Sequence, iteration: number): void {
    this.#order += 1;
    sequence.end = { iteration, order: this.#order, sequence };
    this.#ends.push(sequence.end);
  }

  /** Of the next end; Infinity when there is none. */
  nextIteration(): number {
    for (let end = this.#ends.first; end; end = this.#ends.first) {
      if (end.sequence.end === end) return end.iteration;
      this.#ends.pop();
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Takes out the next one that has ended by `iteration`; those of the same iteration in the order in which they were scheduled. */
  pop(iteration: number): Sequence | null {
    if (this.nextIteration() > iteration) return null;
    return this.#ends.pop()?.sequence ?? null;
  }
}
