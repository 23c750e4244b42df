// The default strategy through the engine: what waits though a slot is free, what is placed when time heals, what is given up.
import { describe, expect, test } from "@jest/globals";
import { Engine } from "../../../../../src/core/engine.js";
import type { RunStatistics, Wishes } from "../../../../../src/core/model/request.js";
import type { UserId } from "../../../../../src/core/model/ids.js";
import { takeSnapshot } from "../../../../../src/core/snapshot.js";
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../../../../../src/core/settings.js";
import { gpuId, inventory, modelId, nodeId, requestId, runner, World, wishes } from "../../build.js";

const A100 = "NVIDIA A100-SXM4-80GB";
const SETTINGS: Partial<CoreSettings> = { strategy: "hybrid", maxConcurrentTasksPerGpu: 64, requestTimeoutMs: 0, telemetryIntervalMs: 1_000_000 };

/** A node of `gpus` A100. */
function world(gpus = 1, over: Partial<CoreSettings> = {}, kvCapacityTokens = 0): World {
  const one = new World({ ...SETTINGS, ...over });
  const ids = Array.from({ length: gpus }, (_, index) => `g${index}`);
  one.connect("node", ids.map((id) => inventory(id, { name: A100 })), { runners: ids.map((id) => runner({ name: `runner-${id}`, gpuIds: [gpuId(id)], kvCapacityTokens })) });
  return one;
}

interface Job {
  readonly tokens: readonly [input: number, output: number];
  readonly wishes?: Partial<Wishes>;
  readonly priority?: 1 | 2 | 3 | 4 | 5;
  readonly user?: string;
}

function submit(one: World, id: string, { tokens: [inputTokens, outputTokens], wishes: wished, priority = 3, user = "user" }: Job): void {
  one.submit(id, { priority, userId: user as UserId, requirements: { inputTokens, outputTokens }, ...(wished ? { wishes: wishes(wished) } : {}) });
}

function finish(one: World, id: string, over: Partial<RunStatistics> = {}): void {
  one.end(id, "succeeded", { statistics: { runMs: 0, firstOutputMs: 0, inputTokens: 0, outputTokens: 0, peakMemoryMib: 0, ...over } });
}

const phase = (one: World, id: string): string => one.request(id).phase;
const removedBy = (one: World, id: string): string[] => one.engine.explain(one.request(id).spec, one.nowMs).filters.map(({ filter }) => filter);

describe("a request waits though a slot is free", () => {
  test("while its prompt would push one that runs over its deadline; then it goes", () => {
    const one = world();
    submit(one, "promised", { tokens: [100, 100], wishes: { totalMs: 2_000 } });
    expect(phase(one, "promised")).toBe("placed");
    submit(one, "long", { tokens: [20_000, 10], wishes: { totalMs: 60_000 } });
    expect(phase(one, "long")).toBe("queued");
    expect(removedBy(one, "long")).toEqual(["others_promises"]);
    one.nowMs += 1_300;
    finish(one, "promised");
    expect(phase(one, "long")).toBe("placed");
  });

  test("but goes to another GPU that can bear it", () => {
    const one = world(2);
    submit(one, "promised", { tokens: [100, 100], wishes: { totalMs: 2_000 } });
    submit(one, "long", { tokens: [20_000, 10], wishes: { totalMs: 60_000 } });
    expect(one.request("long").gpuId).not.toBe(one.request("promised").gpuId);
    expect(phase(one, "long")).toBe("placed");
  });

  test("while its own promise could not be kept, but not when it has none", () => {
    const one = world();
    submit(one, "reading", { tokens: [30_000, 10], wishes: { totalMs: 60_000 } });
    submit(one, "hurried", { tokens: [100, 20], wishes: { firstOutputMs: 1_500 } });
    submit(one, "patient", { tokens: [100, 20], wishes: { firstOutputMs: 30_000 } });
    one.pass(50);
    expect([phase(one, "hurried"), phase(one, "patient")]).toEqual(["queued", "placed"]);
    expect(removedBy(one, "hurried")).toEqual(["own_promise"]);
  });

  test("while the cache has no room for it", () => {
    const one = world(1, {}, 1_000);
    submit(one, "first", { tokens: [500, 100], wishes: { totalMs: 60_000 } });
    one.pass(100);
    submit(one, "second", { tokens: [300, 200], wishes: { totalMs: 90_000 } });
    expect(phase(one, "second")).toBe("queued");
    expect(removedBy(one, "second")).toEqual(["kv_room"]);
    finish(one, "first");
    expect(phase(one, "second")).toBe("placed");
  });

  test("never when late binding is taken out", () => {
    const one = world(1, { hybrid: { ...DEFAULT_CORE_SETTINGS.hybrid, lateBinding: false, lateExit: false } });
    submit(one, "promised", { tokens: [100, 100], wishes: { totalMs: 2_000 } });
    submit(one, "long", { tokens: [20_000, 10], wishes: { totalMs: 60_000 } });
    expect(phase(one, "long")).toBe("placed");
  });
});

describe("what the clock keeps out", () => {
  /** A GPU that somebody is promised something on, with a long prompt in front. */
  function reading(): World {
    const one = world();
    submit(one, "promised", { tokens: [100, 300], wishes: { totalMs: 600_000 } });
    submit(one, "reading", { tokens: [12_000, 300], wishes: { totalMs: 600_000 } });
    one.pass(1_000);
    submit(one, "more", { tokens: [12_000, 300], wishes: { totalMs: 600_000 } });
    return one;
  }

  test("is placed when its time has come, though nothing happens but that time passes", () => {
    const one = reading();
    submit(one, "batch", { tokens: [4_000, 10], priority: 1 });
    expect(phase(one, "batch")).toBe("queued");
    expect(removedBy(one, "batch")).toEqual(["batch_share"]);
    let waitedMs = 0;
    for (; phase(one, "batch") === "queued" && waitedMs < 5_000; waitedMs += 50) one.pass(50);
    expect(phase(one, "batch")).toBe("placed");
    expect(waitedMs).toBeGreaterThan(100);
  });

  test("is placed by the clock even if at first the cache kept it out", () => {
    const one = world(1, {}, 40_000);
    submit(one, "promised", { tokens: [100, 300], wishes: { totalMs: 600_000 } });
    submit(one, "large", { tokens: [100, 29_000], wishes: { totalMs: 6_000_000 } });
    submit(one, "reading", { tokens: [8_000, 300], wishes: { totalMs: 600_000 } });
    one.pass(100);
    submit(one, "batch", { tokens: [6_000, 10], priority: 1 });
    expect(removedBy(one, "batch")).toEqual(["kv_room"]);
    finish(one, "large");
    expect(phase(one, "batch")).toBe("queued");
    expect(removedBy(one, "batch")).toEqual(["batch_share"]);
    for (let waitedMs = 0; waitedMs < 3_000; waitedMs += 50) one.pass(50);
    expect(phase(one, "batch")).toBe("placed");
  });

  test("does not keep an idle GPU from a promise for what was read there a minute ago", () => {
    const one = world();
    for (let turn = 0; turn < 12; turn += 1) submit(one, `r${turn}`, { tokens: [16_000, 10], wishes: { totalMs: 100_000 } });
    for (let waitedMs = 0; waitedMs < 20_000; waitedMs += 100) one.pass(100);
    for (let turn = 0; turn < 12; turn += 1) finish(one, `r${turn}`);
    for (let waitedMs = 0; waitedMs < 60_000; waitedMs += 1_000) one.pass(1_000);
    submit(one, "now", { tokens: [100, 100], wishes: { totalMs: 1_500 } });
    expect(phase(one, "now")).toBe("placed");
  });
});

describe("a request that cannot be in time any more", () => {
  const HURRIED: Job = { tokens: [100, 50], wishes: { totalMs: 2_000 } };

  function full(over: Partial<Wishes> = {}): World {
    const one = world(1, { maxConcurrentTasksPerGpu: 1 });
    submit(one, "running", { tokens: [100, 100_000] });
    submit(one, "hurried", { ...HURRIED, wishes: { totalMs: 2_000, ...over } });
    return one;
  }

  test("fails at once when it asked for that, though no GPU has changed", () => {
    const one = full({ whenLate: "fail" });
    one.pass(1_000);
    expect(phase(one, "hurried")).toBe("queued");
    one.pass(1_000);
    expect(one.ended("hurried")).toMatchObject({ phase: "failed", error: { code: "too_late" } });
  });

  test("else makes way for those that can, and is served after them", () => {
    const one = full();
    one.pass(2_100);
    expect(one.engine.state.queue.get(requestId("hurried"))).toMatchObject({ late: true });
    submit(one, "fresh", { ...HURRIED, wishes: { totalMs: 3_000 } });
    submit(one, "batch", { tokens: [10, 10], priority: 1 });
    finish(one, "running");
    expect([phase(one, "fresh"), phase(one, "hurried")]).toEqual(["placed", "queued"]);
    finish(one, "fresh");
    expect([phase(one, "hurried"), phase(one, "batch")]).toEqual(["placed", "queued"]);
  });

  test("is late from the start when nothing is fast enough", () => {
    const one = world();
    submit(one, "impossible", { tokens: [10_000, 10], wishes: { firstOutputMs: 10, whenLate: "fail" } });
    expect(one.ended("impossible")).toMatchObject({ error: { code: "too_late" } });
    submit(one, "demoted", { tokens: [10_000, 10], wishes: { firstOutputMs: 10 } });
    expect(phase(one, "demoted")).toBe("placed");
  });

  test("is not late for a long prompt that a GPU has read before, but for its end", () => {
    const blocks = Array.from({ length: 150 }, (_, index) => index + 1);
    const long: Job = { tokens: [78_000, 10], wishes: { firstOutputMs: 2_000, whenLate: "fail", prefixHashes: blocks } };
    const cold = world();
    submit(cold, "turn", long);
    expect(cold.ended("turn")).toMatchObject({ error: { code: "too_late" } });
    const warm = world();
    submit(warm, "before", { ...long, wishes: { prefixHashes: blocks } });
    warm.nowMs += 20_000;
    finish(warm, "before");
    submit(warm, "turn", long);
    expect(phase(warm, "turn")).toBe("placed");
  });

  test("is late when only a faster GPU that does not serve its model could do it", () => {
    const one = new World(SETTINGS);
    const hurried: Job = { tokens: [100, 100], wishes: { totalMs: 2_000, whenLate: "fail" } };
    one.connect("node", [inventory("g0", { name: "Tesla T4" }), inventory("g1", { name: A100 })], { runners: [runner({ name: "slow", gpuIds: [gpuId("g0")] }), runner({ name: "fast", gpuIds: [gpuId("g1")], models: [modelId("another")] })] });
    submit(one, "hurried", hurried);
    expect(one.ended("hurried")).toMatchObject({ error: { code: "too_late" } });
  });

  test("never delays one that was promised something", () => {
    const one = world();
    submit(one, "promised", { tokens: [100, 100], wishes: { totalMs: 1_800 } });
    submit(one, "late", { tokens: [20_000, 10], wishes: { firstOutputMs: 10 } });
    expect(one.engine.state.queue.get(requestId("late"))).toMatchObject({ late: true });
    expect(phase(one, "late")).toBe("queued");
  });

  test("stays in line when late exits are taken out", () => {
    const one = world(1, { maxConcurrentTasksPerGpu: 1, hybrid: { ...DEFAULT_CORE_SETTINGS.hybrid, lateExit: false } });
    submit(one, "running", { tokens: [100, 100_000] });
    submit(one, "hurried", { ...HURRIED, wishes: { totalMs: 2_000, whenLate: "fail" } });
    one.pass(60_000);
    expect(phase(one, "hurried")).toBe("queued");
  });
});

describe("of the GPUs that can keep its promise a request gets", () => {
  // On g0 one with a long answer, on g1 two that are nearly done.
  const busyWorld = (secondsScore: boolean): World => {
    const one = world(2, { hybrid: { ...DEFAULT_CORE_SETTINGS.hybrid, secondsScore } });
    one.submit("long", { gpu: "g0", requirements: { inputTokens: 20_000, outputTokens: 2_000 } });
    for (const id of ["short", "shorter"]) one.submit(id, { gpu: "g1", requirements: { inputTokens: 10, outputTokens: 2 } });
    submit(one, "new", { tokens: [100, 100], wishes: { totalMs: 60_000 } });
    return one;
  };

  test("the one that costs the fewest seconds", () => {
    expect(busyWorld(true).request("new").gpuId).toBe("g1");
  });

  test("without the score in seconds the one with the fewest requests", () => {
    expect(busyWorld(false).request("new").gpuId).toBe("g0");
  });
});

describe("an engine that others use too", () => {
  const busy = (one: World, gpu: string, running: number): void => void one.step({ kind: "runner_load", nodeId: nodeId("node"), loads: [{ runner: `runner-${gpu}`, running, waiting: 0, kvUse: 0.5, ageMs: 0 }] });
  const shared = (): World => {
    const one = new World(SETTINGS);
    one.connect("node", ["g0", "g1"].map((id) => inventory(id, { name: A100 })), { runners: ["g0", "g1"].map((id) => runner({ name: `runner-${id}`, models: [modelId("m")], gpuIds: [gpuId(id)], kvCapacityTokens: 100_000 })) });
    return one;
  };
  const next = (one: World, id: string): string => {
    submit(one, id, { tokens: [100, 100], wishes: { totalMs: 60_000 } });
    return one.request(id).gpuId;
  };

  test("gets less, until it has told for a while that they are gone, or nothing at all", () => {
    const one = shared();
    for (let turn = 0; turn < 2; turn += 1) busy(one, "g0", 30);
    expect([next(one, "a"), next(one, "b"), next(one, "c")]).toEqual(["g1", "g1", "g1"]);
    busy(one, "g0", 0);
    expect(next(one, "d")).toBe("g0");
    for (let turn = 0; turn < 2; turn += 1) busy(one, "g1", 40);
    expect(one.engine.state.fleet.work.others.has(1)).toBe(true);
    one.pass(2 * SETTINGS.telemetryIntervalMs! + 1);
    expect(one.engine.state.fleet.work.others.has(1)).toBe(false);
  });

  test("and whose node is gone is believed nothing any more", () => {
    const one = shared();
    for (let turn = 0; turn < 2; turn += 1) busy(one, "g0", 30);
    one.step({ kind: "node_disconnected", nodeId: nodeId("node") });
    one.pass(1_000);
    expect(one.engine.state.fleet.work.others.has(0)).toBe(false);
  });
});

describe("batch work", () => {
  test("takes its share of a GPU beside interactive requests, and all of it where there are none", () => {
    const counts = [true, false].map((beside) => {
      const one = world(1, { maxConcurrentTasksPerGpu: 500 });
      if (beside) submit(one, "chat", { tokens: [100, 200], wishes: { totalMs: 8_000 }, priority: 5 });
      one.pass(1_000);
      for (let turn = 0; turn < 300; turn += 1) {
        submit(one, `b${turn}`, { tokens: [50, 200], priority: 1 });
        if (turn % 10 === 0) one.pass(100);
      }
      return { placed: one.engine.state.fleet.active[0]!, stepMs: one.engine.state.fleet.work.stepMs[0]!, limitMs: one.engine.state.fleet.work.batchStepLimitMs[0]! };
    });
    const [beside, alone] = counts;
    expect(alone!.placed).toBe(300);
    expect(beside!.placed).toBeGreaterThan(5);
    expect(beside!.placed).toBeLessThan(250);
    expect(beside!.stepMs).toBeLessThanOrEqual(beside!.limitMs);
  });

  test("has the GPU to itself again when nobody was promised anything for a while", () => {
    const one = world(1, { maxConcurrentTasksPerGpu: 500 });
    submit(one, "chat", { tokens: [100, 200], wishes: { totalMs: 3_500 }, priority: 5 });
    one.pass(1_000);
    for (let turn = 0; turn < 200; turn += 1) submit(one, `b${turn}`, { tokens: [50, 200], priority: 1 });
    finish(one, "chat");
    const before = one.engine.state.queue.size;
    expect(before).toBeGreaterThan(0);
    for (let waitedMs = 0; waitedMs < 90_000; waitedMs += 1_000) one.pass(1_000);
    expect(one.engine.state.queue.size).toBe(0);
  });
});

describe("one user", () => {
  test("does not hold up another of the same priority and model with what fits nowhere", () => {
    const one = world(1, {}, 10_000);
    submit(one, "running", { tokens: [100, 500], wishes: { totalMs: 100_000 } });
    one.pass(100);
    submit(one, "giant", { tokens: [30_000, 500], wishes: { totalMs: 900_000 }, user: "a" });
    submit(one, "small of a", { tokens: [100, 50], wishes: { totalMs: 910_000 }, user: "a" });
    submit(one, "small of b", { tokens: [100, 50], wishes: { totalMs: 920_000 }, user: "b" });
    one.pass(100);
    expect(phase(one, "giant")).toBe("queued");
    expect([phase(one, "small of a"), phase(one, "small of b")]).toEqual(["placed", "placed"]);
  });
});

describe("an agent that measures nonsense", () => {
  test.each([Number.NaN, Number.POSITIVE_INFINITY, -5])("(%d ms) stops nothing and teaches nothing", (runMs) => {
    const one = world(1, { maxConcurrentTasksPerGpu: 1 });
    for (let turn = 0; turn < 6; turn += 1) one.submit(`r${turn}`);
    for (let turn = 0; turn < 5; turn += 1) finish(one, `r${turn}`, { runMs, firstOutputMs: runMs });
    expect(phase(one, "r5")).toBe("placed");
    one.submit("next");
    expect(one.engine.state.queue.get(requestId("next"))?.estimate).toMatchObject({ durationMs: 1_000, source: "default" });
  });
});

describe("after a restart", () => {
  test("a GPU still knows what it holds, in the order in which it was placed", () => {
    const one = world(1, { maxConcurrentTasksPerGpu: 2 });
    submit(one, "a", { tokens: [100, 400], wishes: { totalMs: 30_000 } });
    submit(one, "b", { tokens: [2_000, 400], wishes: { totalMs: 30_000 } });
    submit(one, "c", { tokens: [100, 400], wishes: { totalMs: 50_000 } });
    submit(one, "d", { tokens: [100, 400], wishes: { totalMs: 40_000 } });
    one.nowMs += 2_000;
    finish(one, "a");
    one.nowMs += 3_000;
    finish(one, "b");
    expect([phase(one, "c"), phase(one, "d")]).toEqual(["placed", "placed"]);
    expect(one.request("c").placedAtMs).toBeGreaterThan(one.request("d").placedAtMs);
    const live = one.engine.state.fleet.work;
    live.follow(one.nowMs + 2_000);
    const { work } = new Engine(one.settings, structuredClone(takeSnapshot(one.engine.state))).state.fleet;
    work.follow(one.nowMs + 2_000);
    for (const column of ["stepMs", "held", "kvTokens"] as const) expect([column, work[column][0]]).toEqual([column, live[column][0]]);
    expect(work.remainingTokens[0]! / live.remainingTokens[0]!).toBeCloseTo(1, 1);
    expect(work.slackMs[0]! / live.slackMs[0]!).toBeCloseTo(1, 1);
  });
});
