// GPUs that are up and yet not well, in the simulation: nobody tells the router, it finds out from what becomes of requests.
import { describe, expect, test } from "@jest/globals";
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../../../src/core/settings.js";
import { simpleFleet } from "../../../src/sim/fleets.js";
import { OUTCOMES, type SimulatedRun } from "../../../src/sim/result.js";
import { NO_FAULTS, type SimulatedFaults } from "../../../src/sim/faults.js";
import { simulate } from "../../../src/sim/simulation.js";
import type { Arrival, Tenant } from "../../../src/sim/workload/arrival.js";

const GPUS = 8;
const MODEL = "llama-3.1-8b";
const DURATION_MS = 300_000;
const TENANTS: readonly Tenant[] = [{ name: "chat", modelId: MODEL, type: "inference", priority: 3, slo: null }];
/** Twenty a second, of a prompt and an answer each. */
const ARRIVALS: readonly Arrival[] = Array.from({ length: DURATION_MS / 50 }, (_, index) => ({
  atMs: index * 50,
  tenant: 0,
  inputTokens: 300 + (index % 7) * 100,
  outputTokens: 60 + (index % 11) * 20,
  prefixHashes: [],
  sessionKey: "",
  gpus: 1,
  workMs: 0,
}));

function run(faults: SimulatedFaults, strategy: string, over: Partial<CoreSettings> = {}): SimulatedRun {
  const fleet = simpleFleet([{ kind: "A100-80GB", gpus: GPUS, nodes: 1 }]);
  return simulate({
    policy: "test",
    scenario: "test",
    load: 1,
    seed: 3,
    settings: { ...DEFAULT_CORE_SETTINGS, strategy, maxConcurrentTasksPerGpu: 64, memoryThreshold: 1, utilizationThreshold: 1.1, retryDelayMs: 100, maxRetries: 10, requestTimeoutMs: 0, ...over },
    fleet,
    workload: { tenants: TENANTS, durationMs: DURATION_MS, arrivals: () => ARRIVALS },
    loaded: Array.from({ length: GPUS }, () => [MODEL]),
    types: Array.from({ length: GPUS }, () => []),
    models: [MODEL],
    modelLoadSpeed: 1,
    prefixCacheTokens: null,
    faults,
    drainMs: 120_000,
    tellLengths: true,
  });
}

/** Requests by the GPU that served them, of those that came from `fromMs` to `toMs`. */
function served({ requests }: SimulatedRun, fromMs: number, toMs: number): number[] {
  const counts = Array.from({ length: GPUS }, () => 0);
  for (let row = 0; row < requests.count; row += 1) {
    const atMs = requests.arrivedAtMs[row]!;
    if (atMs >= fromMs && atMs < toMs && requests.gpu[row]! >= 0) counts[requests.gpu[row]!]! += 1;
  }
  return counts;
}

const completed = ({ requests }: SimulatedRun): number => Array.from({ length: requests.count }, (_, row) => row).filter((row) => OUTCOMES[requests.outcome[row]!] === "completed").length;

describe("a GPU that takes three times as long as its likes", () => {
  test.each(["hybrid", "least_outstanding"])("is found out by %s and loses traffic", (strategy) => {
    const result = run({ ...NO_FAULTS, stragglers: 1 / GPUS, slowdown: 3 }, strategy);
    const counts = served(result, 150_000, DURATION_MS);
    const sorted = counts.slice().sort((a, b) => a - b);
    const others = sorted.slice(1).reduce((sum, count) => sum + count, 0) / (GPUS - 1);
    expect(sorted[0]!).toBeLessThan(0.5 * others);
    expect(completed(result)).toBe(ARRIVALS.length);
  });
});

describe("a GPU on which every other request fails", () => {
  test("is out within a few requests, and comes back to fail its probes only", () => {
    const result = run({ ...NO_FAULTS, flaky: { gpus: 1, errorRate: 0.5 } }, "least_outstanding");
    const faults = Array.from(result.requests.attempts.subarray(0, result.requests.count)).reduce((sum, attempts) => sum + attempts - 1, 0);
    expect(faults).toBeLessThanOrEqual(20);
    expect(served(result, 20_000, DURATION_MS)[GPUS - 1]).toBe(0);
    expect(completed(result)).toBe(ARRIVALS.length);
  });
});

test("a GPU that breaks again while it is broken stays so until the later end", () => {
  // One every 1.5 s: each of the eight is hit again long before its minute is over.
  const { requests } = run({ ...NO_FAULTS, gpuFailures: 200, brokenMs: 60_000 }, "least_outstanding", { gpuCooldownMs: 1 });
  const placed = Array.from(requests.placedAtMs.subarray(0, requests.count)).filter((atMs) => atMs > 100_000 && atMs < DURATION_MS);
  expect(placed.length).toBeLessThan(0.05 * ARRIVALS.length);
});
