// Each limit by itself: what it refuses, what it keeps waiting, when there is room again.
import { describe, expect, test } from "@jest/globals";
import { wishes } from "../build.js";
import { QuotaWorld } from "./world.js";

const MANY_GPUS = ["g0", "g1", "g2", "g3"];

describe("limits on what is on GPUs keep the rest waiting", () => {
  test("requests at once: exactly as many run as there may, and each end lets one in", () => {
    const world = new QuotaWorld({ concurrentRequests: 3 });
    world.connect("n", MANY_GPUS);
    for (let count = 0; count < 10; count += 1) expect(world.send("alice")).toMatchObject({ kind: "accepted" });
    for (let left = 10; left > 0; left -= 1) {
      expect(world.on("alice")).toHaveLength(Math.min(3, left));
      world.endOne("alice");
    }
    expect(world.engine.state.requests.size).toBe(0);
  });

  test("of priority 4 and 5: the others pass", () => {
    const world = new QuotaWorld({ priorityRequests: 1 });
    world.connect("n", MANY_GPUS);
    for (const priority of [5, 4, 5, 3, 2] as const) world.send("alice", { priority });
    expect(world.on("alice").map(({ spec }) => spec.priority).sort()).toEqual([2, 3, 5]);
    world.end(world.on("alice").find(({ spec }) => spec.priority === 5)!.spec.requestId);
    expect(world.on("alice").map(({ spec }) => spec.priority).sort()).toEqual([2, 3, 5]);
  });

  test("different GPUs: more requests go to those that are in use, and wait when these are full", () => {
    const world = new QuotaWorld({ gpus: 2 }, { maxConcurrentTasksPerGpu: 2 });
    world.connect("n", MANY_GPUS);
    for (let count = 0; count < 6; count += 1) world.send("alice");
    expect(world.on("alice")).toHaveLength(4);
    expect(new Set(world.on("alice").map(({ gpuId }) => gpuId)).size).toBe(2);
    world.endOne("alice");
    expect(world.on("alice")).toHaveLength(4);
    expect(new Set(world.on("alice").map(({ gpuId }) => gpuId)).size).toBe(2);
  });

  test("somebody else's end on a GPU that one may use lets one in", () => {
    const world = new QuotaWorld({ gpus: 1 }, { maxConcurrentTasksPerGpu: 2 });
    world.connect("n", ["g0"]);
    world.send("bob");
    world.send("alice");
    world.connect("m", ["h0"]);
    world.send("alice");
    expect(world.on("alice")).toHaveLength(1);
    expect(world.on("alice")[0]?.gpuId).toBe("g0");
    world.endOne("bob");
    expect(world.on("alice").map(({ gpuId }) => gpuId)).toEqual(["g0", "g0"]);
  });

  test("several GPUs at once: it waits until all of them may be had, and what could never be is refused", () => {
    const world = new QuotaWorld({ gpus: 3 });
    world.connect("n", MANY_GPUS);
    world.send("alice", { wishes: wishes({ gpus: 2 }) });
    world.send("alice", { wishes: wishes({ gpus: 2 }) });
    expect(world.on("alice")).toHaveLength(1);
    expect(world.send("alice", { wishes: wishes({ gpus: 4 }) })).toMatchObject({ kind: "over_quota", over: { name: "gpus", limit: 3, asked: 4 }, retryAfterMs: 0 });
    world.endOne("alice");
    expect(world.on("alice")).toHaveLength(1);
    expect(world.waiting("alice")).toHaveLength(0);
  });

  test("by model", () => {
    const world = new QuotaWorld({ modelRequests: { large: 1 } });
    world.connect("n", MANY_GPUS);
    for (const model of ["large", "large", "small", "small"]) world.send("alice", { model });
    expect(world.on("alice").map(({ spec }) => spec.modelId).sort()).toEqual(["large", "small", "small"]);
  });
});

describe("GPU time", () => {
  const LONG = { requirements: { expectedDurationMs: 60_000 } };

  test("is charged by estimate at dispatch, settled at the end, and what is beyond waits", () => {
    const world = new QuotaWorld({ gpuTimeMs: 150_000 });
    world.connect("n", MANY_GPUS);
    for (let count = 0; count < 4; count += 1) world.send("alice", LONG);
    expect(world.on("alice")).toHaveLength(2);
    expect(world.account("alice").reservedGpuMs).toBe(120_000);
    world.endOne("alice", 10_000);
    expect(world.account("alice").gpuUsedMs(world.nowMs, 86_400_000)).toBe(10_000);
    expect(world.on("alice")).toHaveLength(2);
    expect(world.account("alice").reservedGpuMs).toBe(120_000);
  });

  test("costs nothing when we failed it", () => {
    const world = new QuotaWorld({ gpuTimeMs: 150_000 }, { maxRetries: 0 });
    world.connect("n", MANY_GPUS);
    world.send("alice", LONG);
    const [request] = world.on("alice");
    world.start(request!.spec.requestId);
    world.nowMs += 30_000;
    world.end(request!.spec.requestId, "unavailable");
    expect(world.ended(request!.spec.requestId).error?.code).toBe("retries_exhausted");
    expect(world.account("alice").gpuUsedMs(world.nowMs, 86_400_000)).toBe(0);
    expect(world.account("alice").usage.gpuMs).toBe(0);
  });

  test("costs what ran when it failed by itself or was cancelled", () => {
    const world = new QuotaWorld({ gpuTimeMs: 600_000 });
    world.connect("n", MANY_GPUS);
    for (const outcome of ["failed", "cancelled"] as const) {
      world.send("alice", LONG);
      const { requestId } = world.on("alice")[0]!.spec;
      world.start(requestId);
      world.nowMs += 7_000;
      if (outcome === "cancelled") world.cancel(requestId);
      world.end(requestId, outcome);
    }
    expect(world.account("alice").usage.gpuMs).toBe(14_000);
  });

  test("refuses new requests when none is left, with the time of the next period; in that it goes on", () => {
    const periodMs = 86_400_000;
    const world = new QuotaWorld({ gpuTimeMs: 60_000 });
    world.nowMs = 3 * periodMs + 1_000;
    world.connect("n", MANY_GPUS);
    world.send("alice", LONG);
    world.send("alice", LONG);
    world.endOne("alice", 60_000);
    expect(world.on("alice")).toHaveLength(0);
    expect(world.waiting("alice")).toHaveLength(1);
    const refused = world.send("alice", LONG);
    expect(refused).toMatchObject({ kind: "over_quota", over: { name: "gpu_time", resetAtMs: 4 * periodMs }, retryAfterMs: 4 * periodMs - world.nowMs });
    world.pass(4 * periodMs - world.nowMs);
    expect(world.on("alice")).toHaveLength(1);
  });

  test("is not given anew because a clock is set back into the period before", () => {
    const periodMs = 86_400_000;
    const world = new QuotaWorld({ gpuTimeMs: 60_000 });
    world.nowMs = 3 * periodMs + 1_000;
    world.connect("n", MANY_GPUS);
    world.send("alice", LONG);
    world.endOne("alice", 50_000);
    world.nowMs = 3 * periodMs - 1_000;
    world.send("alice", { requirements: { expectedDurationMs: 10_000 } });
    world.endOne("alice", 500);
    expect(world.account("alice").gpuUsedMs(world.nowMs, periodMs)).toBe(50_500);
    expect(world.account("alice").gpuUsedMs(3 * periodMs + 2_000, periodMs)).toBe(50_500);
    expect(world.account("alice").gpuUsedMs(4 * periodMs, periodMs)).toBe(0);
    // A clock that was wrong by more holds nobody up.
    expect(world.account("alice").gpuUsedMs(periodMs, periodMs)).toBe(0);
  });

  test("lets what has come to need more than all of it since it was accepted go when nothing else counts", () => {
    const periodMs = 86_400_000;
    const world = new QuotaWorld({ gpuTimeMs: 90_000 });
    world.nowMs = 3 * periodMs + 1_000;
    world.connect("n", MANY_GPUS);
    world.send("alice", LONG);
    world.send("alice", LONG);
    world.set("alice", { gpuTimeMs: 30_000 });
    world.endOne("alice", 10_000);
    expect([world.on("alice").length, world.waiting("alice").length]).toEqual([0, 1]);
    world.pass(4 * periodMs - world.nowMs);
    expect([world.on("alice").length, world.waiting("alice").length]).toEqual([1, 0]);
    // And alone.
    expect(world.send("alice", { requirements: { expectedDurationMs: 1_000 } })).toMatchObject({ kind: "accepted" });
    expect([world.on("alice").length, world.waiting("alice").length]).toEqual([1, 1]);
  });

  test("refuses at once what is expected to take more than all of it", () => {
    const world = new QuotaWorld({ gpuTimeMs: 59_000 });
    expect(world.send("alice", LONG)).toMatchObject({ kind: "over_quota", over: { name: "gpu_time" }, retryAfterMs: 0 });
  });
});

describe("limits on what is sent and what waits refuse the rest", () => {
  test("requests per minute, with the time when there is room", () => {
    const world = new QuotaWorld({ requestsPerMinute: 5 });
    world.connect("n", MANY_GPUS);
    for (let count = 0; count < 5; count += 1) expect(world.send("alice")).toMatchObject({ kind: "accepted" });
    const refused = world.send("alice");
    expect(refused).toMatchObject({ kind: "rate_limited", over: { name: "requests_per_minute", subject: "user", subjectId: "alice", limit: 5, used: 5 } });
    const { retryAfterMs } = refused as Extract<typeof refused, { kind: "rate_limited" }>;
    expect(retryAfterMs).toBeGreaterThan(60_000 - 1);
    expect(retryAfterMs).toBeLessThanOrEqual(61_000);
    world.pass(retryAfterMs);
    expect(world.send("alice")).toMatchObject({ kind: "accepted" });
    expect(world.send("bob")).toMatchObject({ kind: "accepted" });
  });

  test("requests per day", () => {
    const world = new QuotaWorld({ requestsPerDay: 2 });
    for (const kind of ["accepted", "accepted", "rate_limited"]) expect(world.send("alice")).toMatchObject({ kind });
    world.pass(86_400_000 + 900_000);
    expect(world.send("alice")).toMatchObject({ kind: "accepted" });
  });

  test("a repeat of a known request counts once", () => {
    const world = new QuotaWorld({ requestsPerMinute: 1 });
    world.submit("same");
    expect(world.submit("same").submitted).toMatchObject({ kind: "known" });
  });

  test("requests in line and their bytes; what comes back for another attempt does not count again", () => {
    const world = new QuotaWorld({ queuedRequests: 2, queuedBytes: 25 }, { maxConcurrentTasksPerGpu: 1 });
    world.connect("n", ["g0"]);
    for (let count = 0; count < 3; count += 1) expect(world.send("alice")).toMatchObject({ kind: "accepted" });
    expect(world.send("alice")).toMatchObject({ kind: "over_quota", over: { name: "queued_requests", limit: 2, used: 2 } });
    world.end(world.on("alice")[0]!.spec.requestId, "unavailable");
    expect(world.account("alice").queued).toBeLessThanOrEqual(2);
    expect(world.send("bob", { payload: new Uint8Array(26) })).toMatchObject({ kind: "over_quota", over: { name: "queued_bytes" }, retryAfterMs: 0 });
  });
});

describe("who is held by his quota", () => {
  test("does not stand in the way of others who want the same", () => {
    const world = new QuotaWorld({ concurrentRequests: 1 });
    world.connect("n", ["g0"]);
    for (let count = 0; count < 50; count += 1) world.send("alice");
    for (const user of ["bob", "carol", "dave"]) world.send(user);
    for (const user of ["alice", "bob", "carol", "dave"]) expect(world.on(user)).toHaveLength(1);
  });

  test("is told so by Explain", () => {
    const world = new QuotaWorld({ concurrentRequests: 1, gpus: 1 });
    world.connect("n", MANY_GPUS);
    world.send("alice");
    world.send("alice");
    const { filters, candidates } = world.engine.explain(world.waiting("alice")[0]!.spec, world.nowMs);
    expect(candidates).toEqual([]);
    expect(filters).toEqual([{ filter: "quota", removed: 4, needed: 'room under a quota: user "alice" has 1 of 1 requests on GPUs at once' }]);
  });

  test("can be cancelled, and runs into his time-out", () => {
    const world = new QuotaWorld({ concurrentRequests: 1 });
    world.connect("n", MANY_GPUS);
    world.submit("runs");
    world.submit("cancelled");
    world.submit("late", { timeoutMs: 5_000 });
    world.submit("last");
    world.cancel("cancelled");
    expect(world.ended("cancelled").phase).toBe("cancelled");
    world.pass(6_000);
    expect(world.ended("late").error).toEqual({ code: "over_quota", message: expect.stringMatching(/^Not done within 5000 ms; .*quota of its user/) });
    world.end("runs");
    expect(world.request("last").phase).toBe("placed");
  });

  test("hears that it is too late for him, as anybody else", () => {
    const world = new QuotaWorld({ concurrentRequests: 1 }, { strategy: "hybrid" });
    world.connect("n", MANY_GPUS);
    world.submit("runs");
    world.submit("hurried", { wishes: wishes({ totalMs: 3_000, whenLate: "fail" }), requirements: { expectedDurationMs: 1_000, inputTokens: 10, outputTokens: 10 } });
    expect(world.request("hurried").phase).toBe("queued");
    for (let tick = 0; tick < 80; tick += 1) world.pass(50);
    expect(world.ended("hurried").error?.code).toBe("too_late");
  });
});

describe("teams", () => {
  test("both must have room: the user and his team", () => {
    const world = new QuotaWorld({ concurrentRequests: 2 });
    world.set("ml", { concurrentRequests: 3 }, "team");
    for (const user of ["alice", "bob"]) world.set(user, { team: "ml" });
    world.connect("n", MANY_GPUS);
    for (const user of ["alice", "alice", "alice", "bob", "bob", "bob", "carol"]) world.send(user);
    expect(["alice", "bob", "carol"].map((user) => world.on(user).length)).toEqual([2, 1, 1]);
    world.endOne("alice");
    expect(world.on("alice").length + world.on("bob").length).toBe(3);
  });

  test("what is live goes with who joins and leaves", () => {
    const world = new QuotaWorld({});
    world.set("ml", { concurrentRequests: 2 }, "team");
    world.connect("n", MANY_GPUS);
    for (const user of ["alice", "alice", "bob", "bob"]) world.send(user);
    for (const user of ["alice", "bob"]) world.set(user, { team: "ml" });
    expect(world.engine.state.quotas.team("ml")?.running).toBe(4);
    world.send("alice");
    expect(world.waiting("alice")).toHaveLength(1);
    world.set("alice", {});
    expect(world.engine.state.quotas.team("ml")?.running).toBe(2);
    expect(world.waiting("alice")).toHaveLength(0);
  });
});

describe("live change", () => {
  test("a higher limit lets the waiting go at once; a lower one stops nobody", () => {
    const world = new QuotaWorld({ concurrentRequests: 1 });
    world.connect("n", MANY_GPUS);
    for (let count = 0; count < 6; count += 1) world.send("alice");
    world.set("alice", { concurrentRequests: 4 });
    expect(world.on("alice")).toHaveLength(4);
    world.set("alice", { concurrentRequests: 2 });
    expect(world.on("alice")).toHaveLength(4);
    world.endOne("alice");
    world.endOne("alice");
    expect(world.on("alice")).toHaveLength(2);
    world.set("alice", { concurrentRequests: 0 });
    expect(world.waiting("alice")).toHaveLength(0);
  });

  test("shadow mode refuses and holds nobody, and counts whom it would have", () => {
    const world = new QuotaWorld({ concurrentRequests: 2, requestsPerMinute: 5, gpus: 1 }, {}, "shadow");
    world.connect("n", MANY_GPUS);
    for (let count = 0; count < 8; count += 1) expect(world.send("alice")).toMatchObject({ kind: "accepted" });
    expect(world.on("alice")).toHaveLength(8);
    const counts = world.engine.state.quotas.countsOf("user", "alice");
    expect(counts.get("requests_per_minute")).toBe(3);
    expect(counts.get("concurrent_requests")).toBe(6);
  });

  test("a held request is counted once, however often it is looked at", () => {
    const world = new QuotaWorld({ concurrentRequests: 1 });
    world.connect("n", MANY_GPUS);
    for (let count = 0; count < 3; count += 1) world.send("alice");
    for (let tick = 0; tick < 20; tick += 1) world.pass(50);
    expect(world.engine.state.quotas.countsOf("user", "alice").get("concurrent_requests")).toBe(1);
    world.endOne("alice");
    expect(world.engine.state.quotas.countsOf("user", "alice").get("concurrent_requests")).toBe(2);
  });
});
