// Time-outs by where a request stands, from the configuration and from the request.
import { describe, expect, test } from "@jest/globals";
import { Engine } from "../../../../src/core/engine.js";
import type { Handling, StageTimeouts } from "../../../../src/core/model/request.js";
import { takeSnapshot } from "../../../../src/core/snapshot.js";
import { NO_LIMITS } from "../../../../src/core/model/quota.js";
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../../../../src/core/settings.js";
import { modelId, nodeId, ref, requestId, runner, told, wishes, World } from "../build.js";

const handling = (timeouts: StageTimeouts): Handling => ({ onInterruption: "restart", timeouts });
const worldOf = (timeouts: CoreSettings["timeouts"] = {}): World => new World({ timeouts, requestTimeoutMs: 0 });

/** Two GPUs on two nodes; r runs on the first. */
function running(timeouts: CoreSettings["timeouts"], spec: Parameters<World["submit"]>[1] = {}): World {
  const world = worldOf(timeouts);
  world.connect("n0", ["g0"]);
  world.submit("r", spec);
  world.start("r");
  world.connect("n1", ["g1"]);
  return world;
}

function dispatched(timeouts: CoreSettings["timeouts"], spec: Parameters<World["submit"]>[1] = {}): World {
  const world = worldOf(timeouts);
  world.connect("n0", ["g0"]);
  world.submit("r", spec);
  world.connect("n1", ["g1"]);
  return world;
}

const answer = (world: World, attempt = 1) => world.step({ kind: "attempt_answered", nodeId: nodeId("n0"), ref: ref("r", attempt) });

describe("Waiting", () => {
  test("too long fails the request and says so; nobody is blamed", () => {
    const world = worldOf({ inference: { waitingMs: 2_000 } });
    world.connect("n9", ["g9"]);
    world.disconnect("n9");
    world.submit("r");
    world.pass(1_950);
    expect(world.isLive("r")).toBe(true);
    world.pass(100);
    expect(world.ended("r")).toMatchObject({ phase: "failed", error: { code: "waiting_timeout", message: "It was waiting for a GPU for 2000 ms, which is its limit." } });
  });

  test("counts anew after an attempt, retry delay included", () => {
    const world = worldOf({ "*": { waitingMs: 2_000 } });
    world.connect("n0", ["g0"]);
    world.submit("r");
    world.pass(5_000);
    world.end("r", "unavailable");
    world.disconnect("n0");
    world.pass(1_950);
    expect(world.isLive("r")).toBe(true);
    world.pass(100);
    expect(world.ended("r")).toMatchObject({ error: { code: "waiting_timeout" } });
  });

  test("ends with the placement", () => {
    const world = dispatched({ "*": { waitingMs: 2_000 } });
    world.pass(60_000);
    expect(world.request("r").phase).toBe("placed");
  });
});

describe("Starting", () => {
  test("too late is a fault of agent or GPU: the attempt is stopped, the request tried elsewhere, the GPU's error rate rises", () => {
    const world = dispatched({ "*": { startingMs: 1_000 } });
    world.pass(950);
    expect(told(world.pass(100))).toEqual(["cancel r#1 on n0", "dispatch r#2 to g1"]);
    expect(world.records.find(({ kind }) => kind === "attempt_failed")).toMatchObject({ reason: "starting_timeout: It was dispatched and had not begun on g0 for 1000 ms, which is its limit." });
    expect(world.engine.state.fleet.health.errorRate[0]).toBeGreaterThan(0);
  });

  test("by a time that the caller brought is tried elsewhere too, and blames nobody", () => {
    const world = dispatched({}, { handling: handling({ startingMs: 1_000 }) });
    expect(told(world.pass(1_050))).toEqual(["cancel r#1 on n0", "dispatch r#2 to g1"]);
    expect(world.engine.state.fleet.health.errorRate[0]).toBe(0);
  });

  test("of work that must not run twice waits for the agent's word", () => {
    const world = dispatched({ "*": { startingMs: 1_000 } }, { type: "training", idempotent: false });
    expect(told(world.pass(1_050))).toEqual(["cancel r#1 on n0"]);
    expect(told(world.pass(10_000))).toEqual([]);
    expect(world.request("r").attempt).toBe(1);
    // A hello in between: it is told again.
    world.disconnect("n0");
    expect(told(world.connect("n0", ["g0"], { held: [ref("r", 1)] }))).toEqual(["cancel r#1 on n0"]);
    expect(told(world.end("r", "cancelled"))).toEqual(["acknowledge r#1 on n0", "dispatch r#2 to g1"]);
    expect(world.records.find(({ kind }) => kind === "attempt_failed")).toMatchObject({ reason: expect.stringMatching(/^starting_timeout/) });
  });

  test("again and again ends the request when its retries are used up", () => {
    const world = dispatched({ "*": { startingMs: 1_000 } });
    for (let round = 0; round < 10 && world.isLive("r"); round += 1) world.pass(1_050);
    expect(world.ended("r")).toMatchObject({ phase: "failed", error: { code: "retries_exhausted", message: expect.stringContaining("starting_timeout") } });
  });

  test("is over once the runner has begun", () => {
    const world = running({ "*": { startingMs: 1_000 } });
    world.pass(60_000);
    expect(world.request("r")).toMatchObject({ attempt: 1, phase: "running" });
  });
});

describe("Running", () => {
  test("too long fails the request when its agent has stopped it", () => {
    const world = running({ "*": { runningMs: 3_000 } });
    world.pass(2_950);
    expect(told(world.pass(100))).toEqual(["cancel r#1 on n0"]);
    world.end("r", "cancelled");
    expect(world.ended("r")).toMatchObject({ phase: "failed", error: { code: "running_timeout" } });
  });

  test("counts from the start of the present attempt", () => {
    const world = running({ "*": { runningMs: 3_000 } });
    world.pass(2_000);
    world.step({ kind: "gpu_lost", nodeId: nodeId("n0"), gpuId: world.request("r").gpuId as never, reason: "Xid 79" });
    world.start("r");
    world.pass(2_000);
    expect(world.request("r")).toMatchObject({ attempt: 2, stop: null });
    world.pass(1_050);
    expect(world.request("r").stop).toMatchObject({ stage: "running" });
  });
});

describe("Answering", () => {
  test("too late is tried elsewhere", () => {
    const world = running({ "*": { answeringMs: 1_000 } });
    expect(told(world.pass(1_050))).toEqual(["cancel r#1 on n0", "dispatch r#2 to g1"]);
    expect(world.records.find(({ kind }) => kind === "attempt_failed")).toMatchObject({ reason: expect.stringMatching(/^answering_timeout/) });
  });

  test.each<[string, (world: World) => unknown]>([
    ["output", answer],
    ["progress", (world) => world.step({ kind: "attempt_progress", nodeId: nodeId("n0"), ref: ref("r", 1), fraction: 0.1 })],
  ])("is over with the first %s, and is known to be after a restart", (_what, sign) => {
    const world = running({ "*": { answeringMs: 1_000, runningMs: 5_000 } });
    world.pass(900);
    sign(world);
    sign(world);
    expect(world.records.filter(({ kind }) => kind === "answered")).toHaveLength(1);
    const successor = new Engine(world.settings, takeSnapshot(world.engine.state));
    successor.step({ kind: "take_over", epoch: 2 }, world.nowMs);
    successor.step({ kind: "node_connected", nodeId: nodeId("n0"), instanceId: "i", gpus: [], runners: [], held: [ref("r", 1)] }, world.nowMs);
    successor.step({ kind: "tick" }, world.nowMs + 2_000);
    expect(successor.state.requests.get(requestId("r"))).toMatchObject({ attempt: 1, phase: "running", stop: null });
    // The timer of the whole run is still set.
    successor.step({ kind: "tick" }, world.nowMs + 4_200);
    expect(successor.state.requests.get(requestId("r"))?.stop).toMatchObject({ stage: "running" });
  });
});

describe("What a request that was never served ends as", () => {
  const WAITING = { "*": { waitingMs: 2_000 } };

  /** One GPU with one slot, which somebody has. */
  function busy(over: Partial<CoreSettings> = {}): World {
    const world = new World({ timeouts: WAITING, requestTimeoutMs: 0, maxConcurrentTasksPerGpu: 1, ...over });
    world.connect("n0", ["g0"], { runners: [runner({ models: [modelId("m")] })] });
    world.submit("first");
    world.start("first");
    return world;
  }

  test("shed: no capacity, it made way for more urgent work", () => {
    const world = busy({ maxQueuedRequests: 1, queueHeadroom: 0 });
    world.submit("low", { priority: 1 });
    world.submit("high", { priority: 5 });
    expect(world.ended("low").error?.code).toBe("shed");
  });

  test("waiting_timeout: expired, others were served before it", () => {
    const world = busy();
    world.submit("r");
    world.pass(2_100);
    expect(world.ended("r").error?.code).toBe("waiting_timeout");
  });

  test.each([
    ["its model", { model: "nobody-has-it" }],
    ["a GPU of its own", { gpu: "g-that-is-not-there" }],
    ["memory", { requirements: { memoryMib: 1e6 } }],
    ["GPUs on one node", { wishes: wishes({ gpus: 8 }) }],
  ])("no_eligible_gpu: the whole fleet lacks %s, which is no matter of waiting", (_what, spec) => {
    const world = busy();
    world.submit("r", spec);
    world.pass(2_100);
    expect(world.ended("r")).toMatchObject({ phase: "failed", error: { code: "no_eligible_gpu", message: expect.stringMatching(/^It was waiting for a GPU for 2000 ms.*No GPU of the fleet can take it/) } });
  });

  test("no_eligible_gpu when the time of the whole request is up too; one that is served before is not concerned", () => {
    const world = busy({ timeouts: {} });
    world.submit("never", { model: "late-model", timeoutMs: 1_000 });
    world.submit("in time", { model: "late-model", timeoutMs: 60_000 });
    world.pass(1_100);
    expect(world.ended("never").error?.code).toBe("no_eligible_gpu");
    world.connect("n1", ["g1"], { runners: [runner({ models: [modelId("late-model")] })] });
    expect(world.request("in time").gpuId).toBe("g1");
  });

  test("over_quota: its user's quota kept it from the GPU that was free", () => {
    const world = busy({ maxConcurrentTasksPerGpu: 4, quota: { ...DEFAULT_CORE_SETTINGS.quota, mode: "enforce", defaults: { ...NO_LIMITS, concurrentRequests: 1 } } });
    world.submit("r");
    world.pass(2_100);
    expect(world.ended("r").error?.code).toBe("over_quota");
  });

  test("is the same after a restart of the router", () => {
    const world = busy();
    world.submit("r", { model: "nobody-has-it" });
    const successor = new Engine(world.settings, takeSnapshot(world.engine.state));
    successor.step({ kind: "take_over", epoch: 2 }, world.nowMs);
    const { records } = successor.step({ kind: "tick" }, world.nowMs + 2_100);
    expect(records.find((record) => record.kind === "ended")).toMatchObject({ requestId: "r", error: { code: "no_eligible_gpu" } });
  });
});

describe("The time that counts", () => {
  const TABLE: CoreSettings["timeouts"] = {
    "inference/5": { waitingMs: 1_000 },
    inference: { waitingMs: 2_000, totalMs: 20_000 },
    "*/5": { waitingMs: 3_000 },
    "*": { waitingMs: 4_000, totalMs: 40_000 },
  };

  test.each<[string, Parameters<World["submit"]>[1], number, number]>([
    ["type and priority before type", { priority: 5 }, 1_000, 20_000],
    ["type before priority", { priority: 3 }, 2_000, 20_000],
    ["priority before the rest", { priority: 5, type: "training" }, 3_000, 40_000],
    ["the rest", { type: "training" }, 4_000, 40_000],
    ["what the request brings before all", { priority: 5, timeoutMs: 7_000, handling: handling({ waitingMs: 500 }) }, 500, 7_000],
  ])("is %s", (_words, spec, waitingMs, totalMs) => {
    const world = worldOf(TABLE);
    world.connect("n9", ["g9"]);
    world.disconnect("n9");
    world.submit("r", spec);
    expect(world.request("r").deadlineAtMs - world.nowMs).toBe(totalMs);
    world.pass(waitingMs - 50);
    expect(world.isLive("r")).toBe(true);
    world.pass(100);
    expect(world.ended("r").error?.code).toBe("waiting_timeout");
  });

  test("is none where the request wants none", () => {
    const world = worldOf({ "*": { waitingMs: 1_000 } });
    world.submit("r", { handling: handling({ waitingMs: 0 }) });
    world.pass(3_600_000);
    expect(world.isLive("r")).toBe(true);
  });

  test("is none by default, but for the whole of inference", () => {
    const world = new World();
    world.submit("inference");
    world.submit("training", { type: "training" });
    expect([world.request("inference").deadlineAtMs - world.nowMs, world.request("training").deadlineAtMs]).toEqual([30_000, 0]);
  });
});

test("timers are set again after a restart, also for what was accepted without any", () => {
  const world = new World({ requestTimeoutMs: 0 });
  world.submit("r");
  const successor = new Engine({ ...world.settings, timeouts: { "*": { waitingMs: 1_000 } } }, takeSnapshot(world.engine.state));
  successor.step({ kind: "take_over", epoch: 2 }, world.nowMs + 500);
  successor.step({ kind: "tick" }, world.nowMs + 950);
  expect(successor.state.requests.size).toBe(1);
  successor.step({ kind: "tick" }, world.nowMs + 1_050);
  expect(successor.state.requests.size).toBe(0);
});
