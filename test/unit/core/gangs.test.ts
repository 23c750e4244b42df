// Work on several GPUs at once, and work that has its GPUs to itself, through the engine: placed as one, over as one.
import { describe, expect, test } from "@jest/globals";
import { takeSnapshot } from "../../../src/core/snapshot.js";
import { decodeFrame, decodeSnapshot, encodeFrame, encodeSnapshot } from "../../../src/journal/codec.js";
import { Engine } from "../../../src/core/engine.js";
import { inventory, kinds, nodeId, gpuId, sample, told, wishes, World } from "./build.js";

const pair = { type: "training", wishes: wishes({ gpus: 2 }) };

function placements(world: World): string[] {
  return world.records.flatMap((record) => (record.kind === "placed" ? [`${record.requestId} on ${(record.gpuIds ?? [record.gpuId]).join("+")}`] : []));
}

describe("work on several GPUs", () => {
  test("is placed in one record, on the node with the best sum, on its best GPUs, best first", () => {
    const world = new World({ strategy: "least_loaded" });
    world.connect("a", ["a0", "a1", "a2"]);
    world.connect("b", ["b0", "b1"]);
    const busy = (id: string, gpuUtilizationPercent: number) => sample(id, { gpuUtilizationPercent });
    world.observe("a", [busy("a0", 40), busy("a1", 0), busy("a2", 30)]);
    world.observe("b", [busy("b0", 20), busy("b1", 20)]);
    const step = world.submit("pair", pair);
    expect(told(step)).toEqual(["dispatch pair#1 to a1+a2"]);
    const placed = step.records.find((record) => record.kind === "placed")!;
    expect(placed).toMatchObject({ gpuId: "a1", gpuIds: ["a1", "a2"] });
    expect(placed.decision.candidates.map((candidate) => candidate.gpuId)).toEqual(["a1", "a2"]);
    expect(world.request("pair")).toMatchObject({ gpuId: "a1", gpuIds: ["a1", "a2"], nodeId: "a" });
    expect([...world.engine.state.fleet.active.subarray(0, 5)]).toEqual([0, 1, 1, 0, 0]);
  });

  test("waits until one node has enough, whichever of its GPUs becomes free last, and Explain says so", () => {
    const world = new World({ maxConcurrentTasksPerGpu: 1 });
    world.connect("a", ["a0", "a1"]);
    world.connect("b", ["b0", "b1"]);
    for (const id of ["a0", "b0"]) world.submit(`on-${id}`, { gpu: id });
    world.submit("pair", pair);
    expect(world.request("pair").phase).toBe("queued");
    const { filters } = world.engine.explain(world.request("pair").spec, world.nowMs);
    expect(filters).toEqual([
      { filter: "slots", removed: 2, needed: "a GPU with fewer than 1 requests" },
      { filter: "gang", removed: 2, needed: "2 such GPUs on one node, for one runner" },
    ]);
    expect(told(world.end("on-b0"))).toContain("dispatch pair#1 to b0+b1");
  });

  test("reserves its memory on each of its GPUs, and gives all of it back at once", () => {
    const world = new World();
    world.connect("a", ["a0", "a1"]);
    world.submit("pair", { ...pair, requirements: { memoryMib: 5_000 } });
    expect([...world.engine.state.fleet.reservedMib.subarray(0, 2)]).toEqual([5_000, 5_000]);
    world.start("pair");
    world.end("pair");
    expect([...world.engine.state.fleet.reservedMib.subarray(0, 2)]).toEqual([0, 0]);
    expect(world.ended("pair").phase).toBe("completed");
  });

  test("is over on all its GPUs when one is lost, and goes to another node when there is one", () => {
    const world = new World();
    world.connect("a", ["a0", "a1", "a2"]);
    world.submit("pair", pair);
    world.connect("b", ["b0", "b1"]);
    const [, second] = world.request("pair").gpuIds!;
    const step = world.step({ kind: "gpu_lost", nodeId: nodeId("a"), gpuId: second!, reason: "Xid 79" });
    expect(told(step)).toEqual(["cancel pair#1 on a", "dispatch pair#2 to b0+b1"]);
    expect(kinds(step)).toEqual(["attempt_failed", "placed"]);
  });

  test("is not kept from its only node by the GPU that failed it", () => {
    const world = new World();
    world.connect("a", ["a0", "a1"]);
    world.submit("pair", pair);
    world.end("pair", "unavailable");
    expect(told(world.pass(2_000))).toEqual(["dispatch pair#2 to a0+a1"]);
  });

  test("is hopeless when no node has as many, until one comes", () => {
    const world = new World();
    world.connect("a", ["a0", "a1"]);
    world.connect("b", ["b0", "b1"]);
    world.submit("trio", { ...pair, wishes: wishes({ gpus: 3 }) });
    expect(world.engine.state.queue.isHopeless(world.request("trio").spec.requestId)).toBe(true);
    expect(told(world.connect("c", ["c0", "c1", "c2"]))).toEqual(["dispatch trio#1 to c0+c1+c2"]);
  });

  test("comes back from journal and snapshot as it was; a record of old has one GPU", () => {
    const world = new World();
    world.connect("a", ["a0", "a1"]);
    world.connect("b", ["b0"]);
    world.submit("pair", pair);
    world.submit("old", { gpu: "b0" });
    world.start("pair");
    expect(decodeFrame(encodeFrame(world.records), "a frame")).toEqual(world.records);
    expect(world.records.find((record) => record.kind === "placed" && record.requestId === "old")).not.toHaveProperty("gpuIds");
    const replayed = new Engine(world.settings);
    for (const record of decodeFrame(encodeFrame(world.records), "a frame")) replayed.replay(record);
    const restored = new Engine(world.settings, decodeSnapshot(encodeSnapshot(takeSnapshot(world.engine.state))));
    for (const { state } of [replayed, restored]) {
      state.check();
      expect(state.digest()).toBe(world.engine.state.digest());
      expect([...state.fleet.exclusive.subarray(0, 3)]).toEqual([1, 1, 0]);
      expect(state.requests.get(world.request("pair").spec.requestId)).toEqual(world.request("pair"));
    }
  });

  test("forgets its GPUs when it goes back in line", () => {
    const world = new World();
    world.connect("a", ["a0", "a1"]);
    world.submit("pair", pair);
    world.end("pair", "unavailable");
    expect(world.request("pair")).not.toHaveProperty("gpuIds");
    expect(world.request("pair").gpuId).toBe("");
  });
});

describe("work that has its GPUs to itself", () => {
  test.each(new World().engine.strategyNames)("is alone on its GPU under %s, in both orders", (strategy) => {
    const world = new World({ strategy });
    world.connect("a", ["a0", "a1"]);
    world.submit("infer");
    world.submit("train", { type: "training" });
    world.submit("more");
    world.submit("tune", { type: "fine-tuning" });
    const where = (id: string) => world.request(id).gpuId;
    expect(where("train")).not.toBe(where("infer"));
    expect(world.request("tune").phase).toBe("queued");
    expect(where("more")).toBe(where("infer"));
    world.end("train");
    expect(where("tune")).not.toBe(where("infer"));
  });

  test("is what the setting names; work on several GPUs always is", () => {
    const world = new World({ exclusiveTypes: ["render"] });
    world.connect("a", [inventory("a0"), inventory("a1")]);
    for (const id of ["one", "two"]) world.submit(id, { type: "training", gpu: gpuId("a0") });
    expect([world.request("one").phase, world.request("two").phase]).toEqual(["placed", "placed"]);
    world.submit("film", { type: "render" });
    world.submit("pair", { wishes: wishes({ gpus: 2 }) });
    expect([world.request("film").gpuId, world.request("pair").phase]).toEqual(["a1", "queued"]);
    for (const id of ["one", "two", "film"]) world.end(id);
    expect(placements(world).at(-1)).toBe("pair on a0+a1");
  });
});
