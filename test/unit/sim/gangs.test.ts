// Work on several GPUs in the simulation: it takes them all, and is done when all are.
import { describe, expect, test } from "@jest/globals";
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../../../src/core/settings.js";
import { simpleFleet } from "../../../src/sim/fleets.js";
import { OUTCOMES, type SimulatedRun } from "../../../src/sim/result.js";
import { NO_FAULTS, type SimulatedFaults } from "../../../src/sim/faults.js";
import { simulate } from "../../../src/sim/simulation.js";
import type { Arrival, Tenant } from "../../../src/sim/workload/arrival.js";

const TENANTS: readonly Tenant[] = [
  { name: "jobs", modelId: "training", type: "training", priority: 2, slo: null },
  { name: "urgent", modelId: "training", type: "training", priority: 4, slo: null },
];

const job = (atMs: number, gpus: number, workMs: number, tenant = 0): Arrival => ({ atMs, tenant, inputTokens: 0, outputTokens: 0, prefixHashes: [], sessionKey: "", gpus, workMs });

function run(arrivals: readonly Arrival[], over: { readonly faults?: SimulatedFaults; readonly settings?: Partial<CoreSettings>; readonly gpus?: number } = {}): SimulatedRun {
  const fleet = simpleFleet([{ kind: "A100-80GB", gpus: over.gpus ?? 2, nodes: 1 }]);
  const count = fleet.flatMap(({ gpus }) => gpus).length;
  return simulate({
    policy: "test",
    scenario: "test",
    load: 1,
    seed: 1,
    settings: { ...DEFAULT_CORE_SETTINGS, gpuCooldownMs: 1_000, health: { ...DEFAULT_CORE_SETTINGS.health, probePatienceMs: 0 }, memoryThreshold: 1, ...over.settings },
    fleet,
    workload: { tenants: TENANTS, durationMs: 100_000, arrivals: () => arrivals },
    loaded: Array.from({ length: count }, () => []),
    types: Array.from({ length: count }, () => []),
    models: ["llama-3.1-8b"],
    modelLoadSpeed: 1,
    prefixCacheTokens: null,
    faults: over.faults ?? NO_FAULTS,
    drainMs: 1_000_000,
    tellLengths: false,
  });
}

/** [outcome, placed, ended, attempts] of each request, seconds. */
function lives({ requests }: SimulatedRun): [string, number, number, number][] {
  const seconds = (ms: number | undefined): number => Math.round((ms ?? 0) / 100) / 10;
  return Array.from({ length: requests.count }, (_, row) => [OUTCOMES[requests.outcome[row]!]!, seconds(requests.placedAtMs[row]), seconds(requests.endedAtMs[row]), requests.attempts[row]!]);
}

describe("work on several GPUs", () => {
  test("takes its time on all of them at once, and others wait until all are free", () => {
    expect(lives(run([job(0, 2, 10_000), job(1_000, 1, 5_000), job(1_001, 2, 1_000)]))).toEqual([
      ["completed", 0, 10, 1],
      ["completed", 10, 15, 1],
      ["completed", 15, 16, 1],
    ]);
  });

  test("is done when the slowest of them is", () => {
    const stragglers = { ...NO_FAULTS, stragglers: 0.5, slowdown: 2 };
    expect(lives(run([job(0, 2, 10_000)], { faults: stragglers }))).toEqual([["completed", 0, 20, 1]]);
  });

  test("that is stopped for more urgent work goes on where it was, and nothing is lost", () => {
    expect(lives(run([job(0, 2, 200_000), job(100_000, 1, 30_000, 1)]))).toEqual([
      // 100 s before, 30 s aside, 100 s after; and how long the agent and the tick take.
      ["completed", expect.closeTo(130, 0), expect.closeTo(230, 0), 2],
      ["completed", expect.closeTo(100, 0), expect.closeTo(130, 0), 1],
    ]);
  });

  test("is over on all of them when one breaks, and goes on with what is left when it is back", () => {
    const [life] = lives(run([job(0, 2, 60_000)], { faults: { ...NO_FAULTS, gpuFailures: 1, brokenMs: 500 } }));
    // It breaks at 50 s, is back after a cool-down of a second, and has 10 s left.
    expect(life).toEqual(["completed", expect.closeTo(51, 0), expect.closeTo(61, 0), 2]);
  });
});
