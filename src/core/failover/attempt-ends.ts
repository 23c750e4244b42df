// What becomes of a request when one of its attempts ends: the whole decision, as a pure function.
import type { AttemptOutcome } from "../events.js";
import type { Request, RequestError } from "../model/request.js";
import type { CoreSettings } from "../settings.js";

/**
 * The router's own words: `lost` when the attempt's GPU or node is gone, or its agent does not know it; `overdue` when it did not begin, or
 * gave no sign of life, in its time; `preempted` when it has stopped for more urgent work, or for an operator (`error` says so then), as it was told to.
 */
export type AttemptFate = AttemptOutcome | "lost" | "overdue" | "preempted";

export type NextStep =
  | { readonly kind: "end"; readonly phase: "completed" | "failed" | "cancelled"; readonly error: RequestError | null }
  /** Back in line; `delayMs` 0 means at once. Where a runner that lives has failed, the budget for retries must have room too. */
  | { readonly kind: "retry"; readonly delayMs: number; readonly reason: string; readonly budgeted: boolean };

/**
 * A success always counts, even when a stop was on its way. Otherwise a stop wins; then a fault of the GPU, runner or node
 * is retried up to `maxRetries` times: at once when the GPU or node is gone or was too slow, after a growing delay (`jitter` 0..1 spreads
 * it over 50-150 %) when a runner that lives failed it. A request that would rather fail than give its output anew does so when it has
 * given any. What was pre-empted goes back in line, as often as need be.
 */
export function nextStep(request: Request, fate: AttemptFate, error: RequestError | null, settings: CoreSettings, jitter: number): NextStep {
  if (fate === "succeeded") return { kind: "end", phase: "completed", error: null };
  if (request.stop) return stopped(request.stop);
  if (fate === "failed") return { kind: "end", phase: "failed", error: error ?? { code: "failed", message: "The work failed without saying why." } };
  if (fate === "preempted") return { kind: "retry", delayMs: 0, reason: error ? `${error.code}: ${error.message}` : "preempted", budgeted: false };
  const faults = request.attempt - (request.preemptions ?? 0);
  // The agent stopped it without our asking; treat it as the runner's fault.
  const reason = error ? `${error.code}: ${error.message}` : fate;
  if (request.answeredAtMs !== undefined && request.spec.handling?.onInterruption === "fail") {
    return { kind: "end", phase: "failed", error: { code: "truncated", message: `Its output was cut off: attempt ${request.attempt} was interrupted (${reason}).` } };
  }
  if (faults > settings.maxRetries) {
    return {
      kind: "end",
      phase: "failed",
      error: { code: "retries_exhausted", message: `Attempt ${request.attempt} ended too (${reason}); max_retries is ${settings.maxRetries}.` },
    };
  }
  const gone = fate === "lost" || fate === "fenced" || fate === "overdue";
  const delayMs = gone ? 0 : Math.round(settings.retryDelayMs * faults * (0.5 + jitter));
  return { kind: "retry", delayMs, reason, budgeted: !gone };
}

/** More than any retry is delayed, ms. */
export function longestDelayMs({ retryDelayMs, maxRetries }: CoreSettings): number {
  return retryDelayMs * maxRetries * 1.5 + 1;
}

/** Which time was up. */
const STAGE_CODES = { waiting: "waiting_timeout", running: "running_timeout", whole: "timeout" } as const;

/** How a request ends whose stop took hold. */
export function stopped(stop: NonNullable<Request["stop"]>): Extract<NextStep, { kind: "end" }> {
  return stop.cause === "cancel"
    ? { kind: "end", phase: "cancelled", error: stop.by ? { code: "cancelled_by_operator", message: stop.reason || "An operator has cancelled it." } : null }
    : { kind: "end", phase: "failed", error: { code: stop.obstacle ?? STAGE_CODES[stop.stage ?? "whole"], message: stop.reason } };
}
