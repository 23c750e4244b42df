// What holds for every strategy: it can be chosen, it explains itself, its scores can be compared, and the same state gives the same choice.
import { describe, expect, test } from "@jest/globals";
import type { Fleet } from "../../../../src/core/fleet/fleet.js";
import type { Decision } from "../../../../src/core/model/decision.js";
import type { Priority } from "../../../../src/core/model/request.js";
import { NO_WISHES } from "../../../../src/core/model/request.js";
import { Scheduler } from "../../../../src/core/scheduling/scheduler.js";
import { seededRandom } from "../../../../src/lib/random.js";
import { ask, fleetOf, inventory, requestId, sample, settings, World } from "../build.js";

const { strategyNames } = new Scheduler(settings(), 4);
const NAMED = ["weighted", "dynamic", "priority_based", "resource_based", "capability_based", "least_loaded", "round_robin", "memory_optimized", "task_specific", "random"];
const BASELINES = ["least_outstanding", "least_outstanding_weighted", "power_of_two", "peak_ewma", "llm_d_like", "seconds_of_work"];

const KINDS = ["NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "Tesla T4", "Test GPU"];

/** A fleet in any state that it can be in. */
function anyFleet(seed: number): { fleet: Fleet; random: () => number } {
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const memoryTotalMib = [16_384, 40_960, 81_559];
  const gpus = Array.from({ length: 1 + below(12) }, (_, index) =>
    inventory(`g${index}`, {
      name: KINDS[below(4)]!,
      memoryTotalMib: memoryTotalMib[below(3)]!,
      computeCapability: [0, 7_000, 8_000, 9_000][below(4)]!,
      multiprocessorCount: [0, 40, 132][below(3)]!,
    }),
  );
  const fleet = fleetOf(gpus);
  for (let gpu = 0; gpu < fleet.size; gpu += 1) {
    fleet.work.kvCapacityTokens[gpu] = below(2) * 50_000;
    for (let turn = below(6); turn > 0; turn -= 1) {
      fleet.work.place(gpu, { requestId: requestId(`${gpu}-${turn}`), modelId: "m", inputTokens: below(20_000), cachedTokens: 0, outputTokens: 1 + below(900), firstDueAtMs: Number.POSITIVE_INFINITY, dueAtMs: Number.POSITIVE_INFINITY }, 900_000);
      fleet.place(gpu, below(4_000));
      fleet.prefixes.placed(gpu, "m", [1, 2, 3].slice(0, below(4)));
    }
    if (random() < 0.8) fleet.observe(gpu, sample(`g${gpu}`, { memoryUsedMib: random() < 0.1 ? Number.NaN : below(90_000), gpuUtilizationPercent: random() < 0.1 ? Number.NaN : below(101), temperatureCelsius: 20 + below(100) }), 999_000);
    if (random() < 0.5) fleet.outcomes.ended(gpu, below(9_000), random() < 0.2, 990_000 + below(9_000));
    if (random() < 0.3) fleet.learnSpeed(gpu, random());
  }
  return { fleet, random };
}

function anyAsk(strategy: string, random: () => number): ReturnType<typeof ask> {
  const below = (limit: number): number => Math.floor(random() * limit);
  return ask({
    strategy,
    priority: (1 + below(5)) as Priority,
    type: ["inference", "training"][below(2)]!,
    memoryMib: below(2) * below(20_000),
    seed: below(2 ** 32),
    requirements: { computeUnits: below(2) * below(40), minComputeCapability: below(2) * 7_000 },
    wishes: { ...NO_WISHES, prefixHashes: [1, 2, 9].slice(0, below(4)) },
  });
}

function eachDecision(strategy: string, look: (decision: Decision, again: Decision) => void): void {
  let decided = 0;
  for (let seed = 1; seed <= 40; seed += 1) {
    const [one, two] = [anyFleet(seed), anyFleet(seed)];
    const decision = new Scheduler(settings(), one.fleet.stateFilters.length).explain(one.fleet, anyAsk(strategy, one.random));
    if (decision.candidates.length === 0) continue;
    decided += 1;
    look(decision, new Scheduler(settings(), two.fleet.stateFilters.length).explain(two.fleet, anyAsk(strategy, two.random)));
  }
  expect(decided).toBeGreaterThan(15);
}

test("those of the requirements and the field's are there", () => {
  expect(strategyNames).toEqual(expect.arrayContaining([...NAMED, ...BASELINES]));
});

describe.each(strategyNames)("%s", (strategy) => {
  test("is chosen by the configuration, and by a request over another", () => {
    for (const [configured, wanted] of [[strategy, ""], ["weighted", strategy]] as const) {
      const world = new World({ strategy: configured });
      world.connect("node", ["a", "b"]);
      world.submit("r", { strategy: wanted });
      expect(world.request("r").decision?.strategy).toBe(strategy);
      expect(["a", "b"]).toContain(world.request("r").gpuId);
    }
  });

  test("explains each candidate's score by its terms", () => {
    eachDecision(strategy, ({ scorers, candidates }) => {
      for (const { score, values } of candidates) {
        expect(values).toHaveLength(scorers.length);
        expect(score).toBeCloseTo(scorers.reduce((sum, { weight }, term) => sum + weight * values[term]!, 0), 9);
      }
    });
  });

  test("has scores that compare in any state of the fleet: every term counts on every GPU, as shares of one or as costs with fixed weights", () => {
    const costs: string[] = [];
    eachDecision(strategy, ({ scorers, candidates }) => {
      const weights = scorers.map(({ weight }) => weight);
      for (const { values } of candidates) for (const value of values) expect(Number.isFinite(value) && value >= 0).toBe(true);
      if (weights.length === 0) return;
      if (weights.some((weight) => weight < 0)) {
        costs.push(JSON.stringify(scorers));
        return;
      }
      expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 9);
      for (const weight of weights) expect(weight).toBeGreaterThanOrEqual(0);
      for (const { values } of candidates) {
        for (const value of values) expect(value).toBeLessThanOrEqual(1);
      }
    });
    expect(new Set(costs).size).toBeLessThanOrEqual(1);
  });

  test("decides the same for the same state and seed", () => {
    eachDecision(strategy, (decision, again) => expect(again).toEqual(decision));
  });

  test("holds no GPU back while another request could use it, except for higher priorities and mappings", () => {
    const fleet = fleetOf(["a", "b", "c"].map((id) => inventory(id)));
    const scheduler = new Scheduler(settings(), fleet.stateFilters.length);
    let placed = 0;
    for (; ; placed += 1) {
      const choice = scheduler.choose(fleet, ask({ strategy, priority: 5, seed: placed }));
      if (!choice) break;
      fleet.place(choice.gpu, 0);
    }
    expect(placed).toBe(3 * settings().maxConcurrentTasksPerGpu);
  });
});
