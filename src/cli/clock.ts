// Time for what waits and retries, handed in so that tests can own it.
import { setTimeout as delay } from "node:timers/promises";

export interface Clock {
  /** Milliseconds on a clock that never goes back; its zero means nothing. */
  now(): number;
  /** Resolves after that long, or as soon as `signal` aborts. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, signal ? { signal } : {}).catch(() => {}),
};

/** How long to wait before try number `failures` + 1, ms: doubles from 100 to 5,000, with the upper half drawn by lot. */
export function backOffMs(failures: number, random: () => number): number {
  const ceiling = Math.min(5000, 100 * 2 ** Math.min(failures - 1, 10));
  return ceiling * (0.5 + random() / 2);
}
