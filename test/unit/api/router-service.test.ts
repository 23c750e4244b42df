import { create } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import {
  CancelRequestSchema,
  ExplainRequestSchema,
  GpuStatusRequestSchema,
  ListRequestSchema,
  RequestState,
  RouteRequestSchema,
  WatchGpusRequestSchema,
  type RouterService,
} from "../../../gen/gpurouter/v1/router_pb.js";
import type { RouteOutcome } from "../../../src/api/router-port.js";
import { createRouterService } from "../../../src/api/router-service.js";
import type { ServiceHandlers } from "../../../src/api/service-handlers.js";
import { localCalls } from "./local-calls.js";
import { FakeRouter, gpuOf, requestId, viewOf } from "./fake-router.js";

let router: FakeRouter;
let service: ReturnType<typeof localCalls<ServiceHandlers<typeof RouterService>>>;
beforeEach(() => {
  router = new FakeRouter();
  service = localCalls(createRouterService(router, () => 5_000));
});

describe("every outcome but acceptance is an error of its own", () => {
  test.each<[RouteOutcome, status, number, number, string]>([
    [{ kind: "id_conflict", requestId: requestId("r") }, status.ALREADY_EXISTS, 409, 0, 'request_id: "r" was accepted before with other content; send new work under a new id, or leave request_id empty'],
    [{ kind: "unknown_strategy", strategy: "x\u0007", known: ["weighted"] }, status.INVALID_ARGUMENT, 400, 0, 'strategy: "x\\u0007" is not one of weighted; leave it empty for the configured one'],
    [{ kind: "queue_full", what: "bytes", limit: 9, retryAfterMs: 250 }, status.RESOURCE_EXHAUSTED, 429, 250, "the queue is full: its limit is 9 bytes; try again in 250 ms"],
    [{ kind: "storage_full", detail: "no space left on device", retryAfterMs: 5_000 }, status.RESOURCE_EXHAUSTED, 429, 5_000, "the router cannot store new requests (no space left on device); accepted ones go on"],
    [{ kind: "draining" }, status.UNAVAILABLE, 503, 1_000, "the router is shutting down; call again when it is back, with the same request_id"],
  ])("%j", async (outcome, code, httpStatus, retryAfterMs, message) => {
    router.outcome = () => outcome;
    const call = service.route(create(RouteRequestSchema, { modelId: "m" }));
    await expect(call).rejects.toMatchObject({ name: "ApiError", kind: outcome.kind, code, httpStatus, retryAfterMs, message });
  });
});

describe("reading", () => {
  test("List passes the query on and results not back", async () => {
    router.views.set("r-1", viewOf({ phase: "completed", result: { sizeBytes: 1, contentType: "a/b" } }, { result: new Uint8Array([1]) }));
    const page = await service.list(create(ListRequestSchema, { states: [RequestState.COMPLETED], userId: "ada", pageSize: 5, pageToken: "t" }));
    expect(router.queries).toEqual([{ phases: ["completed"], userId: "ada", pageSize: 5, pageToken: "t" }]);
    expect(page).toMatchObject({ requests: [{ requestId: "r-1", result: new Uint8Array(0), resultSize: 1n }], nextPageToken: "next" });
  });

  test("GpuStatus shows the fleet, or only the GPUs asked for", async () => {
    router.fleet = [gpuOf("a"), gpuOf("b"), gpuOf("c")];
    const idsFor = async (gpuIds: string[]): Promise<string[]> =>
      (await service.gpuStatus(create(GpuStatusRequestSchema, { gpuIds }))).gpus.map(({ gpuId }) => gpuId);
    expect(await idsFor([])).toEqual(["a", "b", "c"]);
    expect(await idsFor(["c", "a", "c"])).toEqual(["a", "c"]);
  });

  test("GpuStatus of the whole fleet tells how near estimates came", async () => {
    router.fleet = [gpuOf("a")];
    const all = await service.gpuStatus(create(GpuStatusRequestSchema, {}));
    expect(all.estimates).toMatchObject([{ modelId: "llama-2-70b", type: "inference", outcomes: 12n, meanRelativeError: 0.25, meanRatio: 1.1, withinP90: 0.92 }]);
    expect((await service.gpuStatus(create(GpuStatusRequestSchema, { gpuIds: ["a"] }))).estimates).toEqual([]);
  });

  test("GpuStatus names the GPUs that it does not know", () => {
    router.fleet = [gpuOf("a")];
    expect(() => service.gpuStatus(create(GpuStatusRequestSchema, { gpuIds: ["a", "x", "y"] }))).toThrow(
      expect.objectContaining({ code: status.NOT_FOUND, message: 'gpu_ids: no GPU with id "x", "y"; leave gpu_ids empty to see all' }),
    );
  });

  test("Explain of a routed request shows its decision and is no dry run", async () => {
    router.views.set("r-1", viewOf());
    const shown = await service.explain(create(ExplainRequestSchema, { target: { case: "requestId", value: "r-1" } }));
    expect(shown).toMatchObject({ dryRun: false, decision: { strategy: "least_loaded" } });
  });

  test("Explain of a request that ended without a GPU says so, and what would be decided now", async () => {
    router.views.set("r-1", viewOf());
    const { decision } = router.explainRequest(requestId("r-1"))!;
    router.explainRequest = () => ({ decision, dryRun: true, endedAs: "cancelled" });
    const { summary } = await service.explain(create(ExplainRequestSchema, { target: { case: "requestId", value: "r-1" } }));
    expect(summary).toMatch(/^It was cancelled before it had a GPU\. Now it would be: least_loaded /);
  });

  test("WatchGpus asks for the token's continuation every 100 ms by default", async () => {
    const asked: unknown[] = [];
    router.changes = async function* (resumeToken, minIntervalMs) {
      asked.push(resumeToken, minIntervalMs);
      yield { sequence: 1, snapshot: true, gpus: [], resumeToken: "t2", atMs: 1 };
    };
    const { signal } = new AbortController();
    for (const minIntervalMs of [0, 40]) {
      const tokens: string[] = [];
      for await (const { resumeToken } of service.watchGpus(create(WatchGpusRequestSchema, { resumeToken: "t1", minIntervalMs }), signal)) tokens.push(resumeToken);
      expect(tokens).toEqual(["t2"]);
    }
    expect(asked).toEqual(["t1", 100, "t1", 40]);
  });
});

describe("cancelling", () => {
  test("passes the reason on and shows where the request stands", async () => {
    router.views.set("r-1", viewOf({ phase: "cancelled" }));
    const answer = await service.cancel(create(CancelRequestSchema, { requestId: "r-1", reason: "not needed\nany more" }));
    expect(router.cancels).toEqual([{ requestId: "r-1", reason: "not needed\nany more" }]);
    expect(answer.request?.state).toBe(RequestState.CANCELLED);
  });
});
