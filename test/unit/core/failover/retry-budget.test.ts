import { describe, expect, test } from "@jest/globals";
import { Engine } from "../../../../src/core/engine.js";
import { RetryBudget } from "../../../../src/core/failover/retry-budget.js";
import { takeSnapshot } from "../../../../src/core/snapshot.js";
import { spec, World } from "../build.js";

/** How many of `asked` retries are allowed at `nowMs`. */
function taken(budget: RetryBudget, asked: number, nowMs: number): number {
  let count = 0;
  for (let index = 0; index < asked; index += 1) if (budget.take(nowMs)) count += 1;
  return count;
}

describe("The budget of retries", () => {
  test("is ten a second over ten seconds when there are no first attempts", () => {
    const budget = new RetryBudget();
    expect(taken(budget, 1_000, 5_000)).toBe(100);
    expect(taken(budget, 1_000, 14_999)).toBe(0);
    expect(taken(budget, 1_000, 15_000)).toBe(100);
  });

  test("grows by a fifth of the first attempts of the last ten seconds", () => {
    const budget = new RetryBudget();
    for (let index = 0; index < 1_000; index += 1) budget.firstAttempt(60_000 + index);
    expect(taken(budget, 1_000, 61_000)).toBe(300);
    expect(taken(budget, 1_000, 69_999)).toBe(0);
    // The first attempts are no longer recent, the retries for a second longer.
    expect(taken(budget, 1_000, 70_000)).toBe(0);
    expect(taken(budget, 1_000, 71_000)).toBe(100);
  });

  test("remembers nothing from before a long pause", () => {
    const budget = new RetryBudget();
    taken(budget, 100, 1_000);
    expect(taken(budget, 1_000, 3_600_000)).toBe(100);
  });
});

describe("A storm of failures", () => {
  const FAILING = { maxRetries: 100, requestTimeoutMs: 0, errorThreshold: 1, maxConcurrentTasksPerGpu: 1_000, retryDelayMs: 100 };

  test("is not answered by a storm of retries: what is above the budget waits for it, first come first served", () => {
    const world = new World(FAILING);
    world.connect("n0", ["g0"]);
    for (let index = 0; index < 300; index += 1) world.submit(`r${index}`);
    let retries = 0;
    for (let tick = 0; tick < 190; tick += 1) {
      const placed = [...world.engine.state.requests.values()].filter(({ phase }) => phase === "placed");
      for (const request of placed) world.end(request.spec.requestId, "unavailable");
      retries += world.pass(50).records.filter(({ kind }) => kind === "placed").length;
    }
    // In less than ten seconds: a hundred, and a fifth of the 300 that were dispatched for the first time.
    expect(retries).toBe(160);
    expect(world.engine.retriesHeldBack).toBeGreaterThan(0);
    expect(world.engine.state.requests.size).toBe(300);
  });

  test("that ends lets all that wait through, as the budget comes back", () => {
    const world = new World(FAILING);
    world.connect("n0", ["g0"]);
    for (let index = 0; index < 300; index += 1) world.submit(`r${index}`);
    for (const request of world.engine.state.requests.values()) world.end(request.spec.requestId, "unavailable");
    for (let tick = 0; tick < 1_000 && world.engine.state.waitingForRetry > 0; tick += 1) world.pass(50);
    expect(world.engine.state.waitingForRetry).toBe(0);
    expect([...world.engine.state.requests.values()].every(({ attempt }) => attempt === 2)).toBe(true);
  });

  test("holds nobody back who has given up: a cancelled request leaves at once", () => {
    const world = new World(FAILING);
    world.connect("n0", ["g0"]);
    for (let index = 0; index < 300; index += 1) world.submit(`r${index}`);
    for (const request of world.engine.state.requests.values()) world.end(request.spec.requestId, "unavailable");
    world.pass(500);
    for (let index = 0; index < 300; index += 1) world.cancel(`r${index}`);
    world.pass(50);
    expect([world.engine.retriesHeldBack, world.engine.state.waitingForRetry]).toEqual([0, 0]);
  });
});

test("work of a lost node needs no budget: all of it goes elsewhere at once", () => {
  const world = new World({ requestTimeoutMs: 0, maxConcurrentTasksPerGpu: 1_000 });
  world.connect("n0", ["g0"]);
  for (let index = 0; index < 500; index += 1) world.submit(`r${index}`);
  world.connect("n1", ["g1"]);
  const lost = world.step({ kind: "node_disconnected", nodeId: world.request("r0").nodeId as never, silentMs: 10_000 });
  expect(lost.records.filter(({ kind }) => kind === "placed")).toHaveLength(500);
});

test("a retry is not as late as the clock was ahead when the router before this one died", () => {
  const world = new World({ requestTimeoutMs: 0 });
  world.connect("n0", ["g0"]);
  const rightMs = world.nowMs;
  world.nowMs += 365 * 86_400_000;
  world.submit("ahead");
  world.end("ahead", "unavailable");
  const successor = new Engine(world.settings, takeSnapshot(world.engine.state));
  successor.step({ kind: "take_over", epoch: 2 }, rightMs);
  successor.step({ kind: "tick" }, rightMs + 50);
  expect([successor.state.waitingForRetry, successor.state.queue.size]).toEqual([0, 1]);
  // One that is due soon keeps its time.
  const soon = new Engine(world.settings, takeSnapshot(world.engine.state));
  soon.step({ kind: "take_over", epoch: 2 }, world.nowMs);
  soon.step({ kind: "tick" }, world.nowMs + 50);
  expect(soon.state.waitingForRetry).toBe(1);
});

test("a retry that needs no delay still needs the budget", () => {
  const world = new World({ retryDelayMs: 0, maxRetries: 1_000, requestTimeoutMs: 0, errorThreshold: 1 });
  world.connect("n0", ["g0"]);
  world.step({ kind: "submit", spec: spec("r") });
  for (let failures = 0; failures < 100; failures += 1) world.end("r", "unavailable");
  expect(world.request("r").phase).toBe("placed");
  world.end("r", "unavailable");
  expect(world.request("r").phase).toBe("queued");
  world.pass(9_000);
  expect(world.request("r").phase).toBe("queued");
  world.pass(1_050);
  expect(world.request("r")).toMatchObject({ phase: "placed", attempt: 102 });
});
