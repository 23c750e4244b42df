// The failures that the requirements name (row F5), each from its beginning to its end.
import { describe, expect, test } from "@jest/globals";
import type { Handling } from "../../../../src/core/model/request.js";
import { gpuId, nodeId, ref, requestId, sample, told, World } from "../build.js";

const NODES = 4;
const MINUTE_MS = 60_000;

/** Four nodes with two GPUs each; `busy` requests that run. */
function fleet(busy: number, over: ConstructorParameters<typeof World>[0] = {}): World {
  const world = new World({ requestTimeoutMs: 0, strategy: "least_outstanding", ...over });
  for (let node = 0; node < NODES; node += 1) world.connect(`n${node}`, [`g${node}a`, `g${node}b`]);
  for (let index = 0; index < busy; index += 1) {
    world.submit(`r${index}`);
    world.start(`r${index}`);
  }
  return world;
}

const live = (world: World) => [...world.engine.state.requests.values()];
const onGpu = (world: World, gpu: string) => live(world).filter((request) => request.gpuId === gpu);
const onNode = (world: World, node: string) => live(world).filter((request) => request.nodeId === node);
const lose = (world: World, gpu: string) => world.step({ kind: "gpu_lost", nodeId: nodeId(gpu.slice(0, 2).replace("g", "n")), gpuId: gpuId(gpu), reason: "Xid 79" });

function ticks(world: World, milliseconds: number): void {
  for (let left = milliseconds; left > 0; left -= 50) world.pass(Math.min(50, left));
}

/** All that is live runs to its end; every request ends once, as completed. */
function allComplete(world: World, count: number): void {
  for (const { spec } of live(world)) world.end(spec.requestId);
  for (let index = 0; index < count; index += 1) expect(world.ended(`r${index}`).phase).toBe("completed");
}

describe("A crash of", () => {
  test("one GPU: its requests run elsewhere at once, nobody else's are touched, users see it, it is back after the cool-down", () => {
    const world = fleet(16);
    expect(onGpu(world, "g1a")).toHaveLength(2);
    const moved = onGpu(world, "g1a").map(({ spec }) => spec.requestId);
    const step = lose(world, "g1a");
    expect(onGpu(world, "g1a")).toEqual([]);
    expect(live(world).filter(({ attempt }) => attempt === 2).map(({ spec }) => spec.requestId)).toEqual(moved);
    expect(step.effects.filter(({ kind }) => kind === "changed").length).toBeGreaterThanOrEqual(moved.length);
    expect(world.engine.explain(world.request("r0").spec, world.nowMs).filters).toMatchObject([{ filter: "health", removed: 1 }]);
    allComplete(world, 16);
    world.pass(world.settings.gpuCooldownMs);
    world.submit("again", { gpu: "g1a" });
    expect(world.request("again").gpuId).toBe("g1a");
  });

  test("several GPUs at once: all of their requests run on those that are left", () => {
    const world = fleet(16);
    for (const gpu of ["g0a", "g0b", "g1a", "g2b", "g3a"]) lose(world, gpu);
    expect(new Set(live(world).map((request) => request.gpuId))).toEqual(new Set(["g1b", "g2a", "g3b"]));
    allComplete(world, 16);
  });

  test("all GPUs: nothing is lost, everything waits and runs when they are back", () => {
    const world = fleet(16);
    for (const node of [0, 1, 2, 3]) for (const side of ["a", "b"]) lose(world, `g${node}${side}`);
    expect(live(world).every(({ phase }) => phase === "queued")).toBe(true);
    // They come back one probe at a time, then slowly.
    world.pass(world.settings.gpuCooldownMs);
    for (let round = 0; round < 100 && live(world).length > 0; round += 1) {
      for (const { spec, phase } of live(world)) if (phase !== "queued") world.end(spec.requestId);
      world.pass(1_000);
    }
    allComplete(world, 16);
  });

  test("a GPU that is restarted again and again under one request ends it after its retries, and says why", () => {
    const world = new World({ requestTimeoutMs: 0 });
    world.connect("n0", ["g0"]);
    world.submit("r0");
    for (let crash = 0; crash <= world.settings.maxRetries; crash += 1) {
      world.step({ kind: "gpu_lost", nodeId: nodeId("n0"), gpuId: gpuId("g0"), reason: "Xid 79" });
      // Each time it is out for longer.
      world.pass(world.settings.health.maxCooldownMs);
    }
    expect(world.ended("r0")).toMatchObject({ phase: "failed", error: { code: "retries_exhausted", message: expect.stringContaining("Xid 79") } });
  });
});

describe("A restarted GPU", () => {
  test("of an agent that was restarted with it comes back empty: what it held runs anew, what it is given then runs", () => {
    const world = fleet(16);
    const held = onNode(world, "n2").map(({ spec }) => spec.requestId);
    world.disconnect("n2");
    world.step({ kind: "node_connected", nodeId: nodeId("n2"), instanceId: "restarted", gpus: world.engine.state.fleet.inventory.filter(({ gpuId: id }) => id.startsWith("g2")), runners: [...world.engine.state.fleet.nodes.get(nodeId("n1"))!.runners], held: [] });
    expect(held.map((id) => world.request(id).attempt)).toEqual(held.map(() => 2));
    allComplete(world, 16);
  });

  test("whose agent lives on is out while it is away, takes one request to prove itself, and is given its share again", () => {
    const world = fleet(16);
    const moved = onGpu(world, "g2a").map(({ spec }) => spec.requestId);
    lose(world, "g2a");
    expect(moved.map((id) => world.request(id).attempt)).toEqual(moved.map(() => 2));
    const restored = (gpu: string) => world.step({ kind: "gpu_report", nodeId: nodeId("n2"), gpuId: gpuId(gpu), report: { kind: "restored", reason: "it answers again" } });
    world.nowMs += 1_000;
    world.observe("n2", [sample("g2a")]);
    restored("g2a");
    for (const id of ["probe", "beside"]) world.submit(id, { gpu: "g2a" });
    expect(["probe", "beside"].map((id) => world.request(id).phase)).toEqual(["placed", "queued"]);
    world.end("probe");
    ticks(world, world.settings.health.slowStartMs + 1_000);
    expect(world.request("beside").gpuId).toBe("g2a");
    world.end("beside");
    allComplete(world, 16);
  });
});

describe("A loss of the network", () => {
  test("that is short takes nothing from anybody, though every node is cut off at once", () => {
    const world = fleet(16);
    for (let node = 0; node < NODES; node += 1) world.disconnect(`n${node}`);
    ticks(world, world.settings.reconnectGraceMs - 50);
    for (let node = 0; node < NODES; node += 1) {
      const held = onNode(world, `n${node}`).map(({ spec, attempt }) => ref(spec.requestId, attempt));
      expect(told(world.connect(`n${node}`, [`g${node}a`, `g${node}b`], { held }))).toEqual([]);
    }
    ticks(world, MINUTE_MS);
    expect(live(world).every(({ attempt, phase }) => attempt === 1 && phase === "running")).toBe(true);
    allComplete(world, 16);
  });

  test("that is long moves the node's work once, and its late results are refused when it is back", () => {
    const world = fleet(16);
    const moved = onNode(world, "n3").map(({ spec }) => spec.requestId);
    expect(moved).toHaveLength(4);
    world.step({ kind: "node_disconnected", nodeId: nodeId("n3"), silentMs: world.settings.nodeLostAfterMs });
    ticks(world, 10 * MINUTE_MS);
    expect(moved.map((id) => world.request(id).attempt)).toEqual([2, 2, 2, 2]);
    const back = world.connect("n3", ["g3a", "g3b"], { held: moved.map((id) => ref(id, 1)) });
    expect(told(back)).toEqual(moved.flatMap((id) => [`cancel ${id}#1 on n3`, `acknowledge ${id}#1 on n3`]));
    for (const id of moved) world.step({ kind: "attempt_ended", nodeId: nodeId("n3"), ref: ref(id, 1), end: { outcome: "succeeded", error: null, result: new Uint8Array(), resultContentType: "", statistics: null } });
    expect(world.engine.lateResults).toBe(4);
    allComplete(world, 16);
  });

  test("that comes and goes never costs more than the attempts it breaks, and no request its life", () => {
    const world = fleet(8);
    for (let flap = 0; flap < 20; flap += 1) {
      world.disconnect("n0");
      ticks(world, 200);
      const held = onNode(world, "n0").map(({ spec, attempt }) => ref(spec.requestId, attempt));
      world.connect("n0", ["g0a", "g0b"], { held });
      ticks(world, 200);
    }
    expect(live(world).every(({ attempt }) => attempt === 1)).toBe(true);
    allComplete(world, 8);
  });
});

describe("A shortage of", () => {
  test("GPU memory: what does not fit waits, what fits passes it, and nothing is over-committed", () => {
    const world = new World({ requestTimeoutMs: 0 });
    world.connect("n0", ["g0"]);
    world.submit("large", { requirements: { memoryMib: 60_000 } });
    world.submit("second", { requirements: { memoryMib: 60_000 } });
    world.submit("small", { requirements: { memoryMib: 5_000 } });
    expect(["large", "second", "small"].map((id) => world.request(id).phase)).toEqual(["placed", "queued", "placed"]);
    world.end("large");
    expect(world.request("second").phase).toBe("placed");
  });

  test("GPU memory taken by others, as telemetry shows it, keeps work away until it is free", () => {
    const world = new World({ requestTimeoutMs: 0 });
    world.connect("n0", ["g0"]);
    world.observe("n0", [sample("g0", { memoryUsedMib: 70_000 })]);
    world.submit("r", { requirements: { memoryMib: 10_000 } });
    expect(world.request("r").phase).toBe("queued");
    world.observe("n0", [sample("g0", { memoryUsedMib: 10_000 })]);
    expect(world.request("r").phase).toBe("placed");
  });

  test("GPU compute: what is above the slots waits by priority, and takes the first that is free", () => {
    const world = new World({ requestTimeoutMs: 0, maxConcurrentTasksPerGpu: 1 });
    world.connect("n0", ["g0"]);
    world.submit("first");
    world.submit("low", { priority: 1 });
    world.submit("high", { priority: 5 });
    world.end("first");
    expect(["low", "high"].map((id) => world.request(id).phase)).toEqual(["queued", "placed"]);
  });

  test("the router's own memory: the newcomer is refused, and when it is nearly gone the lowest priority makes way, what has been on a GPU never", () => {
    const world = new World({ requestTimeoutMs: 0, maxConcurrentTasksPerGpu: 1 });
    world.connect("n0", ["g0"]);
    world.submit("runs", { priority: 1 });
    for (const [id, priority] of [["low", 1], ["high", 5]] as const) world.submit(id, { priority });
    world.step({ kind: "memory", share: world.settings.shedAboveMemory });
    expect(world.submit("newcomer", { priority: 1 }).submitted).toMatchObject({ kind: "queue_full", what: "memory" });
    world.step({ kind: "memory", share: 0.999 });
    expect(world.ended("low").error?.code).toBe("shed");
    expect(["runs", "high"].map((id) => world.isLive(id))).toEqual([true, true]);
    world.step({ kind: "memory", share: 0.1 });
    expect(world.submit("welcome").submitted?.kind).toBe("accepted");
  });

  test("the router's own room: a full queue refuses the new and keeps all that was accepted", () => {
    const world = new World({ requestTimeoutMs: 0, maxQueuedRequests: 2 });
    world.submit("a");
    world.submit("b");
    expect(world.submit("c").submitted).toMatchObject({ kind: "queue_full" });
    world.connect("n0", ["g0"]);
    expect(["a", "b"].map((id) => world.request(id).phase)).toEqual(["placed", "placed"]);
    expect(world.isLive("c")).toBe(false);
  });
});

describe("A time-out of", () => {
  test("the whole request: it ends as timed out, and says where it was", () => {
    const world = new World();
    world.connect("n9", ["g9"]);
    world.disconnect("n9");
    world.submit("r", { timeoutMs: 1_000 });
    world.pass(1_050);
    expect(world.ended("r")).toMatchObject({ phase: "failed", error: { code: "timeout", message: expect.stringContaining("waiting for a GPU") } });
  });

  test("its processing: the work is stopped, and it ends as such", () => {
    const handling: Handling = { onInterruption: "restart", timeouts: { runningMs: 1_000 } };
    const world = new World({ requestTimeoutMs: 0 });
    world.connect("n0", ["g0"]);
    world.submit("r", { handling });
    world.start("r");
    expect(told(world.pass(1_050))).toEqual(["cancel r#1 on n0"]);
    world.end("r", "cancelled");
    expect(world.ended("r")).toMatchObject({ error: { code: "running_timeout" } });
  });

  test("its response: a GPU that gives no sign of life loses it to another one", () => {
    const world = new World({ requestTimeoutMs: 0, timeouts: { inference: { answeringMs: 1_000 } } });
    world.connect("n0", ["g0"]);
    world.submit("r");
    world.start("r");
    world.connect("n1", ["g1"]);
    expect(told(world.pass(1_050))).toEqual(["cancel r#1 on n0", "dispatch r#2 to g1"]);
    expect(world.engine.state.requests.has(requestId("r"))).toBe(true);
  });
});
