// A record that contradicts the state must stop recovery: running from a broken journal would lose or double work.
import { describe, expect, test } from "@jest/globals";
import type { Record } from "../../../src/core/records.js";
import { apply } from "../../../src/core/records.js";
import { estimate, gpuId, inventory, nodeId, requestId, spec, World } from "./build.js";

/** r1 waits, r2 is placed on g0 as attempt 1, r3 has ended. */
function world(): World {
  const one = new World({ maxConcurrentTasksPerGpu: 1 });
  one.connect("n0", ["g0"]);
  one.submit("r3");
  one.end("r3");
  one.submit("r2");
  one.submit("r1");
  return one;
}

const { decision } = world().request("r2");
const placed = (id: string, attempt: number, gpu = "g0"): Record => ({
  kind: "placed",
  requestId: requestId(id),
  attempt,
  gpuId: gpuId(gpu),
  atMs: 1,
  memoryMib: 0,
  decision: decision!,
});
const failed = (id: string, attempt: number): Record => ({
  kind: "attempt_failed",
  requestId: requestId(id),
  attempt,
  reason: "",
  retryAtMs: 1,
  estimate: estimate(),
  atMs: 1,
});
const ended = (id: string): Record => ({ kind: "ended", requestId: requestId(id), phase: "failed", atMs: 1, error: null, result: null, statistics: null });

describe("apply refuses", () => {
  test.each<[string, Record, string]>([
    ["an epoch that does not grow", { kind: "epoch_started", epoch: 1, atMs: 1 }, "epochs only grow"],
    ["a gap between GPU indexes", { kind: "gpu_registered", index: 5, nodeId: nodeId("n0"), inventory: inventory("g5") }, "GPU indexes are dense"],
    ["a second acceptance", { kind: "accepted", spec: spec("r1"), atMs: 1, sequence: 9, deadlineAtMs: 0, estimate: estimate() }, "a request is accepted once"],
    ["a placement of what is placed", placed("r2", 2), "only a waiting request is placed"],
    ["a placement that skips an attempt", placed("r1", 2), "only a waiting request is placed"],
    ["a placement on an unknown GPU", placed("r1", 1, "g9"), "a request is placed on known GPUs"],
    ["a placement of what has ended", placed("r3", 2), "request r3 is live"],
    ["a start of what waits", { kind: "started", requestId: requestId("r1"), attempt: 0, atMs: 1 }, "only a placed attempt starts"],
    ["a start of another attempt", { kind: "started", requestId: requestId("r2"), attempt: 2, atMs: 1 }, "only a placed attempt starts"],
    ["a failure of another attempt", failed("r2", 2), "only the present attempt fails"],
    ["a failure of what waits", failed("r1", 0), "only the present attempt fails"],
    ["a second end", ended("r3"), "request r3 is live"],
    ["a stop of what has ended", { kind: "stop_requested", requestId: requestId("r3"), stop: { cause: "cancel", reason: "", atMs: 1 } }, "request r3 is live"],
    ["another digest", { kind: "state_digest", digest: 0 }, "the state differs"],
  ])("%s", (_, record, message) => {
    expect(() => apply(world().engine.state, record)).toThrow(message);
  });
});

test("a digest tells apart what differs by one fact", () => {
  const digests = new Set<number>();
  const changes: ((one: World) => void)[] = [
    () => {},
    (one) => one.start("r2"),
    (one) => one.cancel("r1"),
    (one) => one.end("r2"),
    (one) => one.submit("r4"),
    (one) => one.connect("n1", ["g1"]),
    (one) => one.step({ kind: "take_over", epoch: 2 }),
  ];
  for (const change of changes) {
    const one = world();
    change(one);
    digests.add(one.engine.state.digest());
  }
  expect(digests.size).toBe(changes.length);
});
