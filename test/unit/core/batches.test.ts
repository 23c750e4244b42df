// Batches through the engine: where their requests go, when they wait for that, and what is left of it after deaths, cancels and restarts.
import { describe, expect, test } from "@jest/globals";
import { Engine } from "../../../src/core/engine.js";
import type { BatchRef, RequestSpec } from "../../../src/core/model/request.js";
import type { CoreSettings } from "../../../src/core/settings.js";
import { takeSnapshot } from "../../../src/core/snapshot.js";
import { gpuId, requestId, runner, modelId, wishes, World } from "./build.js";

const GPUS = ["g0", "g1", "g2", "g3", "g4", "g5"];

function world(over: Partial<CoreSettings> = {}): World {
  const one = new World({ strategy: "least_outstanding", requestTimeoutMs: 0, maxConcurrentTasksPerGpu: 8, retryDelayMs: 0, ...over });
  one.connect("a", GPUS.slice(0, 3));
  one.connect("b", GPUS.slice(3));
  return one;
}

const ref = (size: number, over: Partial<BatchRef> = {}): BatchRef => ({ id: "batch", size, split: null, minPerGpu: 0, ...over });

/** The requests of a batch, in the order in which they come: b0, b1 and so on. */
function submit(one: World, batch: BatchRef, over: Partial<RequestSpec> = {}): void {
  for (let item = 0; item < batch.size; item += 1) one.submit(`b${item}`, { batch, ...over });
}

const gpuOf = (one: World, item: number): string => one.request(`b${item}`).gpuId;

/** How many of a batch each GPU has now, the largest first. */
function shares(one: World): number[] {
  const counts = new Map<string, number>();
  for (const { spec, gpuId: gpu } of one.engine.state.requests.values()) if (spec.batch && gpu !== "") counts.set(gpu, (counts.get(gpu) ?? 0) + 1);
  return [...counts.values()].sort((a, b) => b - a);
}

describe("a batch on idle GPUs", () => {
  test.each<[string, BatchRef, number[]]>([
    ["of twelve is on three, four on each as configured", ref(12), [4, 4, 4]],
    ["of eleven is on two", ref(11), [6, 5]],
    ["of three is on one: more do not exist", ref(3), [3]],
    ["of twelve that asks for six on each is on two", ref(12, { minPerGpu: 6 }), [6, 6]],
    ["that asks for one on each is everywhere", ref(12, { minPerGpu: 1 }), [2, 2, 2, 2, 2, 2]],
    ["that shall not be split is on one", ref(8, { split: false }), [8]],
  ])("%s", (_, batch, expected) => {
    const one = world();
    submit(one, batch);
    expect(shares(one)).toEqual(expected);
  });

  test("is on one where that is configured, unless it says otherwise", () => {
    const batch = { split: false, minPerGpu: 2, maxHoldMs: 2_000 };
    const configured = world({ batch });
    submit(configured, ref(8));
    expect(shares(configured)).toEqual([8]);
    const asked = world({ batch });
    submit(asked, ref(8, { split: true }));
    expect(shares(asked)).toEqual([2, 2, 2, 2]);
  });

  test.each<[string, Partial<RequestSpec>]>([
    ["is pinned", { specificGpuId: gpuId("g5") }],
    ["has whole GPUs", { type: "training" }],
  ])("says nothing where a request %s", (_, over) => {
    const one = world();
    submit(one, ref(4), over);
    expect(one.engine.state.queue.size).toBe(0);
    expect(shares(one)).toEqual(over.type ? [1, 1, 1, 1] : [4]);
  });
});

describe("a request of a batch that has no room on its GPUs", () => {
  const full = (over: Partial<CoreSettings> = {}): World => world({ maxConcurrentTasksPerGpu: 2, ...over });

  test("waits beside free GPUs, and Explain says for what; it goes where one of its batch ends", () => {
    const one = full();
    submit(one, ref(4));
    const [first] = [gpuOf(one, 0)];
    expect(shares(one)).toEqual([2]);
    const { filters, candidates } = one.engine.explain(one.request("b2").spec, one.nowMs);
    expect(candidates).toEqual([]);
    expect(filters).toContainEqual({ filter: "batch", removed: 5, needed: `a GPU of its batch of 4, at least 4 on each: ${first} has 2` });
    one.end("b0");
    expect(gpuOf(one, 2)).toBe(first);
  });

  test("does not keep others from the free GPUs meanwhile", () => {
    const one = full();
    submit(one, ref(4));
    one.submit("other");
    expect(one.request("other").phase).toBe("placed");
  });

  test("waits for two seconds of standstill, then goes where there is room; the rest follows it", () => {
    const one = full();
    submit(one, ref(4));
    one.pass(1_900);
    expect(shares(one)).toEqual([2]);
    one.pass(200);
    expect(shares(one)).toEqual([2, 2]);
  });

  test("is not held back by its batch while there is no room anywhere", () => {
    const one = full();
    for (let other = 0; other < 11; other += 1) one.submit(`other-${other}`);
    submit(one, ref(4));
    // All are full: that is no standstill for the sake of the batch.
    one.pass(10_000);
    expect(shares(one)).toEqual([1]);
    const elsewhere = GPUS.find((gpu) => gpu !== gpuOf(one, 0));
    one.end([...one.engine.state.requests.values()].find(({ gpuId: gpu }) => gpu === elsewhere)!.spec.requestId);
    one.pass(1_900);
    expect(shares(one)).toEqual([1]);
    one.pass(200);
    expect(shares(one)).toEqual([1, 1]);
  });

  test("waits for one GPU as long as something of it runs there, when it shall not be split", () => {
    const one = full();
    submit(one, ref(5, { split: false }));
    const first = gpuOf(one, 0);
    one.pass(60_000);
    expect(shares(one)).toEqual([2]);
    one.end("b0");
    one.end("b1");
    expect([gpuOf(one, 2), gpuOf(one, 3)]).toEqual([first, first]);
  });

  test.each<[string, Partial<RequestSpec>]>([
    ["an SLO", { wishes: wishes({ totalMs: 5_000 }) }],
    ["a deadline", { wishes: wishes({ deadlineAtMs: 5_000_000 }) }],
  ])("goes elsewhere at once when it has %s", (_, over) => {
    const one = full();
    submit(one, ref(4), over);
    expect(shares(one)).toEqual([2, 2]);
  });
});

describe("GPUs of a batch that go", () => {
  test("count no more: what they had and what waits goes to GPUs that get enough", () => {
    const one = world({ maxConcurrentTasksPerGpu: 4, reconnectGraceMs: 0 });
    submit(one, ref(8));
    const lost = one.request("b0").nodeId;
    one.disconnect(lost);
    one.pass(1_000);
    expect(one.engine.state.queue.size).toBe(0);
    expect(shares(one)).toEqual([4, 4]);
    expect([...one.engine.state.requests.values()].every(({ nodeId }) => nodeId !== lost)).toBe(true);
  });

  test("in maintenance get nothing more, and keep nobody waiting", () => {
    const one = world({ maxConcurrentTasksPerGpu: 2 });
    submit(one, ref(4));
    const by = { name: "operator", address: "" };
    one.step({ kind: "set_maintenance", target: { kind: "gpu", gpuId: gpuId(gpuOf(one, 0)) }, on: true, reason: "fan", by, untilMs: 0, drainByMs: 0 });
    one.pass(50);
    expect(shares(one)).toEqual([2, 2]);
  });

  test("that no longer serve the model keep nobody waiting", () => {
    const one = world({ maxConcurrentTasksPerGpu: 2 });
    submit(one, ref(4));
    const { nodeId } = one.request("b0");
    if (nodeId === "") throw new Error("b0 is placed");
    one.step({ kind: "runners_changed", nodeId, runners: [runner({ models: [modelId("other")] })] });
    one.pass(50);
    expect(shares(one)).toEqual([2, 2]);
  });

  test("because an attempt failed there are avoided by that request", () => {
    const one = world();
    submit(one, ref(4));
    const first = gpuOf(one, 0);
    one.end("b0", "unavailable");
    one.pass(50);
    expect(gpuOf(one, 0)).not.toBe(first);
  });
});

test("cancelled requests of a batch leave the others where they can be served", () => {
  const one = world({ maxConcurrentTasksPerGpu: 1 });
  submit(one, ref(8));
  expect(shares(one)).toEqual([1, 1]);
  for (const item of [2, 3, 4]) one.cancel(`b${item}`);
  for (let turn = 0; turn < 8 && one.engine.state.requests.size > 0; turn += 1) {
    for (const request of [...one.engine.state.requests.values()].filter(({ phase }) => phase === "placed")) one.end(request.spec.requestId);
    one.pass(100);
  }
  expect(one.engine.state.requests.size).toBe(0);
  expect(one.engine.state.batches.empty).toBe(true);
});

test("a batch survives a restart, by snapshot and by replay: where it is and how many are left", () => {
  const one = world({ maxConcurrentTasksPerGpu: 2 });
  submit(one, ref(9, { minPerGpu: 3 }));
  one.end("b0");
  one.end("b1", "unavailable");
  const snapshot = structuredClone(takeSnapshot(one.engine.state));
  const restored = new Engine(one.settings, snapshot);
  const replayed = new Engine(one.settings);
  for (const record of one.records) replayed.replay(record);
  for (const { state } of [restored, replayed]) {
    state.check();
    expect(state.batches.stored()).toEqual(one.engine.state.batches.stored());
    expect(state.digest()).toBe(one.engine.state.digest());
  }
  expect(snapshot.batches).toMatchObject([{ id: "batch", size: 9, live: 8, ended: 1 }]);
});

test("a snapshot and a journal of before know of no batches", () => {
  const one = world();
  one.submit("alone");
  const snapshot = takeSnapshot(one.engine.state);
  expect("batches" in snapshot).toBe(false);
  new Engine(one.settings, structuredClone(snapshot)).state.check();
  expect(one.engine.state.requests.get(requestId("alone"))?.spec.batch).toBeUndefined();
});

test("many batches wait in a bounded number of classes", () => {
  const one = new World({ requestTimeoutMs: 0 });
  for (let batch = 0; batch < 400; batch += 1) one.submit(`r${batch}`, { batch: ref(2, { id: `batch-${batch}` }) });
  expect([...one.engine.state.queue.heads()].length).toBeLessThanOrEqual(64);
});
