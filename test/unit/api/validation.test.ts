// Bad input of every field of every request, and what passes.
import { create, fromBinary, toBinary, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import {
  BatchRouteRequestSchema,
  CancelRequestSchema,
  ExplainRequestSchema,
  GpuStatusRequestSchema,
  ListRequestSchema,
  RequestState,
  RouteRequestSchema,
  StatusRequestSchema,
  WatchGpusRequestSchema,
  WatchRequestSchema,
  type WhenLate,
} from "../../../gen/gpurouter/v1/router_pb.js";
import { ApiError } from "../../../src/api/outcomes.js";
import { createRouterService } from "../../../src/api/router-service.js";
import { localCalls } from "./local-calls.js";
import { FakeRouter } from "./fake-router.js";

const router = new FakeRouter();
const service = localCalls(createRouterService(router));

/** The error of `call`, thrown or rejected. */
async function errorOf(call: () => unknown): Promise<ApiError> {
  try {
    await call();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("expected a refusal");
}

/** Over the wire and back, so that the test sees what a server would. */
const routeRequest = (init: MessageInitShape<typeof RouteRequestSchema>) =>
  fromBinary(RouteRequestSchema, toBinary(RouteRequestSchema, create(RouteRequestSchema, { modelId: "m", ...init })));

const long = (length: number): string => "x".repeat(length);
const nested = (depth: number): JsonObject => (depth === 0 ? {} : { a: nested(depth - 1) });
const ID_ALLOWED = "must be 1 to 128 letters, digits and _ . : - and begin with a letter or digit";
const TEXT_ALLOWED = "must be text without control characters";
const URL_ALLOWED = "must be an http or https URL without user name, password and #fragment";
const DEADLINE_ALLOWED = "must be a time from the year 2000 to 9999, with nanos from 0 to 999999999";
const CAPABILITY_ALLOWED = 'must be a number such as "8.0", or empty';

const badRouteRequests: [string, MessageInitShape<typeof RouteRequestSchema>, string][] = [
  ["request_id", { requestId: long(129) }, "must be at most 128 characters"],
  ["request_id", { requestId: "a b" }, ID_ALLOWED],
  ["request_id", { requestId: "-a" }, ID_ALLOWED],
  ["request_id", { requestId: "a/b" }, ID_ALLOWED],
  ["request_id", { requestId: "a\n" }, ID_ALLOWED],
  ["request_id", { requestId: "é" }, ID_ALLOWED],
  ["user_id", { userId: long(129) }, "must be at most 128 characters"],
  ["user_id", { userId: "a\u0000b" }, TEXT_ALLOWED],
  ["model_id", { modelId: "" }, "must be at least 1 characters"],
  ["model_id", { modelId: long(257) }, "must be at most 256 characters"],
  ["model_id", { modelId: "a\nb" }, TEXT_ALLOWED],
  ["priority", { priority: 6 }, "must be less than or equal to 5"],
  ["type", { type: "Inference" }, "must be a lower-case word of letters, digits, _ and -, such as inference, training or fine-tuning"],
  ["type", { type: "1st" }, "must be a lower-case word"],
  ["type", { type: long(64) }, "must be at most 63 characters"],
  ["resource_requirements.memory_mib", { resourceRequirements: { memoryMib: 16_777_217 } }, "must be less than or equal to 16777216"],
  ["resource_requirements.compute_units", { resourceRequirements: { computeUnits: 65_537 } }, "must be less than or equal to 65536"],
  ["resource_requirements.max_batch_size", { resourceRequirements: { maxBatchSize: 1_048_577 } }, "must be less than or equal to 1048576"],
  ["resource_requirements.expected_duration_ms", { resourceRequirements: { expectedDurationMs: 2n ** 64n - 1n } }, "must be less than or equal to 31536000000"],
  ["resource_requirements.min_compute_capability", { resourceRequirements: { minComputeCapability: "sm_90" } }, CAPABILITY_ALLOWED],
  ["resource_requirements.min_compute_capability", { resourceRequirements: { minComputeCapability: "9.0.0" } }, CAPABILITY_ALLOWED],
  ["resource_requirements.min_compute_capability", { resourceRequirements: { minComputeCapability: "100000000" } }, "must be at most 8 characters"],
  ["resource_requirements.input_tokens", { resourceRequirements: { inputTokens: 16_777_217 } }, "must be less than or equal to 16777216"],
  ["resource_requirements.output_tokens", { resourceRequirements: { outputTokens: 16_777_217 } }, "must be less than or equal to 16777216"],
  ["timeout_ms", { timeoutMs: 31_536_000_001n }, "must be less than or equal to 31536000000"],
  ["callback_url", { callbackUrl: "ftp://example.com/" }, URL_ALLOWED],
  ["callback_url", { callbackUrl: "example.com/hook" }, URL_ALLOWED],
  ["callback_url", { callbackUrl: "javascript:alert(1)" }, URL_ALLOWED],
  ["callback_url", { callbackUrl: "https://ada:secret@example.com/" }, URL_ALLOWED],
  ["callback_url", { callbackUrl: "https://ada@example.com/" }, URL_ALLOWED],
  ["callback_url", { callbackUrl: "https://example.com/#part" }, URL_ALLOWED],
  ["callback_url", { callbackUrl: "https://example.com/#" }, URL_ALLOWED],
  ["callback_url", { callbackUrl: "ht\ntp://example.com/" }, URL_ALLOWED],
  ["callback_url", { callbackUrl: " http://example.com/" }, URL_ALLOWED],
  ["callback_url", { callbackUrl: `http://example.com/${long(2_048)}` }, "must be at most 2048 characters"],
  ["payload_json", { payload: { case: "payloadJson", value: { a: [1, { b: Number.NaN }] } } }, "must hold finite numbers and be nested at most 32 deep"],
  ["payload_json", { payload: { case: "payloadJson", value: nested(32) } }, "must hold finite numbers and be nested at most 32 deep"],
  ["strategy", { strategy: long(64) }, "must be at most 63 characters"],
  ["strategy", { strategy: "\u0007" }, TEXT_ALLOWED],
  ["specific_gpu_id", { specificGpuId: long(129) }, "must be at most 128 characters"],
  ["specific_gpu_id", { specificGpuId: "gpu\t0" }, TEXT_ALLOWED],
  ["deadline", { deadline: timestampFromMs(Date.UTC(1999, 11, 31)) }, DEADLINE_ALLOWED],
  ["deadline", { deadline: {} }, DEADLINE_ALLOWED],
  ["deadline", { deadline: { seconds: BigInt(Date.UTC(2030, 0)) } }, DEADLINE_ALLOWED],
  ["deadline", { deadline: { seconds: 1_900_000_000n, nanos: -1 } }, DEADLINE_ALLOWED],
  ["deadline", { deadline: { seconds: 1_900_000_000n, nanos: 1_000_000_000 } }, DEADLINE_ALLOWED],
  ["slo.first_output_ms", { slo: { firstOutputMs: 31_536_000_001n } }, "must be less than or equal to 31536000000"],
  ["slo.first_output_ms", { slo: { firstOutputMs: 501n, totalMs: 500n } }, "must be at most total_ms: output cannot begin after the end"],
  ["slo.total_ms", { slo: { totalMs: 31_536_000_001n } }, "must be less than or equal to 31536000000"],
  ["when_late", { whenLate: 9 as WhenLate }, "value must be one of the defined enum values"],
  ["session_key", { sessionKey: long(129) }, "must be at most 128 characters"],
  ["session_key", { sessionKey: "a\u0000" }, TEXT_ALLOWED],
  ["prefix_hashes", { prefixHashes: Array.from({ length: 4_097 }, (_, index) => index) }, "must contain no more than 4096 item(s)"],
  ["gpus", { gpus: 65 }, "must be less than or equal to 64"],
  ["gpus", { gpus: 2, specificGpuId: "sim-0" }, "must be 0 or 1 beside specific_gpu_id, which names the only GPU that may run it"],
];

describe("a bad field is INVALID_ARGUMENT that names it and says what is allowed", () => {
  test.each(badRouteRequests)("Route: %s in %j", async (field, init, allowed) => {
    router.specs.length = 0;
    const error = await errorOf(() => service.route(routeRequest(init)));
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(error.httpStatus).toBe(400);
    expect(error.message.split("; ")).toContainEqual(expect.stringMatching(new RegExp(`^${field.replaceAll(".", "\\.")}: `)));
    expect(error.message).toContain(`${field}: ${allowed}`);
    expect(error.violations?.violations.length).toBeGreaterThan(0);
    expect(router.specs).toEqual([]);
  });

  test.each(badRouteRequests)("a batch: requests[1].%s in %j", async (field, init, allowed) => {
    router.specs.length = 0;
    const batch = create(BatchRouteRequestSchema, { requests: [routeRequest({}), routeRequest(init)] });
    expect((await errorOf(() => service.batchRoute(batch))).message).toContain(`requests[1].${field}: ${allowed}`);
    expect(router.specs).toEqual([]);
  });

  test.each(badRouteRequests)("a dry run: dry_run.%s in %j", async (field, init, allowed) => {
    const request = create(ExplainRequestSchema, { target: { case: "dryRun", value: routeRequest(init) } });
    expect((await errorOf(() => service.explain(request))).message).toContain(`dry_run.${field}: ${allowed}`);
  });

  const signal = new AbortController().signal;
  const bad: [string, string, () => unknown][] = [
    ["BatchRoute without requests", "requests: must contain at least 1 item(s)", () => service.batchRoute(create(BatchRouteRequestSchema))],
    [
      "BatchRoute with too many",
      "requests: must contain no more than 1000 item(s)",
      () => service.batchRoute(create(BatchRouteRequestSchema, { requests: Array.from({ length: 1_001 }, () => ({ modelId: "m" })) })),
    ],
    ["Status without id", "request_id: must be at least 1 characters", () => service.status(create(StatusRequestSchema))],
    ["Status with a bad id", `request_id: ${ID_ALLOWED}`, () => service.status(create(StatusRequestSchema, { requestId: "a b" }))],
    ["Watch without id", "request_id: must be at least 1 characters", () => service.watch(create(WatchRequestSchema), signal)],
    ["Watch with a bad id", `request_id: ${ID_ALLOWED}`, () => service.watch(create(WatchRequestSchema, { requestId: "é" }), signal)],
    ["Cancel without id", "request_id: must be at least 1 characters", () => service.cancel(create(CancelRequestSchema))],
    ["Cancel with a bad id", `request_id: ${ID_ALLOWED}`, () => service.cancel(create(CancelRequestSchema, { requestId: "../x" }))],
    ["Cancel with a long reason", "reason: must be at most 1024 characters", () => service.cancel(create(CancelRequestSchema, { requestId: "a", reason: long(1_025) }))],
    ["Explain without target", "target: exactly one field is required in oneof", () => service.explain(create(ExplainRequestSchema))],
    ["Explain with a bad id", `request_id: ${ID_ALLOWED}`, () => service.explain(create(ExplainRequestSchema, { target: { case: "requestId", value: " " } }))],
    ["List with state 0", "states[1]: must name a state", () => service.list(create(ListRequestSchema, { states: [RequestState.QUEUED, RequestState.UNSPECIFIED] }))],
    ["List with an unknown state", "states[0]: value must be one of the defined enum values", () => service.list(create(ListRequestSchema, { states: [99 as RequestState] }))],
    ["List with too many states", "states: must contain no more than 8 item(s)", () => service.list(create(ListRequestSchema, { states: Array.from({ length: 9 }, () => RequestState.QUEUED) }))],
    ["List with a bad user", `user_id: ${TEXT_ALLOWED}`, () => service.list(create(ListRequestSchema, { userId: "\u0001" }))],
    ["List with a long user", "user_id: must be at most 128 characters", () => service.list(create(ListRequestSchema, { userId: long(129) }))],
    ["List with a large page", "page_size: must be less than or equal to 1000", () => service.list(create(ListRequestSchema, { pageSize: 1_001 }))],
    ["List with a long token", "page_token: must be at most 512 characters", () => service.list(create(ListRequestSchema, { pageToken: long(513) }))],
    ["List with a foreign token", "page_token: must be the next_page_token of an earlier answer", () => service.list(create(ListRequestSchema, { pageToken: "bad" }))],
    ["GpuStatus with an empty id", "gpu_ids[1]: must be at least 1 characters", () => service.gpuStatus(create(GpuStatusRequestSchema, { gpuIds: ["a", ""] }))],
    ["GpuStatus with a bad id", `gpu_ids[0]: ${TEXT_ALLOWED}`, () => service.gpuStatus(create(GpuStatusRequestSchema, { gpuIds: ["\u0000"] }))],
    ["WatchGpus with a long token", "resume_token: must be at most 128 characters", () => service.watchGpus(create(WatchGpusRequestSchema, { resumeToken: long(129) }), signal)],
    ["WatchGpus with a long interval", "min_interval_ms: must be less than or equal to 60000", () => service.watchGpus(create(WatchGpusRequestSchema, { minIntervalMs: 60_001 }), signal)],
  ];
  test.each(bad)("%s", async (_name, message, call) => {
    const error = await errorOf(call);
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(error.message).toContain(message);
  });

  test("an unknown strategy names those that exist", async () => {
    const request = create(ExplainRequestSchema, { target: { case: "dryRun", value: { modelId: "m", strategy: "nope" } } });
    const error = await errorOf(() => service.explain(request));
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(error.message).toBe('strategy: "nope" is not one of weighted, least_loaded; leave it empty for the configured one');
  });

  test("all fields at fault are named, and many of them are counted", async () => {
    const two = await errorOf(() => service.route(create(RouteRequestSchema, { priority: 9 })));
    expect(two.message).toBe("model_id: must be at least 1 characters; priority: must be less than or equal to 5");
    const batch = create(BatchRouteRequestSchema, { requests: Array.from({ length: 20 }, () => ({})) });
    const many = await errorOf(() => service.batchRoute(batch));
    expect(many.message).toMatch(/requests\[7\].model_id: .* and 12 more$/);
    expect(many.violations?.violations).toHaveLength(8);
  });
});

describe("what is allowed passes", () => {
  test.each<[string, MessageInitShape<typeof RouteRequestSchema>]>([
    ["only a model", {}],
    ["the longest id", { requestId: long(128) }],
    ["an id of every kind of character", { requestId: "0aZ_.:-" }],
    ["names beyond ASCII", { userId: "Ada Łovelace", modelId: "模型/7b" }],
    ["every priority's ends", { priority: 5 }],
    ["a type of its own", { type: "fine-tuning_2" }],
    ["the largest figures", { timeoutMs: 31_536_000_000n, resourceRequirements: { memoryMib: 16_777_216, minComputeCapability: "10" } }],
    ["an address with port, query and IPv6", { callbackUrl: "https://[2001:db8::1]:8443/hook?x=1" }],
    ["JSON 32 deep", { payload: { case: "payloadJson", value: nested(31) } }],
    ["the widest wishes", { slo: { firstOutputMs: 31_536_000_000n, totalMs: 31_536_000_000n }, sessionKey: long(128), prefixHashes: Array.from({ length: 4_096 }, () => 2 ** 32 - 1), gpus: 64 }],
    ["a first output without an end", { slo: { firstOutputMs: 1n } }],
    ["a deadline that has passed", { deadline: timestampFromMs(Date.UTC(2000, 0)) }],
    ["one GPU, and which", { gpus: 1, specificGpuId: "sim-0" }],
    ["a pinned MIG instance", { specificGpuId: "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f" }],
  ])("%s", async (_name, init) => {
    router.specs.length = 0;
    await service.route(routeRequest(init));
    expect(router.specs).toHaveLength(1);
  });
});
