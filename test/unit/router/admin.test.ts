// What operators do, through the router as a whole: on a real journal, with an agent's stream.
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { RestartOutcome } from "../../../gen/gpurouter/v1/agent_pb.js";
import { createAdminService } from "../../../src/api/admin-service.js";
import type { Audit } from "../../../src/auth/audit-log.js";
import { ApiError } from "../../../src/api/outcomes.js";
import { create } from "@bufbuild/protobuf";
import {
  CancelRequestRequestSchema,
  ListFailedCallbacksRequestSchema,
  ListMaintenanceRequestSchema,
  RestartGpuRequestSchema,
  RestartState,
  RetryCallbackRequestSchema,
  SetMaintenanceRequestSchema,
} from "../../../gen/gpurouter/v1/admin_pb.js";
import { Deliverer } from "../../../src/callbacks/deliverer.js";
import type { SendOutcome } from "../../../src/callbacks/sender.js";
import type { RequestId } from "../../../src/core/model/ids.js";
import { DEFAULT_CORE_SETTINGS } from "../../../src/core/settings.js";
import { LmdbJournal } from "../../../src/journal/lmdb-journal.js";
import { Router } from "../../../src/router/router.js";
import { specOf } from "../journal/story.js";
import { temporaryFolder } from "../journal/temporary-folder.js";
import { localCalls } from "../api/local-calls.js";
import { FakeStream, silentLog, TestClock, turn } from "./fakes.js";
import { eventually } from "../eventually.js";

const LIMITS = { maxConcurrent: 4, maxConcurrentPerHost: 1, retryDelayMs: 60_000, maxRetryDelayMs: 60_000, maxTries: 2, giveUpAfterMs: 600_000, maxPending: 2, maxPendingPerHost: 1, keepFailed: 10 };
const TERMS = { leaseMs: 60_000, nodeLostAfterMs: 60_000, heartbeatIntervalMs: 60_000, telemetryIntervalMs: 60_000, maxResultBytes: 1 << 20 };

type Calls = ReturnType<typeof localCalls<ReturnType<typeof createAdminService>>>;
const AUDIT: Audit = {
  record: async (actor, { act, subject, why = "" }) => {
    audited.push(`${actor.principal.name}: ${act} ${subject} ${why}`.trim());
  },
};

let folder: string;
let clock: TestClock;
let router: Router;
let api: Calls;
let audited: string[];
let sent: { url: string; body: string }[];
let answer: SendOutcome;

async function start(): Promise<void> {
  const journal = await LmdbJournal.open(folder);
  const sender = {
    send: async (url: string, _id: string, body: string): Promise<SendOutcome> => {
      sent.push({ url, body });
      return answer;
    },
    close: async (): Promise<void> => {},
  };
  router = new Router({
    settings: { ...DEFAULT_CORE_SETTINGS, requestTimeoutMs: 0 },
    agentTerms: TERMS,
    retention: { finishedForMs: 3_600_000, finishedAtMost: 1_000 },
    journal,
    clock,
    log: silentLog,
    resultBaseUrl: () => "http://127.0.0.1:8000",
    onJournalFailure: (error) => {
      throw error;
    },
    delivery: (bodyOf) => new Deliverer({ outbox: journal.outbox, sender, limits: LIMITS, clock, log: silentLog, bodyOf }),
  });
  api = localCalls(createAdminService(router.admin, AUDIT, () => clock.now()));
  await router.durable();
}

beforeEach(async () => {
  folder = await temporaryFolder();
  clock = new TestClock();
  sent = [];
  audited = [];
  answer = { kind: "delivered" };
  await start();
});
afterEach(() => router.stop());

function agent(restartsGpus = true): FakeStream {
  const stream = new FakeStream();
  stream.on("error", () => {});
  router.agents.connect(stream.stream);
  const gpus = [{ gpuId: "GPU-0", name: "Test GPU", memoryTotalMib: 80_000, computeCapability: "9.0" }];
  stream.says({ hello: { nodeId: "node-a", instanceId: "1", gpus, restartsGpus, runners: { runners: [{ name: "any", kind: "exec", models: ["*"] }] } } });
  return stream;
}

const gpuTarget = (value: string) => ({ target: { case: "gpuId", value } as const });
const failure = (promise: unknown): Promise<unknown> => Promise.resolve(promise).then(() => null, (error: unknown) => (error instanceof ApiError ? error.kind : error));
const attempt = (work: () => unknown): Promise<unknown> => failure((async () => work())());

describe("maintenance", () => {
  test("is set, shown with who and why, kept over a restart, and ended", async () => {
    agent();
    const set = await api.setMaintenance(create(SetMaintenanceRequestSchema, { target: gpuTarget("GPU-0"), on: true, reason: "new fan", estimatedDurationMs: 60_000n, drainMs: 1_000n }));
    expect(set.maintenance).toMatchObject({ reason: "new fan", actor: { name: "anonymous", address: "" }, gpuIds: ["GPU-0"], activeRequests: 0 });
    expect(router.gpus()[0]).toMatchObject({ state: "maintenance", stateReason: "maintenance by anonymous: new fan", maintenanceUntilMs: clock.now() + 60_000 });
    await router.stop();
    await start();
    const { maintenance } = await api.listMaintenance(create(ListMaintenanceRequestSchema));
    expect(maintenance).toEqual([set.maintenance]);
    expect(await api.setMaintenance(create(SetMaintenanceRequestSchema, { target: gpuTarget("GPU-0"), on: false }))).not.toHaveProperty("maintenance.reason");
    expect((await api.listMaintenance(create(ListMaintenanceRequestSchema))).maintenance).toEqual([]);
  });

  test.each([
    ["no target", {}, "invalid_argument"],
    ["an empty one", { target: gpuTarget("") }, "invalid_argument"],
    ["an unknown GPU", { target: gpuTarget("GPU-9"), on: true }, "unknown_target"],
    ["an unknown node", { target: { target: { case: "nodeId", value: "nowhere" } as const }, on: true }, "unknown_target"],
    ["a drain of what is put back", { target: gpuTarget("GPU-0"), on: false, drainMs: 1n }, "invalid_argument"],
    ["a year and more", { target: gpuTarget("GPU-0"), on: true, drainMs: 31_536_000_001n }, "invalid_argument"],
    ["a long reason", { target: gpuTarget("GPU-0"), on: true, reason: "x".repeat(1_025) }, "invalid_argument"],
  ])("%s is refused", async (_, request, kind) => {
    agent();
    expect(await attempt(() => api.setMaintenance(create(SetMaintenanceRequestSchema, request)))).toBe(kind);
  });
});

describe("restart of a GPU", () => {
  test("goes to the agent once durable, and its report ends it", async () => {
    const stream = agent();
    const { restart } = await api.restartGpu(create(RestartGpuRequestSchema, { gpuId: "GPU-0", reason: "Xid 62" }));
    expect(restart).toMatchObject({ state: RestartState.ORDERED, reason: "Xid 62", actor: { name: "anonymous" } });
    expect(audited).toEqual(["anonymous: restart GPU GPU-0 Xid 62"]);
    await eventually(() => stream.sent.some(({ restartOrders }) => restartOrders.length > 0));
    const [order] = stream.sent.flatMap(({ restartOrders }) => restartOrders);
    expect(order).toMatchObject({ restartId: restart?.restartId, gpuId: "GPU-0" });
    stream.says({ restartReports: [{ restartId: order?.restartId ?? "", gpuId: "GPU-0", outcome: RestartOutcome.SUCCEEDED, message: "ok" }] });
    const { restarts } = await api.listMaintenance(create(ListMaintenanceRequestSchema));
    expect(restarts).toMatchObject([{ state: RestartState.SUCCEEDED, message: "ok" }]);
  });

  test("is refused with the reason", async () => {
    agent(false);
    const request = create(RestartGpuRequestSchema, { gpuId: "GPU-0" });
    await expect((async () => api.restartGpu(request))()).rejects.toThrow('GPU "GPU-0" is not restarted: the agent of node-a has no gpu_restart_command in its configuration');
    expect(await attempt(() => api.restartGpu(create(RestartGpuRequestSchema, { gpuId: "GPU-9" })))).toBe("unknown_gpus");
  });
});

describe("cancel by an operator", () => {
  test("ends anybody's request with his reason", async () => {
    await router.route(specOf("r1"));
    const { request } = await api.cancelRequest(create(CancelRequestRequestSchema, { requestId: "r1", reason: "floods" }));
    expect(request).toMatchObject({ requestId: "r1", error: { code: "cancelled_by_operator", message: "floods" } });
    expect(await attempt(() => api.cancelRequest(create(CancelRequestRequestSchema, { requestId: "unknown" })))).toBe("unknown_request");
    expect(await attempt(() => api.cancelRequest(create(CancelRequestRequestSchema, { requestId: "not an id" })))).toBe("invalid_argument");
  });
});

describe("callbacks", () => {
  const callbackUrl = "https://example.com/hook?token=secret";

  async function cancelled(id: string, url = callbackUrl): Promise<void> {
    await router.route(specOf(id, { callbackUrl: url }));
    await router.cancel(id as RequestId, "");
    await turn();
  }

  test("a request's end is told as Status says it, without its payload", async () => {
    await cancelled("r1");
    await eventually(() => sent.length === 1);
    expect(sent[0]?.url).toBe(callbackUrl);
    const body = JSON.parse(sent[0]?.body ?? "") as { data: { request: object } };
    expect(body).toMatchObject({ type: "request.ended", data: { sequence: 2, request: { request_id: "r1", state: "REQUEST_STATE_CANCELLED", user_id: "eve" } } });
    expect(Object.keys(body.data.request)).not.toContain("result");
  });

  test("those that were given up are listed without their query, and come back", async () => {
    answer = { kind: "final", error: "the receiver answered 410: it wants no more" };
    await cancelled("r1");
    await eventually(() => router.admin.failedCallbacks(0, 1).failed === 1);
    const page = await api.listFailedCallbacks(create(ListFailedCallbacksRequestSchema));
    expect(page).toMatchObject({ failed: 1n, pending: 0n, nextPageToken: "", callbacks: [{ requestId: "r1", userId: "eve", url: "https://example.com/hook", tries: 1, eventType: "request.ended" }] });
    answer = { kind: "delivered" };
    const callbackId = page.callbacks[0]?.callbackId ?? 0n;
    expect(await api.retryCallback(create(RetryCallbackRequestSchema, { target: { case: "callbackId", value: callbackId } }))).toMatchObject({ retried: 1 });
    expect(await attempt(() => api.retryCallback(create(RetryCallbackRequestSchema, { target: { case: "callbackId", value: callbackId } })))).toBe("unknown_callback");
    expect(await api.retryCallback(create(RetryCallbackRequestSchema, { target: { case: "all", value: true } }))).toMatchObject({ retried: 0 });
    await eventually(() => sent.length === 2);
  });

  test.each([
    ["a page that is none", () => api.listFailedCallbacks(create(ListFailedCallbacksRequestSchema, { pageToken: "x" }))],
    ["a retry of nothing", () => api.retryCallback(create(RetryCallbackRequestSchema))],
    ["a retry of not all", () => api.retryCallback(create(RetryCallbackRequestSchema, { target: { case: "all", value: false } }))],
  ])("%s is refused", async (_, call) => {
    expect(await attempt(call)).toBe("invalid_argument");
  });

  test("while too much is to be told, new requests with such an address are refused, others and repeats are not", async () => {
    answer = { kind: "failed", error: "no answer", retryAfterMs: 0 };
    await cancelled("r1");
    await eventually(() => sent.length === 1);
    expect(await router.route(specOf("r2", { callbackUrl }))).toMatchObject({ kind: "callbacks_full", what: "callbacks of this host", limit: 1 });
    expect(await router.route(specOf("r3"))).toMatchObject({ kind: "accepted" });
    expect(await router.route(specOf("r1", { callbackUrl }))).toMatchObject({ kind: "accepted" });
    await cancelled("r4", "https://other.example/");
    await eventually(() => sent.length === 2);
    expect(await router.route(specOf("r5", { callbackUrl: "https://third.example/" }))).toMatchObject({ kind: "callbacks_full", what: "callbacks", limit: 2 });
  });
});

