// Overload: half as much again as `hybrid` carries. Overload is 1.5 times its goodput on these GPUs, found by the same search that
// `simulate --goodput` does, on the same seeds. Five users who differ in nothing but their priority share one trace by lot.
// See docs/simulator.md, "Overload".
import { beforeAll, describe, expect, test } from "@jest/globals";
import { DEFAULT_GOAL, goodput } from "../../../src/sim/goodput.js";
import { attainmentOf, measure, pooled, type Measures } from "../../../src/sim/measure.js";
import { policiesNamed } from "../../../src/sim/policies.js";
import type { SimulatedRun } from "../../../src/sim/result.js";
import { openWorld, setUp } from "../../../src/sim/set-up.js";
import { NO_FAULTS } from "../../../src/sim/faults.js";
import { simulate } from "../../../src/sim/simulation.js";
import type { Scenario } from "../../../src/sim/workload/scenario.js";

const SEEDS = [301, 302];
const OVERLOAD = 1.5;
const PRIORITIES = [1, 2, 3, 4, 5] as const;
/** Of priority 5 in its SLO. */
const REACHED = 0.99;
/** The time-out of requests that bring none, and what a tick and the network add. */
const LONGEST_WAIT_MS = 30_000 + 200;
const MODEL = "llama-3.1-8b";

const SCENARIO: Scenario = {
  name: "priorities",
  title: "Five users of five priorities",
  notes: [],
  fleet: { groups: [{ kind: "L40S", gpus: 4, nodes: 1 }] },
  models: [MODEL],
  parts: [
    {
      name: "chat",
      source: "synthetic-conv",
      type: "inference",
      users: PRIORITIES.map((priority) => ({ name: `p${priority}`, priority, slo: { firstOutputMs: 2000, totalFloorMs: 2000, totalFactor: 2.5 }, weight: 1, models: { [MODEL]: 1 } })),
      amount: { kind: "share", share: 1 },
      pace: 1,
      maxWorkMs: Number.POSITIVE_INFINITY,
      maxGpus: 8,
      scales: true,
    },
  ],
  floods: [],
  modelLoadSpeed: 1,
  durationMs: 240_000,
};

async function runsAt(load: number): Promise<readonly SimulatedRun[]> {
  const world = await openWorld({ scenario: SCENARIO, traces: null, fleet: null, load, scaling: "superpose" });
  const named = policiesNamed("hybrid");
  const [policy] = typeof named === "string" ? [] : named;
  if (!policy) throw new Error("there is no hybrid");
  return SEEDS.map((seed) => simulate(setUp(world, policy, seed, { faults: NO_FAULTS, override: { settings: {}, hybrid: {} }, prefixCacheTokens: null })));
}

const measured = (runs: readonly SimulatedRun[]): Measures => pooled(runs.map((run) => measure(run, SCENARIO.durationMs)));

/** From arrival to the last placement, or to the end of what was never placed, ms. */
function longestWaitMs({ requests, durationMs }: SimulatedRun): number {
  let longest = 0;
  for (let row = 0; row < requests.count; row += 1) {
    const until = [requests.placedAtMs[row], requests.endedAtMs[row]].find((atMs) => !Number.isNaN(atMs)) ?? durationMs;
    longest = Math.max(longest, until - (requests.arrivedAtMs[row] ?? 0));
  }
  return longest;
}

describe("at 1.5 times the goodput", () => {
  let overloaded: readonly SimulatedRun[] = [];
  let kept: readonly number[] = [];
  beforeAll(async () => {
    const { load } = await goodput(async (tried) => measured(await runsAt(tried)), DEFAULT_GOAL, 2.2);
    overloaded = await runsAt(OVERLOAD * load);
    const { users, interactive } = measured(overloaded);
    kept = PRIORITIES.map((priority) => {
      const user = users.find(({ name }) => name === `p${priority}`);
      return user ? attainmentOf(user) : Number.NaN;
    });
    process.stderr.write(`Goodput ${load}; at load ${OVERLOAD * load} in SLO ${(attainmentOf(interactive) * 100).toFixed(1)} %, by priority from 1: ${kept.map((share) => (share * 100).toFixed(1)).join(", ")} %\n`);
  }, 280_000);

  test("it is overload: not all can be served in time", () => {
    expect(attainmentOf(measured(overloaded).interactive)).toBeLessThan(DEFAULT_GOAL.attainment);
  });

  test("priority 5 keeps its SLO", () => expect(kept[4]).toBeGreaterThanOrEqual(REACHED));

  test("each higher priority is served better than the one below", () => {
    expect(kept.toSorted((one, other) => one - other)).toEqual(kept);
    // And by much: priorities change outcomes.
    expect((kept[4] ?? 0) - (kept[0] ?? 0)).toBeGreaterThan(0.15);
  });

  test("nobody waits beyond his time-out", () => {
    for (const run of overloaded) expect(longestWaitMs(run)).toBeLessThanOrEqual(LONGEST_WAIT_MS);
  });
});
