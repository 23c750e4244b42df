// Every filter as a table: what it keeps, what it says it needs, and whether it could ever pass.
import { describe, expect, test } from "@jest/globals";
import type { Fleet } from "../../../../src/core/fleet/fleet.js";
import type { Ask, RequestFilter } from "../../../../src/core/scheduling/contract.js";
import { avoid } from "../../../../src/core/scheduling/filters/avoid.js";
import { capability } from "../../../../src/core/scheduling/filters/capability.js";
import { empty } from "../../../../src/core/scheduling/filters/empty.js";
import { gang } from "../../../../src/core/scheduling/filters/gang.js";
import { memory } from "../../../../src/core/scheduling/filters/memory.js";
import { model } from "../../../../src/core/scheduling/filters/model.js";
import { reserved } from "../../../../src/core/scheduling/filters/reserved.js";
import { pin } from "../../../../src/core/scheduling/filters/pin.js";
import { computeCapability } from "../../../../src/core/model/request.js";
import { ask, estimate, fleetOf, gpuId, inventory, modelId, nodeId, requestId, runner, sample, settings, spec, wishes } from "../build.js";

/** The indexes that a filter keeps of all GPUs. */
function kept(filter: RequestFilter, fleet: Fleet, wanted: Ask, among = fleet.inventory.map((_, gpu) => gpu)): number[] {
  const candidates = Int32Array.from(among);
  return [...candidates.subarray(0, filter.keep(fleet, wanted, candidates, candidates.length))];
}

describe("pin", () => {
  const fleet = fleetOf([inventory("g0"), inventory("g1"), inventory("g2")]);

  test.each([
    ["g1", [1], true],
    ["g9", [], false],
  ])("to %s keeps %j", (gpu, expected, ever) => {
    expect(kept(pin, fleet, ask({ gpu }))).toEqual(expected);
    expect(pin.everPasses(fleet, ask({ gpu }))).toBe(ever);
    expect(pin.needed(ask({ gpu }))).toBe(`GPU ${gpu}`);
  });

  test("keeps nothing when its GPU is not among the candidates", () => {
    expect(kept(pin, fleet, ask({ gpu: "g1" }), [0, 2])).toEqual([]);
  });

  test("is asked only of pinned requests", () => {
    expect([pin.applies(ask()), pin.applies(ask({ gpu: "g1" }))]).toEqual([false, true]);
  });
});

describe("model", () => {
  const fleet = fleetOf([inventory("g0"), inventory("g1"), inventory("g2")]);
  fleet.setRunners(nodeId("node"), [
    runner({ models: [modelId("llama")], types: ["inference"], gpuIds: [gpuId("g0")] }),
    runner({ models: ["*"], types: ["training"], gpuIds: [gpuId("g2")] }),
  ]);

  test.each([
    ["llama", "inference", [0], true],
    ["llama", "training", [2], true],
    ["other", "training", [2], true],
    ["other", "inference", [], false],
  ])("of %s for %s keeps %j", (wanted, type, expected, ever) => {
    const one = ask({ model: wanted, type });
    expect(kept(model, fleet, one)).toEqual(expected);
    expect(model.everPasses(fleet, one)).toBe(ever);
    expect(model.needed(one)).toBe(`a runner that serves ${wanted} for ${type}`);
  });
});

describe("capability", () => {
  const fleet = fleetOf([
    inventory("pascal", { computeCapability: computeCapability("6.1"), multiprocessorCount: 28 }),
    inventory("ada", { computeCapability: computeCapability("8.9"), multiprocessorCount: 76 }),
    inventory("eight-ten", { computeCapability: computeCapability("8.10"), multiprocessorCount: 0 }),
    inventory("unknown", { computeCapability: 0, multiprocessorCount: 0 }),
  ]);

  test.each([
    ["7.0", 0, [1, 2], true],
    ["8.9", 0, [1, 2], true],
    ["8.10", 0, [2], true],
    ["9.0", 0, [], false],
    ["", 30, [1, 2, 3], true],
    ["6.0", 77, [2], true],
    ["6.0", 28, [0, 1, 2], true],
  ])("%s with %i multiprocessors keeps %j", (minimum, computeUnits, expected, ever) => {
    const one = ask({ requirements: { minComputeCapability: computeCapability(minimum), computeUnits } });
    expect(capability.applies(one)).toBe(true);
    expect(kept(capability, fleet, one)).toEqual(expected);
    expect(capability.everPasses(fleet, one)).toBe(ever);
  });

  test("is not asked of a request that demands nothing", () => {
    expect(capability.applies(ask())).toBe(false);
  });

  test("says what it needs", () => {
    const one = ask({ requirements: { minComputeCapability: 8_010, computeUnits: 40 } });
    expect(capability.needed(one)).toBe("compute capability 8.10 or higher and 40 multiprocessors or more");
  });
});

describe("memory", () => {
  const filter = memory(settings({ memoryThreshold: 0.9 }));
  const fleet = fleetOf([inventory("g0", { memoryTotalMib: 10_000 }), inventory("g1", { memoryTotalMib: 10_000 }), inventory("g2", { memoryTotalMib: 20_000 })]);
  fleet.observe(0, sample("g0", { memoryUsedMib: 4_000 }), 1);
  fleet.place(1, 6_000);

  test.each([
    [3_000, [0, 1, 2], true],
    [3_001, [0, 2], true],
    [5_000, [0, 2], true],
    [5_001, [2], true],
    [18_000, [2], true],
    [18_001, [], false],
  ])("%i MiB below the threshold fit %j", (memoryMib, expected, ever) => {
    expect(kept(filter, fleet, ask({ memoryMib }))).toEqual(expected);
    expect(filter.everPasses(fleet, ask({ memoryMib }))).toBe(ever);
  });

  test("is not asked of a request without a need of its own", () => {
    expect([filter.applies(ask()), filter.applies(ask({ memoryMib: 1 }))]).toEqual([false, true]);
  });

  test("goes by the ledger where the device cannot say what is used", () => {
    const blind = fleetOf([inventory("g0", { memoryTotalMib: 10_000 })]);
    blind.observe(0, sample("g0", { memoryUsedMib: Number.NaN }), 1);
    blind.place(0, 4_000);
    expect(kept(filter, blind, ask({ memoryMib: 5_000 }))).toEqual([0]);
    expect(kept(filter, blind, ask({ memoryMib: 5_001 }))).toEqual([]);
  });
});

describe("empty", () => {
  const fleet = fleetOf([inventory("g0"), inventory("g1"), inventory("g2")]);
  fleet.place(1, 0);

  test("leaves GPUs that hold nothing to work that wants them for itself", () => {
    expect(kept(empty, fleet, ask({ type: "training" }))).toEqual([0, 2]);
    expect(empty.keepWhenIdle!(fleet, ask({ type: "training" }), Int32Array.of(0, 1, 2), 3)).toBe(3);
  });

  test("is asked of training, fine-tuning and work on several GPUs only", () => {
    const asks = [ask(), ask({ type: "training" }), ask({ type: "fine-tuning" }), ask({ wishes: wishes({ gpus: 2 }) })];
    expect(asks.map((one) => empty.applies(one))).toEqual([false, true, true, true]);
  });
});

describe("gang", () => {
  const fleet = fleetOf([inventory("g0"), inventory("g1"), inventory("g2")]);
  fleet.register(3, nodeId("other"), inventory("g3"));
  fleet.register(4, nodeId("other"), inventory("g4"));
  fleet.setRunners(nodeId("other"), [runner({ gpuIds: [gpuId("g3")] }), runner({ name: "second", gpuIds: [gpuId("g4")] })]);

  test.each([
    [2, [0, 1, 2, 3, 4], [0, 1, 2]],
    [3, [0, 1, 2, 3, 4], [0, 1, 2]],
    [3, [0, 2, 3, 4], []],
    [4, [0, 1, 2, 3, 4], []],
  ])("for %i GPUs of one node and one of its runners keeps of %j: %j", (gpus, among, expected) => {
    expect(kept(gang, fleet, ask({ wishes: wishes({ gpus }) }), among)).toEqual(expected);
    expect(gang.everPasses(fleet, ask({ wishes: wishes({ gpus }) }))).toBe(gpus <= 3);
  });

  test("says what it needs, and is not asked of work on one GPU", () => {
    expect(gang.needed(ask({ wishes: wishes({ gpus: 4 }) }))).toBe("4 such GPUs on one node, for one runner");
    expect(gang.applies(ask())).toBe(false);
  });
});

describe("reserved", () => {
  const filter = reserved();
  const fleet = fleetOf([inventory("g0"), inventory("g1")]);
  const now = 1_000_000;
  fleet.reservations.add({ requestId: requestId("large"), band: 3, gpus: [1], whole: true, startAtMs: now + 10_000 });
  const render = (durationMs: number, over: Partial<Ask> = {}): Ask => ({ ...ask({ nowMs: now }), estimate: estimate({ durationMs }), ...over });

  test.each<[string, Ask, number[]]>([
    ["what will have ended by then", render(10_000), [0, 1]],
    ["not what will still run", render(10_001), [0]],
    ["not what may still run, by what is known of the likes of it", render(8_000, { spread: 1.3 }), [0]],
    ["what comes before in line", render(60_000, { band: 4 }), [0, 1]],
    ["not what comes after", render(60_000, { band: 2 }), [0]],
    ["whom it is kept for", render(60_000, { spec: spec("large") }), [0, 1]],
    ["a short answer", render(60_000, { estimate: estimate({ durationMs: 60_000, inputTokens: 100, outputTokens: 50 }) }), [0, 1]],
    ["not a long one", render(1, { estimate: estimate({ durationMs: 1, inputTokens: 100, outputTokens: 5_000 }) }), [0]],
  ])("lets through %s", (_, wanted, expected) => {
    expect(kept(filter, fleet, wanted)).toEqual(expected);
  });

  test.each<[string, Ask, number[]]>([
    ["what comes before in line", render(1, { band: 5 }), [0, 1]],
    ["what comes as early", render(1, { band: 4 }), [0, 1]],
    ["not what comes after, however short", render(1, { band: 3 }), [0]],
    ["whom it is kept for", render(60_000, { band: 3, spec: spec("large") }), [0, 1]],
  ])("lets through %s, where room is kept", (_, wanted, expected) => {
    const roomy = fleetOf([inventory("g0"), inventory("g1")]);
    roomy.reservations.add({ requestId: requestId("large"), band: 4, gpus: [1], whole: false, startAtMs: now + 10_000 });
    expect(kept(filter, roomy, wanted)).toEqual(expected);
  });

  test("has nothing against anybody once nothing is kept", () => {
    const free = fleetOf([inventory("g0")]);
    expect(kept(filter, free, render(1_000_000))).toEqual([0]);
  });
});

describe("avoid", () => {
  const fleet = fleetOf([inventory("g0"), inventory("g1"), inventory("g2")]);

  test.each([
    [[0, 1, 2], "g1", [0, 2]],
    [[0, 2], "g1", [0, 2]],
    [[1], "g1", [1]],
    [[0, 1], "g9", [0, 1]],
  ])("of %j leaves out %s: %j", (among, gpu, expected) => {
    expect(kept(avoid, fleet, ask({ avoid: gpu }), among)).toEqual(expected);
    expect(avoid.everPasses(fleet, ask({ avoid: gpu }))).toBe(true);
  });

  test("is asked only of retries", () => {
    expect([avoid.applies(ask()), avoid.applies(ask({ avoid: "g1" }))]).toEqual([false, true]);
    expect(avoid.applies(ask({ avoid: "g1", wishes: wishes({ gpus: 2 }) }))).toBe(false);
  });
});
