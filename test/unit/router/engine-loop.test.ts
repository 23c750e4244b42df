import { beforeEach, describe, expect, test } from "@jest/globals";
import type { Effect } from "../../../src/core/events.js";
import type { GpuId, NodeId, RequestId } from "../../../src/core/model/ids.js";
import { DEFAULT_CORE_SETTINGS } from "../../../src/core/settings.js";
import { EngineLoop } from "../../../src/router/engine-loop.js";
import { specOf } from "../journal/story.js";
import { HeldJournal, nodeConnected, TestClock, turn } from "./fakes.js";

let journal: HeldJournal;
let released: string[];
let failures: Error[];
let loop: EngineLoop;

function nameOf(effect: Effect): string {
  switch (effect.kind) {
    case "changed":
    case "output_void":
      return `${effect.kind} ${effect.requestId}`;
    case "dispatch":
      return `dispatch ${effect.request.spec.requestId}`;
    case "order_model":
      return `order_model ${effect.order.modelId}`;
    case "health_changed":
      return `health_changed ${effect.transition.gpuId}`;
    case "restart_gpu":
      return `restart_gpu ${effect.gpuId}`;
    default:
      return `${effect.kind} ${effect.ref.requestId}`;
  }
}

beforeEach(async () => {
  journal = new HeldJournal();
  released = [];
  failures = [];
  loop = new EngineLoop({
    settings: DEFAULT_CORE_SETTINGS,
    journal: journal.journal,
    clock: new TestClock(),
    prepare: (effect) => () => released.push(nameOf(effect)),
    onJournalFailure: (error) => failures.push(error),
  });
  await journal.commit();
  loop.step(nodeConnected("node-a", 1));
  await journal.commit();
});

const submit = (id: string): void => void loop.step({ kind: "submit", spec: specOf(id) });
const ended = (id: string): void =>
  void loop.step({
    kind: "attempt_ended",
    nodeId: "node-a" as NodeId,
    ref: { requestId: id as RequestId, attempt: 1 },
    end: { outcome: "succeeded", error: null, result: new Uint8Array([1]), resultContentType: "a/b", statistics: null },
  });

describe("Nothing leaves before it is durable", () => {
  test("effects wait for their commit, and so do those who ask", async () => {
    submit("a");
    let durable = false;
    void loop.durable().then(() => (durable = true));
    for (let turns = 0; turns < 10; turns += 1) await turn();
    expect(journal.committing).toBe(true);
    expect([released, durable]).toEqual([[], false]);
    await journal.commit();
    expect([released, durable]).toEqual([["dispatch a", "changed a"], true]);
  });

  test("what comes while a commit runs is collected into one next commit and released after it, in order", async () => {
    submit("a");
    await turn();
    expect(journal.committing).toBe(true);
    const asked: string[] = [];
    for (const id of ["b", "c", "d"]) {
      submit(id);
      void loop.durable().then(() => asked.push(id));
    }
    await journal.commit();
    expect(released).toEqual(["dispatch a", "changed a"]);
    expect(asked).toEqual([]);
    const before = journal.batches.length;
    await journal.commit();
    expect(journal.batches).toHaveLength(before);
    expect(journal.batches.at(-1)?.records.map(({ kind }) => kind)).toEqual(["accepted", "placed", "accepted", "placed", "accepted", "placed"]);
    expect(released.slice(2)).toEqual(["dispatch b", "changed b", "dispatch c", "changed c", "dispatch d", "changed d"]);
    expect(asked).toEqual(["b", "c", "d"]);
  });

  test("what happens in one turn of the event loop is one commit", async () => {
    for (const id of ["a", "b", "c"]) submit(id);
    const before = journal.batches.length;
    await journal.commit();
    expect(journal.batches).toHaveLength(before + 1);
    expect(journal.committing).toBe(false);
  });

  test("an effect without records of its own still waits behind those before it", async () => {
    submit("a");
    // Nobody's attempt: no record, but an effect.
    loop.step({ kind: "attempt_ended", nodeId: "node-a" as NodeId, ref: { requestId: "stranger" as RequestId, attempt: 4 }, end: { outcome: "succeeded", error: null, result: new Uint8Array(), resultContentType: "", statistics: null } });
    for (let turns = 0; turns < 5; turns += 1) await turn();
    expect(released).toEqual([]);
    await journal.commit();
    expect(released).toEqual(["dispatch a", "changed a", "acknowledge stranger"]);
  });

  test("when nothing is pending an effect leaves at once and nobody waits", async () => {
    loop.step({ kind: "attempt_ended", nodeId: "node-a" as NodeId, ref: { requestId: "stranger" as RequestId, attempt: 4 }, end: { outcome: "succeeded", error: null, result: new Uint8Array(), resultContentType: "", statistics: null } });
    expect(released).toEqual(["acknowledge stranger"]);
    await loop.durable();
    expect(journal.committing).toBe(false);
  });

  test("a request that ended is known all the time: in memory until it is durable, then in the journal", async () => {
    submit("a");
    await journal.commit();
    ended("a");
    const id = "a" as RequestId;
    expect(loop.engine.state.requests.has(id)).toBe(false);
    expect(loop.history.find(id)?.phase).toBe("completed");
    expect([...loop.history.pending].map(({ spec }) => spec.requestId)).toEqual(["a"]);
    expect(loop.history.result(id)).toEqual(new Uint8Array([1]));
    expect(loop.history.list(0, 10).requests).toEqual([]);
    await journal.commit();
    expect([...loop.history.pending]).toEqual([]);
    expect(loop.history.find(id)?.phase).toBe("completed");
    expect(loop.history.result(id)).toEqual(new Uint8Array([1]));
    expect(loop.history.list(0, 10).requests).toHaveLength(1);
  });
});

describe("A journal that fails", () => {
  test("is told once, releases nothing, and nothing is appended behind it", async () => {
    submit("a");
    let durable = false;
    void loop.durable().then(() => (durable = true));
    await turn();
    submit("b");
    await journal.fail(new Error("Input/output error"));
    const before = journal.batches.length;
    submit("c");
    for (let turns = 0; turns < 10; turns += 1) await turn();
    expect(failures.map(({ message }) => message)).toEqual(["Input/output error"]);
    expect([released, durable]).toEqual([[], false]);
    expect(journal.batches).toHaveLength(before);
    expect(journal.committing).toBe(false);
  });

  test("does not keep a stop waiting", async () => {
    submit("a");
    const stopped = loop.stop();
    await journal.fail(new Error("Input/output error"));
    await stopped;
    await loop.stop();
    expect(failures).toHaveLength(1);
  });
});

describe("A stop", () => {
  test("commits nothing beside its own snapshot, and tells nobody of what comes after it", async () => {
    journal.bytesSinceSnapshot = 1;
    const stopped = loop.stop();
    submit("late");
    for (let turns = 0; turns < 10; turns += 1) await turn();
    const batches = journal.batches.length;
    await journal.commit();
    await stopped;
    expect([failures, released, journal.batches.length]).toEqual([[], [], batches]);
  });

  test("whose snapshot cannot be written says so like every failed commit, and ends", async () => {
    journal.bytesSinceSnapshot = 1;
    const stopped = loop.stop();
    await journal.fail(new Error("No space left on device"));
    await stopped;
    expect(failures.map(({ message }) => message)).toEqual(["No space left on device"]);
  });
});

describe("Snapshots", () => {
  test("are taken when the log is long and belong to the batch they are written with", async () => {
    journal.bytesSinceSnapshot = 65 << 20;
    submit("a");
    await turn();
    journal.bytesSinceSnapshot = 0;
    submit("later");
    await journal.commit();
    await journal.commit();
    const [withOne, without] = journal.batches.slice(-2);
    expect(withOne?.snapshot?.requests.map(({ request }) => request.spec.requestId)).toEqual(["a"]);
    expect(without?.snapshot).toBeNull();
  });

  test("are not taken while the last one was a large share of the log", async () => {
    journal.bytesSinceSnapshot = 65 << 20;
    journal.snapshotBytes = 30 << 20;
    submit("a");
    await journal.commit();
    expect(journal.batches.at(-1)?.snapshot).toBeNull();
  });

  test("are not taken while most of the log is still live", async () => {
    loop.step({ kind: "submit", spec: { ...specOf("large"), payload: new Uint8Array(20 << 20), specificGpuId: "nowhere" as GpuId } });
    await journal.commit();
    journal.bytesSinceSnapshot = 65 << 20;
    submit("a");
    await journal.commit();
    expect(journal.batches.at(-1)?.snapshot).toBeNull();
    loop.step({ kind: "cancel", requestId: "large" as RequestId, reason: "" });
    await journal.commit();
    expect(journal.batches.at(-1)?.snapshot).not.toBeNull();
  });

  test("a stop waits for everything and leaves one behind", async () => {
    submit("a");
    await turn();
    submit("b");
    journal.bytesSinceSnapshot = 1;
    let stopped = false;
    void loop.stop().then(() => (stopped = true));
    await journal.commit();
    await journal.commit();
    expect(stopped).toBe(false);
    expect(journal.batches.at(-1)).toMatchObject({ records: [], firstSequence: journal.nextSequence });
    expect(journal.batches.at(-1)?.snapshot?.requests).toHaveLength(2);
    await journal.commit();
    expect(stopped).toBe(true);
  });
});

test("a recovery takes over with the next epoch", async () => {
  expect(loop.epoch).toBe(1);
  expect(journal.batches[0]?.records).toMatchObject([{ kind: "epoch_started", epoch: 1 }]);
});
