// When a callback is tried again, and when no more.
import { describe, expect, test } from "@jest/globals";
import { nextTryAtMs, waitAskedForMs, type RetryPolicy } from "../../../src/callbacks/retry-policy.js";

const policy: RetryPolicy = { retryDelayMs: 1_000, maxRetryDelayMs: 60_000, maxTries: 10, giveUpAfterMs: 600_000 };

describe("nextTryAtMs", () => {
  test.each([
    ["the first failure waits the delay", 1, 0, 0.5, 1_000],
    ["each doubles it", 4, 0, 0.5, 8_000],
    ["jitter takes half of it at least", 4, 0, 0, 4_000],
    ["and half more at most", 4, 0, 1, 12_000],
    ["it never passes the longest", 9, 0, 1, 60_000],
    ["the receiver's wish counts where it is longer", 1, 30_000, 0.5, 30_000],
    ["not where it is shorter", 4, 100, 0.5, 8_000],
    ["and not beyond the longest", 1, 86_400_000, 0.5, 60_000],
  ])("%s", (_, tries, wish, jitter, delay) => {
    expect(nextTryAtMs(policy, tries, 1_000_000, wish, 1_000_000, jitter)).toBe(1_000_000 + delay);
  });

  test("it gives up after so many tries, and when the event is too old", () => {
    expect(nextTryAtMs(policy, 10, 0, 0, 0, 0.5)).toBeNull();
    expect(nextTryAtMs(policy, 1, 0, 0, 599_000, 0.5)).toBe(600_000);
    expect(nextTryAtMs(policy, 1, 0, 0, 599_001, 0.5)).toBeNull();
  });
});

test.each([
  ["120", 120_000],
  ["0", 0],
  ["Wed, 21 Oct 2026 07:28:00 GMT", Date.parse("2026-10-21T07:28:00Z") - 1_000],
  ["Wed, 21 Oct 1970 07:28:00 GMT", Date.parse("1970-10-21T07:28:00Z") - 1_000],
  ["-5", 0],
  ["1e9", 0],
  ["soon", 0],
  ["99999999999", 0],
  ["", 0],
])("Retry-After %j is understood", (header, wait) => {
  expect(waitAskedForMs(header, 1_000)).toBe(wait);
});
