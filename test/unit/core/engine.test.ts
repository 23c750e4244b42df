// Scenarios: one event list each, and what the engine makes of it. Every step also runs State.check().
import { describe, expect, test } from "@jest/globals";
import { Engine } from "../../../src/core/engine.js";
import { STOP_GRACE_MS } from "../../../src/core/records.js";
import { DEFAULT_CORE_SETTINGS } from "../../../src/core/settings.js";
import { takeSnapshot } from "../../../src/core/snapshot.js";
import { end, gpuId, inventory, kinds, modelId, nodeId, ref, requestId, runner, sample, settings, spec, told, World } from "./build.js";

const NOW_RETRY = { retryDelayMs: 0 };

/** One GPU with one slot. */
function oneSlot(): World {
  const world = new World({ maxConcurrentTasksPerGpu: 1 });
  world.connect("n0", ["g0"]);
  return world;
}

describe("a request's life", () => {
  test("is accepted, placed and dispatched in the step of its submit, then starts and ends", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    const submitted = world.submit("r1");
    expect(submitted.submitted?.kind).toBe("accepted");
    expect(kinds(submitted)).toEqual(["accepted", "placed"]);
    expect(told(submitted)).toEqual(["dispatch r1#1 to g0"]);

    expect(kinds(world.start("r1"))).toEqual(["started"]);
    expect(world.request("r1").phase).toBe("running");

    const result = new Uint8Array([1, 2, 3]);
    const ended = world.end("r1", "succeeded", { result, resultContentType: "text/plain" });
    expect(kinds(ended)).toEqual(["ended"]);
    expect(told(ended)).toEqual(["acknowledge r1#1 on n0"]);
    expect(ended.ended).toMatchObject([{ request: { phase: "completed", progress: 1 }, result }]);
    expect(world.ended("r1")).toMatchObject({ phase: "completed", error: null, result: { sizeBytes: 3, contentType: "text/plain" } });
    expect(world.isLive("r1")).toBe(false);
  });

  test("whose start was lost with a stream is completed with a start all the same", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.submit("r1");
    expect(kinds(world.end("r1"))).toEqual(["started", "ended"]);
  });

  test("that fails by itself is not retried", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.submit("r1");
    world.end("r1", "failed");
    expect(world.ended("r1")).toMatchObject({ phase: "failed", error: { code: "failed_code" } });
  });

  test("shows progress, which is no record and stays within 0..1", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.submit("r1");
    const step = world.step({ kind: "attempt_progress", nodeId: nodeId("n0"), ref: ref("r1", 1), fraction: 1.5 });
    expect(step.records).toEqual([]);
    expect(world.request("r1").progress).toBe(1);
  });
});

describe("the waiting line", () => {
  test("serves the highest priority first and the earliest within it", () => {
    const world = oneSlot();
    world.submit("first");
    for (const [id, priority] of [["low", 1], ["mid-a", 3], ["high", 5], ["mid-b", 3]] as const) world.submit(id, { priority });
    const served: string[] = [];
    let running = "first";
    for (let turn = 0; turn < 4; turn += 1) {
      const placed = world.end(running).records.find((record) => record.kind === "placed");
      running = placed?.requestId ?? "";
      served.push(running);
    }
    expect(served).toEqual(["high", "mid-a", "mid-b", "low"]);
  });

  test("does not hold work for a class that fits while the head of another does not", () => {
    const world = new World();
    world.connect("n0", ["g0"], { runners: [runner({ models: [modelId("served")] })] });
    world.submit("stuck", { model: "unserved", priority: 5 });
    expect(told(world.submit("fits", { model: "served", priority: 1 }))).toEqual(["dispatch fits#1 to g0"]);
  });

  test("lets a smaller request through when the bigger one before it in the same memory step has left", () => {
    const world = new World({ memoryThreshold: 1 });
    world.connect("n0", [inventory("g0", { memoryTotalMib: 1_000 })]);
    world.submit("holder", { requirements: { memoryMib: 400 } });
    world.submit("big", { requirements: { memoryMib: 1_000 } });
    world.submit("small", { requirements: { memoryMib: 600 } });
    expect(world.request("small").phase).toBe("queued");
    expect(told(world.cancel("big"))).toEqual(["dispatch small#1 to g0"]);
  });

  const fullMemory = sample("g0", { memoryUsedMib: 70_000 });
  const needsMemory = { requirements: { memoryMib: 10_000 } };

  test("is woken by telemetry that shows room", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.observe("n0", [fullMemory]);
    world.submit("waiter", needsMemory);
    expect(told(world.observe("n0", [fullMemory]))).toEqual([]);
    expect(told(world.observe("n0", [sample("g0")]))).toEqual(["dispatch waiter#1 to g0"]);
  });

  test("is woken by a release, for one request per slot", () => {
    const world = oneSlot();
    for (const id of ["a", "b", "c"]) world.submit(id);
    expect(told(world.end("a"))).toEqual(["acknowledge a#1 on n0", "dispatch b#1 to g0"]);
    expect(world.request("c").phase).toBe("queued");
  });

  test("is woken by a new runner on a GPU that was there all along", () => {
    const world = new World();
    const old = runner({ models: [modelId("m")] });
    world.connect("n0", ["g0"], { runners: [old] });
    world.submit("waiter", { model: "new" });
    const runners = [old, runner({ name: "newer", models: [modelId("new")] })];
    const step = world.step({ kind: "runners_changed", nodeId: nodeId("n0"), runners });
    expect(step.effects).toContainEqual(expect.objectContaining({ kind: "dispatch", gpuId: "g0", runner: "newer" }));
  });

  test("is woken by a new runner on a full GPU once that has room", () => {
    const world = oneSlot();
    world.submit("holder");
    world.step({ kind: "runners_changed", nodeId: nodeId("n0"), runners: [runner({ models: [modelId("m")] })] });
    world.submit("waiter", { model: "new" });
    world.step({ kind: "runners_changed", nodeId: nodeId("n0"), runners: [runner()] });
    expect(told(world.end("holder"))).toContain("dispatch waiter#1 to g0");
  });

  test("is woken by a new GPU", () => {
    const world = oneSlot();
    world.submit("holder");
    world.submit("full");
    world.submit("too big", { requirements: { memoryMib: 200_000 } });
    expect(told(world.connect("n1", [inventory("g1", { memoryTotalMib: 400_000 })]))).toEqual(["dispatch full#1 to g1"]);
    expect(told(world.end("full"))).toContain("dispatch too big#1 to g1");
  });

  test("is woken by the end of a cool-down", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.step({ kind: "gpu_lost", nodeId: nodeId("n0"), gpuId: gpuId("g0"), reason: "Xid 79" });
    world.submit("waiter", { timeoutMs: 1_000_000 });
    expect(told(world.pass(299_999))).toEqual([]);
    expect(told(world.pass(1))).toEqual(["dispatch waiter#1 to g0"]);
  });

  test("serves the earliest of a thousand classes when one slot is freed, and no other", () => {
    const world = oneSlot();
    world.submit("holder");
    for (let index = 0; index < 1_000; index += 1) world.submit(`w${index}`, { model: `m${index}`, timeoutMs: 1_000_000 });
    const placed = world.end("holder").records.filter((record) => record.kind === "placed");
    expect(placed.map((record) => record.requestId)).toEqual(["w0"]);
  });
});

describe("bounds", () => {
  test("refuse a request beyond max_queued_requests, those that wait for a retry included", () => {
    const world = new World({ maxQueuedRequests: 2 });
    world.connect("n0", ["g0"]);
    world.submit("retrying");
    world.end("retrying", "unavailable");
    world.disconnect("n0");
    world.submit("waiting");
    expect(world.submit("third").submitted).toMatchObject({ kind: "queue_full", what: "requests", limit: 2 });
    expect(world.isLive("third")).toBe(false);
  });

  test("refuse a request beyond max_queued_bytes", () => {
    const world = new World({ maxQueuedBytes: 25, queueHeadroom: 0 });
    world.submit("a");
    world.submit("b");
    expect(world.submit("c").submitted).toMatchObject({ kind: "queue_full", what: "bytes", limit: 25 });
  });
});

describe("a repeated request id", () => {
  test("with the same content gives the first answer and changes nothing", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.submit("r1");
    const again = world.submit("r1");
    expect(again.submitted).toEqual({ kind: "known", request: world.request("r1") });
    expect(again.records).toEqual([]);
  });

  test("with other content is refused", () => {
    const world = new World();
    world.submit("r1");
    expect(world.submit("r1", { contentHash: "other" })).toMatchObject({ submitted: { kind: "id_conflict" }, records: [] });
  });

  test("an unknown strategy is refused with the known ones", () => {
    const world = new World();
    expect(world.submit("r1", { strategy: "no_such" }).submitted).toEqual({ kind: "unknown_strategy", known: world.engine.strategyNames });
    expect(world.isLive("r1")).toBe(false);
  });
});

describe("a retry", () => {
  test("goes to another GPU than the one that failed", () => {
    const world = new World(NOW_RETRY);
    world.connect("n0", ["g0", "g1"]);
    world.submit("r1");
    const failedOn = world.request("r1").gpuId;
    const step = world.end("r1", "unavailable");
    expect(kinds(step)).toEqual(["attempt_failed", "placed"]);
    expect(world.request("r1")).toMatchObject({ attempt: 2, phase: "placed" });
    expect(world.request("r1").gpuId).not.toBe(failedOn);
  });

  test("goes to the same GPU when there is no other", () => {
    const world = new World(NOW_RETRY);
    world.connect("n0", ["g0"]);
    world.submit("r1");
    expect(told(world.end("r1", "unavailable"))).toContain("dispatch r1#2 to g0");
  });

  test("waits for its time, keeps its place before later ones, and is not due early", () => {
    const world = new World({ maxConcurrentTasksPerGpu: 1, requestTimeoutMs: 0 });
    world.connect("n0", ["g0"]);
    world.submit("old");
    world.submit("held");
    world.end("old", "unavailable");
    expect(world.request("held").phase).toBe("placed");
    world.submit("new");
    const retry = world.engine.state.retryOf(requestId("old"));
    const delayMs = retry!.retryAtMs - world.nowMs;
    expect(delayMs).toBeGreaterThanOrEqual(500);
    expect(delayMs).toBeLessThanOrEqual(1_500);
    world.pass(delayMs - 60);
    expect(world.engine.state.retryOf(requestId("old"))).not.toBeNull();
    world.pass(120);
    expect(world.engine.state.retryOf(requestId("old"))).toBeNull();
    expect(told(world.end("held"))).toContain("dispatch old#2 to g0");
  });

  test("is given up after max_retries", () => {
    const world = new World({ ...NOW_RETRY, maxRetries: 2, errorThreshold: 1 });
    world.connect("n0", ["g0"]);
    world.submit("r1");
    for (let attempt = 1; attempt <= 3; attempt += 1) world.end("r1", "unavailable");
    expect(world.ended("r1")).toMatchObject({ phase: "failed", error: { code: "retries_exhausted" } });
    expect(world.records.filter((record) => record.kind === "placed")).toHaveLength(3);
  });
});

describe("late words of an attempt that is not the present one", () => {
  test("its result is refused, counted and acknowledged", () => {
    const world = new World(NOW_RETRY);
    world.connect("n0", ["g0", "g1"]);
    world.submit("r1");
    world.end("r1", "unavailable");
    const late = world.step({ kind: "attempt_ended", nodeId: nodeId("n0"), ref: ref("r1", 1), end: end() });
    expect(late.records).toEqual([]);
    expect(told(late)).toEqual(["acknowledge r1#1 on n0"]);
    expect(world.engine.lateResults).toBe(1);
    expect(world.request("r1")).toMatchObject({ attempt: 2, phase: "placed" });
  });

  test("a result from a node that does not run the attempt is refused", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.connect("n1", ["g1"], { runners: [] });
    world.submit("r1");
    const foreign = world.step({ kind: "attempt_ended", nodeId: nodeId("n1"), ref: ref("r1", 1), end: end() });
    expect(foreign.records).toEqual([]);
    expect(told(foreign)).toEqual(["acknowledge r1#1 on n1"]);
    expect(world.isLive("r1")).toBe(true);
  });

  test("a second result of an ended request is acknowledged and changes nothing", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.submit("r1");
    world.end("r1");
    const again = world.step({ kind: "attempt_ended", nodeId: nodeId("n0"), ref: ref("r1", 1), end: end("failed") });
    expect(again.records).toEqual([]);
    expect(world.ended("r1").phase).toBe("completed");
  });

  test("its start is ignored", () => {
    const world = new World(NOW_RETRY);
    world.connect("n0", ["g0", "g1"]);
    world.submit("r1");
    world.end("r1", "unavailable");
    expect(world.step({ kind: "attempt_started", nodeId: nodeId("n0"), ref: ref("r1", 1) }).records).toEqual([]);
    expect(world.request("r1").phase).toBe("placed");
  });
});

describe("a cancellation", () => {
  test("ends a waiting request at once", () => {
    const world = new World();
    world.submit("r1");
    expect(kinds(world.cancel("r1"))).toEqual(["stop_requested", "ended"]);
    expect(world.ended("r1")).toMatchObject({ phase: "cancelled", error: null });
  });

  test("ends a request that waits for its retry, which then never happens", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.submit("r1");
    world.end("r1", "unavailable");
    world.cancel("r1");
    expect(world.ended("r1").phase).toBe("cancelled");
    expect(told(world.pass(10_000))).toEqual([]);
  });

  test.each(["placed", "running"])("asks the agent to stop a %s request, which ends with its attempt", (phase) => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.submit("r1");
    if (phase === "running") world.start("r1");
    expect(told(world.cancel("r1"))).toEqual(["cancel r1#1 on n0"]);
    expect(world.request("r1").phase).toBe(phase);
    world.end("r1", "cancelled");
    expect(world.ended("r1").phase).toBe("cancelled");
  });

  test("loses against a success that was on its way", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.submit("r1");
    world.cancel("r1");
    world.end("r1");
    expect(world.ended("r1").phase).toBe("completed");
  });

  test("stands against a failure that would be retried", () => {
    const world = new World(NOW_RETRY);
    world.connect("n0", ["g0"]);
    world.submit("r1");
    world.cancel("r1");
    world.end("r1", "unavailable");
    expect(world.ended("r1").phase).toBe("cancelled");
  });

  test("is asked for once: the first wish stands", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.submit("r1");
    world.cancel("r1");
    expect(world.cancel("r1")).toMatchObject({ records: [], effects: [] });
  });

  test("of what is not known does nothing", () => {
    expect(new World().cancel("nobody")).toMatchObject({ records: [], effects: [] });
  });

  test("that no agent confirms takes hold after the grace, and its late result is refused", () => {
    const world = new World({ requestTimeoutMs: 0 });
    world.connect("n0", ["g0"]);
    world.submit("r1");
    world.cancel("r1");
    world.pass(STOP_GRACE_MS - 100);
    expect(world.isLive("r1")).toBe(true);
    world.pass(150);
    expect(world.ended("r1").phase).toBe("cancelled");
    world.step({ kind: "attempt_ended", nodeId: nodeId("n0"), ref: ref("r1", 1), end: end() });
    expect(world.ended("r1").phase).toBe("cancelled");
  });
});

describe("a time-out", () => {
  test("fails a waiting request and says where it was", () => {
    const world = new World();
    world.connect("n9", ["g9"]);
    world.disconnect("n9");
    world.submit("r1", { timeoutMs: 1_000 });
    world.pass(999);
    expect(world.isLive("r1")).toBe(true);
    world.pass(51);
    expect(world.ended("r1")).toMatchObject({ phase: "failed", error: { code: "timeout", message: "Not done within 1000 ms; it was waiting for a GPU." } });
  });

  test.each(["placed", "running"])("asks the agent to stop a %s request and fails it when it has", (phase) => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.submit("r1", { timeoutMs: 1_000 });
    if (phase === "running") world.start("r1");
    expect(told(world.pass(1_050))).toEqual(["cancel r1#1 on n0"]);
    world.end("r1", "cancelled");
    expect(world.ended("r1")).toMatchObject({ phase: "failed", error: { code: "timeout", message: "Not done within 1000 ms; it was on g0." } });
  });

  test("fails a request that waits for its retry", () => {
    const world = new World({ retryDelayMs: 100_000 });
    world.connect("n0", ["g0"]);
    world.submit("r1", { timeoutMs: 1_000 });
    world.end("r1", "unavailable");
    world.pass(1_050);
    expect(world.ended("r1").error?.code).toBe("timeout");
  });

  test("that no agent confirms takes hold after the grace", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.submit("r1", { timeoutMs: 1_000 });
    world.pass(1_050);
    world.pass(STOP_GRACE_MS + 50);
    expect(world.ended("r1").error?.code).toBe("timeout");
  });

  test.each([
    ["inference", 30_000],
    ["training", 0],
  ])("is the configured one for %s that sets none", (type, timeoutMs) => {
    const world = new World();
    world.submit("r1", { type });
    expect(world.request("r1").deadlineAtMs).toBe(timeoutMs === 0 ? 0 : world.nowMs + timeoutMs);
  });
});

describe("a node", () => {
  test("that stays silent loses its work, which is dispatched elsewhere at once", () => {
    const world = new World({ requestTimeoutMs: 0 });
    world.connect("n0", ["g0"]);
    world.submit("r1");
    world.connect("n1", ["g1"]);
    world.disconnect("n0");
    expect(world.pass(world.settings.reconnectGraceMs - 1).records).toEqual([]);
    expect(told(world.pass(1))).toEqual(["dispatch r1#2 to g1"]);
    expect(world.records.filter((record) => record.kind === "attempt_failed")).toMatchObject([{ reason: expect.stringContaining("node_lost") }]);
  });

  test("takes no work while its stream is cut", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.disconnect("n0");
    world.submit("r1");
    expect(world.request("r1").phase).toBe("queued");
    expect(told(world.connect("n0", ["g0"]))).toEqual(["dispatch r1#1 to g0"]);
  });

  test("that comes back in time keeps what it holds", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.submit("r1");
    world.disconnect("n0");
    world.pass(300);
    expect(told(world.connect("n0", ["g0"], { held: [ref("r1", 1)] }))).toEqual([]);
    world.pass(10_000);
    expect(world.request("r1")).toMatchObject({ attempt: 1, phase: "placed" });
  });

  test("that comes back without an attempt has lost it", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.submit("r1");
    world.disconnect("n0");
    expect(told(world.connect("n0", ["g0"]))).toEqual(["dispatch r1#2 to g0"]);
  });

  test("is told to stop and forget what nobody wants from it", () => {
    const world = new World();
    const step = world.connect("n0", ["g0"], { held: [ref("unknown", 1)] });
    expect(told(step)).toEqual(["cancel unknown#1 on n0", "acknowledge unknown#1 on n0"]);
  });

  test("is told again to stop an attempt whose stop it may have missed", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.submit("r1");
    world.disconnect("n0");
    world.cancel("r1");
    expect(told(world.connect("n0", ["g0"], { held: [ref("r1", 1)] }))).toEqual(["cancel r1#1 on n0"]);
  });

  test("is told to stop an attempt that was superseded while it was away", () => {
    const world = new World({ requestTimeoutMs: 0 });
    world.connect("n0", ["g0"]);
    world.submit("r1");
    world.connect("n1", ["g1"]);
    world.disconnect("n0");
    world.pass(6_000);
    expect(world.request("r1")).toMatchObject({ attempt: 2, nodeId: "n1" });
    expect(told(world.connect("n0", ["g0"], { held: [ref("r1", 1)] }))).toEqual(["cancel r1#1 on n0", "acknowledge r1#1 on n0"]);
  });

  test("that does not report a GPU any more gets no work for it until it does, whatever else befalls the GPU", () => {
    const world = new World({ requestTimeoutMs: 0 });
    world.connect("n0", ["g0", "g1"]);
    world.submit("r1", { gpu: "g1" });
    world.disconnect("n0");
    world.connect("n0", ["g0"], { held: [ref("r1", 1)] });
    world.step({ kind: "gpu_lost", nodeId: nodeId("n0"), gpuId: gpuId("g1"), reason: "Xid 79" });
    world.pass(301_000);
    expect(world.request("r1").phase).toBe("queued");
    expect(told(world.connect("n0", ["g0", "g1"]))).toEqual(["dispatch r1#2 to g1"]);
  });

  test("that was not heard of since a take-over loses its work after the same silence, even when its GPU has moved", () => {
    const world = new World({ requestTimeoutMs: 0 });
    world.connect("n0", ["g0"]);
    world.submit("r1");
    world.disconnect("n0");
    world.connect("n1", ["g0"]);
    expect(world.request("r1")).toMatchObject({ nodeId: "n0", phase: "placed" });

    const engine = new Engine(world.settings, takeSnapshot(world.engine.state));
    engine.step({ kind: "take_over", epoch: 2 }, world.nowMs);
    engine.step({ kind: "tick" }, world.nowMs + 5_000);
    expect(engine.state.requests.get(requestId("r1"))).toMatchObject({ attempt: 1, phase: "queued" });
  });
});

test("what waits at a take-over for a model that lies nowhere has it loaded", () => {
  const world = new World({ requestTimeoutMs: 0, strategy: "hybrid", hybrid: { ...DEFAULT_CORE_SETTINGS.hybrid, placement: true } });
  world.submit("r1", { model: "m" });
  const engine = new Engine(world.settings, takeSnapshot(world.engine.state));
  engine.step({ kind: "take_over", epoch: 2 }, world.nowMs);
  const loader = runner({ name: "loader", models: [], gpuIds: [gpuId("g0")], loadable: [{ modelId: modelId("m"), memoryMib: 10, loadMs: 1_000 }] });
  engine.step({ kind: "node_connected", nodeId: nodeId("n0"), instanceId: "i", gpus: [inventory("g0")], runners: [loader], held: [] }, world.nowMs);
  const ordered = [1_000, 2_000].flatMap((ms) => engine.step({ kind: "tick" }, world.nowMs + ms).effects);
  expect(ordered).toContainEqual({ kind: "order_model", nodeId: "n0", order: { runner: "loader", modelId: "m", action: "load" } });
});

describe("a GPU", () => {
  test("that is lost is taken out, its work goes elsewhere, and it returns after the cool-down", () => {
    const world = new World({ requestTimeoutMs: 0 });
    world.connect("n0", ["g0", "g1"]);
    world.submit("r1", {});
    const first = world.request("r1").gpuId;
    const other = first === "g0" ? "g1" : "g0";
    const step = world.step({ kind: "gpu_lost", nodeId: nodeId("n0"), gpuId: gpuId(first), reason: "Xid 79" });
    expect(told(step)).toEqual(["cancel r1#1 on n0", `dispatch r1#2 to ${other}`]);
    world.submit("pinned", { gpu: first });
    world.pass(299_000);
    expect(world.request("pinned").phase).toBe("queued");
    world.pass(1_000);
    expect(world.request("pinned").phase).toBe("placed");
  });

  test("that is lost under work that must not run twice gets it back only when the agent says that it has stopped", () => {
    const world = new World({ requestTimeoutMs: 0 });
    world.connect("n0", ["g0", "g1"]);
    world.submit("r1", { type: "training", idempotent: false });
    world.start("r1");
    const first = world.request("r1").gpuId;
    const step = world.step({ kind: "gpu_lost", nodeId: nodeId("n0"), gpuId: gpuId(first), reason: "Xid 79" });
    expect(told(step)).toEqual(["cancel r1#1 on n0"]);
    expect(world.request("r1").phase).toBe("running");
    world.end("r1", "cancelled");
    world.pass(2_000);
    expect(world.request("r1")).toMatchObject({ phase: "placed", attempt: 2, gpuId: first === "g0" ? "g1" : "g0" });
  });

  test("that another node speaks of is left alone", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.connect("n1", ["g1"]);
    world.submit("r1", { gpu: "g0" });
    expect(world.step({ kind: "gpu_lost", nodeId: nodeId("n1"), gpuId: gpuId("g0"), reason: "hearsay" })).toMatchObject({ records: [], effects: [] });
    expect(world.step({ kind: "gpu_lost", nodeId: nodeId("n1"), gpuId: gpuId("g9"), reason: "hearsay" })).toMatchObject({ records: [], effects: [] });
  });

  test("telemetry of another node's GPU or an unknown one is ignored", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    world.connect("n1", ["g1"]);
    world.observe("n1", [sample("g0", { memoryUsedMib: 5 }), sample("g9")]);
    expect(world.engine.state.fleet.telemetry[0]).toBeNull();
  });
});

describe("learning", () => {
  test("from outcomes fills in what later requests do not say", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    for (const id of ["a", "b", "c"]) {
      world.submit(id);
      world.end(id, "succeeded", { statistics: { runMs: 400, firstOutputMs: 0, inputTokens: 0, outputTokens: 0, peakMemoryMib: 700 } });
    }
    expect(world.engine.explain(spec("next"), world.nowMs).estimate).toEqual({ memoryMib: 700, durationMs: 400, source: "learned", p90Ms: 400 });
  });

  test("raises the performance index of a GPU that is faster than its like", () => {
    const world = new World();
    world.connect("n0", ["g0"]);
    for (const [id, runMs] of [["a", 400], ["b", 400], ["c", 400], ["fast", 200]] as const) {
      world.submit(id);
      world.end(id, "succeeded", { statistics: { runMs, firstOutputMs: 0, inputTokens: 0, outputTokens: 0, peakMemoryMib: 0 } });
    }
    expect(world.engine.state.fleet.performanceIndex[0]).toBeCloseTo(0.55, 10);
  });
});

describe("explain", () => {
  test("decides as a submit would, and changes nothing", () => {
    const world = new World();
    world.connect("n0", ["g0", "g1", "g2"]);
    const digest = world.engine.state.digest();
    const { changeSequence } = world.engine.state.fleet;
    const decision = world.engine.explain(spec("r1"), world.nowMs);
    expect(decision).toMatchObject({ strategy: "weighted", considered: 3, filters: [] });
    expect(decision.candidates).toHaveLength(3);
    expect(world.engine.state.digest()).toBe(digest);
    expect(world.engine.state.fleet.changeSequence).toBe(changeSequence);
  });

  test("says what keeps a request from every GPU", () => {
    const world = new World();
    world.connect("n0", ["g0"], { runners: [] });
    expect(world.engine.explain(spec("r1"), world.nowMs)).toMatchObject({
      considered: 1,
      candidates: [],
      filters: [{ filter: "model", removed: 1, needed: "a runner that serves m for inference; no GPU of this fleet could, even idle" }],
    });
  });
});

describe("recovery", () => {
  test("a digest is recorded every 50,000 records, replay checks it, and a wrong one is refused", () => {
    const world = new World({ requestTimeoutMs: 0 });
    world.connect("n0", ["g0"]);
    world.submit("live", { gpu: "g0" });
    for (let life = 0; world.records.at(-1)?.kind !== "state_digest"; life += 1) {
      expect(life).toBeLessThan(20_000);
      world.submit(`r${life}`);
      world.end(`r${life}`);
    }
    const recovered = new Engine(world.settings);
    for (const record of world.records) recovered.replay(record);
    expect(recovered.state.digest()).toBe(world.engine.state.digest());
    expect(() => recovered.replay({ kind: "state_digest", digest: 1 })).toThrow("the state differs");
  });

  test("settings that contradict themselves are refused at once", () => {
    expect(() => new Engine(settings({ strategy: "no_such" }))).toThrow('Unknown strategy "no_such": use hybrid, weighted, ');
    expect(() => new Engine(settings({ weights: { speed: 1 } }))).toThrow('Unknown weight "speed"');
  });
});
