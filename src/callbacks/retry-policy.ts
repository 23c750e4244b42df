// When a callback is tried again, and when it is given up: pure. Called by deliverer.ts.

export interface RetryPolicy {
  /** Before the second try; doubles with each, ms. */
  readonly retryDelayMs: number;
  readonly maxRetryDelayMs: number;
  /** Tries of one event in the life of a router. */
  readonly maxTries: number;
  /** After its event, ms. */
  readonly giveUpAfterMs: number;
}

/**
 * When to try again, UTC ms; null to give up. `tries` failed so far, at least 1; `jitter` 0..1 spreads the delay over 50-150 %. The
 * receiver's Retry-After (0 for none) is kept where it is longer, up to the longest delay.
 */
export function nextTryAtMs(policy: RetryPolicy, tries: number, eventAtMs: number, retryAfterMs: number, nowMs: number, jitter: number): number | null {
  if (tries >= policy.maxTries) return null;
  const doubled = policy.retryDelayMs * 2 ** Math.min(tries - 1, 40);
  const delayMs = Math.min(policy.maxRetryDelayMs, Math.max(Math.min(doubled, policy.maxRetryDelayMs) * (0.5 + jitter), retryAfterMs));
  const atMs = nowMs + Math.round(delayMs);
  return atMs > eventAtMs + policy.giveUpAfterMs ? null : atMs;
}

/** Retry-After as seconds or as a date, in ms from `nowMs`; 0 when absent or not understood. */
export function waitAskedForMs(header: string, nowMs: number): number {
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1_000;
  const atMs = /^[A-Z][a-z]{2},? /.test(header) ? Date.parse(header) : Number.NaN;
  return Number.isNaN(atMs) ? 0 : Math.max(0, atMs - nowMs);
}
