// Work that is stopped for more urgent work, through the engine: who may be, for whom, when, how often, and what becomes of it.
import { describe, expect, test } from "@jest/globals";
import type { Priority, Wishes } from "../../../../src/core/model/request.js";
import { DEFAULT_CORE_SETTINGS, type PreemptionSettings } from "../../../../src/core/settings.js";
import { kinds, nodeId, ref, told, wishes, World } from "../build.js";

const HOUR_MS = 3_600_000;

/** Training that may be stopped and saves what it has done, for an hour. */
const training = (priority: Priority = 1, over: Partial<Wishes> = {}, gpu = "") => ({
  type: "training",
  priority,
  gpu,
  requirements: { expectedDurationMs: HOUR_MS },
  wishes: wishes({ preemptible: true, checkpoint: true, ...over }),
});
const urgent = (priority: Priority = 3, over: Partial<Wishes> = {}) => ({ type: "training", priority, requirements: { expectedDurationMs: 60_000 }, wishes: wishes(over) });

function worldOf(gpus: readonly string[], over: Partial<PreemptionSettings> = {}): World {
  const world = new World({ preemption: { ...DEFAULT_CORE_SETTINGS.preemption, ...over } });
  world.connect("a", gpus);
  // Long enough for every node to have come back.
  world.pass(world.settings.takeoverGraceMs);
  return world;
}

/** A world whose one GPU has run `spec` for two minutes. */
function busy(spec: Parameters<World["submit"]>[1] = training(), over: Partial<PreemptionSettings> = {}): World {
  const world = worldOf(["a0"], over);
  world.submit("victim", spec);
  world.start("victim");
  world.pass(120_000);
  return world;
}

describe("work that agreed to it", () => {
  test("is stopped for what is two priorities higher, goes back to its place in line, and uses up no retry", () => {
    const world = busy();
    expect(told(world.submit("urgent", urgent()))).toEqual([]);
    expect(told(world.pass(50))).toEqual(["cancel victim#1 on a"]);
    // Only its agent knows when it has stopped.
    expect([world.request("victim").phase, world.request("urgent").phase]).toEqual(["running", "queued"]);
    expect(told(world.pass(50))).toEqual([]);
    const step = world.end("victim", "cancelled");
    expect(kinds(step)).toEqual(["attempt_failed", "placed"]);
    expect(step.records[0]).toMatchObject({ reason: "preempted", preempted: true, retryAtMs: world.nowMs });
    expect(told(step)).toEqual(["acknowledge victim#1 on a", "dispatch urgent#1 to a0"]);
    expect(world.request("victim")).toMatchObject({ phase: "queued", attempt: 1, preemptions: 1, gpuId: "" });
    expect(told(world.end("urgent"))).toContain("dispatch victim#2 to a0");
    // As many faults are forgiven as if it had never been stopped.
    for (let fault = 0; fault < world.settings.maxRetries; fault += 1) {
      world.end("victim", "unavailable");
      world.pass(HOUR_MS);
      expect(world.request("victim").phase).toBe("placed");
    }
    world.end("victim", "unavailable");
    expect(world.ended("victim").error?.code).toBe("retries_exhausted");
  });

  test("counts as done when it was done before it was told", () => {
    const world = busy();
    world.submit("urgent", urgent());
    world.pass(50);
    world.end("victim");
    expect(world.ended("victim").phase).toBe("completed");
    expect(world.request("urgent").phase).toBe("placed");
  });

  test("stays cancelled when somebody cancelled it meanwhile, and failed when it failed", () => {
    for (const [outcome, phase] of [["cancelled", "cancelled"], ["failed", "failed"]] as const) {
      const world = busy();
      world.submit("urgent", urgent());
      world.pass(50);
      if (outcome === "cancelled") world.cancel("victim");
      world.end("victim", outcome);
      expect(world.ended("victim").phase).toBe(phase);
    }
  });

  test("is told again when its agent comes back before it has stopped", () => {
    const world = busy();
    world.submit("urgent", urgent());
    world.pass(50);
    world.disconnect("a");
    expect(told(world.connect("a", ["a0"], { held: [ref("victim", 1)] }))).toEqual(["cancel victim#1 on a"]);
  });

  test("is stopped before it has begun, checkpoint or not", () => {
    const world = worldOf(["a0"]);
    world.submit("victim", training(1, { checkpoint: false }));
    world.submit("urgent", urgent());
    expect(told(world.pass(50))).toEqual(["cancel victim#1 on a"]);
  });

  test("makes way for inference that nobody else's GPU can take", () => {
    const world = busy();
    world.submit("chat", { priority: 4, requirements: { inputTokens: 100, outputTokens: 100 } });
    expect(told(world.pass(50))).toEqual(["cancel victim#1 on a"]);
    expect(told(world.end("victim", "cancelled"))).toContain("dispatch chat#1 to a0");
  });
});

describe("nothing is stopped", () => {
  const nobody: [string, () => World][] = [
    ["that did not agree", () => busy(training(1, { preemptible: false }))],
    ["that has begun and saves nothing", () => busy(training(1, { checkpoint: false }))],
    ["that is measured in tokens", () => busy({ ...training(), requirements: { inputTokens: 1_000_000, outputTokens: 1_000_000 } })],
    ["for what is only one priority higher", () => busy(training(2))],
    ["when it is switched off", () => busy(training(), { enabled: false })],
    [
      "before it has had its time",
      () => {
        const world = worldOf(["a0"]);
        world.submit("victim", training());
        world.start("victim");
        world.pass(59_000);
        return world;
      },
    ],
    [
      "that was handed over long ago: it may have begun without our hearing of it",
      () => {
        const world = worldOf(["a0"]);
        world.submit("victim", training(1, { checkpoint: false }));
        world.pass(6_000);
        return world;
      },
    ],
    ["that ends soon", () => busy({ ...training(), requirements: { expectedDurationMs: 125_000 } })],
  ];
  test.each(nobody)("%s", (_, made) => {
    const world = made();
    world.submit("urgent", urgent());
    expect(told(world.pass(50))).toEqual([]);
    expect(world.request("urgent").phase).toBe("queued");
  });

  test("for what can be in time without, and something is for what cannot", () => {
    const ends = { ...training(), requirements: { expectedDurationMs: 300_000 } };
    const patient = busy(ends);
    patient.submit("urgent", urgent(3, { totalMs: 400_000 }));
    expect(told(patient.pass(50))).toEqual([]);
    const hurried = busy(ends);
    hurried.submit("urgent", urgent(3, { totalMs: 100_000 }));
    expect(told(hurried.pass(50))).toEqual(["cancel victim#1 on a"]);
  });

  test("by a router that has just begun: nodes with free GPUs may be on their way back", () => {
    const world = busy();
    world.submit("urgent", urgent());
    world.step({ kind: "take_over", epoch: 2 });
    world.connect("a", ["a0"], { held: [ref("victim", 1)] });
    expect(told(world.pass(4_900))).toEqual([]);
    expect(told(world.pass(100))).toEqual(["cancel victim#1 on a"]);
  });

  test("on a node twice in a short while", () => {
    const world = worldOf(["a0", "a1"]);
    for (const id of ["one", "two"]) {
      world.submit(id, training());
      world.start(id);
    }
    world.pass(120_000);
    for (const id of ["u1", "u2"]) world.submit(id, urgent());
    const [first] = told(world.pass(50));
    expect(first).toMatch(/^cancel (one|two)#1 on a$/);
    world.end(first!.slice("cancel ".length, "cancel one".length), "cancelled");
    expect(world.request("u1").phase).toBe("placed");
    expect(told(world.pass(9_900))).toEqual([]);
    expect(told(world.pass(100))).toHaveLength(1);
  });
});

describe("of several, those are stopped that", () => {
  test("are least urgent, then have done least", () => {
    const world = worldOf(["a0", "a1", "a2"]);
    world.submit("two", training(2, {}, "a0"));
    world.submit("old", training(1, {}, "a1"));
    for (const id of ["two", "old"]) world.start(id);
    world.pass(60_000);
    world.submit("young", training(1, {}, "a2"));
    world.start("young");
    world.pass(60_000);
    world.submit("urgent", urgent(5));
    expect(told(world.pass(50))).toEqual(["cancel young#1 on a"]);
  });

  test("make room for work on several GPUs together: all of one node at once, and nobody gets between", () => {
    const world = worldOf(["a0", "a1", "a2"]);
    for (const [id, gpu] of [["one", "a0"], ["two", "a1"], ["mine", "a2"]] as const) {
      world.submit(id, { ...training(1, id === "mine" ? { preemptible: false } : {}, gpu) });
      world.start(id);
    }
    world.pass(120_000);
    world.submit("pair", urgent(4, { gpus: 2 }));
    expect(told(world.pass(50))).toEqual(["cancel one#1 on a", "cancel two#1 on a"]);
    world.end("one", "cancelled");
    world.submit("between", { type: "training", priority: 3 });
    expect(world.request("between").phase).toBe("queued");
    expect(told(world.end("two", "cancelled"))).toContain("dispatch pair#1 to a0+a1");
  });

  test("includes work on several GPUs when one of them is wanted", () => {
    const world = worldOf(["a0", "a1"]);
    world.submit("both", training(1, { gpus: 2 }));
    world.start("both");
    world.pass(120_000);
    world.submit("urgent", urgent());
    expect(told(world.pass(50))).toEqual(["cancel both#1 on a"]);
    world.step({ kind: "attempt_ended", nodeId: nodeId("a"), ref: ref("both", 1), end: { outcome: "cancelled", error: null, result: new Uint8Array(), resultContentType: "", statistics: null } });
    expect([world.request("urgent").phase, world.request("both").phase]).toEqual(["placed", "queued"]);
  });
});
