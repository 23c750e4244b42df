// A clock that jumps to the next sleeper as soon as everything else has had its turn.
import { setImmediate as nextTurn } from "node:timers/promises";

import type { Clock } from "../../../src/cli/clock.js";

export class VirtualClock implements Clock {
  #nowMs = 1000;
  readonly #sleepers = new Set<{ atMs: number; wake: () => void }>();

  now(): number {
    return this.#nowMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const sleeper = { atMs: this.#nowMs + ms, wake: () => (this.#sleepers.delete(sleeper), resolve()) };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", sleeper.wake, { once: true });
    });
  }

  /** Lets time pass until the work is done; throws when it waits for something that is not time. */
  async drive<T>(work: Promise<T>): Promise<T> {
    const state = { settled: false };
    const done = work.finally(() => (state.settled = true));
    done.catch(() => {});
    for (let idle = 0; !state.settled; ) {
      for (let turn = 0; turn < 5; turn += 1) await nextTurn();
      const next = Array.from(this.#sleepers).sort((one, other) => one.atMs - other.atMs)[0];
      idle = next === undefined ? idle + 1 : 0;
      if (idle > 1000) throw new Error("the work waits for something that is not time");
      if (state.settled || next === undefined) continue;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.wake();
    }
    return done;
  }
}
