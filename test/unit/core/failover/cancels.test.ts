// A cancel wins a bounded race, wherever the request stands.
import { describe, expect, test } from "@jest/globals";
import { Engine } from "../../../../src/core/engine.js";
import { STOP_GRACE_MS } from "../../../../src/core/records.js";
import { takeSnapshot } from "../../../../src/core/snapshot.js";
import { nodeId, ref, spec, told, World } from "../build.js";

function world(over: Parameters<World["submit"]>[1] = {}): World {
  const made = new World({ requestTimeoutMs: 0 });
  made.connect("n0", ["g0"]);
  made.submit("r", over);
  return made;
}

const graceIsOver = (of: World): void => void of.pass(STOP_GRACE_MS + 50);

describe("A cancel of a request that", () => {
  test("waits ends it at once", () => {
    const made = new World();
    made.submit("r");
    made.cancel("r");
    expect(made.ended("r").phase).toBe("cancelled");
  });

  test("waits for its retry ends it at once, and the retry does not come", () => {
    const made = world();
    made.end("r", "unavailable");
    made.cancel("r");
    expect(made.ended("r").phase).toBe("cancelled");
    expect(told(made.pass(60_000))).toEqual([]);
  });

  test("was placed and not sent yet tells its agent behind the dispatch, and ends with its word", () => {
    const made = world();
    expect(told(made.cancel("r"))).toEqual(["cancel r#1 on n0"]);
    made.end("r", "cancelled");
    expect(made.ended("r").phase).toBe("cancelled");
  });

  test("was placed on a node that never got it ends with the node's next hello", () => {
    const made = world();
    made.disconnect("n0");
    made.cancel("r");
    made.connect("n0", ["g0"]);
    expect(made.ended("r").phase).toBe("cancelled");
  });

  test("runs ends it when its agent says so, or after the grace without a word", () => {
    const made = world();
    made.start("r");
    made.cancel("r");
    graceIsOver(made);
    expect(made.ended("r").phase).toBe("cancelled");
  });

  test("was faster stays what it became: the result counts", () => {
    const made = world();
    made.start("r");
    made.cancel("r");
    made.end("r");
    expect(made.ended("r").phase).toBe("completed");
  });

  test("has ended changes nothing, though its agent has not heard so yet", () => {
    const made = world();
    made.end("r", "succeeded");
    const step = made.cancel("r");
    expect([step.records, step.effects]).toEqual([[], []]);
    // The agent comes back with the end that nobody acknowledged to it.
    made.disconnect("n0");
    expect(told(made.connect("n0", ["g0"], { held: [ref("r", 1)] }))).toEqual(["cancel r#1 on n0", "acknowledge r#1 on n0"]);
    expect(made.ended("r").phase).toBe("completed");
  });

  test.each([
    ["may run twice", { idempotent: true }],
    ["must not run twice", { type: "training", idempotent: false }],
  ])("%s and whose agent is gone ends within the grace", (_words, over) => {
    const made = world(over);
    made.start("r");
    made.disconnect("n0");
    made.cancel("r");
    graceIsOver(made);
    expect(made.ended("r").phase).toBe("cancelled");
  });

  test("fails meanwhile is not tried again", () => {
    const made = world();
    made.cancel("r");
    made.end("r", "unavailable");
    expect(made.ended("r").phase).toBe("cancelled");
  });

  test("is lost meanwhile is not dispatched elsewhere", () => {
    const made = world();
    made.connect("n1", ["g1"]);
    made.cancel("r");
    expect(told(made.step({ kind: "node_disconnected", nodeId: nodeId("n0"), silentMs: 10_000 }))).toEqual([]);
    expect(made.ended("r").phase).toBe("cancelled");
  });

  test("was to stop when the router died ends within the grace of its wish", () => {
    const made = world();
    made.cancel("r");
    const successor = new Engine(made.settings, takeSnapshot(made.engine.state));
    successor.step({ kind: "take_over", epoch: 2 }, made.nowMs);
    successor.step({ kind: "tick" }, made.nowMs + STOP_GRACE_MS + 50);
    expect(successor.state.requests.size).toBe(0);
  });
});

describe("A storm of 10,000 cancels", () => {
  const STORM = 10_000;

  function storm(): World {
    const made = new World({ requestTimeoutMs: 0, maxConcurrentTasksPerGpu: STORM / 2 });
    made.connect("n0", ["g0"]);
    // Without the check of the whole state after each of them.
    for (let index = 0; index < STORM; index += 1) made.engine.step({ kind: "submit", spec: spec(`r${index}`) }, made.nowMs);
    return made;
  }

  test("costs each request one cancel at most, however often it is said, and ends them all", () => {
    const made = storm();
    expect(made.engine.state.queue.size).toBe(STORM / 2);
    let effects = 0;
    for (let round = 0; round < 3; round += 1) {
      for (const requestId of made.engine.state.requests.keys()) {
        effects += made.engine.step({ kind: "cancel", requestId, reason: "" }, made.nowMs).effects.filter(({ kind }) => kind === "cancel_attempt").length;
      }
    }
    expect(effects).toBe(STORM / 2);
    expect(made.engine.state.requests.size).toBe(STORM / 2);
    made.engine.state.check();
    const { ended } = made.engine.step({ kind: "tick" }, made.nowMs + STOP_GRACE_MS + 50);
    expect(ended).toHaveLength(STORM / 2);
    made.engine.state.check();
  });
});
