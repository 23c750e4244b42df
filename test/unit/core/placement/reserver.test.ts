// GPUs that are kept for work that needs more than is free at once, through the engine: who gets them kept, who may use them meanwhile,
// and when they are let go.
import { describe, expect, test } from "@jest/globals";
import type { Priority } from "../../../../src/core/model/request.js";
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
