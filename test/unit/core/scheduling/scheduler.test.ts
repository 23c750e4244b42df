import { describe, expect, test } from "@jest/globals";
import type { Fleet } from "../../../../src/core/fleet/fleet.js";
import { Scheduler } from "../../../../src/core/scheduling/scheduler.js";
import type { CoreSettings } from "../../../../src/core/settings.js";
import { seededRandom } from "../../../../src/lib/random.js";
import { ask, fleetOf, gpuId, inventory, modelId, nodeId, OUT, runner, sample, settings } from "../build.js";

const NOW = 10_000;

function schedulerOf(fleet: Fleet, over: Partial<CoreSettings> = {}): Scheduler {
  return new Scheduler(settings(over), fleet.stateFilters.length);
}

function fleetWithLoad(percents: readonly number[]): Fleet {
  const fleet = fleetOf(percents.map((_, index) => inventory(`g${index}`)));
  percents.forEach((gpuUtilizationPercent, index) => fleet.observe(index, sample(`g${index}`, { gpuUtilizationPercent }), NOW - 100));
  return fleet;
}

describe("the weighted strategy", () => {
  test("scores by hand as row R2 says: 0.35 usage + 0.25 priority + 0.15 type + 0.15 performance + 0.1 health", () => {
    const fleet = fleetOf([inventory("g0")]);
    fleet.observe(0, sample("g0", { memoryUsedMib: 40_000, gpuUtilizationPercent: 50, temperatureCelsius: 75, powerUsageWatts: 350 }), NOW - 250);
    const decision = schedulerOf(fleet).explain(fleet, ask({ priority: 4, nowMs: NOW }));
    const terms = [
      { scorer: "usage", value: 0.5, weight: 0.35 },
      { scorer: "priority", value: 0.8, weight: 0.25 },
      { scorer: "type_compatibility", value: 1, weight: 0.15 },
      { scorer: "performance", value: 0.5, weight: 0.15 },
      { scorer: "health", value: 0.65, weight: 0.1 },
    ];
    expect(decision.candidates).toEqual([
      {
        gpuId: "g0",
        score: expect.closeTo(0.175 + 0.2 + 0.15 + 0.075 + 0.065, 12),
        telemetryAgeMs: 250,
        values: terms.map(({ value }) => expect.closeTo(value, 12)),
      },
    ]);
    expect(decision.scorers).toEqual(terms.map(({ scorer, weight }) => ({ scorer, weight: expect.closeTo(weight, 12) })));
  });

  test("follows a GPU whose state changed since the last decision", () => {
    const fleet = fleetWithLoad([10, 60]);
    const scheduler = schedulerOf(fleet);
    expect(scheduler.choose(fleet, ask({ nowMs: NOW }))?.gpu).toBe(0);
    fleet.observe(0, sample("g0", { gpuUtilizationPercent: 90 }), NOW);
    expect(scheduler.choose(fleet, ask({ nowMs: NOW }))?.gpu).toBe(1);
  });

  test("follows the fleet through more changes than it remembers, and per request type", () => {
    const fleet = fleetWithLoad([50, 50, 50, 50]);
    const scheduler = schedulerOf(fleet);
    const fresh = (type: string): unknown => schedulerOf(fleet).explain(fleet, ask({ type, nowMs: NOW }));
    const random = seededRandom(5);
    for (let turn = 0; turn < 30; turn += 1) {
      const changes = Math.floor(random() * 600);
      for (let change = 0; change < changes; change += 1) {
        const gpu = Math.floor(random() * 4);
        fleet.observe(gpu, sample(`g${gpu}`, { gpuUtilizationPercent: Math.floor(random() * 90) }), NOW);
      }
      const type = random() < 0.5 ? "inference" : "training";
      expect(scheduler.explain(fleet, ask({ type, nowMs: NOW }))).toEqual(fresh(type));
    }
  });

  test("follows a fleet that grows beyond its first columns", () => {
    const fleet = fleetWithLoad([90]);
    const scheduler = schedulerOf(fleet);
    scheduler.choose(fleet, ask({ nowMs: NOW }));
    for (let index = 1; index < 200; index += 1) fleet.register(index, nodeId("node"), inventory(`g${index}`));
    fleet.observe(150, sample("g150", { temperatureCelsius: 20, powerUsageWatts: 0 }), NOW);
    expect(scheduler.choose(fleet, ask({ nowMs: NOW }))?.gpu).toBe(150);
  });
});

describe("strategies", () => {
  test.each([
    ["least_loaded", "", 2],
    ["weighted", "least_loaded", 2],
    ["weighted", "", 1],
  ])("configured %s, asked for %j: GPU %i", (strategy, wanted, expected) => {
    // g2 is the least busy, g1 has far more free memory.
    const fleet = fleetWithLoad([60, 40, 30]);
    fleet.observe(2, sample("g2", { gpuUtilizationPercent: 30, memoryUsedMib: 70_000 }), NOW);
    expect(schedulerOf(fleet, { strategy }).choose(fleet, ask({ strategy: wanted, nowMs: NOW }))?.gpu).toBe(expected);
  });

  test("are known by name; an empty name is the configured one", () => {
    const scheduler = schedulerOf(fleetOf([]));
    expect(scheduler.strategyNames).toEqual(expect.arrayContaining(["weighted", "least_loaded"]));
    expect([scheduler.hasStrategy(""), scheduler.hasStrategy("weighted"), scheduler.hasStrategy("psychic")]).toEqual([true, true, false]);
  });
});

describe("filter counts", () => {
  test("count each GPU once, under the first filter that removes it", () => {
    const fleet = fleetOf(["off", "ill", "ill-and-full", "full", "unserved", "old", "small", "good"].map((id) => inventory(id, {
      ...(id === "old" ? { computeCapability: 6_000 } : {}),
      ...(id === "small" ? { memoryTotalMib: 1_000 } : {}),
    })), { maxConcurrentTasksPerGpu: 1 });
    const index = (id: string): number => fleet.indexOf(gpuId(id));
    fleet.register(index("off"), nodeId("other"), inventory("off"));
    fleet.judged(index("ill"), OUT);
    fleet.judged(index("ill-and-full"), OUT);
    fleet.place(index("ill-and-full"), 0);
    fleet.place(index("full"), 0);
    fleet.setRunners(nodeId("node"), [runner({ models: [modelId("m")], gpuIds: ["ill", "ill-and-full", "full", "old", "small", "good"].map(gpuId) })]);
    const wanted = ask({ memoryMib: 2_000, requirements: { minComputeCapability: 7_000 } });
    const decision = schedulerOf(fleet).explain(fleet, wanted);
    expect(decision.considered).toBe(8);
    expect(decision.filters.map(({ filter, removed }) => [filter, removed])).toEqual([
      ["status", 1], ["health", 2], ["slots", 1], ["model", 1], ["capability", 1], ["memory", 1],
    ]);
    expect(decision.candidates.map((candidate) => candidate.gpuId)).toEqual(["good"]);
  });

  test("choose gives null where explain gives the reasons", () => {
    const fleet = fleetOf([inventory("g0")]);
    expect(schedulerOf(fleet).choose(fleet, ask({ gpu: "g7", nowMs: NOW }))).toBeNull();
    expect(schedulerOf(fleet).explain(fleet, ask({ gpu: "g7", nowMs: NOW }))).toMatchObject({ candidates: [], filters: [{ filter: "pin", removed: 1, needed: "GPU g7; no GPU of this fleet could, even idle" }] });
  });

  test("where nothing fits explain says which GPU comes nearest and by how much, and whether any could", () => {
    const fleet = fleetOf([inventory("small", { memoryTotalMib: 10_000 }), inventory("large", { memoryTotalMib: 20_000 }), inventory("busy", { memoryTotalMib: 40_000 })]);
    fleet.observe(2, sample("busy", { memoryUsedMib: 30_000 }), NOW - 100);
    const lacking = (memoryMib: number): string => schedulerOf(fleet).explain(fleet, ask({ memoryMib, nowMs: NOW })).filters.find(({ filter }) => filter === "memory")?.needed ?? "";
    expect(lacking(20_000)).toMatch(/^20000 MiB free .*; large comes nearest, 2,000 MiB short$/);
    expect(lacking(900_000)).toMatch(/; large comes nearest, 882,000 MiB short; no GPU of this fleet could, even idle$/);
    expect(lacking(15_000)).toBe("15000 MiB free with at most 90 % of the memory in use afterwards");
  });

  test("an empty fleet gives nothing and no reasons", () => {
    const fleet = fleetOf([]);
    expect(schedulerOf(fleet).explain(fleet, ask({ nowMs: NOW }))).toMatchObject({ considered: 0, filters: [], candidates: [] });
  });
});

describe("among", () => {
  test("looks at the given GPUs only", () => {
    const fleet = fleetWithLoad([10, 20, 30, 40]);
    const choice = schedulerOf(fleet).choose(fleet, ask({ nowMs: NOW }), [3, 2]);
    expect(choice?.decision.considered).toBe(2);
    expect(choice?.gpu).toBe(2);
    expect(schedulerOf(fleet).choose(fleet, ask({ nowMs: NOW }), [])).toBeNull();
  });
});

describe("hopeless", () => {
  const fleet = fleetOf([inventory("g0", { memoryTotalMib: 10_000 })], { maxConcurrentTasksPerGpu: 1 });
  fleet.place(0, 9_000);
  test.each([
    ["a full GPU only now", {}, false],
    ["memory that is taken only now", { memoryMib: 9_000 }, false],
    ["memory that no GPU has", { memoryMib: 9_001 }, true],
    ["a GPU that is not there", { gpu: "g9" }, true],
    ["a capability that is not there", { requirements: { minComputeCapability: 12_000 } }, true],
  ])("%s", (_, over, expected) => {
    expect(schedulerOf(fleet).hopeless(fleet, ask(over))).toBe(expected);
  });
});

describe("the choice", () => {
  test("comes with the three runners-up, best first", () => {
    const fleet = fleetWithLoad([50, 10, 40, 20, 30, 60]);
    const { candidates } = schedulerOf(fleet).explain(fleet, ask({ nowMs: NOW }));
    expect(candidates.map((candidate) => candidate.gpuId)).toEqual(["g1", "g3", "g4", "g2"]);
  });

  test.each([[[10, 20, 30, 40, 50, 60]], [[60, 50, 40, 30, 20, 10]], [[30, 60, 10, 50, 20, 40]]])("is the same for any order of the columns: %j", (percents) => {
    const fleet = fleetWithLoad(percents);
    const { candidates } = schedulerOf(fleet).explain(fleet, ask({ nowMs: NOW }));
    expect(candidates.map((candidate) => percents[Number(candidate.gpuId.slice(1))])).toEqual([10, 20, 30, 40]);
  });

  test("says that telemetry was missing", () => {
    const fleet = fleetOf([inventory("g0")]);
    expect(schedulerOf(fleet).explain(fleet, ask({ nowMs: NOW })).candidates[0]?.telemetryAgeMs).toBe(-1);
  });
});

describe("ties", () => {
  test("are decided by the seed, always in the same way", () => {
    const fleet = fleetWithLoad(Array.from({ length: 50 }, () => 10));
    const draw = (seed: number): number | undefined => schedulerOf(fleet).choose(fleet, ask({ seed, nowMs: NOW }))?.gpu;
    expect(draw(123)).toBe(draw(123));
    expect(new Set([1, 2, 3, 4, 5].map(draw)).size).toBeGreaterThan(1);
  });

  test("spread evenly over the GPUs that tie", () => {
    const fleet = fleetWithLoad([10, 10, 10, 10, 60]);
    const scheduler = schedulerOf(fleet);
    const counts = [0, 0, 0, 0, 0];
    for (let seed = 0; seed < 4_000; seed += 1) counts[scheduler.choose(fleet, ask({ seed, nowMs: NOW }))!.gpu]! += 1;
    expect(counts[4]).toBe(0);
    for (const count of counts.slice(0, 4)) expect(Math.abs(count - 1_000)).toBeLessThan(150);
  });

  test("are scores within 0.1 % of the best, no more", () => {
    // Score of least_loaded is 1 − load: 0.9, 0.8995 (within), 0.898 (not).
    const fleet = fleetWithLoad([10, 10.05, 10.2]);
    const scheduler = schedulerOf(fleet, { strategy: "least_loaded" });
    const chosen = new Set(Array.from({ length: 200 }, (_, seed) => scheduler.choose(fleet, ask({ seed, nowMs: NOW }))!.gpu));
    expect([...chosen].sort()).toEqual([0, 1]);
  });

  test("put the chosen one first even when it is not among the best four by index", () => {
    const fleet = fleetWithLoad(Array.from({ length: 40 }, () => 10));
    for (let seed = 0; seed < 20; seed += 1) {
      const { gpu, decision } = schedulerOf(fleet).choose(fleet, ask({ seed, nowMs: NOW }))!;
      expect(decision.candidates[0]?.gpuId).toBe(`g${gpu}`);
      expect(new Set(decision.candidates.map((candidate) => candidate.gpuId)).size).toBe(4);
    }
  });
});
