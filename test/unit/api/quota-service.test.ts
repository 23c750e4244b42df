// QuotaService over both transports: what a quota looks like, what cannot be set, who sees whose; and what a refused Route is told.
import { describe, expect, test } from "@jest/globals";
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { anyUnpack, AnySchema, durationMs, timestampFromMs, type Any } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Client } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { status, type ServiceError } from "@grpc/grpc-js";
import { QuotaMode, QuotaService } from "../../../gen/gpurouter/v1/quota_pb.js";
import { RouterService } from "../../../gen/gpurouter/v1/router_pb.js";
import { ErrorInfoSchema, QuotaFailureSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import type { RouteOutcome } from "../../../src/api/router-port.js";
import { createQuotaService } from "../../../src/api/quota-service.js";
import type { AuditFact } from "../../../src/auth/audit-log.js";
import { NO_LIMITS, type OverLimit } from "../../../src/core/model/quota.js";
import { FakeQuotas, quotaViewOf, usageOf } from "./fake-quotas.js";
import { callConnect, callGrpc, serveGuarded } from "./guarded.js";
import { serveGrpc, serveHttp } from "./serving.js";

const ALICE = { case: "userId", value: "alice" } as const;
const AT_MS = Date.UTC(2026, 10, 21, 10);
const OPEN_AGAIN_MS = AT_MS + 42_000;

/** Both transports over the same quotas, and what was written into the audit log. */
async function serveQuotas() {
  const quotas = new FakeQuotas();
  const audited: AuditFact[] = [];
  const services = [{ service: QuotaService, handlers: createQuotaService(quotas, { record: async (_actor, fact) => void audited.push(fact) }) }];
  const [{ client }, { baseUrl }] = [await serveGrpc({ services }), await serveHttp({ services })];
  const connect: Client<typeof QuotaService> = createClient(QuotaService, createConnectTransport({ baseUrl, httpVersion: "1.1" }));
  return { quotas, audited, grpc: client.quotas, connect, baseUrl };
}

async function thrownBy(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => {
      throw new Error("nothing was thrown");
    },
    (error: unknown) => error,
  );
}

/** The details of a google.rpc.Status, read apart from the code that writes it. */
function detailsOf(error: ServiceError): readonly Any[] {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const reader = new BinaryReader(bytes as Buffer);
  const details: Any[] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 3) details.push(fromBinary(AnySchema, reader.bytes()));
    else reader.skip(type);
  }
  return details;
}

describe("GetQuota", () => {
  const view = quotaViewOf(
    { subject: "user", subjectId: "alice" },
    {
      team: "research",
      weight: 2,
      limits: { ...NO_LIMITS, concurrentRequests: 7, gpuTimeMs: 600_000, priorityRequests: 3, requestsPerMinute: 60, modelRequests: { llama: 4 } },
      used: { concurrent_requests: 9, gpus: 2, priority_requests: 1, gpu_time: 90_001, requests_per_minute: 12, requests_per_day: 400, queued_requests: 5, queued_bytes: 1_000 },
      usedByModel: new Map([["llama", 3], ["qwen", 6]]),
      refused: new Map([["concurrent_requests", 11], ["requests_per_minute", 2]]),
      minuteResetAtMs: OPEN_AGAIN_MS,
      gpuTimeResetAtMs: AT_MS + 50_000_000,
      entry: { subject: "user", subjectId: "alice", override: { concurrentRequests: 7, team: "research", weight: 2 }, by: "ada", reason: "load test", atMs: AT_MS },
    },
  );

  test("shows limit, used and remaining of everything, resets of rates, and what was set by whom", async () => {
    const { quotas, grpc, connect } = await serveQuotas();
    quotas.show(view);
    const shown = await grpc.getQuota({ subject: ALICE });
    expect(shown.quota).toMatchObject({
      userId: "alice",
      teamId: "research",
      weight: 2,
      mode: QuotaMode.ENFORCE,
      quotas: {
        // Minutes: a started one is used.
        gpuTime: { limit: 10n, used: 2n, remaining: 8n, refused: 0n },
        // More than a limit that was lowered since.
        concurrentRequests: { limit: 7n, used: 9n, remaining: 0n, refused: 11n },
        priorityRequests: { limit: 3n, used: 1n, remaining: 2n },
        models: { llama: { limit: 4n, used: 3n, remaining: 1n }, qwen: { used: 6n } },
      },
      rateLimits: { requestsPerMinute: { limit: 60n, used: 12n, remaining: 48n, refused: 2n, resetTime: timestampFromMs(OPEN_AGAIN_MS) } },
      gpuTimeResetTime: timestampFromMs(AT_MS + 50_000_000),
      set: { concurrentRequestsLimit: 7n, teamId: "research", weight: 2 },
      setBy: "ada",
      setReason: "load test",
      setTime: timestampFromMs(AT_MS),
    });
    // What has no limit has none to show, and nothing that remains of it.
    const { gpus, models } = shown.quota!.quotas!;
    for (const use of [gpus, models["qwen"], shown.quota!.rateLimits!.requestsPerDay]) expect([use?.limit, use?.remaining]).toEqual([undefined, undefined]);
    expect(shown.quota?.rateLimits?.requestsPerDay).toMatchObject({ used: 400n });
    expect(shown.quota?.rateLimits?.requestsPerDay?.resetTime).toBeUndefined();
    expect(shown.quota?.set?.priorityRequestsLimit).toBeUndefined();
    expect(await connect.getQuota({ subject: ALICE })).toEqual(shown);
  });

  test("is asked for and told in JSON", async () => {
    const { quotas, baseUrl } = await serveQuotas();
    quotas.show(view);
    const response = await fetch(`${baseUrl}/gpurouter.v1.QuotaService/GetQuota`, { method: "POST", headers: { "content-type": "application/json" }, body: '{"user_id":"alice"}' });
    expect(await response.json()).toMatchObject({
      quota: {
        quotas: { gpuTime: { limit: "10", used: "2", remaining: "8" }, concurrentRequests: { limit: "7" }, priorityRequests: { used: "1" } },
        rateLimits: { requestsPerMinute: { limit: "60", resetTime: "2026-11-21T10:00:42Z" }, requestsPerDay: { used: "400" } },
      },
    });
  });

  test("of a team names the team alone; of somebody who was never seen it has nothing in use", async () => {
    const { quotas, grpc } = await serveQuotas();
    quotas.show(quotaViewOf({ subject: "team", subjectId: "research" }));
    expect((await grpc.getQuota({ subject: { case: "teamId", value: "research" } })).quota).toMatchObject({ userId: "", teamId: "research" });
    const nobody = (await grpc.getQuota({ subject: ALICE })).quota;
    expect(nobody).toMatchObject({ userId: "alice", teamId: "", quotas: { concurrentRequests: { used: 0n } } });
    expect([nobody?.set, nobody?.setTime]).toEqual([undefined, undefined]);
  });
});

describe("SetQuota", () => {
  test("hands on what was given, in the core's units, and nothing else; the audit log has it", async () => {
    const { quotas, grpc, audited } = await serveQuotas();
    await grpc.setQuota({ subject: ALICE, limits: { gpuTimeLimit: 90n, concurrentRequestsLimit: 0n, modelLimits: { llama: 4n }, weight: 0.5, teamId: "" }, reason: "less of it" });
    await grpc.setQuota({ subject: { case: "teamId", value: "research" }, limits: { gpuLimit: 16n, weight: 2, teamId: "other" }, reset: true });
    expect(quotas.changes).toEqual([
      { subject: "user", subjectId: "alice", override: { gpuTimeMs: 5_400_000, concurrentRequests: 0, modelRequests: { llama: 4 }, weight: 0.5, team: "" }, reset: false, by: "anonymous", reason: "less of it" },
      // Teams have neither weight nor team.
      { subject: "team", subjectId: "research", override: { gpus: 16 }, reset: true, by: "anonymous", reason: "" },
    ]);
    expect(audited).toEqual([
      { act: "set quota", subject: "user:alice", why: "less of it" },
      { act: "set quota", subject: "team:research", why: "" },
    ]);
  });

  const TOO_LARGE = 1n << 60n;
  test.each([
    ["subject", {}],
    ["user_id", { subject: { case: "userId", value: "" } }],
    ["team_id", { subject: { case: "teamId", value: "t".repeat(129) } }],
    ["limits.gpu_time_limit", { subject: ALICE, limits: { gpuTimeLimit: TOO_LARGE } }],
    ["limits.concurrent_requests_limit", { subject: ALICE, limits: { concurrentRequestsLimit: TOO_LARGE } }],
    ["limits.priority_requests_limit", { subject: ALICE, limits: { priorityRequestsLimit: TOO_LARGE } }],
    ["limits.gpu_limit", { subject: ALICE, limits: { gpuLimit: TOO_LARGE } }],
    ["limits.requests_per_minute_limit", { subject: ALICE, limits: { requestsPerMinuteLimit: TOO_LARGE } }],
    ["limits.requests_per_day_limit", { subject: ALICE, limits: { requestsPerDayLimit: TOO_LARGE } }],
    ["limits.queued_requests_limit", { subject: ALICE, limits: { queuedRequestsLimit: TOO_LARGE } }],
    ["limits.queued_bytes_limit", { subject: ALICE, limits: { queuedBytesLimit: TOO_LARGE } }],
    ["limits.model_limits", { subject: ALICE, limits: { modelLimits: { llama: TOO_LARGE } } }],
    ["limits.model_limits", { subject: ALICE, limits: { modelLimits: { "": 1n } } }],
    ["limits.weight", { subject: ALICE, limits: { weight: 0 } }],
    ["limits.weight", { subject: ALICE, limits: { weight: Number.NaN } }],
    ["limits.team_id", { subject: ALICE, limits: { teamId: "t".repeat(129) } }],
    ["reason", { subject: ALICE, reason: "x".repeat(1025) }],
  ] as const)("names %s when that is wrong, and sets nothing", async (field, request) => {
    const { quotas, grpc, connect, audited } = await serveQuotas();
    const named: unknown = expect.stringMatching(new RegExp(`^${field}\\b`));
    await expect(grpc.setQuota(request)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT, details: named });
    await expect(connect.setQuota(request)).rejects.toMatchObject({ code: Code.InvalidArgument, rawMessage: named });
    expect([quotas.changes, audited]).toEqual([[], []]);
  });
});

test("ListQuotas and ListUsage go on from page to page, and their sizes are bounded", async () => {
  const { quotas, grpc } = await serveQuotas();
  for (const name of ["a", "b", "c"]) {
    quotas.show(quotaViewOf({ subject: "user", subjectId: name }));
    quotas.users.push(usageOf(name));
  }
  const names: string[] = [];
  for (let pageToken: string | null = ""; pageToken !== null; ) {
    const listed = await grpc.listQuotas({ pageSize: 2, pageToken });
    const used = await grpc.listUsage({ pageSize: 2, pageToken: pageToken.replace("user:", "") });
    expect(used.users.map(({ userId }) => userId)).toEqual(listed.quotas.map(({ userId }) => userId));
    names.push(...listed.quotas.map(({ userId }) => userId));
    pageToken = listed.nextPageToken || null;
  }
  expect(names).toEqual(["a", "b", "c"]);
  // The response time is a mean over what completed.
  expect((await grpc.listUsage({ userId: "b" })).users).toMatchObject([
    { userId: "b", requests: 5n, completed: 2n, failed: 1n, cancelled: 1n, gpuTimeMs: 90_000n, responseTimeMs: 250, sinceTime: timestampFromMs(1_000) },
  ]);
  for (const call of [grpc.listQuotas({ pageSize: 1001 }), grpc.listUsage({ pageSize: 1001 })]) await expect(call).rejects.toMatchObject({ details: expect.stringContaining("page_size") });
});

describe("Route beyond a limit", () => {
  const over = (name: OverLimit["name"], more: Partial<OverLimit> = {}): OverLimit => ({ name, subject: "user", subjectId: "alice", limit: 60, used: 60, asked: 1, resetAtMs: OPEN_AGAIN_MS, ...more });
  const CASES: readonly [outcome: RouteOutcome, words: RegExp, retryMs: number, violation: object][] = [
    [
      { kind: "rate_limited", over: over("requests_per_minute"), retryAfterMs: 41_500 },
      /^rate limited: user "alice" has 60 of 60 requests per minute; try again in 41500 ms$/,
      41_500,
      { subject: "user:alice", quotaMetric: "requests_per_minute", quotaId: "requests_per_minute_per_user", quotaValue: 60n, quotaDimensions: { used: "60", reset_time: "2026-11-21T10:00:42.000Z" } },
    ],
    [
      // When there is room hangs on what runs.
      { kind: "over_quota", over: over("queued_requests", { subject: "team", subjectId: "research", resetAtMs: 0 }), retryAfterMs: 800 },
      /^over quota: team "research" has 60 of 60 requests in line; try again in 800 ms$/,
      800,
      { subject: "team:research", quotaMetric: "queued_requests", quotaId: "queued_requests_per_team", quotaValue: 60n, quotaDimensions: { used: "60" } },
    ],
    [
      // It will never fit, so there is no time to try again.
      { kind: "over_quota", over: over("gpus", { limit: 2, used: 0, asked: 4, resetAtMs: Number.POSITIVE_INFINITY }), retryAfterMs: 0 },
      /^over quota: user "alice" has 0 of 2 GPUs at once, and this takes 4; ask for less, or for a higher limit$/,
      0,
      { subject: "user:alice", quotaMetric: "gpus", quotaId: "gpus_per_user", quotaValue: 2n, quotaDimensions: { used: "0" } },
    ],
  ];

  test.each(CASES)("%o over gRPC: RESOURCE_EXHAUSTED with RetryInfo and QuotaFailure", async (outcome, words, retryMs, violation) => {
    const { client, router } = await serveGrpc();
    router.outcome = () => outcome;
    const error = (await thrownBy(client.route({ modelId: "m" }))) as ServiceError;
    expect(error).toMatchObject({ code: status.RESOURCE_EXHAUSTED, details: expect.stringMatching(words) });
    expect(error.metadata.get("retry-after-ms")).toEqual(retryMs > 0 ? [String(retryMs)] : []);
    const details = detailsOf(error);
    const retries = details.flatMap((any) => anyUnpack(any, RetryInfoSchema) ?? []);
    expect(retries.map(({ retryDelay }) => durationMs(retryDelay!))).toEqual(retryMs > 0 ? [retryMs] : []);
    expect(details.flatMap((any) => anyUnpack(any, QuotaFailureSchema) ?? [])).toMatchObject([{ violations: [{ ...violation, description: expect.stringContaining("has") }] }]);
    expect(details.flatMap((any) => anyUnpack(any, ErrorInfoSchema) ?? [])).toMatchObject([{ reason: outcome.kind.toUpperCase(), domain: "gpurouter.v1" }]);
    expect(details).toHaveLength(retries.length + 2);
  });

  test.each(CASES)("%o by Connect: the same details", async (outcome, words, retryMs, violation) => {
    const { baseUrl, router } = await serveHttp();
    router.outcome = () => outcome;
    const client = createClient(RouterService, createConnectTransport({ baseUrl, httpVersion: "1.1" }));
    const error = ConnectError.from(await thrownBy(client.route({ modelId: "m" })));
    expect(error).toMatchObject({ code: Code.ResourceExhausted, rawMessage: expect.stringMatching(words) });
    expect(error.findDetails(RetryInfoSchema).map(({ retryDelay }) => durationMs(retryDelay!))).toEqual(retryMs > 0 ? [retryMs] : []);
    expect(error.findDetails(QuotaFailureSchema)).toMatchObject([{ violations: [violation] }]);
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: outcome.kind.toUpperCase() }]);
  });

  test.each(CASES)("%o as plain HTTP: 429, Retry-After in whole seconds rounded up", async (outcome, words, retryMs) => {
    const { baseUrl, router } = await serveHttp();
    router.outcome = () => outcome;
    const response = await fetch(`${baseUrl}/gpurouter.v1.RouterService/Route`, { method: "POST", headers: { "content-type": "application/json" }, body: '{"model_id":"m"}' });
    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).toBe(retryMs > 0 ? String(Math.ceil(retryMs / 1_000)) : null);
    expect(await response.json()).toMatchObject({ code: "resource_exhausted", message: expect.stringMatching(words) });
  });
});

describe("What is another's", () => {
  const { getQuota, listUsage } = QuotaService.method;
  const TRANSPORTS = [["gRPC"], ["Connect"]] as const;

  test.each(TRANSPORTS)("a user sees neither the quota nor the use of others over %s, whether they exist or not; readers and admins do", async (transport) => {
    const served = await serveGuarded();
    served.quotas.show(quotaViewOf({ subject: "user", subjectId: "alice" }, { team: "research" }));
    const call = (method: typeof getQuota | typeof listUsage, request: object, role: "user" | "reader" | "admin") => {
      const headers = { authorization: `Bearer ${served.keys[role]}` };
      return transport === "gRPC" ? callGrpc(served.grpc, method, request, headers) : callConnect(`http://${served.http}`, method, request, headers);
    };
    const asks: readonly (readonly [typeof getQuota | typeof listUsage, object])[] = [
      [getQuota, { subject: ALICE }],
      [getQuota, { subject: { case: "userId", value: "unknown" } }],
      [getQuota, { subject: { case: "teamId", value: "research" } }],
      [listUsage, { userId: "alice" }],
    ];
    const refusals = await Promise.all(asks.map(([method, request]) => call(method, request, "user")));
    for (const refusal of refusals) expect(refusal).toEqual({ ...refusals[0], code: status.PERMISSION_DENIED });
    for (const role of ["reader", "admin"] as const) for (const [method, request] of asks) expect((await call(method, request, role)).code).toBe(status.OK);
  });

  test("his own team's quota he sees", async () => {
    const served = await serveGuarded();
    const ask = (): Promise<{ code: number }> => callGrpc(served.grpc, getQuota, { subject: { case: "teamId", value: "research" } }, { authorization: `Bearer ${served.keys.user}` });
    expect((await ask()).code).toBe(status.PERMISSION_DENIED);
    served.quotas.show(quotaViewOf({ subject: "user", subjectId: "user" }, { team: "research" }));
    expect((await ask()).code).toBe(status.OK);
  });

  test("nobody without a team sees what is there of a team without a name", async () => {
    const served = await serveGuarded();
    const outcome = await callGrpc(served.grpc, getQuota, { subject: { case: "teamId", value: "" } }, { authorization: `Bearer ${served.keys.user}` });
    expect(outcome.code).toBe(status.INVALID_ARGUMENT);
  });

  test("a list of use without a name is a user's own, and everybody's for readers and admins", async () => {
    const served = await serveGuarded();
    served.quotas.users.push(usageOf("alice"), usageOf("user"));
    const shown = async (role: "user" | "reader" | "admin"): Promise<readonly string[]> => {
      const headers = { "content-type": "application/json", authorization: `Bearer ${served.keys[role]}` };
      const response = await fetch(`http://${served.http}/gpurouter.v1.QuotaService/ListUsage`, { method: "POST", headers, body: "{}" });
      return ((await response.json()) as { users: { userId: string }[] }).users.map(({ userId }) => userId);
    };
    expect([await shown("user"), await shown("reader"), await shown("admin")]).toEqual([["user"], ["alice", "user"], ["alice", "user"]]);
  });
});
