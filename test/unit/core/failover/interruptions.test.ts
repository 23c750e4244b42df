// What becomes of work by its kind when its attempt is interrupted.
import { describe, expect, test } from "@jest/globals";
import { Engine } from "../../../../src/core/engine.js";
import type { Effect, Step } from "../../../../src/core/events.js";
import type { Handling } from "../../../../src/core/model/request.js";
import { takeSnapshot } from "../../../../src/core/snapshot.js";
import { dispatchOf } from "../../../../src/router/agent-codec.js";
import { gpuId, nodeId, ref, requestId, told, wishes, World } from "../build.js";

const FAIL: Handling = { onInterruption: "fail", timeouts: {} };

function world(spec: Parameters<World["submit"]>[1] = {}): World {
  const made = new World({ requestTimeoutMs: 0 });
  made.connect("n0", ["g0"]);
  made.submit("r", spec);
  made.connect("n1", ["g1"]);
  return made;
}

const answer = (of: World) => of.step({ kind: "attempt_answered", nodeId: nodeId("n0"), ref: ref("r", 1) });
const loseGpu = (of: World) => of.step({ kind: "gpu_lost", nodeId: nodeId("n0"), gpuId: gpuId("g0"), reason: "Xid 79" });
const voids = (step: Step): Effect[] => step.effects.filter(({ kind }) => kind === "output_void");

test("work that had not begun is dispatched elsewhere at once", () => {
  expect(told(loseGpu(world()))).toEqual(["cancel r#1 on n0", "dispatch r#2 to g1"]);
});

describe("Inference that had given output", () => {
  test("begins again elsewhere, and those who watch are told before anything else that what they have is void", () => {
    const made = world();
    made.start("r");
    answer(made);
    const step = loseGpu(made);
    expect(voids(step)).toEqual([{ kind: "output_void", requestId: "r", attempt: 1, reason: "gpu_lost: Xid 79" }]);
    expect(step.effects.findIndex(({ kind }) => kind === "output_void")).toBeLessThan(step.effects.findIndex(({ kind }) => kind === "changed"));
    expect(made.request("r")).toMatchObject({ attempt: 2, gpuId: "g1" });
    // Told once, and nothing of an attempt without output.
    expect(voids(made.step({ kind: "gpu_lost", nodeId: nodeId("n1"), gpuId: gpuId("g1"), reason: "Xid 79" }))).toEqual([]);
  });

  test("and would rather fail than give it anew ends as truncated, with what its agent still had", () => {
    const made = world({ handling: FAIL });
    made.start("r");
    answer(made);
    made.end("r", "unavailable", { result: new Uint8Array(3), resultContentType: "text/plain" });
    expect(made.ended("r")).toMatchObject({ phase: "failed", error: { code: "truncated" }, result: { sizeBytes: 3 } });
  });

  test("and would rather fail does so after a restart of the router too", () => {
    const made = world({ handling: FAIL });
    made.start("r");
    answer(made);
    const successor = new Engine(made.settings, takeSnapshot(made.engine.state));
    successor.step({ kind: "take_over", epoch: 2 }, made.nowMs);
    const { records } = successor.step({ kind: "tick" }, made.nowMs + made.settings.takeoverGraceMs);
    expect(records).toMatchObject([{ kind: "ended", phase: "failed", error: { code: "truncated" } }]);
  });

  test("and would rather fail is tried again while it has given none", () => {
    const made = world({ handling: FAIL });
    made.start("r");
    loseGpu(made);
    expect(made.request("r").attempt).toBe(2);
  });
});

describe("Work that saves what it has done", () => {
  function continues(made: World, step: Step): boolean {
    const effect = step.effects.find((one) => one.kind === "dispatch");
    if (effect?.kind !== "dispatch") throw new Error("expected a dispatch");
    return dispatchOf(effect, made.nowMs).continues;
  }

  test("goes on from there: its runner is told that it is a continuation", () => {
    const made = world({ wishes: wishes({ checkpoint: true }) });
    made.start("r");
    expect(continues(made, loseGpu(made))).toBe(true);
  });

  test("and had not begun does not", () => {
    const made = world({ wishes: wishes({ checkpoint: true }) });
    expect(continues(made, loseGpu(made))).toBe(false);
  });

  test("that had begun once goes on from there however its later attempts ended", () => {
    const made = world({ wishes: wishes({ checkpoint: true }) });
    made.start("r");
    loseGpu(made);
    made.connect("n2", ["g2"]);
    expect(continues(made, made.step({ kind: "gpu_lost", nodeId: nodeId("n1"), gpuId: gpuId("g1"), reason: "Xid 79" }))).toBe(true);
  });

  test("and any other that had begun does not", () => {
    const made = world();
    made.start("r");
    expect(continues(made, loseGpu(made))).toBe(false);
  });
});

describe("What the work itself, or its caller, is to blame for", () => {
  test("is not tried again, and does not count against the GPU, however often it happens", () => {
    const made = new World();
    made.connect("n0", ["g0"]);
    for (let index = 0; index < 200; index += 1) {
      made.submit(`r${index}`);
      made.start(`r${index}`);
      made.end(`r${index}`, "failed");
      expect(made.ended(`r${index}`).error?.code).toBe("failed_code");
    }
    const { fleet } = made.engine.state;
    expect([fleet.health.errorRate[0], fleet.blocked[0]]).toEqual([0, 0]);
  });
});

describe("A zombie's late result", () => {
  test("is refused, counted and acknowledged, and changes nothing", () => {
    const made = world();
    made.start("r");
    made.step({ kind: "node_disconnected", nodeId: nodeId("n0"), silentMs: 10_000 });
    expect(made.request("r").attempt).toBe(2);
    made.connect("n0", ["g0"], { held: [ref("r", 1)] });
    const late = made.step({ kind: "attempt_ended", nodeId: nodeId("n0"), ref: ref("r", 1), end: { outcome: "succeeded", error: null, result: new Uint8Array(1), resultContentType: "", statistics: null } });
    expect(late.records).toEqual([]);
    expect(told(late)).toEqual(["acknowledge r#1 on n0"]);
    expect(made.engine.lateResults).toBe(1);
    made.end("r");
    expect(made.ended("r").phase).toBe("completed");
  });
});

test("a retry whose last GPU is the only one that the strategy can use goes there all the same", () => {
  const made = new World({ strategy: "task_specific", taskMappings: { inference: ["g0"] }, requestTimeoutMs: 0, retryDelayMs: 0, errorThreshold: 1 });
  made.connect("n0", ["g0", "g1"]);
  made.submit("r");
  expect(made.request("r").gpuId).toBe("g0");
  made.end("r", "unavailable");
  expect(made.engine.state.requests.get(requestId("r"))).toMatchObject({ attempt: 2, gpuId: "g0" });
});
