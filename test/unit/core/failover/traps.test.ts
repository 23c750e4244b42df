// Traps that routers of others were seen in: each is a test that names it. What is not of the core has its test where it lives.
import { describe, expect, test } from "@jest/globals";
import { Engine } from "../../../../src/core/engine.js";
import { NO_LIMITS } from "../../../../src/core/model/quota.js";
import { DEFAULT_CORE_SETTINGS } from "../../../../src/core/settings.js";
import { takeSnapshot } from "../../../../src/core/snapshot.js";
import { gpuId, modelId, nodeId, ref, runner, sample, spec as specOf, told, wishes, World } from "../build.js";

const live = (world: World) => [...world.engine.state.requests.values()];

function counts(world: World): number[] {
  const { active, size } = world.engine.state.fleet;
  return [...active.subarray(0, size)];
}

function submitMany(world: World, count: number, over: Parameters<World["submit"]>[1] = {}): void {
  for (let index = 0; index < count; index += 1) world.submit(`r${index}`, over);
}

describe("Stale metrics that count as busy halt a whole fleet:", () => {
  function world(): World {
    const made = new World({ requestTimeoutMs: 0, strategy: "weighted" });
    made.connect("n0", ["g0", "g1", "g2"]);
    made.observe("n0", ["g0", "g1", "g2"].map((id) => sample(id, { gpuUtilizationPercent: 100, memoryUsedMib: 79_000 })));
    return made;
  }

  test("here one stale GPU is not a stale fleet, and what its last sample said of it is forgotten", () => {
    const made = world();
    made.submit("waits", { requirements: { memoryMib: 20_000 } });
    expect(made.request("waits").phase).toBe("queued");
    made.pass(1_900);
    made.observe("n0", [sample("g1", { gpuUtilizationPercent: 100, memoryUsedMib: 79_000 }), sample("g2", { gpuUtilizationPercent: 100, memoryUsedMib: 79_000 })]);
    made.pass(200);
    expect(made.request("waits").gpuId).toBe("g0");
  });

  test("here all stale falls back to what the router itself has placed", () => {
    const made = world();
    made.pass(60_000);
    submitMany(made, 24, { requirements: { memoryMib: 1_000 } });
    expect(live(made).every(({ phase }) => phase === "placed")).toBe(true);
    expect(counts(made)).toEqual([8, 8, 8]);
    made.submit("one too many");
    expect(made.request("one too many").phase).toBe("queued");
  });
});

test("A cold GPU without metrics never gets traffic: here it does, beside others that have them", () => {
  const made = new World({ requestTimeoutMs: 0 });
  made.connect("n0", ["old"]);
  made.observe("n0", [sample("old", { gpuUtilizationPercent: 60 })]);
  submitMany(made, 4);
  made.connect("n1", ["fresh"]);
  made.submit("next");
  expect(made.request("next").gpuId).toBe("fresh");
});

test("Errors of callers open the circuit of a healthy backend: here they count against nobody", () => {
  const made = new World({ requestTimeoutMs: 0 });
  made.connect("n0", ["g0"]);
  for (let index = 0; index < 100; index += 1) {
    made.submit(`bad${index}`);
    made.end(`bad${index}`, "failed");
  }
  made.submit("good");
  expect(made.request("good").phase).toBe("placed");
  expect(made.engine.state.fleet.health.errorRate[0]).toBe(0);
});

test("Several writers overwrite one load value: here what is placed is counted by who placed it, and no report makes it less", () => {
  const made = new World({ requestTimeoutMs: 0, maxConcurrentTasksPerGpu: 4 });
  made.connect("n0", ["g0"]);
  submitMany(made, 4);
  made.observe("n0", [sample("g0", { gpuUtilizationPercent: 0, memoryUsedMib: 0 })]);
  made.step({ kind: "runner_load", nodeId: nodeId("n0"), loads: [{ runner: "runner", running: 0, waiting: 0, ageMs: 0 }] });
  made.submit("fifth");
  expect([counts(made), made.request("fifth").phase]).toEqual([[4], "queued"]);
});

test("Capacity of the whole fleet hides that one model is saturated: here each model waits for its own GPUs only", () => {
  const made = new World({ requestTimeoutMs: 0, maxConcurrentTasksPerGpu: 2 });
  made.connect("n0", ["g0"], { runners: [runner({ models: [modelId("hot")] })] });
  made.connect("n1", ["g1", "g2", "g3"], { runners: [runner({ models: [modelId("cold")] })] });
  for (let index = 0; index < 5; index += 1) made.submit(`hot${index}`, { model: "hot", priority: 5 });
  made.submit("cold", { model: "cold", priority: 1 });
  expect(made.request("cold").phase).toBe("placed");
  expect(made.engine.state.queue.size).toBe(3);
});

test("A limiter that is switched on is not on the path of requests: here it refuses the newcomer, and no retry or restart gets past it", () => {
  const quota = { ...DEFAULT_CORE_SETTINGS.quota, mode: "enforce" as const, defaults: { ...NO_LIMITS, concurrentRequests: 2, queuedRequests: 3 } };
  const made = new World({ requestTimeoutMs: 0, quota });
  made.connect("n0", ["g0", "g1"]);
  const outcomes = Array.from({ length: 8 }, (_, index) => made.submit(`r${index}`).submitted?.kind);
  expect(outcomes).toEqual([...Array.from({ length: 5 }, () => "accepted"), ...Array.from({ length: 3 }, () => "over_quota")]);
  const onGpus = (): number => live(made).filter(({ phase }) => phase !== "queued").length;
  expect(onGpus()).toBe(2);
  made.step({ kind: "gpu_lost", nodeId: nodeId("n0"), gpuId: gpuId("g0"), reason: "Xid 79" });
  made.pass(1_000);
  expect(onGpus()).toBe(2);
  const successor = new Engine(made.settings, takeSnapshot(made.engine.state));
  successor.step({ kind: "take_over", epoch: 2 }, made.nowMs);
  expect(successor.step({ kind: "submit", spec: specOf("one-more") }, made.nowMs).submitted?.kind).toBe("over_quota");
});

test("Flow control holds work back while GPUs idle: here nothing waits that a free GPU could take", () => {
  const made = new World({ requestTimeoutMs: 0 });
  made.connect("n0", ["g0", "g1"]);
  submitMany(made, 40);
  while (live(made).length > 0) {
    const running = live(made).find(({ phase }) => phase === "placed");
    made.end(running!.spec.requestId);
    const free = counts(made).some((count) => count < made.settings.maxConcurrentTasksPerGpu);
    expect(free && made.engine.state.queue.size > 0).toBe(false);
  }
});

test("Round robin begins anew whenever anything about a server changes: here telemetry, runners and a reconnect leave the turns as they are", () => {
  const made = new World({ requestTimeoutMs: 0, strategy: "round_robin", maxConcurrentTasksPerGpu: 100 });
  made.connect("n0", ["g0", "g1", "g2"]);
  for (let index = 0; index < 30; index += 1) {
    made.submit(`r${index}`);
    made.observe("n0", [sample("g0", { temperatureCelsius: 30 + index })]);
    made.step({ kind: "runners_changed", nodeId: nodeId("n0"), runners: [runner({ models: [modelId("m"), modelId(`m${index}`)] })] });
    if (index % 10 === 9) {
      made.disconnect("n0");
      made.connect("n0", ["g0", "g1", "g2"], { held: live(made).map(({ spec, attempt }) => ref(spec.requestId, attempt)) });
    }
  }
  expect(counts(made)).toEqual([10, 10, 10]);
});

test("The check for failures is off in large fleets: here one dead node of a thousand is found as soon as of two", () => {
  const made = new World({ requestTimeoutMs: 0 });
  for (let node = 0; node < 1_000; node += 1) made.connect(`n${node}`, [`g${node}`]);
  made.submit("r");
  const { nodeId: dead } = made.request("r");
  made.disconnect(dead);
  made.pass(made.settings.reconnectGraceMs - 1);
  expect(made.request("r").attempt).toBe(1);
  made.pass(1);
  expect(made.request("r").attempt).toBe(2);
});

describe("A backend that never answers hangs everything:", () => {
  test("here it hangs what it has, until its time is over, and nobody else", () => {
    const made = new World({ timeouts: { "*": { startingMs: 2_000 } } });
    made.connect("silent", ["g0"]);
    submitMany(made, 8);
    made.connect("fine", ["g1"]);
    made.submit("other");
    expect(made.request("other").gpuId).toBe("g1");
    made.end("other");
    made.pass(2_050);
    expect(live(made).every((request) => request.gpuId === "g1" && request.attempt === 2)).toBe(true);
  });

  test("here the default time-out ends it for its caller even where nobody configured anything", () => {
    const made = new World();
    made.connect("silent", ["g0"]);
    made.submit("r");
    made.pass(30_050);
    expect(made.request("r").stop).toMatchObject({ cause: "timeout" });
    made.pass(30_050);
    expect(made.ended("r").error?.code).toBe("timeout");
  });
});

test("A priority that is looked up again when somebody is served breaks the order of a user's requests: here they stay in order, retries too", () => {
  const made = new World({ requestTimeoutMs: 0, maxConcurrentTasksPerGpu: 1, retryDelayMs: 1_000, errorThreshold: 1 });
  made.connect("n0", ["g0"]);
  submitMany(made, 6);
  made.end("r0", "unavailable");
  const order: string[] = [];
  for (let round = 0; round < 6; round += 1) {
    made.pass(2_000);
    const { spec } = live(made).find(({ phase }) => phase === "placed")!;
    order.push(spec.requestId);
    made.end(spec.requestId);
  }
  // r1 had the GPU while r0 waited for its retry, then r0 was first in line again.
  expect(order).toEqual(["r1", "r0", "r2", "r3", "r4", "r5"]);
});

test("A storm of cancels brings the server down: here each costs one message at most, and all end (cancels.test.ts has 10,000)", () => {
  const made = new World({ requestTimeoutMs: 0, maxConcurrentTasksPerGpu: 100 });
  made.connect("n0", ["g0"]);
  submitMany(made, 200);
  const cancels = live(made).flatMap(({ spec }) => told(made.cancel(spec.requestId)));
  expect(cancels).toHaveLength(100);
  for (const { spec } of live(made)) made.end(spec.requestId, "cancelled");
  expect(live(made)).toEqual([]);
});

test("A short outage of what keeps the members together restarts the world: here a short cut of everybody, or a stall of the router, costs nothing", () => {
  const made = new World({ requestTimeoutMs: 0 });
  const nodes = Array.from({ length: 50 }, (_, node) => `n${node}`);
  for (const node of nodes) made.connect(node, [`g-${node}`]);
  submitMany(made, 100);
  made.nowMs += 20_000;
  made.step({ kind: "router_stalled", ms: 20_000 });
  for (const node of nodes) made.disconnect(node);
  made.pass(3_000);
  for (const node of nodes) {
    made.connect(node, [`g-${node}`], { held: live(made).filter((request) => request.nodeId === node).map(({ spec, attempt }) => ref(spec.requestId, attempt)) });
  }
  made.pass(60_000);
  expect(live(made).map(({ attempt, phase }) => [attempt, phase])).toEqual(Array.from({ length: 100 }, () => [1, "placed"]));
});

test("What a dead backend had goes to the first one that lives: here it is spread over all of them", () => {
  const made = new World({ requestTimeoutMs: 0, maxConcurrentTasksPerGpu: 1_000, strategy: "hybrid" });
  made.connect("dead", ["g"]);
  submitMany(made, 300, { wishes: wishes({ sessionKey: "the same for all" }) });
  for (let node = 0; node < 6; node += 1) made.connect(`n${node}`, [`g${node}`]);
  made.step({ kind: "node_disconnected", nodeId: nodeId("dead"), silentMs: 10_000 });
  const [, ...heirs] = counts(made);
  expect(heirs.reduce((sum, count) => sum + count, 0)).toBe(300);
  expect(Math.min(...heirs)).toBeGreaterThan(25);
});

describe("Looking after idle servers costs as much as there are servers:", () => {
  function idle(): World {
    const made = new World();
    for (let node = 0; node < 200; node += 1) made.connect(`n${node}`, [`g${node}a`, `g${node}b`]);
    return made;
  }

  test("here agents push, and nobody asks them anything: an hour of ticks has no effect and no record", () => {
    const made = idle();
    let said = 0;
    for (let minute = 0; minute < 60; minute += 1) {
      const { effects, records } = made.pass(60_000);
      said += effects.length + records.length;
    }
    expect(said).toBe(0);
  });

  test("and probes that are real work cost more than that: here none is ever made up", () => {
    const made = idle();
    made.step({ kind: "gpu_lost", nodeId: nodeId("n7"), gpuId: gpuId("g7a"), reason: "Xid 79" });
    const dispatched = Array.from({ length: 60 }, () => told(made.pass(60_000))).flat();
    expect(dispatched).toEqual([]);
  });
});
