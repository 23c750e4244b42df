// What an agent tells of its GPUs, all the way over the link: told again on each new stream, taken once by a router that has read it, and as
// what it is, something of before, by one that has not.
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "@jest/globals";
import { GpuEventSchema } from "../../../../gen/gpurouter/v1/agent_pb.js";
import { GpuEvents } from "../../../../src/agent/gpu-events.js";
import { Engine } from "../../../../src/core/engine.js";
import type { Event, Step } from "../../../../src/core/events.js";
import type { HealthTransition } from "../../../../src/core/model/gpu.js";
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../../../../src/core/settings.js";
import { takeSnapshot } from "../../../../src/core/snapshot.js";
import { gpuEventOf } from "../../../../src/router/agent-codec.js";
import { gpuId, inventory, nodeId, ref, runner, spec } from "../build.js";

const MINUTE_MS = 60_000;
const SETTINGS: CoreSettings = { ...DEFAULT_CORE_SETTINGS, requestTimeoutMs: 0, gpuCooldownMs: 5 * MINUTE_MS };
const NODE = nodeId("n0");

/** One router after another, and one agent that outlives them. */
class Story {
  readonly agent = new GpuEvents();
  router = new Engine(SETTINGS);
  nowMs = 1_000_000_000;
  #epoch = 1;

  constructor() {
    this.step({ kind: "take_over", epoch: 1 });
    this.hello();
  }

  step(event: Event): Step {
    return this.router.step(event, this.nowMs);
  }

  /** The agent's stream begins anew; what it is about to send, sent. */
  hello(instanceId = "agent", held: readonly string[] = []): Step[] {
    this.step({ kind: "node_connected", nodeId: NODE, instanceId, gpus: [inventory("g0"), inventory("g1")], runners: [runner()], held: held.map((id) => ref(id, 1)) });
    this.agent.welcomed(this.nowMs);
    return this.tell();
  }

  /** Sends what the agent has to tell, as bytes. */
  tell(): Step[] {
    return this.agent.take(this.nowMs).map((sent) => {
      const event = gpuEventOf(NODE, fromBinary(GpuEventSchema, toBinary(GpuEventSchema, sent)));
      if (!event) throw new Error("The router does not know what it was told.");
      return this.step(event);
    });
  }

  xid(xid: number, gpu = "g0"): Step[] {
    this.agent.push({ kind: "xid", gpuId: gpu, xid }, this.nowMs);
    return this.tell();
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 1_000) {
      this.nowMs += Math.min(1_000, left);
      this.step({ kind: "tick" });
    }
  }

  /** Another router takes over; the agent comes to it. */
  takeOver(held: readonly string[] = []): Step[] {
    this.#epoch += 1;
    this.router = new Engine(SETTINGS, takeSnapshot(this.router.state));
    this.step({ kind: "take_over", epoch: this.#epoch });
    return this.hello("agent", held);
  }

  view(gpu = "g0"): { readonly state: string; readonly untilMs: number; readonly history: readonly HealthTransition[] } {
    return this.router.health.view(this.router.state.fleet.indexOf(gpuId(gpu)));
  }

  /** A request that runs on g0. */
  work(id: string): void {
    this.step({ kind: "submit", spec: spec(id, { gpu: "g0" }) });
    expect(this.router.state.requests.get(ref(id, 1).requestId)).toMatchObject({ phase: "placed", gpuId: "g0" });
  }
}

const changes = (steps: readonly Step[]): number => steps.flatMap(({ effects }) => effects).filter(({ kind }) => kind === "health_changed").length;

describe("a router that has read an Xid", () => {
  test("passes over it when the stream begins anew: its quarantine is not longer for it", () => {
    const story = new Story();
    story.xid(79);
    const { untilMs } = story.view();
    story.pass(4 * MINUTE_MS);
    expect(changes(story.hello())).toBe(0);
    expect(story.view()).toMatchObject({ state: "quarantined", untilMs });
    story.pass(MINUTE_MS);
    expect(story.view().state).toBe("probation");
    expect(changes(story.hello())).toBe(0);
    expect(story.view().state).toBe("probation");
  });

  test("takes the same Xid that happens again as what it is", () => {
    const story = new Story();
    story.xid(79);
    const { untilMs } = story.view();
    story.pass(MINUTE_MS);
    story.xid(79);
    expect(story.view().untilMs).toBe(untilMs + MINUTE_MS);
  });

  test("takes what an agent that was started anew counts from 1 again", () => {
    const story = new Story();
    for (let count = 0; count < 5; count += 1) story.xid(13);
    const another = new GpuEvents();
    story.step({ kind: "node_connected", nodeId: NODE, instanceId: "another", gpus: [inventory("g0"), inventory("g1")], runners: [runner()], held: [] });
    another.push({ kind: "xid", gpuId: "g0", xid: 79 }, story.nowMs);
    const [sent] = another.take(story.nowMs);
    story.step(gpuEventOf(NODE, sent!)!);
    expect(story.view().state).toBe("quarantined");
  });
});

test("an Xid that was lost with its stream is told on the next one", () => {
  const story = new Story();
  story.agent.push({ kind: "xid", gpuId: "g0", xid: 79 }, story.nowMs);
  expect(story.agent.take(story.nowMs)).toHaveLength(1);
  story.pass(2_000);
  story.hello();
  expect(story.view()).toMatchObject({ state: "quarantined", history: [{ atMs: story.nowMs - 2_000 }] });
});

describe("a router that takes over", () => {
  test("knows of a fatal Xid, and since when: only the rest of its quarantine is left", () => {
    const story = new Story();
    story.xid(79);
    const { untilMs } = story.view();
    story.pass(3 * MINUTE_MS);
    story.takeOver();
    expect(story.view()).toMatchObject({ state: "quarantined", untilMs, history: [{ atMs: untilMs - 5 * MINUTE_MS, to: "quarantined" }] });
  });

  test("does not send a GPU back to quarantine that has served its time", () => {
    const story = new Story();
    story.xid(79);
    story.pass(9 * MINUTE_MS);
    story.takeOver();
    expect(story.view().state).toBe("probation");
  });

  test("leaves the work alone that was placed after the GPU came back", () => {
    const story = new Story();
    story.xid(79);
    story.pass(6 * MINUTE_MS);
    expect(story.view().state).toBe("probation");
    story.work("later");
    const steps = story.takeOver(["later"]);
    expect(steps.flatMap(({ records }) => records)).toEqual([]);
    expect(story.router.state.requests.get(ref("later", 1).requestId)).toMatchObject({ attempt: 1, gpuId: "g0" });
  });

  test("takes the work from a GPU whose Xid nobody had read", () => {
    const story = new Story();
    story.work("before");
    story.agent.push({ kind: "xid", gpuId: "g0", xid: 79 }, story.nowMs);
    expect(story.agent.take(story.nowMs)).toHaveLength(1);
    story.nowMs += 1_000;
    const steps = story.takeOver(["before"]);
    expect(steps.flatMap(({ records }) => records).map(({ kind }) => kind)).toContain("attempt_failed");
  });

  test("remembers a warning for the rest of its ten minutes", () => {
    const story = new Story();
    story.xid(94);
    story.pass(8 * MINUTE_MS);
    story.takeOver();
    expect(story.view().state).toBe("degraded");
    story.pass(2 * MINUTE_MS + 11_000);
    expect(story.view().state).toBe("healthy");
  });
});
