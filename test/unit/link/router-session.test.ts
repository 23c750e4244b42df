import { describe, expect, test } from "@jest/globals";
import { create } from "@bufbuild/protobuf";
import { AttemptRefSchema, DispatchSchema, ModelAction, ModelOrderSchema, WelcomeSchema, type AttemptRef, type ConnectResponse, type Dispatch, type ModelOrder } from "../../../gen/gpurouter/v1/agent_pb.js";
import { RouterSession } from "../../../src/link/router-session.js";

const MIB = 1 << 20;
const welcome = create(WelcomeSchema, { epoch: 3n, leaseMs: 3_000, heartbeatIntervalMs: 250 });
const ref = (requestId: string, attempt = 1): AttemptRef => create(AttemptRefSchema, { requestId, attempt });
const dispatch = (requestId: string, bytes = 0): Dispatch => create(DispatchSchema, { ref: ref(requestId), payload: new Uint8Array(bytes) });
const session = (nowMs = 0): RouterSession => new RouterSession({ nodeId: "node-a", instanceId: "instance-1", welcome, beat: 1n, lostAfterMs: 800 }, nowMs);

/** A session that has said its welcome at time 0. */
function welcomed(): RouterSession {
  const fresh = session();
  fresh.take(0);
  return fresh;
}

const names = (refs: readonly (AttemptRef | undefined)[]): string[] => refs.map((each) => each?.requestId ?? "");
function said(message: ConnectResponse | null): object | null {
  return message && { dispatches: names(message.dispatches.map((each) => each.ref)), cancels: names(message.cancels), acknowledged: names(message.acknowledged) };
}

test("the welcome comes first and once, with whatever is there", () => {
  const fresh = session();
  fresh.dispatch(dispatch("a"));
  const first = fresh.take(0);
  expect(first?.welcome).toEqual(welcome);
  expect(said(first)).toEqual({ dispatches: ["a"], cancels: [], acknowledged: [] });
  fresh.dispatch(dispatch("b"));
  expect(fresh.take(1)?.welcome).toBeUndefined();
});

test("what nobody wants any more when its turn comes is not sent", () => {
  const live = welcomed();
  let wanted = true;
  live.dispatch(dispatch("a"), () => wanted);
  live.dispatch(dispatch("b"));
  wanted = false;
  expect(said(live.take(1))).toEqual({ dispatches: ["b"], cancels: [], acknowledged: [] });
});

test("everything that waits is folded into one message, in order", () => {
  const live = welcomed();
  for (const id of ["a", "b", "c"]) live.dispatch(dispatch(id));
  live.cancel(ref("x"));
  live.cancel(ref("y"));
  live.acknowledge(ref("z"));
  expect(said(live.take(1))).toEqual({ dispatches: ["a", "b", "c"], cancels: ["x", "y"], acknowledged: ["z"] });
  expect(live.hasMore).toBe(false);
  expect(live.take(2)).toBeNull();
});

test("a heartbeat is an empty message after a silence of its interval, and only then", () => {
  const live = welcomed();
  expect(live.take(249)).toBeNull();
  expect(said(live.take(250))).toEqual({ dispatches: [], cancels: [], acknowledged: [] });
  expect(live.take(300)).toBeNull();
  live.dispatch(dispatch("a"));
  expect(live.take(400)).not.toBeNull();
  expect(live.take(649)).toBeNull();
  expect(live.take(650)).not.toBeNull();
});

test("acknowledgements travel with the next message and are never lost", () => {
  const live = welcomed();
  live.acknowledge(ref("a"));
  live.acknowledge(ref("b"));
  const message = live.take(1) ?? live.take(250);
  expect(said(message)).toMatchObject({ acknowledged: ["a", "b"] });
});

describe("Orders about models", () => {
  const order = (modelId: string, action: ModelAction, runner = "vllm"): ModelOrder => create(ModelOrderSchema, { runner, modelId, action });
  const orders = (message: ConnectResponse | null): string[] => (message?.modelOrders ?? []).map(({ runner, modelId, action }) => `${runner} ${modelId} ${ModelAction[action]}`);

  test("go out at once, in order, and once", () => {
    const live = welcomed();
    live.order(order("a", ModelAction.UNLOAD));
    live.order(order("b", ModelAction.LOAD));
    expect(orders(live.take(1))).toEqual(["vllm a UNLOAD", "vllm b LOAD"]);
    expect(live.take(2)).toBeNull();
    expect(orders(live.take(250))).toEqual([]);
  });

  test("for the same model of the same runner: only the last one is sent", () => {
    const live = welcomed();
    live.order(order("a", ModelAction.LOAD));
    live.order(order("a", ModelAction.LOAD, "other"));
    live.order(order("a", ModelAction.UNLOAD));
    expect(orders(live.take(1))).toEqual(["vllm a UNLOAD", "other a LOAD"]);
  });
});

describe("Large payloads", () => {
  test("are spread over messages of bounded size, in order", () => {
    const live = welcomed();
    for (const [id, mib] of [["a", 2], ["b", 1.5], ["c", 1], ["d", 0.1]] as const) live.dispatch(dispatch(id, mib * MIB));
    expect(said(live.take(1))).toMatchObject({ dispatches: ["a", "b"] });
    expect(live.hasMore).toBe(true);
    expect(said(live.take(1))).toMatchObject({ dispatches: ["c", "d"] });
    expect(live.hasMore).toBe(false);
  });

  test("above the bound travel alone rather than never", () => {
    const live = welcomed();
    live.dispatch(dispatch("a", 20 * MIB));
    live.dispatch(dispatch("b", 20 * MIB));
    expect(said(live.take(1))).toMatchObject({ dispatches: ["a"] });
    expect(said(live.take(1))).toMatchObject({ dispatches: ["b"] });
  });
});

describe("A cancel of what was not sent yet", () => {
  test("goes out in the message behind the dispatch: an agent knows nothing of what it has not been sent", () => {
    const live = welcomed();
    live.dispatch(dispatch("a"));
    live.cancel(ref("a"));
    live.cancel(ref("old"));
    expect(said(live.take(1))).toEqual({ dispatches: ["a"], cancels: ["old"], acknowledged: [] });
    expect(live.hasMore).toBe(true);
    expect(said(live.take(1))).toEqual({ dispatches: [], cancels: ["a"], acknowledged: [] });
    expect(live.hasMore).toBe(false);
  });

  test("waits for as long as its dispatch waits", () => {
    const live = welcomed();
    for (const id of ["a", "b", "c"]) live.dispatch(dispatch(id, 3 * MIB));
    live.cancel(ref("c"));
    expect(said(live.take(1))).toMatchObject({ dispatches: ["a"], cancels: [] });
    expect(said(live.take(1))).toMatchObject({ dispatches: ["b"], cancels: [] });
    expect(said(live.take(1))).toMatchObject({ dispatches: ["c"], cancels: [] });
    expect(said(live.take(1))).toMatchObject({ dispatches: [], cancels: ["c"] });
    expect(live.hasMore).toBe(false);
  });

  test("is told from that of an older attempt of the same request", () => {
    const live = welcomed();
    live.dispatch(create(DispatchSchema, { ref: ref("a", 2) }));
    live.cancel(ref("a", 1));
    const message = live.take(1);
    expect(message?.cancels).toEqual([ref("a", 1)]);
  });
});

test("an agent is lively for two heartbeats and silent after three and a bit, so that a pause of half a second is no death", () => {
  const live = session(1_000);
  expect([live.lively(1_500), live.lively(1_501)]).toEqual([true, false]);
  expect([live.silent(1_800), live.silent(1_801)]).toEqual([false, true]);
  live.heard(2n, 4_000);
  expect([live.lively(4_500), live.silent(4_800)]).toEqual([true, false]);
});

describe("A router that stood still", () => {
  test("counts silence from when it listens again", () => {
    const live = session(1_000);
    live.excuse(5_000);
    expect([live.silentMs(5_000), live.silent(5_800), live.silent(5_801)]).toEqual([0, false, true]);
  });

  test("again and again finds the dead all the same", () => {
    const live = session(1_000);
    const found: boolean[] = [];
    for (let stalls = 1; stalls <= 10; stalls += 1) {
      live.excuse(stalls * 60_000);
      found.push(live.silent(stalls * 60_000));
    }
    expect(found.indexOf(true)).toBe(8);
    live.heard(2n, 700_000);
    live.excuse(760_000);
    expect(live.silent(760_000)).toBe(false);
  });
});

test("every message gives back the highest beat that was read, whatever came after it", () => {
  const live = session();
  expect(live.take(0)?.heardBeat).toBe(1n);
  live.heard(7n, 100);
  live.heard(3n, 200);
  expect(live.take(1_000)?.heardBeat).toBe(7n);
});
