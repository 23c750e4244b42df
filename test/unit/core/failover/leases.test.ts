// Who is away, suspect, lost; and whose fault a silence is.
import { describe, expect, test } from "@jest/globals";
import { Engine } from "../../../../src/core/engine.js";
import { takeSnapshot } from "../../../../src/core/snapshot.js";
import { inventory, nodeId, ref, requestId, runner, settings, told, World } from "../build.js";

const { nodeLostAfterMs, reconnectGraceMs, takeoverGraceMs, fencedAfterMs } = settings();
const TRAINING = { type: "training", idempotent: false } as const;

/** Work on n0, and n1 beside it. */
function world(spec: Parameters<World["submit"]>[1] = {}): World {
  const made = new World({ requestTimeoutMs: 0 });
  made.connect("n0", ["g0"]);
  made.submit("r1", spec);
  made.start("r1");
  made.connect("n1", ["g1"]);
  return made;
}

/** Lets time pass as a router does, a tick at a time; what agents are told in it. */
function ticks(of: World, milliseconds: number): string[] {
  const heard: string[] = [];
  for (let left = milliseconds; left > 0; left -= 50) heard.push(...told(of.pass(Math.min(50, left))));
  return heard;
}

const silent = (of: World, silentMs: number) => of.step({ kind: "node_disconnected", nodeId: nodeId("n0"), silentMs });
const removedBy = (of: World): string[] => of.engine.explain(of.request("r1").spec, of.nowMs).filters.map(({ filter }) => filter);

describe("A node that was cut off", () => {
  test("is suspect at once: its work stays, it gets none, and Explain says why", () => {
    const made = world();
    expect(told(made.disconnect("n0"))).toEqual([]);
    expect(removedBy(made)).toEqual(["suspect"]);
    made.submit("r2");
    expect([made.request("r1").gpuId, made.request("r2").gpuId]).toEqual(["g0", "g1"]);
  });

  test("and stays away has lost its work within a second of its death", () => {
    const made = world();
    made.disconnect("n0");
    expect(ticks(made, reconnectGraceMs - 50)).toEqual([]);
    expect(ticks(made, 50)).toEqual(["dispatch r1#2 to g1"]);
    expect(removedBy(made)).toEqual(["status"]);
    expect(reconnectGraceMs).toBeLessThan(1_000);
  });

  test("and is back in time has lost nothing", () => {
    const made = world();
    made.disconnect("n0");
    ticks(made, reconnectGraceMs - 50);
    expect(told(made.connect("n0", ["g0"], { held: [ref("r1", 1)] }))).toEqual([]);
    ticks(made, 60_000);
    expect(made.request("r1")).toMatchObject({ attempt: 1, phase: "running" });
  });
});

test("a node that was silent until its stream was given up has had its time: its work goes elsewhere in the same step", () => {
  const made = world();
  expect(told(silent(made, nodeLostAfterMs + 50))).toEqual(["dispatch r1#2 to g1"]);
});

describe("Work that must not run twice", () => {
  test("waits until its agent has certainly stopped it, counted from when that was last heard", () => {
    const made = world(TRAINING);
    silent(made, nodeLostAfterMs);
    expect(ticks(made, fencedAfterMs - nodeLostAfterMs - 50)).toEqual([]);
    expect(made.request("r1")).toMatchObject({ attempt: 1, phase: "running", nodeId: "n0" });
    expect(ticks(made, 50)).toEqual(["dispatch r1#2 to g1"]);
  });

  test("waits as long after a cut, though the node is long lost to others", () => {
    const made = world(TRAINING);
    made.disconnect("n0");
    expect(ticks(made, fencedAfterMs - 50)).toEqual([]);
    expect(ticks(made, 50)).toEqual(["dispatch r1#2 to g1"]);
  });

  test("goes on where it runs when its agent is back before that", () => {
    const made = world(TRAINING);
    made.disconnect("n0");
    ticks(made, fencedAfterMs - 50);
    expect(told(made.connect("n0", ["g0"], { held: [ref("r1", 1)] }))).toEqual([]);
    ticks(made, 60_000);
    expect(made.request("r1")).toMatchObject({ attempt: 1, phase: "running" });
  });

  test("goes elsewhere at once when its agent says that it has stopped it by itself", () => {
    const made = world(TRAINING);
    made.disconnect("n0");
    ticks(made, 11_000);
    made.connect("n0", [], { held: [ref("r1", 1)] });
    expect(told(made.end("r1", "fenced"))).toEqual(["acknowledge r1#1 on n0", "dispatch r1#2 to g1"]);
  });
});

describe("An agent process that takes another's place", () => {
  const replace = (of: World, held: readonly ReturnType<typeof ref>[] = []) =>
    of.step({ kind: "node_connected", nodeId: nodeId("n0"), instanceId: "another", gpus: [inventory("g0")], runners: [runner()], held });

  test("says nothing of what the other one runs: work that must not run twice waits until that one is fenced", () => {
    const made = world(TRAINING);
    silent(made, nodeLostAfterMs);
    ticks(made, 2_000);
    expect(told(replace(made))).toEqual([]);
    expect(ticks(made, fencedAfterMs - nodeLostAfterMs - 2_050)).toEqual([]);
    expect(ticks(made, 50)).toEqual(["dispatch r1#2 to g1"]);
  });

  test("while the other's stream stands makes it wait from then on, however often it says hello", () => {
    const made = world(TRAINING);
    made.disconnect("n0");
    replace(made);
    ticks(made, fencedAfterMs - 1_000);
    made.disconnect("n0");
    expect(told(replace(made))).toEqual([]);
    expect(ticks(made, 950)).toEqual([]);
    expect(ticks(made, 50)).toEqual(["dispatch r1#2 to g1"]);
  });

  test("and goes again leaves the other its work", () => {
    const made = world(TRAINING);
    made.disconnect("n0");
    replace(made);
    made.disconnect("n0");
    expect(told(made.connect("n0", ["g0"], { held: [ref("r1", 1)] }))).toEqual([]);
    ticks(made, 60_000);
    expect(made.request("r1")).toMatchObject({ attempt: 1, phase: "running" });
  });

  test("takes over at once what may run twice", () => {
    const made = world();
    made.disconnect("n0");
    expect(told(replace(made))).toEqual([expect.stringMatching(/^dispatch r1#2/)]);
  });
});

describe("A router that stood still", () => {
  const stall = (of: World, ms: number): void => {
    of.nowMs += ms;
    of.step({ kind: "router_stalled", ms });
  };

  test("for a moment gives those who are away their time anew", () => {
    const made = world();
    made.disconnect("n0");
    stall(made, 600);
    expect(ticks(made, reconnectGraceMs - 50)).toEqual([]);
    expect(ticks(made, 50)).toEqual(["dispatch r1#2 to g1"]);
  });

  test("for long gives everybody the time of a takeover to come back, also those who are cut off because of it", () => {
    const made = world();
    stall(made, 30_000);
    made.disconnect("n0");
    expect(ticks(made, takeoverGraceMs - 50)).toEqual([]);
    expect(told(made.connect("n0", ["g0"], { held: [ref("r1", 1)] }))).toEqual([]);
    expect(made.request("r1")).toMatchObject({ attempt: 1, phase: "running" });
  });

  test("gives up neither work that could run twice while it slept", () => {
    const made = world(TRAINING);
    made.disconnect("n0");
    stall(made, 60_000);
    expect(ticks(made, takeoverGraceMs - 50)).toEqual([]);
    expect(ticks(made, 50)).toEqual(["dispatch r1#2 to g1"]);
  });

  test("again and again finds the dead nevertheless", () => {
    const made = world();
    const diedAtMs = made.nowMs;
    made.disconnect("n0");
    while (made.request("r1").attempt === 1 && made.nowMs - diedAtMs < 60_000) {
      stall(made, 1_000);
      made.step({ kind: "tick" });
    }
    expect(made.nowMs - diedAtMs).toBe(8 * 1_000 + takeoverGraceMs);
  });
});

describe("A router that takes over", () => {
  function successor(of: World): Engine {
    const engine = new Engine(of.settings, takeSnapshot(of.engine.state));
    engine.step({ kind: "take_over", epoch: 2 }, of.nowMs);
    return engine;
  }

  test("takes nobody for dead: whoever holds work is suspect until the grace is over", () => {
    const made = world();
    const engine = successor(made);
    expect(engine.state.fleet.nodes.get(nodeId("n0"))).toMatchObject({ connected: false, suspect: true });
    expect(engine.step({ kind: "tick" }, made.nowMs + takeoverGraceMs - 1).records).toEqual([]);
    expect(engine.step({ kind: "tick" }, made.nowMs + takeoverGraceMs).records.map(({ kind }) => kind)).toEqual(["attempt_failed"]);
  });

  test("takes work that must not run twice from nobody before its agent has certainly stopped it", () => {
    const made = world(TRAINING);
    const engine = successor(made);
    expect(engine.step({ kind: "tick" }, made.nowMs + fencedAfterMs - 1).records).toEqual([]);
    expect(engine.step({ kind: "tick" }, made.nowMs + fencedAfterMs).records.map(({ kind }) => kind)).toEqual(["attempt_failed"]);
  });

  test("judges those who came back and were cut off again like any other", () => {
    const made = world();
    const engine = successor(made);
    engine.step({ kind: "node_connected", nodeId: nodeId("n0"), instanceId: "instance", gpus: [], runners: [], held: [ref("r1", 1)] }, made.nowMs);
    engine.step({ kind: "node_disconnected", nodeId: nodeId("n0") }, made.nowMs);
    engine.step({ kind: "tick" }, made.nowMs + reconnectGraceMs);
    expect(engine.state.requests.get(requestId("r1"))).toMatchObject({ attempt: 1, phase: "queued" });
  });
});
