// Virtual time: what is due when. Shared by the parts of a simulation.
import { Heap } from "../lib/heap.js";

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class Agenda {
  /** Set by whoever lets the time pass. */
  nowMs = 0;
  readonly #due = new Heap<Due>((a, b) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order));
  #order = 0;

  /** What is due at the same time is run in the order in which it was noted. */
  at(atMs: number, run: () => void): void {
    this.#order += 1;
    this.#due.push({ atMs, order: this.#order, run });
  }

  /** Infinity when nothing is due any more. */
  get nextAtMs(): number {
    return this.#due.first?.atMs ?? Number.POSITIVE_INFINITY;
  }

  /** Goes on to what is due next, and runs it. */
  runNext(): void {
    const due = this.#due.pop();
    if (!due) return;
    this.nowMs = due.atMs;
    due.run();
  }
}
