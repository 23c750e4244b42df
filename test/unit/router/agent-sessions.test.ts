import { gpuId, nodeId } from "../core/build.js";
import { afterEach, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import { AttemptOutcome, ModelAction } from "../../../gen/gpurouter/v1/agent_pb.js";
import type { Caller } from "../../../src/api/guard.js";
import { LOCAL_ADMIN } from "../../../src/auth/principal.js";
import type { Effect, Event } from "../../../src/core/events.js";
import type { ModelId, NodeId, RequestId } from "../../../src/core/model/ids.js";
import { AgentSessions } from "../../../src/router/agent-sessions.js";
import { EngineLoop } from "../../../src/router/engine-loop.js";
import { DEFAULT_CORE_SETTINGS } from "../../../src/core/settings.js";
import { specOf } from "../journal/story.js";
import { FakeStream, HeldJournal, silentLog, TestClock, turn } from "./fakes.js";

const TERMS = { leaseMs: 10_000, nodeLostAfterMs: 800, heartbeatIntervalMs: 250, telemetryIntervalMs: 1_000, maxResultBytes: 1 << 20 };

let clock: TestClock;
let events: Event[];
let watched: string[];
let unanswered: Set<string>;
let sessions: AgentSessions;

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ["setImmediate", "queueMicrotask", "performance", "nextTick"] });
  clock = new TestClock();
  events = [];
  watched = [];
  unanswered = new Set();
  sessions = new AgentSessions({
    terms: TERMS,
    clock,
    log: silentLog,
    step: (event) => events.push(event),
    epoch: () => 7,
    isUnanswered: ({ requestId }) => unanswered.delete(requestId),
    onOutput: (ref, offset, data) => watched.push(`output ${ref.requestId} ${offset} ${data.byteLength}`),
    onProgress: (ref, fraction, message) => watched.push(`progress ${ref.requestId} ${fraction} ${message}`),
  });
});

afterEach(() => {
  sessions.close();
  jest.useRealTimers();
});

interface Connected {
  readonly stream: FakeStream;
  readonly refusals: { code: number; details: string }[];
}

function open(): Connected {
  const stream = new FakeStream();
  const refusals: { code: number; details: string }[] = [];
  sessions.connect(stream.stream);
  stream.on("error", (error: { code: number; details: string }) => refusals.push(error));
  return { stream, refusals };
}

function connect(hello: Parameters<FakeStream["hello"]>[0] = {}): Connected {
  const connected = open();
  connected.stream.hello(hello);
  return connected;
}

const LOOK_MS = TERMS.heartbeatIntervalMs / 10;

/** Time passes, a look at a time. */
function pass(milliseconds: number): void {
  for (let left = milliseconds; left > 0; left -= LOOK_MS) {
    clock.atMs += Math.min(left, LOOK_MS);
    jest.advanceTimersByTime(LOOK_MS);
  }
}

/** Time passes in which the process stands still: its timers come once, afterwards. */
function stall(milliseconds: number): void {
  clock.atMs += milliseconds;
  jest.advanceTimersByTime(LOOK_MS);
}

const kinds = (): string[] => events.map(({ kind }) => kind);

describe("A hello", () => {
  test("is answered by the welcome and becomes an event", () => {
    const { stream } = connect({ held: [{ requestId: "r", attempt: 2 }] });
    expect(stream.sent).toHaveLength(1);
    expect(stream.sent[0]?.welcome).toMatchObject({ epoch: 7n, leaseMs: 10_000, silentAfterMs: 1_600, heartbeatIntervalMs: 250, maxResultBytes: 1 << 20 });
    expect(events).toMatchObject([{ kind: "node_connected", nodeId: "node-a", instanceId: "1", held: [{ requestId: "r", attempt: 2 }], gpus: [{ gpuId: "GPU-0", computeCapability: 9_000 }] }]);
    expect(sessions.connectedNodes).toBe(1);
  });

  test("must come first, once, and be valid", () => {
    const silent = open();
    silent.stream.says({});
    expect(silent.refusals).toMatchObject([{ code: status.FAILED_PRECONDITION, details: expect.stringContaining("first message") }]);
    const twice = connect();
    twice.stream.hello();
    expect(twice.refusals).toMatchObject([{ code: status.FAILED_PRECONDITION, details: expect.stringContaining("one hello") }]);
    const nameless = connect({ nodeId: "" });
    expect(nameless.refusals).toMatchObject([{ code: status.INVALID_ARGUMENT, details: expect.stringContaining("node_id") }]);
    expect(kinds().filter((kind) => kind === "node_connected")).toHaveLength(1);
  });

  test("of an agent that has obeyed a later router is refused", () => {
    const { refusals } = connect({ highestEpoch: 8n });
    expect(refusals).toMatchObject([{ code: status.FAILED_PRECONDITION, details: expect.stringMatching(/obeyed epoch 8; this router has epoch 7/) }]);
    expect(events).toEqual([]);
    expect(connect({ highestEpoch: 7n }).refusals).toEqual([]);
  });

  test("of another agent under the same name is refused while the first is heard, and taken when it is not", () => {
    const first = connect({ instanceId: "1" });
    expect(connect({ instanceId: "2" }).refusals).toMatchObject([{ code: status.ALREADY_EXISTS, details: expect.stringContaining("its own node_id") }]);
    pass(750);
    const second = connect({ instanceId: "2" });
    expect(second.refusals).toEqual([]);
    expect(first.stream.ended).toBe(true);
    expect(kinds()).toEqual(["node_connected", "node_disconnected", "node_connected"]);
  });

  test("of the same agent on a new stream replaces the old one, whose last words and end mean nothing any more", () => {
    const first = connect();
    connect();
    expect(kinds()).toEqual(["node_connected", "node_disconnected", "node_connected"]);
    first.stream.says({ events: [{ ref: { requestId: "r", attempt: 1 }, event: { case: "started", value: {} } }] });
    first.stream.emit("cancelled");
    first.stream.emit("close");
    expect(kinds()).toEqual(["node_connected", "node_disconnected", "node_connected"]);
    expect(sessions.connectedNodes).toBe(1);
  });

  test("that was overtaken by a later one of the same process changes nothing, whether that one's stream lives or not", () => {
    const say = (beat: bigint, instanceId = "1"): Connected => {
      const connected = open();
      connected.stream.hello({ instanceId }, beat);
      return connected;
    };
    const later = say(20n);
    expect(say(10n).refusals).toMatchObject([{ code: status.ABORTED, details: expect.stringContaining("later hello") }]);
    later.stream.emit("close");
    expect(say(10n).refusals).toHaveLength(1);
    expect(kinds()).toEqual(["node_connected", "node_disconnected"]);
    expect([say(30n).refusals, say(40n).refusals]).toEqual([[], []]);
    // Another process counts anew.
    pass(750);
    expect(say(1n, "2").refusals).toEqual([]);
  });

  test("is refused while the router stops", () => {
    sessions.close();
    expect(connect().refusals).toMatchObject([{ code: status.UNAVAILABLE }]);
  });
});

describe("What an agent says", () => {
  test("becomes events in its order; output and progress also go to those who watch", () => {
    const { stream } = connect();
    const ref = { requestId: "r", attempt: 1 };
    stream.says({
      events: [
        { ref, event: { case: "started", value: {} } },
        { ref, event: { case: "output", value: { offset: 5n, data: new Uint8Array(3) } } },
        { ref, event: { case: "progress", value: { fraction: 0.5, message: "half" } } },
        { ref, event: { case: "ended", value: { outcome: AttemptOutcome.FAILED, error: { code: "exit_code", message: "7", exitCode: 7 } } } },
      ],
    });
    expect(kinds().slice(1)).toEqual(["attempt_started", "attempt_progress", "attempt_ended"]);
    expect(events.at(-1)).toMatchObject({ nodeId: "node-a", ref, end: { outcome: "failed", error: { code: "exit_code", exitCode: 7 }, statistics: null } });
    expect(watched).toEqual(["output r 5 3", "progress r 0.5 half"]);
  });

  test("as output tells the engine once of each attempt that it is alive", () => {
    const { stream } = connect();
    unanswered.add("r");
    const piece = (offset: bigint) => ({ ref: { requestId: "r", attempt: 1 }, event: { case: "output" as const, value: { offset, data: new Uint8Array(1) } } });
    stream.says({ events: [piece(0n), piece(1n)] });
    expect(events.slice(1)).toEqual([{ kind: "attempt_answered", nodeId: "node-a", ref: { requestId: "r", attempt: 1 } }]);
    expect(watched).toEqual(["output r 0 1", "output r 1 1"]);
  });

  test("of its GPUs: telemetry with its age, a loss, Xids whatever they mean", () => {
    const { stream } = connect();
    stream.says({ telemetry: [{ gpuId: "GPU-0", memoryUsedMib: 5, ageMs: 40 }] });
    stream.says({ gpuEvents: [{ gpuId: "GPU-0", event: { case: "xid", value: 13 } }, { gpuId: "GPU-0", event: { case: "xid", value: 79 } }, { gpuId: "GPU-0", event: { case: "lost", value: "gone" } }] });
    expect(events.slice(1)).toMatchObject([
      { kind: "telemetry", samples: [{ ageMs: 40, sample: { memoryUsedMib: 5, gpuUtilizationPercent: Number.NaN } }] },
      { kind: "gpu_report", gpuId: "GPU-0", report: { kind: "xid", xid: 13, detail: "" } },
      { kind: "gpu_report", gpuId: "GPU-0", report: { kind: "xid", xid: 79, detail: "" } },
      { kind: "gpu_lost", reason: "gone" },
    ]);
  });

  test("about engines becomes an event, without what makes no sense", () => {
    const { stream } = connect();
    stream.says({ runnerLoads: [{ runner: "vllm", running: 12, waiting: 3, kvUse: 0.5, prefixHitRatio: 1, ageMs: 20 }, { runner: "tgi", running: 1, kvUse: Number.NaN, prefixHitRatio: -0.1 }] });
    expect(events.slice(1)).toEqual([
      {
        kind: "runner_load",
        nodeId: "node-a",
        loads: [
          { runner: "vllm", running: 12, waiting: 3, kvUse: 0.5, prefixHitRatio: 1, ageMs: 20 },
          { runner: "tgi", running: 1, waiting: 0, ageMs: 0 },
        ],
      },
    ]);
  });

  test("about runners carries what they can load and how much their cache holds", () => {
    const { stream } = connect();
    const plain = { name: "plain", kind: "exec", models: ["m"] };
    stream.says({ runners: { runners: [{ name: "sim", kind: "simulated", models: ["a"], loadable: [{ modelId: "b", memoryMib: 16_000, loadMs: 30_000n }], kvCapacityTokens: 471_258n }, plain] } });
    expect(events[1]).toEqual({
      kind: "runners_changed",
      nodeId: "node-a",
      runners: [
        { name: "sim", kind: "simulated", models: ["a"], types: [], gpuIds: [], loadable: [{ modelId: "b", memoryMib: 16_000, loadMs: 30_000 }], kvCapacityTokens: 471_258 },
        { ...plain, types: [], gpuIds: [] },
      ],
    });
  });

  test("without saying of which attempt is refused", () => {
    const { stream, refusals } = connect();
    stream.says({ events: [{ event: { case: "started", value: {} } }] });
    expect(refusals).toMatchObject([{ code: status.INVALID_ARGUMENT, details: expect.stringContaining("ref") }]);
  });
});

describe("Silence", () => {
  test("of more than three heartbeats ends the stream with a status the agent hears when it comes back, and the node counts as gone once", () => {
    const { stream, refusals } = connect();
    pass(TERMS.nodeLostAfterMs);
    expect(refusals).toEqual([]);
    pass(LOOK_MS);
    expect(refusals).toMatchObject([{ code: status.UNAVAILABLE, details: expect.stringContaining("Nothing was heard of node-a for 825 ms") }]);
    stream.emit("close");
    pass(1_000);
    expect(events.slice(1)).toEqual([{ kind: "node_disconnected", nodeId: "node-a", silentMs: 825 }]);
  });

  test("is broken by anything, an empty message included", () => {
    const { stream } = connect();
    for (let round = 0; round < 10; round += 1) {
      pass(750);
      stream.says({});
    }
    expect(kinds()).toEqual(["node_connected"]);
  });

  test("of the router is filled with heartbeats, which give back the highest beat that was read", () => {
    const { stream } = connect();
    pass(500);
    stream.says({ beat: 41n });
    pass(500);
    expect(stream.sent.map(({ heardBeat }) => heardBeat)).toEqual([0n, 0n, 0n, 41n, 41n]);
  });

  test("while the router itself stood still is nobody's, and counts from when it listens again", () => {
    connect();
    pass(LOOK_MS);
    stall(60_000);
    expect(kinds()).toEqual(["node_connected"]);
    pass(TERMS.nodeLostAfterMs);
    expect(kinds()).toEqual(["node_connected"]);
    pass(LOOK_MS);
    expect(kinds()).toEqual(["node_connected", "node_disconnected"]);
  });

  test("of a garbage collection of half a second is no death, whenever it begins", () => {
    const { stream } = connect();
    for (let beginsAfterMs = 0; beginsAfterMs < 250; beginsAfterMs += LOOK_MS) {
      stream.says({});
      // A beat is due within 250 ms of the last one; the pause may begin just before it.
      pass(250 - beginsAfterMs);
      pass(500);
    }
    expect(kinds()).toEqual(["node_connected"]);
  });
});

describe("What is sent", () => {
  /** Effects of a real engine for requests that are placed on the node. */
  async function placed(...ids: string[]): Promise<Extract<Effect, { nodeId: NodeId }>[]> {
    const journal = new HeldJournal();
    const effects: Effect[] = [];
    const prepare = (effect: Effect): null => {
      effects.push(effect);
      return null;
    };
    const loop = new EngineLoop({ settings: DEFAULT_CORE_SETTINGS, journal: journal.journal, clock, prepare, onJournalFailure: () => {} });
    loop.step(events[0]!);
    for (const id of ids) loop.step({ kind: "submit", spec: specOf(id, { payload: new Uint8Array(3 << 20) }) });
    await journal.commit();
    return effects.filter((effect) => effect.kind === "dispatch");
  }
  const cancelOf = (requestId: string): Extract<Effect, { nodeId: NodeId }> => ({ kind: "cancel_attempt", nodeId: "node-a" as NodeId, ref: { requestId: requestId as RequestId, attempt: 1 } });
  const dispatched = (stream: FakeStream): string[] => stream.sent.flatMap((message) => message.dispatches.map(({ ref }) => ref?.requestId ?? ""));
  const cancelled = (stream: FakeStream): string[] => stream.sent.flatMap((message) => message.cancels.map(({ requestId }) => requestId));

  test("in one turn of the event loop is one message", async () => {
    const { stream } = connect();
    for (const id of ["x", "y"]) sessions.perform(cancelOf(id));
    sessions.perform({ kind: "acknowledge", nodeId: "node-a" as NodeId, ref: { requestId: "z" as RequestId, attempt: 1 } });
    await turn();
    expect(stream.sent).toHaveLength(2);
    expect(stream.sent[1]?.acknowledged).toHaveLength(1);
    expect(cancelled(stream)).toEqual(["x", "y"]);
  });

  test("waits while the stream is full, and then is sent in order with nothing left out", async () => {
    const { stream } = connect();
    const effects = await placed("a", "b", "c");
    stream.takes = false;
    for (const effect of effects) sessions.perform(effect);
    sessions.perform(cancelOf("c"));
    await turn();
    // The first one filled it.
    expect([dispatched(stream), cancelled(stream)]).toEqual([["a"], []]);
    pass(500);
    expect(dispatched(stream)).toEqual(["a"]);
    stream.drain();
    expect([dispatched(stream), cancelled(stream)]).toEqual([["a", "b", "c"], ["c"]]);
    const cancelAt = stream.sent.findIndex(({ cancels }) => cancels.length > 0);
    const dispatchAt = stream.sent.findIndex(({ dispatches }) => dispatches.some(({ ref }) => ref?.requestId === "c"));
    expect(cancelAt).toBeGreaterThan(dispatchAt);
  });

  test("of orders about models names runner, model and what to do, without waiting for a heartbeat", async () => {
    const { stream } = connect();
    const order = (modelId: string, action: "load" | "unload"): void =>
      sessions.perform({ kind: "order_model", nodeId: "node-a" as NodeId, order: { runner: "sim", modelId: modelId as ModelId, action } });
    order("a", "unload");
    order("b", "load");
    await turn();
    expect(stream.sent[1]?.modelOrders).toMatchObject([
      { runner: "sim", modelId: "a", action: ModelAction.UNLOAD },
      { runner: "sim", modelId: "b", action: ModelAction.LOAD },
    ]);
  });

  test("on a stream that replaced a full one is not held up by it", async () => {
    const first = connect();
    first.stream.takes = false;
    sessions.perform(cancelOf("x"));
    await turn();
    const second = connect();
    expect(second.stream.sent[0]?.welcome).toBeDefined();
    second.stream.takes = false;
    sessions.perform(cancelOf("y"));
    await turn();
    // The old stream's drain is not the new one's.
    first.stream.drain();
    sessions.perform(cancelOf("z"));
    await turn();
    expect(cancelled(second.stream)).toEqual(["y"]);
    second.stream.drain();
    expect(cancelled(second.stream)).toEqual(["y", "z"]);
    expect(cancelled(first.stream)).toEqual(["x"]);
  });

  test("for a node that is not connected is dropped: its hello settles it", async () => {
    sessions.perform(cancelOf("x"));
    await turn();
    const { stream } = connect();
    await turn();
    expect(cancelled(stream)).toEqual([]);
  });

  test("does not include a dispatch whose attempt was superseded before it was durable", async () => {
    const { stream } = connect();
    const [effect] = await placed("a");
    if (effect?.kind !== "dispatch") throw new Error("expected a dispatch");
    effect.request.phase = "queued";
    sessions.perform(effect);
    await turn();
    effect.request.phase = "placed";
    effect.request.attempt += 1;
    sessions.perform(effect);
    await turn();
    expect(dispatched(stream)).toEqual([]);
  });

  test("never takes a dispatch to another process than it was for: the core thinks that the first one runs it", async () => {
    const first = connect({ instanceId: "1" });
    const [effect] = await placed("a");
    first.stream.emit("end");
    const second = connect({ instanceId: "2" });
    if (effect) sessions.perform(effect);
    await turn();
    expect([dispatched(first.stream), dispatched(second.stream)]).toEqual([[], []]);
  });

  test("nor an order to restart a GPU: the first one may have run it", async () => {
    connect({ instanceId: "1" }).stream.emit("end");
    const { stream } = connect({ instanceId: "2" });
    for (const instanceId of ["1", "2"]) sessions.perform({ kind: "restart_gpu", nodeId: nodeId("node-a"), instanceId, restartId: `of ${instanceId}`, gpuId: gpuId("GPU-0") });
    await turn();
    expect(stream.sent.flatMap(({ restartOrders }) => restartOrders.map(({ restartId }) => restartId))).toEqual(["of 2"]);
  });
});

describe("who an agent may say that it is", () => {
  const refusedTo: string[] = [];
  beforeEach(() => void refusedTo.splice(0));
  const agentOf = (...nodeIds: string[]): Caller => ({ principal: { ...LOCAL_ADMIN, roles: ["agent"], nodeIds }, address: "", isGood: () => true, did: async () => {}, refused: (what, why) => refusedTo.push(`${what}: ${why}`) });
  const hello = (caller: Caller): { code: number; details: string }[] => {
    const stream = new FakeStream(caller);
    const refusals: { code: number; details: string }[] = [];
    sessions.connect(stream.stream);
    stream.on("error", (error: { code: number; details: string }) => refusals.push(error));
    stream.hello();
    return refusals;
  };

  test("the nodes of its key, or any where the key says so", () => {
    expect(hello(agentOf("node-a"))).toEqual([]);
    expect(events.map(({ kind }) => kind)).toContain("node_connected");
    expect(sessions.connectedNodes).toBe(1);
  });

  test("another's node is refused, and the node that is connected stays", () => {
    hello(agentOf("*"));
    const before = events.length;
    expect(hello(agentOf("node-b"))).toEqual([{ code: status.PERMISSION_DENIED, details: "The agent's key is not for node node-a: make one with `gpu-router keys create --role agent --node node-a`." }]);
    expect(hello({ ...agentOf("node-a"), principal: { ...LOCAL_ADMIN, roles: ["admin"] } })).toHaveLength(1);
    expect([events.length, sessions.connectedNodes]).toEqual([before, 1]);
    expect(refusedTo).toEqual(["node node-a: speaks for another", "node node-a: speaks for another"]);
  });
});
