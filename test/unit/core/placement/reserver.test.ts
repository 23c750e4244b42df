// GPUs that are kept for work that needs more than is free at once, through the engine: who gets them kept, who may use them meanwhile,
// and when they are let go.
import { describe, expect, test } from "@jest/globals";
import type { Priority, Wishes } from "../../../../src/core/model/request.js";
import { inventory, nodeId, gpuId, sample, told, wishes, World } from "../build.js";

/** Work of a known length that shares its GPU with others. */
const takes = (expectedDurationMs: number, priority: Priority = 3, gpu = "") => ({ type: "render", priority, gpu, requirements: { expectedDurationMs } });
const pair = { type: "training", wishes: wishes({ gpus: 2 }) };

function kept(world: World): Record<string, [readonly string[], number]> {
  const { fleet } = world.engine.state;
  return Object.fromEntries(fleet.reservations.all().map(({ requestId, gpus, startAtMs }) => [requestId, [gpus.map((gpu) => fleet.inventory[gpu]!.gpuId).sort(), startAtMs - 1_000_000]]));
}

/** Two nodes of two GPUs: on a the longer work, on b the shorter. */
function busyWorld(): World {
  const world = new World({ maxConcurrentTasksPerGpu: 2 });
  world.connect("a", ["a0", "a1"]);
  world.connect("b", ["b0", "b1"]);
  world.submit("on-a0", takes(60_000, 3, "a0"));
  world.submit("on-b1", takes(20_000, 3, "b1"));
  return world;
}

describe("the first in a band that needs more than is free", () => {
  test("gets those GPUs kept that should be free soonest together", () => {
    const world = busyWorld();
    world.submit("pair", pair);
    expect(kept(world)).toEqual({ pair: [["b0", "b1"], 20_000] });
    expect(told(world.end("on-b1"))).toContain("dispatch pair#1 to b0+b1");
    expect(kept(world)).toEqual({});
  });

  test("is not passed by what ends later, nine times out of ten; what ends before goes on, and so does what comes before it", () => {
    const world = busyWorld();
    world.submit("pair", pair);
    world.submit("short", takes(15_000, 3, "b0"));
    world.submit("long", takes(16_000, 3, "b0"));
    world.submit("urgent", takes(60_000, 4, "b0"));
    expect(["short", "long", "urgent"].map((id) => world.request(id).phase)).toEqual(["placed", "queued", "placed"]);
    const { filters } = world.engine.explain(world.request("long").spec, world.nowMs);
    expect(filters.map(({ filter }) => filter)).toContain("slots");
    world.end("urgent");
    expect(world.engine.explain(world.request("long").spec, world.nowMs).filters.at(-1)).toMatchObject({ filter: "reserved", removed: 1 });
    expect(world.request("long").phase).toBe("queued");
  });

  test("keeps its turn: the time up to which others may pass never moves back, however late the GPUs become free", () => {
    const world = busyWorld();
    world.submit("pair", pair);
    world.pass(25_000);
    expect(kept(world)).toEqual({ pair: [["b0", "b1"], 20_000] });
    world.submit("short", takes(1, 3, "b0"));
    expect(world.request("short").phase).toBe("queued");
  });

  test("moves to what turns out to be free sooner, and what it leaves goes to others at once", () => {
    const world = busyWorld();
    world.submit("pair", pair);
    world.submit("long", takes(1_000_000, 3, "b0"));
    expect(world.request("long").phase).toBe("queued");
    world.connect("c", ["c0", "c1"]);
    expect(world.request("pair").gpuIds).toEqual(["c0", "c1"]);
    expect(world.request("long").gpuId).toBe("b0");
  });

  test("is planned for anew when a GPU that was kept for it is lost", () => {
    const world = busyWorld();
    world.submit("pair", pair);
    world.step({ kind: "gpu_lost", nodeId: nodeId("b"), gpuId: gpuId("b0"), reason: "Xid 79" });
    world.pass(1_000);
    expect(kept(world)).toEqual({ pair: [["a0", "a1"], 60_000] });
  });

  test("lets go when it is cancelled, and others get the GPUs in the same step", () => {
    const world = busyWorld();
    world.submit("pair", pair);
    world.submit("long", takes(1_000_000, 3, "b0"));
    expect(told(world.cancel("pair"))).toEqual(["dispatch long#1 to b0"]);
    expect(kept(world)).toEqual({});
  });

  test("has no GPUs kept that emptier ones would not help: what keeps it out is somebody else's memory", () => {
    const world = new World();
    world.connect("a", [inventory("a0", { memoryTotalMib: 10_000 })]);
    world.observe("a", [sample("a0", { memoryUsedMib: 8_000 })]);
    world.submit("train", { type: "training", requirements: { memoryMib: 5_000 } });
    expect(world.request("train").phase).toBe("queued");
    expect(kept(world)).toEqual({});
    world.submit("small", takes(1_000_000));
    expect(world.request("small").phase).toBe("placed");
  });

  test("is one per band; a higher band takes what is kept for a lower one, which looks elsewhere", () => {
    const world = busyWorld();
    world.submit("low", { ...pair, priority: 2 });
    world.submit("next", { ...pair, priority: 2 });
    expect(kept(world)).toEqual({ low: [["b0", "b1"], 20_000] });
    world.submit("high", { ...pair, priority: 4 });
    expect(kept(world)).toEqual({ high: [["b0", "b1"], 20_000], low: [["a0", "a1"], 60_000] });
  });

  test("comes before all bands when it has waited too long", () => {
    const world = new World({ maxWaitMs: 10_000 });
    world.connect("a", ["a0", "a1"]);
    world.submit("long", takes(60_000, 3, "a0"));
    world.submit("pair", { ...pair, priority: 1 });
    world.submit("before", takes(60_000, 5, "a1"));
    expect(world.request("before").phase).toBe("placed");
    world.pass(11_000);
    world.submit("after", takes(60_000, 5, "a1"));
    expect(world.request("after").phase).toBe("queued");
  });
});

describe("a large request of the highest priority", () => {
  const promised = (priority: Priority, inputTokens: number, over: Partial<Wishes> = {}) => ({ priority, requirements: { inputTokens, outputTokens: 100 }, wishes: wishes({ firstOutputMs: 20_000, totalMs: 60_000, whenLate: "demote", ...over }) });

  /** One GPU with room for 10,000 tokens, of which the first three requests take 9,300. */
  function fullWorld(): World {
    const world = new World({ strategy: "hybrid" });
    world.connect("a", ["a0"]);
    world.engine.state.fleet.work.kvCapacityTokens[0] = 10_000;
    for (const id of ["one", "two", "three"]) world.submit(id, promised(3, 3_000));
    // By then it is known that the model's callers were promised something: caches are not overbooked.
    world.pass(1_000);
    return world;
  }

  test("has room kept: what is smaller and less urgent does not take what comes free, what is as urgent does", () => {
    const world = fullWorld();
    world.submit("large", promised(5, 6_000));
    world.submit("small", promised(4, 1_000));
    expect(told(world.end("one"))).toEqual(["acknowledge one#1 on a"]);
    expect(world.engine.explain(world.request("small").spec, world.nowMs).filters.at(-1)).toMatchObject({ filter: "reserved", removed: 1 });
    world.submit("urgent", { ...promised(5, 500), model: "other" });
    expect(world.request("urgent").phase).toBe("placed");
    world.end("urgent");
    expect(told(world.end("two"))).toContain("dispatch large#1 to a0");
    expect(kept(world)).toEqual({});
  });

  test("has none kept when it is of lower priority: those below would lose more than it gains", () => {
    const world = fullWorld();
    world.submit("large", promised(4, 6_000));
    world.submit("small", promised(3, 1_000));
    expect(told(world.end("one"))).toContain("dispatch small#1 to a0");
  });

  test("has none kept any more when it cannot be in time with it, nor when it is cancelled", () => {
    const world = fullWorld();
    world.submit("large", promised(5, 6_000, { firstOutputMs: 3_000 }));
    world.submit("small", promised(4, 1_000));
    world.end("one");
    expect(Object.keys(kept(world))).toEqual(["large"]);
    world.pass(3_000);
    expect([kept(world), world.request("small").phase]).toEqual([{}, "placed"]);
    world.submit("larger", promised(5, 8_000));
    world.submit("smaller", promised(4, 1_000));
    world.end("small");
    expect(world.request("smaller").phase).toBe("queued");
    expect(told(world.cancel("larger"))).toEqual(["dispatch smaller#1 to a0"]);
  });

  test("leaves three GPUs of four to others, however many wait", () => {
    const world = new World({ strategy: "hybrid" });
    world.connect("a", ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"]);
    for (let gpu = 0; gpu < 8; gpu += 1) world.engine.state.fleet.work.kvCapacityTokens[gpu] = 10_000;
    for (let gpu = 0; gpu < 8; gpu += 1) world.submit(`on-a${gpu}`, { ...promised(3, 9_000), gpu: `a${gpu}` });
    world.pass(1_000);
    for (let turn = 0; turn < 6; turn += 1) world.submit(`large-${turn}`, { ...promised(5, 5_000), model: `m${turn}` });
    expect(Object.keys(kept(world))).toEqual(["large-0", "large-1"]);
  });
});
