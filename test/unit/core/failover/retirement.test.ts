import { describe, expect, test } from "@jest/globals";
import { Engine } from "../../../../src/core/engine.js";
import { takeSnapshot } from "../../../../src/core/snapshot.js";
import { gpuId, nodeId, World } from "../build.js";

const HOUR_MS = 3_600_000;

function hours(world: World, count: number): void {
  for (let minute = 0; minute < count * 60; minute += 1) world.pass(60_000);
}

const known = (world: World): string[] => world.engine.state.fleet.inventory.filter((_, gpu) => !world.engine.state.fleet.isRetired(gpu)).map((one) => one.gpuId);

describe("A GPU that is gone", () => {
  function gone(): World {
    const world = new World({ forgetAfterMs: 2 * HOUR_MS, requestTimeoutMs: 0 });
    world.connect("n0", ["g0", "g1"]);
    world.connect("n1", ["g2"]);
    world.disconnect("n0");
    return world;
  }

  test("is known for its time, then forgotten by a fact, and its node with it", () => {
    const world = gone();
    hours(world, 2);
    expect(known(world)).toEqual(["g0", "g1", "g2"]);
    // It was suspect at the first look.
    world.pass(120_000);
    expect(known(world)).toEqual(["g2"]);
    expect(world.records.filter(({ kind }) => kind === "gpu_retired")).toMatchObject([{ index: 0 }, { index: 1 }]);
    expect(world.engine.state.fleet.nodes.has(nodeId("n0"))).toBe(false);
    expect(world.engine.state.fleet.indexOf(gpuId("g2"))).toBe(2);
  });

  test("comes back as a new one, under an index of its own, and works", () => {
    const world = gone();
    hours(world, 3);
    world.connect("n0", ["g0"]);
    expect(world.engine.state.fleet.indexOf(gpuId("g0"))).toBe(3);
    world.submit("r", { gpu: "g0" });
    expect(world.request("r").gpuId).toBe("g0");
  });

  test("and whose router restarts is as forgotten, from its snapshot and from its records", () => {
    const world = gone();
    hours(world, 3);
    const restored = new Engine(world.settings, takeSnapshot(world.engine.state));
    restored.state.check();
    const replayed = new Engine(world.settings);
    for (const record of world.records) replayed.replay(record);
    for (const engine of [restored, replayed]) {
      expect([0, 1, 2].map((gpu) => engine.state.fleet.isRetired(gpu))).toEqual([true, true, false]);
      expect(engine.state.fleet.indexOf(gpuId(""))).toBe(-1);
      expect(engine.state.digest()).toBe(world.engine.state.digest());
    }
  });

  test.each<[string, (world: World) => unknown]>([
    ["is back in time", (world) => world.connect("n0", ["g0", "g1"])],
    ["an operator has taken out", (world) => world.step({ kind: "set_maintenance", target: { kind: "node", nodeId: nodeId("n0") }, on: true, reason: "repair", by: { name: "ann", role: "admin" }, untilMs: 0, drainByMs: 0 } as never)],
  ])("is not forgotten when it %s", (_words, act) => {
    const world = gone();
    hours(world, 1);
    act(world);
    hours(world, 5);
    expect(known(world)).toEqual(["g0", "g1", "g2"]);
  });

  test("and that its node no longer reports is forgotten too", () => {
    const world = new World({ forgetAfterMs: 2 * HOUR_MS });
    world.connect("n0", ["g0", "g1"]);
    world.connect("n0", ["g0"]);
    hours(world, 3);
    expect(known(world)).toEqual(["g0"]);
  });

  test("but holds work that must not run twice stays while it does", () => {
    const world = new World({ forgetAfterMs: HOUR_MS, fencedAfterMs: 3 * HOUR_MS });
    world.connect("n0", ["g0"]);
    world.submit("r", { type: "training", idempotent: false });
    world.disconnect("n0");
    hours(world, 2);
    expect(known(world)).toEqual(["g0"]);
    hours(world, 3);
    expect(known(world)).toEqual([]);
    expect(world.request("r").phase).toBe("queued");
  });
});
