// Virtual time: one queue of events for all simulated processes of one run. A process runs its events one after another and never
// two at once; it can be paused (its events wait, then come in a burst) and killed (its events never come).
import { Heap } from "../../../src/lib/heap.js";

/** Something that has a clock and timers of its own, and can be paused and killed. */
export class SimulatedProcess {
  readonly name: string;
  /** What its wall clock shows beyond virtual time, ms. */
  wallOffsetMs: number;
  /** How fast its clocks go; 1.001 gains a millisecond a second. */
  readonly clockRate: number;
  alive = true;
  paused = false;
  /** When it last went on after a pause. */
  resumedAtMs = Number.NEGATIVE_INFINITY;
  /** What came while it was paused, oldest first. */
  readonly backlog: Scheduled[] = [];

  constructor(name: string, wallOffsetMs = 0, clockRate = 1) {
    this.name = name;
    this.wallOffsetMs = wallOffsetMs;
    this.clockRate = clockRate;
  }
}

/** An event to come. */
export interface Scheduled {
  atMs: number;
  order: number;
  /** null for the world itself. */
  readonly owner: SimulatedProcess | null;
  readonly run: () => void;
  /** Timers of a process, which come first when it goes on after a pause. */
  readonly isTimer: boolean;
  cancelled: boolean;
}

/** The real one: a turn of it ends when all promises are settled that can be. */
const realSetImmediate = globalThis.setImmediate;

export class VirtualTime {
  nowMs = 0;
  /** The process whose code runs now; null between events and for the world itself. */
  current: SimulatedProcess | null = null;
  /** Events that have run. */
  events = 0;
  readonly #queue = new Heap<Scheduled>((a, b) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order));
  #order = 0;

  /** Runs `run` as `owner` after `delayMs`. */
  after(delayMs: number, owner: SimulatedProcess | null, run: () => void, isTimer = false): Scheduled {
    this.#order += 1;
    const scheduled: Scheduled = { atMs: this.nowMs + Math.max(0, delayMs), order: this.#order, owner, run, isTimer, cancelled: false };
    this.#queue.push(scheduled);
    return scheduled;
  }

  pause(process: SimulatedProcess): void {
    process.paused = true;
  }

  /** All that came meanwhile comes now: timers first, or messages first. */
  resume(process: SimulatedProcess, timersFirst: boolean): void {
    process.paused = false;
    process.resumedAtMs = this.nowMs;
    const backlog = process.backlog.splice(0);
    const early = backlog.filter(({ isTimer }) => isTimer === timersFirst);
    const late = backlog.filter(({ isTimer }) => isTimer !== timersFirst);
    for (const scheduled of [...early, ...late]) {
      this.#order += 1;
      scheduled.atMs = this.nowMs;
      scheduled.order = this.#order;
      this.#queue.push(scheduled);
    }
  }

  /** Runs events, each to its end with all that follows at once from it, until `done` says so after one, or `limitMs`. */
  async run(limitMs: number, afterEach: () => void, done: () => boolean): Promise<void> {
    for (let next = this.#queue.first; next && next.atMs <= limitMs; next = this.#queue.first) {
      this.#queue.pop();
      if (next.cancelled || next.owner?.alive === false) continue;
      if (next.owner?.paused) {
        next.owner.backlog.push(next);
        continue;
      }
      this.nowMs = next.atMs;
      this.events += 1;
      this.current = next.owner;
      next.run();
      // Promises end here what the event began; the world itself makes none.
      if (next.owner) await new Promise<void>((resolve) => void realSetImmediate(resolve));
      this.current = null;
      afterEach();
      if (done()) return;
    }
    this.nowMs = Math.max(this.nowMs, limitMs);
  }
}
