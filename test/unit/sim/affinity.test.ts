// Requirement: a public trace of conversations on eight replicas. Every request shares its first block with all others, so a score that
// takes hits at face value sends everything to one GPU, and one that only balances load hits little else.
import { describe, expect } from "@jest/globals";

import { figuresOf } from "../../../src/sim/figures.js";
import { measure } from "../../../src/sim/measure.js";
import { HYBRID } from "../../../src/sim/policies.js";
import { scenarioNamed } from "../../../src/sim/scenarios.js";
import { NO_OVERRIDE } from "../../../src/cli/simulate/settings-option.js";
import { openWorld, setUp } from "../../../src/sim/set-up.js";
import { NO_FAULTS } from "../../../src/sim/faults.js";
import { simulate } from "../../../src/sim/simulation.js";
import type { Workload } from "../../../src/sim/workload/arrival.js";
import { openSource } from "../../../src/sim/workload/sources.js";
import { testWithTraces, TRACES } from "./workload/real-traces.js";

const SEED = 101;

describe("Mooncake's conversations on eight replicas, the whole trace in its order, caches without an end", () => {
  testWithTraces("find at least 34 % of their blocks read before, and no GPU has more than 1.15 times the mean load", async () => {
    const scenario = scenarioNamed("affinity")!;
    const source = await openSource("mooncake", TRACES);
    const world = await openWorld({ scenario, traces: TRACES, fleet: null, load: 1, scaling: "superpose", durationMs: source.spanMs });
    // Not from a place by lot and round, as scenarios are: from the first request to the last.
    const workload: Workload = { ...world.workload, durationMs: source.spanMs, *arrivals(seed) {
      for (const { sender: _, ...request } of source.stream(0, source.spanMs).requests(seed)) yield { ...request, tenant: 0 };
    } };
    const run = simulate(setUp({ ...world, workload }, HYBRID, SEED, { faults: NO_FAULTS, override: NO_OVERRIDE, prefixCacheTokens: Number.POSITIVE_INFINITY }));
    const figures = figuresOf(measure(run, workload.durationMs));
    expect(run.requests.count).toBe(12_031);
    expect(figures.cachedBlockShare).toBeGreaterThanOrEqual(0.34);
    expect(figures.loadSkew).toBeLessThanOrEqual(1.15);
  });
});
