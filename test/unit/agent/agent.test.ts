// The agent against the router's end of its protocol, over real gRPC: what goes up and down beside attempts.
import { afterEach, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { AgentService } from "../../../gen/gpurouter/v1/agent_pb.js";
import { Agent } from "../../../src/agent/agent.js";
import type { Probe } from "../../../src/agent/probes/probe.js";
import type { EngineLoad, ModelOrder, RunnerDescription } from "../../../src/agent/runners/runner.js";
import type { Event } from "../../../src/core/events.js";
import type { ModelId, NodeId } from "../../../src/core/model/ids.js";
import { guardInterceptor } from "../../../src/api/grpc-guard.js";
import { OPEN_GUARD } from "../../../src/api/guard.js";
import { AgentSessions } from "../../../src/router/agent-sessions.js";
import { grpcServiceDefinition } from "../../../src/wire/grpc-service-definition.js";
import { keptLog, silentLog, TestClock } from "../router/fakes.js";
import { fakeRunner } from "./fake-runner.js";
import { eventually } from "../eventually.js";

const NODE = "node-a" as NodeId;
const TERMS = { leaseMs: 60_000, nodeLostAfterMs: 60_000, heartbeatIntervalMs: 20, telemetryIntervalMs: 20, maxResultBytes: 1 << 20 };
const probe: Probe = { kind: "simulated", inventory: () => Promise.resolve([]), sample: () => Promise.resolve([]), onEvent: () => () => {}, close: () => Promise.resolve() };

let events: Event[];
let sessions: AgentSessions;
let server: Server;
let agent: Agent;
let lines: readonly { readonly msg: string }[];

/** A runner that loads models at once, on an engine that is as busy as `load` says. */
class LoadingRunner {
  readonly orders: ModelOrder[] = [];
  load: EngineLoad | null = null;
  asked = 0;
  readonly leases: number[] = [];
  models = ["a"];
  #changed = (): void => {};
  readonly runner = fakeRunner("loading", {
    describe: (): RunnerDescription => ({ models: this.models, types: [], gpuIds: ["GPU-0"], loadable: [{ modelId: "b", memoryMib: 15.2, loadMs: 2.4 }], kvCapacityTokens: 1000.7 }),
    onChange: (listener) => {
      this.#changed = listener;
      return () => {};
    },
    order: ({ modelId, action }) => {
      this.orders.push({ modelId, action });
      this.models = action === "load" ? [...this.models, modelId] : this.models.filter((model) => model !== modelId);
      this.#changed();
    },
    leaseUntil: (atMs) => this.leases.push(atMs),
    engineLoad: () => {
      this.asked += 1;
      return Promise.resolve(this.load);
    },
  });
}

let loading: LoadingRunner;

beforeEach(async () => {
  events = [];
  loading = new LoadingRunner();
  sessions = new AgentSessions({ terms: TERMS, clock: new TestClock(), log: silentLog, step: (event) => events.push(event), epoch: () => 1, isUnanswered: () => false, onOutput: jest.fn(), onProgress: jest.fn() });
  const rules = new Map([["/gpurouter.v1.AgentService/Connect", ["agent"]]] as const);
  const interceptors = [guardInterceptor(OPEN_GUARD, rules, (error) => {
    throw error;
  })];
  server = new Server({ "grpc.enable_channelz": 0, interceptors });
  server.addService(grpcServiceDefinition(AgentService), { connect: sessions.connect });
  const port = await new Promise<number>((resolve, reject) => server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))));
  const kept = keptLog();
  lines = kept.lines;
  agent = new Agent({ nodeId: NODE, routerAddress: `127.0.0.1:${port}`, version: "0", probe, gpus: [], runners: [loading.runner, fakeRunner("fixed")], log: kept.log });
  agent.start();
  await eventually(() => agent.connected, "the agent's welcome");
});

afterEach(async () => {
  await agent.stop(0);
  sessions.close();
  server.forceShutdown();
});

function eventsOf<K extends Event["kind"]>(kind: K): Extract<Event, { kind: K }>[] {
  return events.filter((event): event is Extract<Event, { kind: K }> => event.kind === kind);
}

function order(runner: string, modelId: string, action: "load" | "unload"): void {
  sessions.perform({ kind: "order_model", nodeId: NODE, order: { runner, modelId: modelId as ModelId, action } });
}

test("the hello says what can be loaded and how much a cache holds, in whole units", () => {
  expect(eventsOf("node_connected")[0]?.runners).toEqual([
    { name: "loading", kind: "exec", models: ["a"], types: [], gpuIds: ["GPU-0"], loadable: [{ modelId: "b", memoryMib: 16, loadMs: 2 }], kvCapacityTokens: 1000 },
    { name: "fixed", kind: "exec", models: ["*"], types: [], gpuIds: [] },
  ]);
});

describe("An order about a model", () => {
  test("reaches its runner, and the answer is the changed list of runners", async () => {
    order("loading", "b", "load");
    order("loading", "a", "unload");
    await eventually(() => eventsOf("runners_changed").at(-1)?.runners[0]?.models.join() === "b", "the changed list");
    expect(loading.orders).toEqual([{ modelId: "b", action: "load" }, { modelId: "a", action: "unload" }]);
  });

  test("that fits no runner or model is ignored and logged, and the next one is not", async () => {
    order("nobody", "b", "load");
    order("fixed", "b", "load");
    order("loading", "other", "load");
    order("loading", "b", "load");
    await eventually(() => loading.orders.length > 0, "the order that fits");
    expect(loading.orders).toEqual([{ modelId: "b", action: "load" }]);
    expect(lines.filter(({ msg }) => msg === "model order ignored")).toMatchObject([
      { runner: "nobody", model: "b", action: "load", because: expect.stringContaining("no runner") },
      { runner: "fixed", because: expect.stringContaining("not the router's") },
      { runner: "loading", model: "other", because: expect.stringContaining("does not have") },
    ]);
  });
});

test("runners are told of the lease at every word of the router, as it is renewed", async () => {
  const [first = Number.NaN] = loading.leases;
  expect(first).toBeLessThanOrEqual(performance.now() + TERMS.leaseMs);
  await eventually(() => {
    order("loading", "b", "load");
    return (loading.leases.at(-1) ?? Number.NaN) > first;
  }, "a word of the router after it has read one of the agent");
});

test("the load of an engine goes up at every telemetry interval while it tells, and not when it does not", async () => {
  loading.load = { running: 3, waiting: 1, kvUse: 0.5, prefixHitRatio: 0.25 };
  await eventually(() => eventsOf("runner_load").length >= 3, "three reports");
  for (const { loads } of eventsOf("runner_load")) expect(loads).toEqual([{ runner: "loading", running: 3, waiting: 1, kvUse: 0.5, prefixHitRatio: 0.25, ageMs: expect.any(Number) }]);
  loading.load = null;
  // A changed list overtakes nothing: what was told before it is there when it is.
  const toldSoFar = async (action: "load" | "unload"): Promise<number> => {
    const [changes, asked] = [eventsOf("runners_changed").length, loading.asked];
    await eventually(() => loading.asked >= asked + 3, "three more questions");
    order("loading", "b", action);
    await eventually(() => eventsOf("runners_changed").length > changes, "the changed list");
    return eventsOf("runner_load").length;
  };
  expect(await toldSoFar("load")).toBe(await toldSoFar("unload"));
});
