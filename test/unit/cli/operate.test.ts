// What operators type, in-process, against an AdminService on a real port that keeps what it was asked.
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Server, ServerCredentials, status, type sendUnaryData, type ServerUnaryCall, type UntypedServiceImplementation } from "@grpc/grpc-js";
import {
  AdminService,
  CancelRequestResponseSchema,
  ListFailedCallbacksResponseSchema,
  ListMaintenanceResponseSchema,
  MaintenanceSchema,
  RestartGpuResponseSchema,
  RestartState,
  RetryCallbackResponseSchema,
  SetMaintenanceResponseSchema,
} from "../../../gen/gpurouter/v1/admin_pb.js";
import { RequestState } from "../../../gen/gpurouter/v1/router_pb.js";
import { grpcServiceDefinition } from "../../../src/wire/grpc-service-definition.js";
import { run } from "./test-terminal.js";

let server: Server;
let address: string;
let asked: { method: string; request: unknown }[];
let answers: Record<string, object>;

const AT = timestampFromMs(Date.UTC(2026, 10, 21, 10));
const WINDOW: MessageInitShape<typeof MaintenanceSchema> = { target: { target: { case: "gpuId", value: "g0" } }, reason: "new fan", actor: { name: "ada" }, since: AT, activeRequests: 2, gpuIds: ["g0"] };

function answered<O extends DescMessage>(method: string, schema: O, standard: MessageInitShape<O>): [string, UntypedServiceImplementation[string]] {
  const handle = (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>): void => {
    asked.push({ method, request: call.request });
    const answer = answers[method] ?? standard;
    if ("code" in answer) callback(answer as never);
    else callback(null, create(schema, answer as MessageInitShape<O>));
  };
  return [method, handle];
}

beforeEach(async () => {
  asked = [];
  answers = {};
  server = new Server({ "grpc.enable_channelz": 0 });
  const restart = { restartId: "1-g0", gpuId: "g0", state: RestartState.ORDERED, requested: AT };
  server.addService(
    grpcServiceDefinition(AdminService),
    Object.fromEntries([
      answered("setMaintenance", SetMaintenanceResponseSchema, { maintenance: WINDOW }),
      answered("listMaintenance", ListMaintenanceResponseSchema, { maintenance: [WINDOW], restarts: [{ ...restart, state: RestartState.FAILED, message: "exit code 3" }] }),
      answered("restartGpu", RestartGpuResponseSchema, { restart }),
      answered("cancelRequest", CancelRequestResponseSchema, { request: { requestId: "r1", state: RequestState.CANCELLED } }),
      answered("listFailedCallbacks", ListFailedCallbacksResponseSchema, {
        callbacks: [{ callbackId: 17n, eventType: "request.ended", requestId: "r1", url: "https://example.com/hook", givenUp: AT, tries: 50, error: "the receiver answered 500" }],
        nextPageToken: "17",
        failed: 120n,
        pending: 3n,
      }),
      answered("retryCallback", RetryCallbackResponseSchema, { retried: 1 }),
    ]),
  );
  const port = await new Promise<number>((resolve, reject) => server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))));
  address = `127.0.0.1:${port}`;
});
afterEach(() => server.forceShutdown());

const here = (text: string, ...more: string[]): string[] => [...text.split(" "), ...more, "--router", address];

describe("maintenance", () => {
  test("set says what it means in the contract's words, and how to end it", async () => {
    const { code, out } = await run(here("maintenance set g0 --duration 2h --drain 10m --reason", "new fan"));
    expect(code).toBe(0);
    expect(asked[0]?.request).toMatchObject({ target: { target: { case: "gpuId", value: "g0" } }, on: true, reason: "new fan", estimatedDurationMs: 7_200_000n, drainMs: 600_000n });
    expect(out).toContain("GPU g0 is out of service; 2 requests still run there");
    expect(out).toContain("gpu-router maintenance end g0");
  });

  test("without --drain work may end by itself: nothing is said of it", async () => {
    await run(here("maintenance set --node n1"));
    expect(asked[0]?.request).toMatchObject({ target: { target: { case: "nodeId", value: "n1" } } });
    expect(asked[0]?.request).not.toHaveProperty("drainMs");
  });

  test("what stops work at once wants --yes where nobody can be asked", async () => {
    const { code, err } = await run(here("maintenance set g0 --drain 0"));
    expect([code, asked]).toEqual([2, []]);
    expect(err).toContain("Work on GPU g0 is stopped now. Add --yes");
    expect((await run(here("maintenance set g0 --drain 0 --yes"))).code).toBe(0);
  });

  test("end puts it back", async () => {
    answers["setMaintenance"] = {};
    const { code, out } = await run(here("maintenance end --node n1"));
    expect([code, out]).toEqual([0, "node n1 is back in service\n"]);
    expect(asked[0]?.request).toMatchObject({ on: false, estimatedDurationMs: 0n });
    expect(asked[0]?.request).not.toHaveProperty("drainMs");
  });

  test.each(["maintenance set", "maintenance set g0 --node n1", "maintenance end"])("%s: neither or both targets are bad usage", async (words) => {
    const { code, err } = await run(here(words));
    expect([code, asked]).toEqual([2, []]);
    expect(err).toContain("either the id of a GPU or --node NODE");
  });

  test("list shows windows and restarts, as a table and as JSON", async () => {
    const { out } = await run(here("maintenance list"));
    expect(out).toMatch(/GPU g0\s+new fan\s+ada\s+2026-11-21T10:00:00.000Z/);
    expect(out).toMatch(/g0\s+failed\s+.*exit code 3/);
    const { out: json } = await run(here("maintenance list --json"));
    expect(JSON.parse(json)).toMatchObject({ maintenance: [{ gpu_ids: ["g0"], active_requests: 2 }], restarts: [{ state: "RESTART_STATE_FAILED" }] });
    answers["listMaintenance"] = {};
    expect((await run(here("maintenance list"))).out).toBe("Everything is in service.\n");
  });
});

describe("restart-gpu", () => {
  test("asks once and says where it stands", async () => {
    const { code, out } = await run(here("restart-gpu g0 --drain 1m --reason Xid"));
    expect([code, out]).toEqual([0, "restart of g0: ordered\n"]);
    expect(asked[0]?.request).toMatchObject({ gpuId: "g0", force: false, reason: "Xid", drainMs: 60_000n });
  });

  test("with --wait it ends with the outcome, and fails when that is a failure", async () => {
    answers["listMaintenance"] = { restarts: [{ restartId: "1-g0", gpuId: "g0", state: RestartState.FAILED, message: "exit code 3" }] };
    const { code, out } = await run(here("restart-gpu g0 --wait"));
    expect([code, out]).toEqual([1, "restart of g0: failed: exit code 3\n"]);
  });

  test("--force wants --yes where nobody can be asked", async () => {
    expect((await run(here("restart-gpu g0 --force"))).code).toBe(2);
    expect(asked).toEqual([]);
    expect((await run(here("restart-gpu g0 --force --yes"))).code).toBe(0);
    expect(asked[0]?.request).toMatchObject({ force: true });
  });

  test("a refusal is told as it came", async () => {
    answers["restartGpu"] = { code: status.FAILED_PRECONDITION, details: "no gpu_restart_command" };
    const { code, err } = await run(here("restart-gpu g0"));
    expect(code).toBe(1);
    expect(err).toContain("no gpu_restart_command");
  });
});

test("cancel --admin is the operator's call", async () => {
  const { code, out } = await run(here("cancel r1 --admin --reason", "floods the cluster"));
  expect(code).toBe(0);
  expect(asked).toMatchObject([{ method: "cancelRequest", request: { requestId: "r1", reason: "floods the cluster" } }]);
  expect(out).toContain("r1 cancelled");
});

describe("callbacks", () => {
  test("failed lists them with what there is in all", async () => {
    const { out } = await run(here("callbacks failed -n 1"));
    expect(asked[0]?.request).toMatchObject({ pageSize: 1 });
    expect(out).toMatch(/17\s+request.ended\s+r1\s+https:\/\/example.com\/hook\s+2026-11-21T10:00:00.000Z\s+50\s+the receiver answered 500/);
    expect(out).toContain("120 given up, 3 still being tried");
    expect(out).toContain("--page-token 17");
  });

  test("retry takes one or all, nothing else", async () => {
    expect((await run(here("callbacks retry 17"))).out).toBe("1 callback in line again\n");
    await run(here("callbacks retry --all"));
    expect(asked.map(({ request }) => (request as { target: object }).target)).toMatchObject([{ case: "callbackId", value: 17n }, { case: "all", value: true }]);
    for (const words of ["callbacks retry", "callbacks retry 17 --all", "callbacks retry x", "callbacks retry 0"]) expect((await run(here(words))).code).toBe(2);
  });
});
