// The whole decision about what becomes of a request, as one table.
import { describe, expect, test } from "@jest/globals";
import { nextStep, type AttemptFate } from "../../../../src/core/failover/attempt-ends.js";
import type { Request, StopWish } from "../../../../src/core/model/request.js";
import { settings, World } from "../build.js";

function request(attempt: number, stop: StopWish | null = null): Request {
  const world = new World();
  world.submit("r");
  return { ...world.request("r"), attempt, stop };
}

const cancel: StopWish = { cause: "cancel", reason: "not wanted", atMs: 1 };
const timeout: StopWish = { cause: "timeout", reason: "Too late.", atMs: 1 };
const error = { code: "oom", message: "Out of memory." };
const limits = settings({ maxRetries: 3, retryDelayMs: 1_000 });

const completed = { kind: "end", phase: "completed", error: null };
const cancelled = { kind: "end", phase: "cancelled", error: null };
const waiting: StopWish = { ...timeout, stage: "waiting" };
const waitedTooLong = { kind: "end", phase: "failed", error: { code: "waiting_timeout", message: "Too late." } };
const timedOut = { kind: "end", phase: "failed", error: { code: "timeout", message: "Too late." } };
const failed = { kind: "end", phase: "failed", error };
const atOnce = { kind: "retry", delayMs: 0, reason: "oom: Out of memory.", budgeted: false };
const later = { kind: "retry", delayMs: 1_000, reason: "oom: Out of memory.", budgeted: true };
const exhausted = {
  kind: "end",
  phase: "failed",
  error: { code: "retries_exhausted", message: "Attempt 4 ended too (oom: Out of memory.); max_retries is 3." },
};

test.each<[AttemptFate, StopWish | null, number, unknown]>([
  ["succeeded", null, 1, completed],
  ["succeeded", null, 9, completed],
  ["succeeded", cancel, 1, completed],
  ["succeeded", timeout, 1, completed],
  ["failed", null, 1, failed],
  ["failed", cancel, 1, cancelled],
  ["failed", timeout, 1, timedOut],
  // Told to stop for an operator, which is no fault of anybody.
  ["preempted", null, 1, atOnce],
  ["preempted", null, 9, atOnce],
  ["preempted", cancel, 1, cancelled],
  ["preempted", timeout, 1, timedOut],
  ["unavailable", null, 1, later],
  ["unavailable", null, 4, exhausted],
  ["unavailable", cancel, 4, cancelled],
  ["cancelled", null, 1, later],
  ["cancelled", cancel, 1, cancelled],
  ["cancelled", timeout, 1, timedOut],
  ["fenced", null, 1, atOnce],
  ["fenced", null, 4, exhausted],
  ["fenced", cancel, 1, cancelled],
  ["lost", null, 3, atOnce],
  ["lost", null, 4, exhausted],
  ["lost", timeout, 1, timedOut],
  ["lost", waiting, 1, waitedTooLong],
  ["overdue", null, 1, atOnce],
  ["overdue", null, 4, exhausted],
  ["overdue", cancel, 1, cancelled],
])("%s with %j on attempt %i", (fate, stop, attempt, expected) => {
  expect(nextStep(request(attempt, stop), fate, error, limits, 0.5)).toEqual(expected);
});

describe("the delay before a retry", () => {
  test.each([
    [1, 0, 500],
    [1, 0.999, 1_499],
    [2, 0.5, 2_000],
    [3, 0, 1_500],
  ])("after attempt %i with jitter %d is %i ms", (attempt, jitter, delayMs) => {
    expect(nextStep(request(attempt), "unavailable", error, limits, jitter)).toMatchObject({ kind: "retry", delayMs });
  });
});

test("a failure without a reason still has words", () => {
  expect(nextStep(request(1), "failed", null, limits, 0)).toMatchObject({ error: { code: "failed", message: "The work failed without saying why." } });
  expect(nextStep(request(1), "lost", null, limits, 0)).toMatchObject({ reason: "lost" });
  expect(nextStep(request(9), "preempted", null, limits, 0)).toEqual({ kind: "retry", delayMs: 0, reason: "preempted", budgeted: false });
});

describe("a request that would rather fail than give its output anew", () => {
  const streamed = (answeredAtMs?: number): Request => {
    const made = request(1);
    return { ...made, spec: { ...made.spec, handling: { onInterruption: "fail", timeouts: {} } }, ...(answeredAtMs !== undefined && { answeredAtMs }) };
  };
  const truncated = { kind: "end", phase: "failed", error: { code: "truncated", message: "Its output was cut off: attempt 1 was interrupted (oom: Out of memory.)." } };

  test.each<[AttemptFate, unknown]>([
    ["lost", truncated],
    ["unavailable", truncated],
    ["fenced", truncated],
    ["cancelled", truncated],
    ["succeeded", completed],
    ["failed", failed],
    ["preempted", atOnce],
  ])("and has given some: %s", (fate, expected) => {
    expect(nextStep(streamed(5), fate, error, limits, 0.5)).toEqual(expected);
  });

  test("and has given none is tried again like any other", () => {
    expect(nextStep(streamed(), "lost", error, limits, 0.5)).toEqual(atOnce);
  });
});

test("attempts that were pre-empted are no faults: they count neither against the retries nor for the delay", () => {
  const often = { ...request(5), preemptions: 4 };
  expect(nextStep(often, "unavailable", error, limits, 0.5)).toEqual(later);
  expect(nextStep({ ...often, attempt: 8 }, "unavailable", error, limits, 0.5)).toMatchObject({ kind: "end", error: { code: "retries_exhausted" } });
});
