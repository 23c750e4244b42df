import { beforeAll, describe, expect, test } from "@jest/globals";

import { partition } from "../../../src/sim/partition.js";
import { HYBRID, isolated, LEAST_LOADED } from "../../../src/sim/policies.js";
import { scenarioNamed } from "../../../src/sim/scenarios.js";
import { NoRoomError, openWorld, setUp, type Conditions, type World } from "../../../src/sim/set-up.js";
import { NO_FAULTS } from "../../../src/sim/faults.js";
import type { FleetPlan, Scenario } from "../../../src/sim/workload/scenario.js";

const CONDITIONS: Conditions = { faults: NO_FAULTS, override: { settings: {}, hybrid: {} }, prefixCacheTokens: null };

function scenario(name: string): Scenario {
  const found = scenarioNamed(name);
  if (!found) throw new Error(`no scenario ${name}`);
  return found;
}

function world(name: string, fleet: FleetPlan | null = null, durationMs = 30_000): Promise<World> {
  return openWorld({ scenario: scenario(name), traces: null, fleet, load: 1, scaling: "superpose", durationMs });
}

describe("the options of a simulation", () => {
  let main: World;
  beforeAll(async () => {
    main = await world("synthetic-main");
  });

  test("one pool: every model has a place, every GPU serves everything", () => {
    const { loaded, types, settings } = setUp(main, HYBRID, 1, CONDITIONS);
    expect(new Set(loaded.flat())).toEqual(new Set(main.scenario.models));
    expect(types.every((each) => each.length === 0)).toBe(true);
    expect(settings).toMatchObject({ strategy: "hybrid", maxConcurrentTasksPerGpu: 100_000 });
  });

  test("isolated: a quarter of the GPUs, of every kind as many, serves batch work alone and holds its models", () => {
    const { loaded, types } = setUp(main, LEAST_LOADED, 1, CONDITIONS);
    const kinds = main.fleet.flatMap(({ gpus }) => gpus.map(({ kind }) => kind));
    const batch = types.flatMap((each, gpu) => (each[0] === "batch" ? [gpu] : []));
    expect(batch).toHaveLength(8);
    for (const kind of new Set(kinds)) expect(batch.filter((gpu) => kinds[gpu] === kind)).toHaveLength(2);
    const held = (wanted: "batch" | "inference"): Set<string> => new Set(loaded.filter((_, gpu) => types[gpu]?.[0] === wanted).flat());
    expect(held("batch")).toEqual(new Set(["llama-3.1-8b", "qwen2.5-14b", "qwen3-32b"]));
    expect(held("inference")).toEqual(new Set(main.scenario.models.filter((model) => model !== "qwen3-32b")));
  });

  test("without batch work there is nothing to isolate", async () => {
    const { types } = setUp(await world("synthetic-no-batch"), LEAST_LOADED, 1, CONDITIONS);
    expect(types.every((each) => each.length === 0)).toBe(true);
  });

  test("the policy's settings go over the defaults, what is asked for on top goes over both", () => {
    const without = { ...HYBRID, hybrid: { placement: false, affinity: false }, settings: { maxRetries: 1 } };
    const { settings } = setUp(main, without, 1, { ...CONDITIONS, override: { settings: { maxRetries: 2 }, hybrid: { affinity: true } } });
    expect(settings.hybrid).toMatchObject({ placement: false, affinity: true, lateBinding: true });
    expect(settings.maxRetries).toBe(2);
  });

  test("of weights and task mappings only what is named changes; what they name must be there", () => {
    const wished = (taskMappings: Readonly<Record<string, readonly string[]>>) => setUp(main, HYBRID, 1, { ...CONDITIONS, override: { settings: {}, hybrid: {}, weights: { usage: 1 }, taskMappings } }).settings;
    expect(wished({ batch: ["gpu_0", "sim-node-1-gpu-1"] })).toMatchObject({ weights: { usage: 1, health: 0.1 }, taskMappings: { batch: ["gpu_0", "sim-node-1-gpu-1"] } });
    expect(() => wished({ video: ["gpu_0"] })).toThrow("task_specific_mappings.video: no request is of that type, but of inference");
    expect(() => wished({ batch: ["gpu_999"] })).toThrow(/there is no GPU gpu_999, but gpu_0 to gpu_\d+, such as sim-node-1-gpu-0/);
  });

  test("a fleet without room for a model is refused by name", async () => {
    const small = await world("synthetic-main", { groups: [{ kind: "T4", gpus: 4, nodes: 1 }] });
    expect(() => setUp(small, HYBRID, 1, CONDITIONS)).toThrow(NoRoomError);
    expect(() => setUp(small, HYBRID, 1, CONDITIONS)).toThrow(/no room|has room for the model qwen3/);
  });

  test("floods keep their place in a shorter run", async () => {
    const usual = [...(await world("synthetic-main", null, 60_000)).workload.arrivals(1)].length;
    const arrivals = [...(await world("synthetic-floods", null, 60_000)).workload.arrivals(1)];
    expect(arrivals.length).toBeGreaterThan(usual);
    // Minutes 4 to 7 of 20 are seconds 12 to 21 of 60.
    const perSecond = (fromMs: number, toMs: number): number => arrivals.filter(({ atMs }) => atMs >= fromMs && atMs < toMs).length / (toMs - fromMs);
    expect(perSecond(12_000, 21_000) + perSecond(36_000, 42_000)).toBeGreaterThan(perSecond(0, 12_000) + perSecond(42_000, 60_000));
  });
});

describe("a division of the fleet", () => {
  const any = (): boolean => true;

  test.each([1 / 8, 1 / 4, 1 / 3, 0.5])("has the share %d", (share) => {
    const inPart = partition(Array.from({ length: 24 }, () => "L40S" as const), share, any);
    expect(inPart?.filter(Boolean)).toHaveLength(Math.round(24 * share));
  });

  test("moves, then grows, until both sides can do their work", () => {
    const kinds = ["H100-80GB", "H100-80GB", "T4", "T4", "T4", "T4", "T4", "T4"] as const;
    const both = partition(kinds, 1 / 8, (own) => own.includes("H100-80GB"));
    expect(both?.slice(0, 2).filter(Boolean)).toHaveLength(1);
  });

  test("says when there is none", () => {
    expect(partition(["T4", "T4"], 0.5, () => false)).toBeNull();
    expect(partition(["T4"], 0.5, any)).toBeNull();
  });
});

test("an isolation has a name that people can type", () => {
  expect(isolated(HYBRID, 1 / 8).name).toBe("hybrid@1/8");
});
