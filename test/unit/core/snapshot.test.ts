import { describe, expect, test } from "@jest/globals";
import { Engine } from "../../../src/core/engine.js";
import { STOP_GRACE_MS } from "../../../src/core/records.js";
import { takeSnapshot, type Snapshot } from "../../../src/core/snapshot.js";
import { nodeId, ref, requestId, World } from "./build.js";

/** A request in each state that a live one can be in. */
function world(): World {
  const one = new World({ maxConcurrentTasksPerGpu: 2, requestTimeoutMs: 0, retryDelayMs: 10_000 });
  one.connect("n0", ["g0", "g1"]);
  one.submit("retrying", { gpu: "g0", timeoutMs: 60_000 });
  one.end("retrying", "unavailable");
  one.submit("placed", { gpu: "g0", requirements: { memoryMib: 1_000 } });
  one.submit("running", { gpu: "g0", requirements: { memoryMib: 2_000 } });
  one.start("running");
  one.submit("waiting", { gpu: "g0", priority: 5 });
  one.submit("stopping", { gpu: "g1" });
  one.cancel("stopping");
  return one;
}

/** As it comes back from a journal: nothing shared, nothing but data. */
const stored = (one: World): Snapshot => structuredClone(takeSnapshot(one.engine.state));

function restored(one: World): Engine {
  const engine = new Engine(one.settings, stored(one));
  engine.state.check();
  engine.step({ kind: "take_over", epoch: 2 }, one.nowMs);
  return engine;
}

describe("a restored state", () => {
  test("is the one it was taken of", () => {
    const one = world();
    const engine = new Engine(one.settings, stored(one));
    expect(engine.state.digest()).toBe(one.engine.state.digest());
    expect(stored(one)).toEqual(structuredClone(takeSnapshot(engine.state)));
    const { active, reservedMib } = engine.state.fleet;
    expect([active[0], reservedMib[0], active[1]]).toEqual([2, 3_000, 1]);
  });

  test("shares nothing that changes with its snapshot", () => {
    const one = world();
    const snapshot = takeSnapshot(one.engine.state);
    one.end("running");
    one.cancel("waiting");
    expect(snapshot.requests.map(({ request }) => request.phase)).toEqual(["queued", "placed", "running", "queued", "placed"]);
    new Engine(one.settings, snapshot).state.check();
  });

  test("still knows its timers: the retry, the time-out, the grace of a stop", () => {
    const one = world();
    const engine = restored(one);
    const isLive = (id: string): boolean => engine.state.requests.has(requestId(id));
    engine.step({ kind: "node_connected", nodeId: nodeId("n0"), instanceId: "i", gpus: [], runners: [], held: [ref("stopping", 1)] }, one.nowMs);
    engine.step({ kind: "tick" }, one.nowMs + 15_100);
    expect(engine.state.retryOf(requestId("retrying"))).toBeNull();
    expect(engine.state.queue.get(requestId("retrying"))).not.toBeNull();
    engine.step({ kind: "tick" }, one.nowMs + STOP_GRACE_MS - 100);
    expect(isLive("stopping")).toBe(true);
    engine.step({ kind: "tick" }, one.nowMs + STOP_GRACE_MS + 50);
    expect([isLive("stopping"), isLive("retrying")]).toEqual([false, true]);
    engine.step({ kind: "tick" }, one.nowMs + 60_050);
    expect(isLive("retrying")).toBe(false);
  });

  test("gives every node a grace before its work is taken away", () => {
    const one = world();
    const engine = restored(one);
    expect(engine.step({ kind: "tick" }, one.nowMs + 4_999).records).toEqual([]);
    const lost = engine.step({ kind: "tick" }, one.nowMs + 5_000).records;
    expect(lost.map((record) => [record.kind, "requestId" in record ? record.requestId : ""])).toEqual([
      ["attempt_failed", "placed"],
      ["attempt_failed", "running"],
      ["ended", "stopping"],
    ]);
  });

  test("is refused when the snapshot is not what was taken", () => {
    const one = world();
    const snapshot = stored(one);
    expect(() => new Engine(one.settings, { ...snapshot, endedCount: 7 })).toThrow("a snapshot restores the state it was taken of");
  });
});
