// Every method and every path against every role and against what is another's, on both ports. The methods come from the contract: one
// that nobody has decided about is missing in the table below, and that fails.
import { describe, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { AdminService } from "../../../gen/gpurouter/v1/admin_pb.js";
import { AgentService } from "../../../gen/gpurouter/v1/agent_pb.js";
import { IdentityService } from "../../../gen/gpurouter/v1/identity_pb.js";
import { QuotaService } from "../../../gen/gpurouter/v1/quota_pb.js";
import { RouterService } from "../../../gen/gpurouter/v1/router_pb.js";
import { Health } from "../../../gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../../../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionAlpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { accessTo, HTTP_ACCESS } from "../../../src/api/access.js";
import { createGrpcServer } from "../../../src/api/grpc-server.js";
import { createRouterService } from "../../../src/api/router-service.js";
import type { UserId } from "../../../src/core/model/ids.js";
import { ROLES } from "../../../src/auth/principal.js";
import { FakeRouter, requestOf, specOf, requestId } from "./fake-router.js";
import { callConnect, callGrpc, LET_IN, serveGuarded, type Guarded } from "./guarded.js";
import { ErrorLog } from "./serving.js";

const SERVICES: readonly DescService[] = [RouterService, AdminService, QuotaService, IdentityService, AgentService, Health, ServerReflection, ServerReflectionAlpha];
const METHODS = SERVICES.flatMap((service) => service.methods);
const nameOf = (method: DescMethod): string => `${method.parent.typeName}/${method.name}`;

const [USER, READER, ADMIN, AGENT] = ["user", "reader", "admin", "agent"];
const NOBODY = "nobody";
const EVERYBODY = [USER, READER, ADMIN, AGENT];

/** Who gets in, said here once more and apart from the code; and a request that may pass. */
const TABLE: Readonly<Record<string, readonly [who: readonly (string | undefined)[], request: object]>> = {
  "gpurouter.v1.RouterService/Route": [[USER, ADMIN], { modelId: "m" }],
  "gpurouter.v1.RouterService/BatchRoute": [[USER, ADMIN], { requests: [{ modelId: "m" }] }],
  "gpurouter.v1.RouterService/Status": [[USER, READER, ADMIN], { requestId: "OWN" }],
  "gpurouter.v1.RouterService/List": [[USER, READER, ADMIN], {}],
  "gpurouter.v1.RouterService/Cancel": [[USER, ADMIN], { requestId: "OWN" }],
  "gpurouter.v1.RouterService/Watch": [[USER, READER, ADMIN], { requestId: "OWN" }],
  "gpurouter.v1.RouterService/Explain": [[USER, READER, ADMIN], { target: { case: "requestId", value: "OWN" } }],
  "gpurouter.v1.RouterService/GpuStatus": [[USER, READER, ADMIN], {}],
  "gpurouter.v1.RouterService/WatchGpus": [[USER, READER, ADMIN], {}],
  "gpurouter.v1.IdentityService/WhoAmI": [EVERYBODY, {}],
  "gpurouter.v1.IdentityService/CreateKey": [[ADMIN], { userId: "new", roles: [1] }],
  "gpurouter.v1.IdentityService/ListKeys": [EVERYBODY, {}],
  "gpurouter.v1.IdentityService/RevokeKey": [EVERYBODY, { keyId: "OWN" }],
  "gpurouter.v1.IdentityService/PutUser": [[ADMIN], { userId: "new", roles: [1] }],
  "gpurouter.v1.IdentityService/ListUsers": [[ADMIN], {}],
  "gpurouter.v1.IdentityService/DeleteUser": [[ADMIN], { userId: "gone" }],
  "gpurouter.v1.IdentityService/ListAudit": [[ADMIN], {}],
  "gpurouter.v1.AdminService/SetMaintenance": [[ADMIN], { target: { target: { case: "gpuId", value: "g0" } }, on: true, reason: "fan" }],
  "gpurouter.v1.AdminService/ListMaintenance": [[ADMIN], {}],
  "gpurouter.v1.AdminService/RestartGpu": [[ADMIN], { gpuId: "g0", reason: "hangs" }],
  "gpurouter.v1.AdminService/CancelRequest": [[ADMIN], { requestId: "OWN", reason: "asked" }],
  "gpurouter.v1.AdminService/ListFailedCallbacks": [[ADMIN], {}],
  "gpurouter.v1.AdminService/RetryCallback": [[ADMIN], { target: { case: "all", value: true } }],
  "gpurouter.v1.QuotaService/GetQuota": [[USER, READER, ADMIN], { subject: { case: "userId", value: "SELF" } }],
  "gpurouter.v1.QuotaService/SetQuota": [[ADMIN], { subject: { case: "userId", value: "ada" }, limits: { weight: 2 } }],
  "gpurouter.v1.QuotaService/ListQuotas": [[READER, ADMIN], {}],
  "gpurouter.v1.QuotaService/ListUsage": [[USER, READER, ADMIN], {}],
  "gpurouter.v1.AgentService/Connect": [[AGENT], {}],
  "grpc.health.v1.Health/Check": [[NOBODY, ...EVERYBODY], {}],
  "grpc.health.v1.Health/List": [[NOBODY, ...EVERYBODY], {}],
  "grpc.health.v1.Health/Watch": [[NOBODY, ...EVERYBODY], {}],
  "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": [EVERYBODY, {}],
  "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": [EVERYBODY, {}],
};

const PATHS: Readonly<Record<string, readonly (string | undefined)[]>> = {
  "GET /health": [NOBODY, ...EVERYBODY],
  "GET /api/v1/requests/{id}/result": [USER, READER, ADMIN],
};

/** Whether only admins may, and it changes something. */
function isAdminAct(method: DescMethod): boolean {
  const access = accessTo(method);
  return access !== "open" && access.join() === ADMIN && !/^(Get|List)/.test(method.name);
}

/** A request of `owner`, finished, with a result. */
function addRequest({ router }: Guarded, id: string, owner: string): void {
  const request = requestOf({ spec: specOf({ requestId: requestId(id), userId: owner as UserId }), phase: "completed" });
  router.views.set(id, { request, queuePosition: 0, result: null, resultUrl: "" });
  router.results.set(id, { bytes: new TextEncoder().encode(`result of ${id}`), contentType: "text/plain" });
  router.events = (asked) => (router.views.has(asked) ? watchOnce() : null);
  async function* watchOnce() {
    yield { kind: "request" as const, view: router.views.get(id)! };
  }
  router.changes = async function* () {
    yield { sequence: 1, snapshot: true, gpus: [], resumeToken: "", atMs: 1 };
  };
}

/** The request with the caller's name, or the id of something that he owns. */
function owned(request: object, name: string, served: Guarded): object {
  const ownKey = name === NOBODY ? "" : (served.keys[name as keyof typeof served.keys] ?? "").slice(0, 15);
  return JSON.parse(JSON.stringify(request).replace('"keyId":"OWN"', `"keyId":"${ownKey}"`).replace('"OWN"', `"of-${name}"`).replace('"SELF"', `"${name}"`)) as object;
}

const bearer = (served: Guarded, name: string): Record<string, string> => (name === NOBODY ? {} : { authorization: `Bearer ${served.keys[name as keyof typeof served.keys]}` });

function expected(who: readonly (string | undefined)[], name: string): number {
  if (who.includes(name)) return status.OK;
  return name === NOBODY ? status.UNAUTHENTICATED : status.PERMISSION_DENIED;
}

test("every method of the contract is in the table, and has a rule; nothing else is", () => {
  expect(Object.keys(TABLE).toSorted()).toEqual(METHODS.map(nameOf).toSorted());
  for (const method of METHODS) expect(() => accessTo(method)).not.toThrow();
  expect(Object.keys(PATHS).toSorted()).toEqual(Object.keys(HTTP_ACCESS).toSorted());
});

test("a server with a service that has no rule does not start", () => {
  const unknown = { ...RouterService, typeName: "gpurouter.v1.NewService", methods: RouterService.methods.map((method) => ({ ...method, parent: { ...RouterService, typeName: "gpurouter.v1.NewService" } })) } as unknown as DescService;
  expect(() => createGrpcServer({ host: "127.0.0.1", port: 0, router: createRouterService(new FakeRouter()), log: new ErrorLog(), extraServices: [{ service: unknown, implementation: {} }] })).toThrow(
    /NewService\/Route has no rule: say in src\/api\/access\.ts who may call it/,
  );
});

describe.each(METHODS.map((method) => [nameOf(method), method] as const))("%s", (name, method) => {
  const [who, request] = TABLE[name] ?? [[], {}];

  test("over gRPC lets in whom the table says", async () => {
    const served = await serveGuarded();
    await served.identity.key({ roles: ["user"], user: "gone" });
    for (const caller of [NOBODY, ...ROLES]) {
      addRequest(served, `of-${caller}`, caller);
      const outcome = await callGrpc(served.grpc, method, owned(request, caller, served), bearer(served, caller));
      expect({ name, caller, code: outcome.code }).toEqual({ name, caller, code: expected(who, caller) });
      if (outcome.code !== status.OK) expect(outcome.details).not.toBe("");
    }
    expect(served.log.entries).toEqual([]);
  });

  if (isAdminAct(method))
    test("is in the audit log when an admin did it, and when somebody else was refused it", async () => {
      const served = await serveGuarded();
      await served.identity.key({ roles: ["user"], user: "gone" });
      addRequest(served, "of-admin", "admin");
      const before = served.identity.store.entries.length;
      expect((await callGrpc(served.grpc, method, owned(request, "admin", served), bearer(served, "admin"))).code).toBe(status.OK);
      await callGrpc(served.grpc, method, owned(request, "user", served), bearer(served, "user"));
      const entries = served.identity.store.entries.slice(before).filter(({ act }) => act !== "key_new_address");
      expect(entries).toMatchObject([
        { who: "admin", credential: expect.stringMatching(/^gr_/), outcome: "done" },
        { who: "user", credential: expect.stringMatching(/^gr_/), outcome: "refused", subject: name },
      ]);
    });

  // gRPC alone has what agents, health checks and reflection need.
  if (![RouterService, AdminService, QuotaService, IdentityService].some((service) => service === method.parent)) return;
  test("by Connect lets in whom the table says", async () => {
    const served = await serveGuarded();
    await served.identity.key({ roles: ["user"], user: "gone" });
    for (const caller of [NOBODY, ...ROLES]) {
      addRequest(served, `of-${caller}`, caller);
      const outcome = await callConnect(`http://${served.http}`, method, owned(request, caller, served), bearer(served, caller));
      expect({ name, caller, code: outcome.code }).toEqual({ name, caller, code: expected(who, caller) });
      if (outcome.code === status.UNAUTHENTICATED) expect(outcome.httpStatus).toBe(401);
      if (outcome.code === status.PERMISSION_DENIED) expect(outcome.httpStatus).toBe(403);
    }
  });
});

test.each(Object.entries(PATHS))("%s lets in whom the table says", async (path, who) => {
  const served = await serveGuarded();
  for (const caller of [NOBODY, ...ROLES]) {
    addRequest(served, `of-${caller}`, caller);
    const response = await fetch(`http://${served.http}${path.replace("GET ", "").replace("{id}", `of-${caller}`)}`, { headers: bearer(served, caller) });
    expect({ caller, status: response.status }).toEqual({ caller, status: { [status.OK]: 200, [status.UNAUTHENTICATED]: 401, [status.PERMISSION_DENIED]: 403 }[expected(who, caller)] });
    expect(response.headers.has("www-authenticate")).toBe(response.status === 401);
    await response.text();
  }
});

/** How each request that names something says the id. Found in the contract by the fields' names; a new one is missing here, and that fails. */
const BY_ID: Readonly<Record<string, (id: string) => object>> = {
  "gpurouter.v1.RouterService/Status": (id) => ({ requestId: id }),
  "gpurouter.v1.RouterService/Cancel": (id) => ({ requestId: id }),
  "gpurouter.v1.RouterService/Watch": (id) => ({ requestId: id }),
  "gpurouter.v1.RouterService/Explain": (id) => ({ target: { case: "requestId", value: id } }),
  "gpurouter.v1.IdentityService/RevokeKey": (id) => ({ keyId: id }),
};
/** These make what they name. */
const MAKES = new Set(["gpurouter.v1.RouterService/Route"]);
/** These are for admins, to whom nothing is another's. */
const OWNS_ALL = new Set(["gpurouter.v1.AdminService/CancelRequest"]);

test("every method that names a request or a key is tried with another's", () => {
  const naming = METHODS.filter(({ input }) => input.fields.some(({ name }) => name === "request_id" || name === "key_id")).map(nameOf);
  expect(naming.filter((name) => !MAKES.has(name) && !OWNS_ALL.has(name)).toSorted()).toEqual(Object.keys(BY_ID).toSorted());
});

describe.each(METHODS.filter((method) => nameOf(method) in BY_ID).map((method) => [nameOf(method), method] as const))("%s with what is another's", (name, method) => {
  const ask = BY_ID[name] ?? (() => ({}));

  test.each(["gRPC", "Connect"])("is answered as with what is not there, over %s; an admin gets it", async (transport) => {
    const served = await serveGuarded();
    addRequest(served, "foreign", "somebody-else");
    const theirs = name.endsWith("RevokeKey") ? (await served.identity.key({ roles: ["user"], user: "somebody-else" })).slice(0, 15) : "foreign";
    const absent = name.endsWith("RevokeKey") ? "gr_000000000000" : "unknown";
    const call = (id: string, role: "user" | "admin") =>
      transport === "gRPC" ? callGrpc(served.grpc, method, ask(id), bearer(served, role)) : callConnect(`http://${served.http}`, method, ask(id), bearer(served, role));
    const foreign = await call(theirs, "user");
    const unknown = await call(absent, "user");
    expect(foreign).toEqual({ ...unknown, details: unknown.details.replaceAll(absent, theirs) });
    expect(foreign.code).toBe(status.NOT_FOUND);
    expect(served.router.cancels).toEqual([]);
    expect(served.identity.book.key(theirs.slice(3))?.revokedAtMs ?? 0).toBe(0);
    expect((await call(theirs, "admin")).code).toBe(status.OK);
  });
});

test("an admin who cancels another's request is in the audit log with his reason, and nobody for what is his own", async () => {
  const served = await serveGuarded();
  addRequest(served, "theirs", "user");
  addRequest(served, "mine", "admin");
  const before = served.identity.store.entries.length;
  const cancel = (id: string, role: "user" | "admin", reason: string) => callGrpc(served.grpc, RouterService.method.cancel, { requestId: id, reason }, bearer(served, role));
  for (const [id, role] of [["theirs", "admin"], ["mine", "admin"], ["theirs", "user"]] as const) expect((await cancel(id, role, `by ${role}`)).code).toBe(status.OK);
  const entries = served.identity.store.entries.slice(before).filter(({ act }) => act !== "key_new_address");
  expect(entries).toMatchObject([{ who: "admin", act: "cancel request", subject: "theirs", why: "by admin", outcome: "done" }]);
});

describe("another's result", () => {
  test("is answered as one that is not there", async () => {
    const served = await serveGuarded();
    addRequest(served, "foreign", "somebody-else");
    const get = async (id: string, role: "user" | "admin") => {
      const response = await fetch(`http://${served.http}/api/v1/requests/${id}/result`, { headers: bearer(served, role) });
      return [response.status, (await response.text()).replaceAll(id, "ID")];
    };
    expect(await get("foreign", "user")).toEqual(await get("absent", "user"));
    expect((await get("foreign", "user"))[0]).toBe(404);
    expect(await get("foreign", "admin")).toEqual([200, "result of ID"]);
  });
});

describe("user_id", () => {
  const ROUTE = RouterService.method.route;
  const sent = async (role: "user" | "admin", userId: string) => {
    const served = await serveGuarded();
    const outcome = await callGrpc(served.grpc, ROUTE, { modelId: "m", userId }, bearer(served, role));
    return { outcome, user: served.router.specs[0]?.userId };
  };

  test("is filled in with who calls", async () => {
    expect(await sent("user", "")).toEqual({ outcome: LET_IN, user: "user" });
    expect(await sent("admin", "")).toEqual({ outcome: LET_IN, user: "admin" });
  });

  test("may be another's for an admin only", async () => {
    expect(await sent("user", "user")).toEqual({ outcome: LET_IN, user: "user" });
    expect(await sent("admin", "ada")).toEqual({ outcome: LET_IN, user: "ada" });
    expect(await sent("user", "ada")).toEqual({ outcome: { code: status.PERMISSION_DENIED, details: 'user_id: you are "user" and cannot speak for "ada"; leave user_id empty' }, user: undefined });
  });

  test.each<[string, DescMethod, object]>([
    ["one request of a batch", RouterService.method.batchRoute, { requests: [{ modelId: "m" }, { modelId: "m", userId: "ada" }] }],
    ["a dry run", RouterService.method.explain, { target: { case: "dryRun", value: { modelId: "m", userId: "ada" } } }],
    ["a list", RouterService.method.list, { userId: "ada" }],
  ])("of %s may not be another's either, and nothing is done", async (_what, method, request) => {
    const served = await serveGuarded();
    expect((await callGrpc(served.grpc, method, request, bearer(served, "user"))).code).toBe(status.PERMISSION_DENIED);
    expect([served.router.specs, served.router.queries]).toEqual([[], []]);
    expect(served.identity.store.entries.at(-1)).toMatchObject({ who: "user", act: "call", subject: "user ada", why: "speaks for another", outcome: "refused" });
    expect((await callGrpc(served.grpc, method, request, bearer(served, "admin"))).code).toBe(status.OK);
  });

  test("a list shows a user his own, an admin everybody's", async () => {
    const served = await serveGuarded();
    for (const role of ["user", "reader", "admin"] as const) await callGrpc(served.grpc, RouterService.method.list, {}, bearer(served, role));
    expect(served.router.queries.map(({ userId }) => userId)).toEqual(["user", "reader", ""]);
  });

  test("of keys: a user sees his own only", async () => {
    const served = await serveGuarded();
    const shown = async (role: "user" | "admin") => {
      const response = await fetch(`http://${served.http}/gpurouter.v1.IdentityService/ListKeys`, { method: "POST", headers: { "content-type": "application/json", ...bearer(served, role) }, body: "{}" });
      return ((await response.json()) as { keys: { userId: string }[] }).keys.map(({ userId }) => userId);
    };
    expect(await shown("user")).toEqual(["user"]);
    expect((await shown("admin")).toSorted()).toEqual(["admin", "agent", "reader", "user"]);
  });
});

test("what GPUs show holds nothing of other users: each field was looked at", () => {
  const gpu = RouterService.method.gpuStatus.output.fields.find(({ name }) => name === "gpus")?.message;
  expect(gpu?.fields.map(({ name }) => name).toSorted()).toEqual(
    [
      "gpu_id", "index", "node_id", "name", "compute_capability", "state", "health", "memory", "utilization", "temperature_celsius", "power", "performance_index",
      "error_rate", "active_requests", "queued_requests", "uptime_seconds", "simulated", "telemetry_age_ms", "models", "parent_gpu_id", "clock_event_reasons",
      "multiprocessor_count", "state_reason", "engine_loads", "exclusive", "maintenance_until", "health_state", "health_since", "health_signs", "health_history", "quarantined_until",
    ].toSorted(),
  );
});
