import { describe, expect, test } from "@jest/globals";
import { create } from "@bufbuild/protobuf";
import {
  AttemptEndedSchema,
  AttemptOutcome,
  AttemptRefSchema,
  ConnectResponseSchema,
  DispatchSchema,
  ModelAction,
  ModelOrderSchema,
  RestartOrderSchema,
  WelcomeSchema,
  type AttemptEvent,
  type AttemptRef,
  type ConnectResponse,
  type Dispatch,
  type ModelOrder,
  type RestartOrder,
} from "../../../gen/gpurouter/v1/agent_pb.js";
import { AgentSession } from "../../../src/link/agent-session.js";

const LEASE_MS = 3_000;
const ref = (requestId: string, attempt = 1): AttemptRef => create(AttemptRefSchema, { requestId, attempt });
const dispatch = (requestId: string, attempt = 1, mustNotRunTwice = false): Dispatch => create(DispatchSchema, { ref: ref(requestId, attempt), mustNotRunTwice });
const message = (fields: { dispatches?: Dispatch[]; cancels?: AttemptRef[]; acknowledged?: AttemptRef[]; modelOrders?: ModelOrder[]; restartOrders?: RestartOrder[] }): ConnectResponse => create(ConnectResponseSchema, fields);
const done = create(AttemptEndedSchema, { outcome: AttemptOutcome.SUCCEEDED, result: new Uint8Array([1, 2, 3]) });
const name = ({ requestId, attempt }: AttemptRef): string => `${requestId}/${attempt}`;
const told = (events: readonly AttemptEvent[] | null): string[] | null => events && events.map((event) => `${name(event.ref!)} ${event.event.case}`);

/** A session that a router of epoch 5 has welcomed at time 0. */
function welcomed(): AgentSession {
  const session = new AgentSession();
  expect(session.welcomed(create(WelcomeSchema, { epoch: 5n, leaseMs: LEASE_MS }), 0)).toEqual([]);
  return session;
}

function started(session: AgentSession, ...dispatches: Dispatch[]): string[] {
  return session.received(message({ dispatches }), 0).start.map(({ ref: of }) => name(of!));
}

describe("Epochs", () => {
  test("a router of a lower epoch than one obeyed before is not obeyed; the same and a higher one are", () => {
    const session = welcomed();
    session.disconnected();
    expect(session.welcomed(create(WelcomeSchema, { epoch: 4n }), 10)).toBeNull();
    expect(session.welcome).toBeNull();
    expect(session.highestEpoch).toBe(5n);
    expect(session.welcomed(create(WelcomeSchema, { epoch: 5n }), 20)).toEqual([]);
    expect(session.welcomed(create(WelcomeSchema, { epoch: 9n }), 30)).toEqual([]);
    expect(session.highestEpoch).toBe(9n);
    expect(session.welcome?.epoch).toBe(9n);
  });
});

describe("Attempts", () => {
  test("one is started once, however often it is dispatched, while it runs and when it has ended", () => {
    const session = welcomed();
    expect(started(session, dispatch("a"), dispatch("a"))).toEqual(["a/1"]);
    expect(started(session, dispatch("a"))).toEqual([]);
    session.ended(ref("a"), done);
    expect(started(session, dispatch("a"))).toEqual([]);
    expect(session.held.map(name)).toEqual(["a/1"]);
  });

  test("a newer attempt of the same request stops the older one", () => {
    const session = welcomed();
    started(session, dispatch("a", 1), dispatch("b", 1));
    const actions = session.received(message({ dispatches: [dispatch("a", 2)] }), 0);
    expect(actions.start.map(({ ref: of }) => name(of!))).toEqual(["a/2"]);
    expect(actions.stop.map(name)).toEqual(["a/1"]);
  });

  test("an older attempt that has ended is not stopped", () => {
    const session = welcomed();
    started(session, dispatch("a", 1));
    session.ended(ref("a", 1), done);
    expect(session.received(message({ dispatches: [dispatch("a", 2)] }), 0).stop).toEqual([]);
  });

  test("start and end are told once", () => {
    const session = welcomed();
    started(session, dispatch("a"));
    expect(session.running).toBe(1);
    expect(session.live(ref("a"))).toBe(true);
    expect(told([session.started(ref("a"))!])).toEqual(["a/1 started"]);
    expect(session.started(ref("a"))).toBeNull();
    expect(told([session.ended(ref("a"), done)!])).toEqual(["a/1 ended"]);
    expect(session.ended(ref("a"), done)).toBeNull();
    expect(session.started(ref("a"))).toBeNull();
    expect(session.running).toBe(0);
    expect(session.live(ref("a"))).toBe(false);
  });

  test("one that was never dispatched has nothing to tell", () => {
    const session = welcomed();
    expect(session.started(ref("a"))).toBeNull();
    expect(session.ended(ref("a"), done)).toBeNull();
    expect(session.live(ref("a"))).toBe(false);
  });

  test("a cancel names what to stop, known or not, and changes nothing of what is held", () => {
    const session = welcomed();
    started(session, dispatch("a"));
    expect(session.received(message({ cancels: [ref("a"), ref("unknown", 3)] }), 0).stop.map(name)).toEqual(["a/1", "unknown/3"]);
    expect(session.held.map(name)).toEqual(["a/1"]);
    expect(told([session.ended(ref("a"), done)!])).toEqual(["a/1 ended"]);
  });

  test("an end is kept until the router has it, and no longer", () => {
    const session = welcomed();
    started(session, dispatch("a"), dispatch("b"));
    session.ended(ref("a"), done);
    session.received(message({ acknowledged: [ref("a", 2)] }), 0);
    expect(session.held.map(name)).toEqual(["a/1", "b/1"]);
    session.received(message({ acknowledged: [ref("a")] }), 0);
    expect(session.held.map(name)).toEqual(["b/1"]);
  });

  test("one that is acknowledged while it runs is unwanted: nothing more is told of it", () => {
    const session = welcomed();
    started(session, dispatch("a"));
    expect(session.received(message({ cancels: [ref("a")], acknowledged: [ref("a")] }), 0).stop.map(name)).toEqual(["a/1"]);
    expect(session.held).toEqual([]);
    expect(session.ended(ref("a"), done)).toBeNull();
  });
});

describe("A new stream", () => {
  test("sends again what the router may have missed: starts and ends, in order, nothing that was acknowledged", () => {
    const session = welcomed();
    started(session, dispatch("a"), dispatch("b"), dispatch("c"), dispatch("d"));
    session.started(ref("a"));
    session.ended(ref("a"), done);
    session.started(ref("b"));
    session.started(ref("c"));
    session.ended(ref("c"), done);
    session.received(message({ acknowledged: [ref("c")] }), 0);
    session.disconnected();
    expect(session.welcome).toBeNull();
    // Ends between streams are kept.
    session.ended(ref("b"), done);
    const resent = session.welcomed(create(WelcomeSchema, { epoch: 6n }), 100);
    expect(told(resent)).toEqual(["a/1 started", "a/1 ended", "b/1 started", "b/1 ended"]);
    expect(resent?.[1]?.event).toMatchObject({ case: "ended", value: { result: new Uint8Array([1, 2, 3]) } });
    expect(session.held.map(name)).toEqual(["a/1", "b/1", "d/1"]);
    // And again, until they are acknowledged.
    session.disconnected();
    expect(told(session.welcomed(create(WelcomeSchema, { epoch: 6n }), 200))).toHaveLength(4);
  });
});

describe("The fence", () => {
  const heard = (heardBeat: bigint, dispatches: Dispatch[] = []): ConnectResponse => create(ConnectResponseSchema, { heardBeat, dispatches });

  /** Says something at each of `times` and takes back the numbers. */
  function beats(session: AgentSession, ...times: number[]): bigint[] {
    return times.map((atMs) => session.nextBeat(atMs));
  }

  test("closes when nothing that was sent within the lease is known to have been read, on running work that must not run twice", () => {
    const session = welcomed();
    const [hello] = beats(session, 1_000);
    session.received(heard(hello!, [dispatch("train", 1, true), dispatch("infer", 1, false), dispatch("done", 1, true)]), 1_001);
    session.ended(ref("done"), done);
    expect(session.fence(999 + LEASE_MS)).toEqual([]);
    expect(session.fence(1_000 + LEASE_MS).map(name)).toEqual(["train/1"]);
    session.disconnected();
    expect(session.fence(1_000 + LEASE_MS).map(name)).toEqual(["train/1"]);
  });

  test("stays open while what was sent is read, on this stream or the next", () => {
    const session = welcomed();
    const [hello, second] = beats(session, 0, 2_500);
    session.received(heard(hello!, [dispatch("train", 1, true)]), 0);
    expect(session.leaseUntilMs).toBe(LEASE_MS);
    session.received(heard(second!), 2_600);
    expect(session.leaseUntilMs).toBe(2_500 + LEASE_MS);
    expect(session.fence(5_499)).toEqual([]);
    session.disconnected();
    const [again] = beats(session, 5_400);
    session.welcomed(create(WelcomeSchema, { epoch: 6n, leaseMs: LEASE_MS }), 5_410);
    session.received(heard(again!), 5_410);
    expect(session.fence(8_399)).toEqual([]);
    expect(session.fence(8_400).map(name)).toEqual(["train/1"]);
  });

  test("begins no restart that was ordered before it ran out and read after", () => {
    const session = welcomed();
    const restartOrders = [create(RestartOrderSchema, { restartId: "r", gpuId: "g" })];
    session.nextBeat(0);
    session.received(create(ConnectResponseSchema, { heardBeat: 1n }), 0);
    expect(session.received(message({ restartOrders }), LEASE_MS - 1)).toMatchObject({ restarts: restartOrders, lateRestarts: [] });
    expect(session.received(message({ restartOrders }), LEASE_MS)).toMatchObject({ restarts: [], lateRestarts: restartOrders });
  });

  test("is not held open by words that lay in a buffer: the lease counts from when their cause was sent", () => {
    const session = welcomed();
    const [hello, second] = beats(session, 0, 250);
    session.received(heard(hello!, [dispatch("train", 1, true)]), 1);
    // The process stood still for six seconds; the answer to its second message is read before the fence is looked at.
    session.received(heard(second!), 6_000);
    expect(session.fence(6_000).map(name)).toEqual(["train/1"]);
  });

  test("keeps out work that must not run twice when it is read too late, and says so", () => {
    const session = welcomed();
    const [hello] = beats(session, 0);
    session.received(heard(hello!), 1);
    const { start, tell } = session.received(heard(hello!, [dispatch("train", 1, true), dispatch("infer", 1, false)]), 6_000);
    expect(start.map((each) => name(each.ref!))).toEqual(["infer/1"]);
    expect(tell.map(({ ref: of, event }) => [name(of!), event.case === "ended" && event.value.outcome])).toEqual([["train/1", AttemptOutcome.FENCED]]);
    expect(session.held.map(name)).toEqual(["train/1", "infer/1"]);
  });

  test("goes by the earlier of two messages that were sent at almost the same time, and remembers few of many", () => {
    const session = welcomed();
    const numbers = beats(session, ...Array.from({ length: 10_000 }, (_, index) => index / 2));
    session.received(heard(numbers[numbers.length - 1]!, [dispatch("train", 1, true)]), 5_000);
    const closesAtMs = 4_999.5 + LEASE_MS;
    expect(session.fence(closesAtMs - 21)).toEqual([]);
    expect(session.fence(closesAtMs).map(name)).toEqual(["train/1"]);
  });
});

describe("A silent router", () => {
  const welcome = create(WelcomeSchema, { epoch: 5n, leaseMs: LEASE_MS, silentAfterMs: 1_600 });

  test("is given up after its time; hearing it, and standing still oneself, is no silence", () => {
    const session = new AgentSession();
    expect(session.routerSilent(0, 99_999)).toBe(false);
    session.welcomed(welcome, 0);
    expect([session.routerSilent(0, 1_600), session.routerSilent(0, 1_601)]).toEqual([false, true]);
    session.received(message({}), 2_000);
    expect(session.routerSilent(0, 3_600)).toBe(false);
    expect(session.routerSilent(5_000, 8_600)).toBe(false);
    expect(session.routerSilent(0, 10_201)).toBe(true);
    session.disconnected();
    expect(session.routerSilent(0, 99_999)).toBe(false);
  });
});

test("orders about models are handed on as they came, each time: a runner that holds what it is told to hold has nothing to do", () => {
  const session = welcomed();
  const orders = [create(ModelOrderSchema, { runner: "r", modelId: "a", action: ModelAction.UNLOAD }), create(ModelOrderSchema, { runner: "r", modelId: "b", action: ModelAction.LOAD })];
  expect(session.received(message({ modelOrders: orders }), 0).orders).toEqual(orders);
  expect(session.received(message({ modelOrders: orders }), 0).orders).toEqual(orders);
  expect(session.received(message({}), 0).orders).toEqual([]);
});
