// Maintenance and restarts through the engine: what is set, what drains, what is ordered, what survives.
import { describe, expect, test } from "@jest/globals";
import { Engine } from "../../../../src/core/engine.js";
import type { Step } from "../../../../src/core/events.js";
import type { MaintenanceTarget } from "../../../../src/core/model/maintenance.js";
import { stateFilters } from "../../../../src/core/scheduling/registry.js";
import { DEFAULT_CORE_SETTINGS } from "../../../../src/core/settings.js";
import { restoreSnapshot, takeSnapshot } from "../../../../src/core/snapshot.js";
import { gpuId, inventory, kinds, nodeId, ref, requestId, spec, told, wishes, World } from "../build.js";

const by = { name: "ada", address: "10.0.0.1" };
const onGpu = (id: string): MaintenanceTarget => ({ kind: "gpu", gpuId: gpuId(id) });
const onNode = (id: string): MaintenanceTarget => ({ kind: "node", nodeId: nodeId(id) });

class Fleet extends World {
  take(target: MaintenanceTarget, drainByMs = 0): Step {
    return this.step({ kind: "set_maintenance", target, on: true, reason: "new fan", by, untilMs: 0, drainByMs });
  }
  putBack(target: MaintenanceTarget): Step {
    return this.step({ kind: "set_maintenance", target, on: false, reason: "", by, untilMs: 0, drainByMs: 0 });
  }
  connectWith(node: string, gpus: readonly string[], instanceId = "instance", held: readonly string[] = []): Step {
    return this.step({
      kind: "node_connected",
      nodeId: nodeId(node),
      instanceId,
      gpus: gpus.map((id) => inventory(id)),
      runners: [{ name: "runner", kind: "simulated", models: ["*"], types: [], gpuIds: [] }],
      held: held.map((id) => ref(id, this.request(id).attempt)),
      restartsGpus: true,
    });
  }
  restart(id: string, over: { force?: boolean; drainByMs?: number } = {}): Step {
    return this.step({ kind: "restart_gpu", gpuId: gpuId(id), force: over.force ?? false, reason: "", by, drainByMs: over.drainByMs ?? 0 });
  }
  restarted(node: string, restartId: string, outcome: "succeeded" | "failed" | "refused" = "succeeded"): Step {
    return this.step({ kind: "gpu_restarted", nodeId: nodeId(node), restartId, outcome, message: "done" });
  }
  get lastRestart() {
    const restart = this.engine.state.maintenance.restarts.at(-1);
    if (!restart) throw new Error("There was no restart.");
    return restart;
  }
}

const orders = (step: Step): string[] => step.effects.flatMap((effect) => (effect.kind === "restart_gpu" ? [`restart ${effect.gpuId} on ${effect.nodeId}`] : []));

describe("maintenance", () => {
  test("a GPU that is taken out gets no new work, what runs there goes on, and putting it back serves who waited", () => {
    const world = new Fleet();
    world.connect("node", ["g0"]);
    world.submit("r1");
    world.start("r1");
    const set = world.take(onGpu("g0"));
    expect(set.records).toEqual([{ kind: "maintenance_set", target: onGpu("g0"), on: true, reason: "new fan", by, untilMs: 0, drainByMs: 0, atMs: world.nowMs }]);
    world.submit("r2");
    world.pass(10_000);
    expect(world.request("r1").phase).toBe("running");
    expect(world.request("r2").phase).toBe("queued");
    world.end("r1");
    expect(world.request("r2").phase).toBe("queued");
    world.putBack(onGpu("g0"));
    expect(world.request("r2").gpuId).toBe("g0");
  });

  test("Explain counts what maintenance keeps away under its own name", () => {
    const world = new Fleet();
    world.connect("node", ["g0", "g1"]);
    world.take(onGpu("g0"));
    const { filters } = world.engine.explain(spec("dry"), world.nowMs);
    expect(filters.find(({ filter }) => filter === "maintenance")).toMatchObject({ removed: 1 });
  });

  test("at the drain deadline idempotent work begins elsewhere at once and uses no retry up", () => {
    const world = new Fleet({ maxRetries: 0 });
    world.connect("node", ["g0"]);
    world.submit("r1");
    world.start("r1");
    world.connect("other", ["g1"]);
    world.take(onGpu("g0"), world.nowMs + 1_000);
    expect(told(world.pass(900))).toEqual([]);
    expect(told(world.pass(150))).toEqual(["cancel r1#1 on node", "dispatch r1#2 to g1"]);
    expect(world.request("r1").attempt).toBe(2);
  });

  test("work that must not run twice is told once to stop and begins again elsewhere when its agent says that it has stopped", () => {
    const world = new Fleet();
    world.connect("node", ["g0"]);
    world.connect("other", ["g1"]);
    world.take(onGpu("g1"));
    world.submit("r1", { idempotent: false });
    world.start("r1");
    world.putBack(onGpu("g1"));
    world.take(onGpu("g0"), world.nowMs);
    expect(world.request("r1").attempt).toBe(1);
    expect(told(world.pass(50))).toEqual([]);
    expect(told(world.pass(5_000))).toEqual([]);
    expect(kinds(world.end("r1", "cancelled"))).toEqual(["attempt_failed", "placed"]);
    expect(world.request("r1")).toMatchObject({ attempt: 2, gpuId: "g1" });
  });

  test("what must not run twice and may be pre-empted uses no retry up", () => {
    const world = new Fleet({ maxRetries: 0 });
    world.connect("node", ["g0"]);
    world.submit("r1", { idempotent: false, wishes: wishes({ preemptible: true }) });
    world.connect("other", ["g1"]);
    expect(told(world.take(onGpu("g0"), world.nowMs))).toEqual(["cancel r1#1 on node"]);
    world.end("r1", "cancelled");
    expect(world.request("r1")).toMatchObject({ attempt: 2, gpuId: "g1" });
  });

  test("a stop that was lost with the stream is sent again", () => {
    const world = new Fleet();
    world.connect("node", ["g0"]);
    world.submit("r1", { idempotent: false });
    world.take(onGpu("g0"), world.nowMs);
    world.disconnect("node");
    expect(told(world.connectWith("node", ["g0"], "instance", ["r1"]))).toEqual(["cancel r1#1 on node"]);
  });

  test("a node is taken out with the GPUs that it gets later, and a MIG instance follows its GPU", () => {
    const world = new Fleet();
    world.connect("node", ["g0"]);
    world.connect("mig", [inventory("m0", { parentGpuId: gpuId("parent") }), inventory("m1", { parentGpuId: gpuId("parent") })]);
    world.take(onNode("node"));
    world.connect("node", ["g0", "g9"]);
    world.take(onGpu("parent"));
    const { fleet } = world.engine.state;
    expect([...fleet.maintenance.keys()].map((gpu) => fleet.inventory[gpu]?.gpuId).sort()).toEqual(["g0", "g9", "m0", "m1"]);
    world.putBack(onNode("node"));
    expect(fleet.maintenance.size).toBe(2);
  });

  test("an unknown target, and putting back what is in service, record nothing", () => {
    const world = new Fleet();
    world.connect("node", ["g0"]);
    expect(world.take(onGpu("g7")).records).toEqual([]);
    expect(world.putBack(onGpu("g0")).records).toEqual([]);
  });

  test("a router that comes back knows what is out of service, from the log and from a snapshot alike", () => {
    const world = new Fleet();
    world.connectWith("node", ["g0", "g1"]);
    world.take(onGpu("g0"), world.nowMs + 500);
    world.submit("r1");
    world.restart("g1");
    const replayed = new Engine(world.settings);
    for (const record of world.records) replayed.replay(record);
    const { state } = world.engine;
    const restored = restoreSnapshot(takeSnapshot(state), stateFilters(world.settings), world.settings);
    for (const other of [replayed.state, restored]) {
      expect(other.maintenance.windows).toEqual(state.maintenance.windows);
      expect(other.maintenance.restarts).toEqual(state.maintenance.restarts);
      expect([...other.fleet.maintenance]).toEqual([...state.fleet.maintenance]);
      expect(other.digest()).toBe(state.digest());
    }
  });

  test("the digest is that of old while nothing was ever taken out", () => {
    const world = new Fleet();
    const before = world.engine.state.digest();
    expect(takeSnapshot(world.engine.state)).not.toHaveProperty("maintenance");
    world.connect("node", ["g0"]);
    const connected = world.engine.state.digest();
    world.take(onGpu("g0"));
    expect(world.engine.state.digest()).not.toBe(connected);
    world.putBack(onGpu("g0"));
    expect(world.engine.state.digest()).toBe(connected);
    expect(before).not.toBe(connected);
  });
});

describe("restart of a GPU", () => {
  test("an empty GPU is restarted at once; it takes work again when the agent says that it went well", () => {
    const world = new Fleet();
    world.connectWith("node", ["g0"]);
    world.step({ kind: "gpu_report", nodeId: nodeId("node"), gpuId: gpuId("g0"), report: { kind: "xid", xid: 48, detail: "" } });
    expect(world.engine.state.fleet.health.state(0)).toBe("quarantined");
    const asked = world.restart("g0");
    expect(asked.records.map(({ kind }) => kind)).toEqual(["gpu_restart_requested", "gpu_restart_ordered"]);
    expect(orders(asked)).toEqual(["restart g0 on node"]);
    world.submit("r1");
    expect(world.request("r1").phase).toBe("queued");
    world.restarted("node", world.lastRestart.restartId);
    expect(world.lastRestart).toMatchObject({ state: "succeeded", message: "done", by });
    expect(world.engine.state.fleet.health.state(0)).toBe("probation");
    expect(world.request("r1").gpuId).toBe("g0");
  });

  test("a busy one drains first; hurried with force its work is stopped and the same restart goes on", () => {
    const world = new Fleet();
    world.connectWith("node", ["g0"]);
    world.submit("r1", { idempotent: false });
    world.start("r1");
    expect(orders(world.restart("g0"))).toEqual([]);
    const first = world.lastRestart.restartId;
    world.pass(1_000);
    expect(world.lastRestart.state).toBe("draining");
    expect(world.engine.restartRefusal(gpuId("g0"), false)).toMatchObject({ kind: "under_way" });
    expect(told(world.restart("g0", { force: true }))).toEqual(["cancel r1#1 on node"]);
    expect(world.lastRestart).toMatchObject({ restartId: first, force: true });
    world.end("r1", "cancelled");
    expect(orders(world.pass(50))).toEqual(["restart g0 on node"]);
  });

  test("an agent that does not stop its work is not waited for for ever when force was asked for", () => {
    const world = new Fleet();
    world.connectWith("node", ["g0"]);
    world.submit("r1", { idempotent: false });
    world.start("r1");
    world.restart("g0", { force: true });
    expect(orders(world.pass(29_000))).toEqual([]);
    expect(orders(world.pass(1_100))).toEqual(["restart g0 on node"]);
  });

  test("one that failed leaves the GPU as it was; its word counts once, and only from its node", () => {
    const world = new Fleet();
    world.connectWith("node", ["g0"]);
    world.connectWith("liar", ["g1"]);
    world.restart("g0");
    const { restartId } = world.lastRestart;
    expect(world.restarted("liar", restartId).records).toEqual([]);
    expect(world.restarted("node", restartId, "failed").records).toHaveLength(1);
    expect(world.restarted("node", restartId).records).toEqual([]);
    expect(world.lastRestart.state).toBe("failed");
    world.submit("r1");
    expect(world.request("r1").phase).toBe("placed");
  });

  test("an order that may be lost is sent again to the same process of the agent, and never to another: that one may have come of it", () => {
    const world = new Fleet();
    world.connectWith("node", ["g0"], "first");
    world.restart("g0");
    world.disconnect("node");
    expect(orders(world.connectWith("node", ["g0"], "first"))).toEqual(["restart g0 on node"]);
    world.disconnect("node");
    expect(orders(world.connectWith("node", ["g0"], "second"))).toEqual([]);
    world.pass(DEFAULT_CORE_SETTINGS.fencedAfterMs);
    expect(world.lastRestart.state).toBe("agent_restarted");
    expect(world.engine.state.fleet.maintenance.size).toBe(0);
  });

  test("a GPU is kept out of service until the process that had the order begins no command any more; one that comes back goes on", () => {
    const world = new Fleet();
    world.connectWith("node", ["g0"], "first");
    world.restart("g0");
    world.connectWith("node", ["g0"], "second");
    world.pass(DEFAULT_CORE_SETTINGS.fencedAfterMs - 100);
    expect(orders(world.connectWith("node", ["g0"], "first"))).toEqual(["restart g0 on node"]);
    world.pass(DEFAULT_CORE_SETTINGS.fencedAfterMs);
    expect(world.lastRestart.state).toBe("ordered");
    world.connectWith("node", ["g0"], "second");
    world.pass(DEFAULT_CORE_SETTINGS.fencedAfterMs - 100);
    world.connectWith("node", ["g0"], "third");
    expect([world.lastRestart.state, world.engine.state.fleet.maintenance.size]).toEqual(["ordered", 1]);
    world.pass(100);
    expect([world.lastRestart.state, world.engine.state.fleet.maintenance.size]).toEqual(["agent_restarted", 0]);
  });

  test("putting the GPU back takes back a restart that was not ordered yet", () => {
    const world = new Fleet();
    world.connectWith("node", ["g0"]);
    world.submit("r1");
    world.restart("g0");
    world.putBack(onGpu("g0"));
    expect(world.lastRestart.state).toBe("withdrawn");
    world.end("r1");
    world.submit("r2");
    expect(world.request("r2").phase).toBe("placed");
  });

  test("it is refused where it cannot be", () => {
    const world = new Fleet();
    world.connect("bare", ["g0"]);
    world.connectWith("away", ["g1"]);
    world.disconnect("away");
    world.step({
      kind: "node_connected",
      nodeId: nodeId("mig"),
      instanceId: "1",
      gpus: [inventory("m0", { parentGpuId: gpuId("parent") })],
      runners: [],
      held: [],
      restartsGpus: true,
    });
    const refused = (id: string): unknown => world.engine.restartRefusal(gpuId(id), false)?.kind ?? null;
    expect(["g7", "g0", "g1", "m0", "parent"].map(refused)).toEqual(["unknown_gpu", "no_command", "node_away", "mig_instance", null]);
    expect(world.restart("g0").records).toEqual([]);
  });

  test("a GPU that its node no longer reports is not restarted, and one that goes missing meanwhile is not brought back by it", () => {
    const world = new Fleet();
    world.connectWith("node", ["g0", "g1"]);
    world.restart("g1");
    const { restartId } = world.lastRestart;
    world.disconnect("node");
    world.connectWith("node", ["g0"]);
    world.restarted("node", restartId);
    world.submit("r1", { gpu: "g1" });
    expect(world.request("r1").phase).toBe("queued");
    expect(world.engine.restartRefusal(gpuId("g1"), false)).toMatchObject({ kind: "absent" });
    world.connectWith("node", ["g0", "g1"]);
    expect(world.request("r1").gpuId).toBe("g1");
  });

  test("of restarts that have ended the last 64 are kept", () => {
    const world = new Fleet();
    world.connectWith("node", ["g0"]);
    for (let count = 0; count < 70; count += 1) {
      world.nowMs += 1;
      world.restart("g0");
      world.restarted("node", world.lastRestart.restartId);
    }
    expect(world.engine.state.maintenance.restarts).toHaveLength(64);
  });
});

describe("cancel by an operator", () => {
  test("the owner reads why; the record says who", () => {
    const world = new Fleet();
    world.connect("node", ["g0"]);
    world.submit("r1");
    const step = world.step({ kind: "cancel", requestId: requestId("r1"), reason: "floods the cluster", by });
    expect(step.records[0]).toMatchObject({ kind: "stop_requested", stop: { cause: "cancel", reason: "floods the cluster", by } });
    world.end("r1", "cancelled");
    expect(world.ended("r1")).toMatchObject({ phase: "cancelled", error: { code: "cancelled_by_operator", message: "floods the cluster" } });
  });
});
