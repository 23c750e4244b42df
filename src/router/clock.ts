// The router's time: UTC milliseconds that never go backwards while the process lives, whatever is done to the wall clock.

export interface Clock {
  /** UTC, ms. */
  now(): number;
}

/** Wall time at the start plus monotonic time since. */
export function monotonicClock(): Clock {
  const startedAtMs = Date.now() - performance.now();
  return { now: () => Math.floor(startedAtMs + performance.now()) };
}
