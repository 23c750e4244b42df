// In-flight accounting: what the fleet believes between two telemetry samples.
import { describe, expect, test } from "@jest/globals";
import type { Fleet } from "../../../../src/core/fleet/fleet.js";
import type { RunnerInfo } from "../../../../src/core/model/gpu.js";
import { Scheduler } from "../../../../src/core/scheduling/scheduler.js";
import { ask, fleetOf, gpuId, inventory, modelId, nodeId, OUT, PROBING, runner, sample, settings, WELL, World } from "../build.js";

const NOW = 10_000;
const MIB = 10_000;

/** One GPU of 80,000 MiB and 8 slots, last seen with 20,000 MiB used and 25 % busy. */
function observed(): Fleet {
  const fleet = fleetOf([inventory("g0")]);
  fleet.observe(0, sample("g0", { memoryUsedMib: 20_000, gpuUtilizationPercent: 25 }), NOW);
  return fleet;
}

const believed = (fleet: Fleet): { used: number; room: number; busy: number } => ({
  used: fleet.effectiveUsedMib[0]!,
  room: fleet.roomMib[0]!,
  busy: fleet.effectiveUtilization[0]!,
});

describe("what was placed since the sample", () => {
  test("counts on top of it at once", () => {
    const fleet = observed();
    fleet.place(0, MIB);
    fleet.place(0, MIB);
    expect(believed(fleet)).toEqual({ used: 40_000, room: 32_000, busy: 0.5 });
  });

  test("sends two requests between two samples to two GPUs", () => {
    const fleet = fleetOf([inventory("g0"), inventory("g1")]);
    fleet.observe(0, sample("g0", { gpuUtilizationPercent: 10 }), NOW);
    fleet.observe(1, sample("g1", { gpuUtilizationPercent: 15 }), NOW);
    const scheduler = new Scheduler(settings(), fleet.stateFilters.length);
    const first = scheduler.choose(fleet, ask({ memoryMib: MIB, nowMs: NOW }))!.gpu;
    fleet.place(first, MIB);
    const second = scheduler.choose(fleet, ask({ memoryMib: MIB, nowMs: NOW }))!.gpu;
    expect([first, second]).toEqual([0, 1]);
  });

  test("fills a GPU only up to its threshold, however many ask before the next sample", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.observe("n0", [sample("g0", { memoryUsedMib: 40_000 })]);
    for (let index = 0; index < 6; index += 1) world.submit(`r${index}`, { requirements: { memoryMib: MIB } });
    expect([world.engine.state.fleet.active[0], world.engine.state.queue.size]).toEqual([3, 3]);
  });

  test("and was released again before the next one leaves nothing behind", () => {
    const fleet = observed();
    const before = believed(fleet);
    fleet.place(0, MIB);
    fleet.release(0, MIB, false);
    expect(believed(fleet)).toEqual(before);
  });
});

describe("a sample", () => {
  test("that arrives before the runner has begun keeps the placement counted on top", () => {
    const fleet = observed();
    fleet.place(0, MIB);
    fleet.observe(0, sample("g0", { memoryUsedMib: 20_000, gpuUtilizationPercent: 25 }), NOW + 1_000);
    expect(believed(fleet)).toEqual({ used: 30_000, room: 42_000, busy: 0.375 });
    fleet.release(0, MIB, false);
    expect(believed(fleet)).toEqual({ used: 20_000, room: 52_000, busy: 0.25 });
  });

  test("that arrives after the runner has begun shows it, so that it is not counted twice", () => {
    const fleet = observed();
    fleet.place(0, MIB);
    fleet.started(0, MIB);
    expect(believed(fleet).used).toBe(30_000);
    fleet.observe(0, sample("g0", { memoryUsedMib: 30_000, gpuUtilizationPercent: 40 }), NOW + 1_000);
    expect(believed(fleet)).toEqual({ used: 30_000, room: 42_000, busy: 0.4 });
  });

  test("is corrected by what was released since it was taken", () => {
    const fleet = observed();
    fleet.place(0, MIB);
    fleet.started(0, MIB);
    fleet.observe(0, sample("g0", { memoryUsedMib: 30_000, gpuUtilizationPercent: 40 }), NOW + 1_000);
    fleet.release(0, MIB, true);
    expect(believed(fleet)).toEqual({ used: 20_000, room: 52_000, busy: expect.closeTo(0.275, 12) });
  });

  test("never makes a GPU look emptier than its ledger", () => {
    const fleet = observed();
    for (let turn = 0; turn < 4; turn += 1) {
      fleet.place(0, MIB);
      fleet.started(0, MIB);
    }
    fleet.observe(0, sample("g0", { memoryUsedMib: 100, gpuUtilizationPercent: 0 }), NOW + 1_000);
    expect(believed(fleet)).toEqual({ used: 40_000, room: 32_000, busy: 0.5 });
  });

  test("never makes a GPU look fuller than it is, unless the ledger does", () => {
    const fleet = observed();
    fleet.observe(0, sample("g0", { memoryUsedMib: 79_000, gpuUtilizationPercent: 100 }), NOW);
    fleet.place(0, MIB);
    expect(believed(fleet)).toMatchObject({ used: 80_000, busy: 1 });
  });

  test("that has grown stale leaves the ledger alone to speak", () => {
    const fleet = observed();
    fleet.place(0, MIB);
    fleet.forgetStaleSamples(NOW + 2_000, 2_000);
    expect(believed(fleet).used).toBe(30_000);
    fleet.forgetStaleSamples(NOW + 2_001, 2_000);
    expect(believed(fleet)).toEqual({ used: MIB, room: 62_000, busy: 0.125 });
  });

  test("is forgotten with its node's stream", () => {
    const fleet = observed();
    fleet.setConnected(nodeId("node"), false, "");
    expect([fleet.sampleAtMs[0], fleet.temperatureCelsius[0], believed(fleet).used]).toEqual([0, Number.NaN, 0]);
  });

  test("dates itself by its age on arrival", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.observe("n0", [sample("g0")], 300);
    expect(world.engine.state.fleet.sampleAtMs[0]).toBe(world.nowMs - 300);
  });

  test("that the engine has not heard again for two periods no longer counts", () => {
    const world = new World({ telemetryIntervalMs: 1_000 });
    world.connect("n0", ["g0"]);
    world.observe("n0", [sample("g0", { memoryUsedMib: 20_000 })]);
    world.pass(2_000);
    expect(believed(world.engine.state.fleet).used).toBe(20_000);
    world.pass(1);
    expect(believed(world.engine.state.fleet).used).toBe(0);
  });
});

describe("the ledger", () => {
  test("refuses to release what was never placed", () => {
    expect(() => observed().release(0, 0, false)).toThrow("a GPU releases only what was placed on it");
  });

  test("follows a random history exactly, samples in between or not", () => {
    const fleet = observed();
    const live: { mib: number; started: boolean }[] = [];
    for (let turn = 0; turn < 500; turn += 1) {
      const mib = (turn * 37) % 700;
      if (live.length === 0 || (live.length < 8 && turn % 3 !== 0)) {
        fleet.place(0, mib);
        live.push({ mib, started: false });
      } else {
        const one = live.splice((turn * 7) % live.length, 1)[0]!;
        if (!one.started && turn % 2 === 0) fleet.started(0, one.mib);
        fleet.release(0, one.mib, one.started || turn % 2 === 0);
      }
      if (turn % 5 === 0) fleet.observe(0, sample("g0"), NOW + turn);
      expect([fleet.active[0], fleet.reservedMib[0]]).toEqual([live.length, live.reduce((sum, one) => sum + one.mib, 0)]);
    }
    while (live.length > 0) fleet.release(0, live.pop()!.mib, false);
    fleet.observe(0, sample("g0"), NOW);
    expect(believed(fleet)).toMatchObject({ used: 0, busy: 0 });
  });
});

describe("registration", () => {
  test("keeps a GPU's index when it moves to another node", () => {
    const fleet = fleetOf([inventory("g0"), inventory("g1")]);
    fleet.register(0, nodeId("other"), inventory("g0"));
    expect(fleet.indexOf(gpuId("g0"))).toBe(0);
    expect(fleet.nodes.get(nodeId("node"))?.gpus).toEqual([1]);
    expect(fleet.nodes.get(nodeId("other"))?.gpus).toEqual([0]);
    expect([fleet.blocked[0], fleet.blocked[1]]).toEqual([1, 0]);
  });

  test("refuses a gap between indexes", () => {
    expect(() => fleetOf([]).register(1, nodeId("node"), inventory("g1"))).toThrow("GPU indexes are dense");
  });

  test("begins with nothing known: no sample, a mean performance, no errors", () => {
    const fleet = fleetOf([inventory("g0")]);
    expect([fleet.sampleAtMs[0], fleet.temperatureCelsius[0], fleet.performanceIndex[0], fleet.health.errorRate[0]]).toEqual([0, Number.NaN, 0.5, 0]);
    expect(fleet.indexOf(gpuId("g9"))).toBe(-1);
  });

  test("keeps every column when the fleet outgrows them", () => {
    const fleet = observed();
    fleet.place(0, MIB);
    const before = believed(fleet);
    for (let index = 1; index < 130; index += 1) fleet.register(index, nodeId("node"), inventory(`g${index}`));
    fleet.refresh(0);
    expect(believed(fleet)).toEqual(before);
    fleet.release(0, MIB, false);
    expect([fleet.active[0], fleet.reservedMib[0], fleet.memoryTotalMib[129]]).toEqual([0, 0, 80_000]);
  });
});

describe("health", () => {
  test("of every GPU is good until it is judged", () => {
    const fleet = fleetOf([inventory("g0"), inventory("g1")]);
    fleet.judged(1, OUT);
    expect([0, 1].map((gpu) => [fleet.health.state(gpu), fleet.health.slots[gpu], fleet.blocked[gpu] === 0])).toEqual([
      ["healthy", Number.POSITIVE_INFINITY, true],
      ["quarantined", 0, false],
    ]);
    fleet.judged(1, WELL);
    expect(fleet.blocked[1]).toBe(0);
  });

  test("is kept, and good for newcomers, when the columns grow", () => {
    const fleet = fleetOf([inventory("g0")]);
    fleet.judged(0, PROBING);
    for (let index = 1; index < 130; index += 1) fleet.register(index, nodeId("node"), inventory(`g${index}`));
    expect([fleet.health.state(0), fleet.health.isProbing(0), fleet.health.slots[0]]).toEqual(["probation", true, 1]);
    expect([fleet.health.state(129), fleet.health.factor[129], fleet.health.slots[129], fleet.health.errorRate[129]]).toEqual(["healthy", 1, Number.POSITIVE_INFINITY, 0]);
  });
});

describe("changes", () => {
  const changed = (fleet: Fleet, since: number): number[] => {
    const seen = new Set<number>();
    fleet.eachChangedSince(since, (gpu) => seen.add(gpu));
    return [...seen].sort((a, b) => a - b);
  };

  test("are numbered, and those since a number are found again", () => {
    const fleet = fleetOf([inventory("g0"), inventory("g1"), inventory("g2")]);
    const since = fleet.changeSequence;
    fleet.place(2, 0);
    fleet.place(0, 0);
    expect(changed(fleet, since)).toEqual([0, 2]);
    expect(changed(fleet, fleet.changeSequence)).toEqual([]);
  });

  test("are found by those who are far behind too", () => {
    const fleet = fleetOf([inventory("g0"), inventory("g1"), inventory("g2")]);
    const since = fleet.changeSequence;
    fleet.refresh(1);
    for (let turn = 0; turn < 5_000; turn += 1) fleet.refresh(2);
    expect(changed(fleet, since)).toEqual([1, 2]);
  });

  test("that may help somebody are told to the scheduler, a placement is not", () => {
    const fleet = fleetOf([inventory("g0"), inventory("g1")]);
    fleet.place(0, 0);
    expect([...fleet.freed]).toEqual([]);
    fleet.release(0, 0, false);
    fleet.setRunners(nodeId("node"), [runner()]);
    expect([...fleet.freed]).toEqual([0, 1]);
  });

  test("of a GPU that takes no work help nobody", () => {
    const fleet = fleetOf([inventory("g0")]);
    fleet.judged(0, OUT);
    expect([...fleet.freed]).toEqual([]);
  });
});

describe("what a GPU has read", () => {
  const read = (fleet: Fleet, model: string): number => fleet.prefixes.lengths(model, [1, 2])[0] ?? 0;
  const of = (...models: string[]): RunnerInfo[] => [runner({ name: "a", models: models.slice(0, 1).map(modelId) }), runner({ name: "b", models: models.slice(1).map(modelId) })];

  function reader(): Fleet {
    const fleet = fleetOf([inventory("g0")]);
    fleet.setRunners(nodeId("node"), of("m", "n"));
    for (const model of ["m", "n"]) fleet.prefixes.placed(0, model, [1, 2]);
    return fleet;
  }

  test("goes with the model that it was read for", () => {
    const fleet = reader();
    fleet.setRunners(nodeId("node"), of("n", "o"));
    expect([read(fleet, "m"), read(fleet, "n")]).toEqual([0, 2]);
    fleet.setRunners(nodeId("node"), of("n", "m"));
    expect([read(fleet, "m"), read(fleet, "n")]).toEqual([0, 2]);
  });

  test("goes with the process of its agent, not with a cut of the line", () => {
    const fleet = reader();
    fleet.setConnected(nodeId("node"), false, "");
    fleet.setConnected(nodeId("node"), true, "first");
    expect([read(fleet, "m"), read(fleet, "n")]).toEqual([2, 2]);
    fleet.setConnected(nodeId("node"), true, "second");
    expect([read(fleet, "m"), read(fleet, "n")]).toEqual([0, 0]);
  });

  test("goes with the GPU", () => {
    const world = new World({});
    world.connect("n0", [inventory("g0")]);
    world.engine.state.fleet.prefixes.placed(0, "m", [1, 2]);
    world.step({ kind: "gpu_lost", nodeId: nodeId("n0"), gpuId: gpuId("g0"), reason: "Xid 79" });
    expect(read(world.engine.state.fleet, "m")).toBe(0);
  });
});
