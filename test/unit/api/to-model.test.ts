import { create, fromBinary, toBinary, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { ListRequestSchema, RequestState, RouteRequestSchema, OnInterruption, WhenLate } from "../../../gen/gpurouter/v1/router_pb.js";
import { listQuery, requestSpec } from "../../../src/api/to-model.js";

type Init = MessageInitShape<typeof RouteRequestSchema>;
const specOf = (init: Init) => requestSpec(create(RouteRequestSchema, { modelId: "m", ...init }));
const json = (value: JsonObject) => ({ payload: { case: "payloadJson" as const, value } });
const bytes = (value: Uint8Array) => ({ payload: { case: "payloadBytes" as const, value } });
const text = (value: Uint8Array): string => new TextDecoder().decode(value);

describe("a request's defaults", () => {
  test("fill in what was left out", () => {
    const { requestId, ...spec } = specOf({});
    expect(requestId).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
    expect(spec).toEqual({
      userId: "anonymous",
      modelId: "m",
      type: "inference",
      priority: 3,
      requirements: { memoryMib: 0, computeUnits: 0, maxBatchSize: 0, expectedDurationMs: 0, minComputeCapability: 0, inputTokens: 0, outputTokens: 0 },
      timeoutMs: 0,
      callbackUrl: "",
      strategy: "",
      specificGpuId: "",
      idempotent: true,
      payload: new Uint8Array(0),
      contentHash: "",
    });
  });

  test("leave alone what was said", () => {
    const spec = specOf({
      requestId: "r-1",
      userId: "ada",
      type: "training",
      priority: 1,
      timeoutMs: 31_536_000_000n,
      callbackUrl: "http://localhost/",
      strategy: "weighted",
      specificGpuId: "sim-0",
      idempotent: true,
      resourceRequirements: { memoryMib: 1, computeUnits: 2, maxBatchSize: 3, expectedDurationMs: 4n, minComputeCapability: "8.10", inputTokens: 5, outputTokens: 6 },
      ...bytes(new Uint8Array([1, 2, 3])),
    });
    expect(spec).toEqual({
      requestId: "r-1",
      userId: "ada",
      modelId: "m",
      type: "training",
      priority: 1,
      requirements: { memoryMib: 1, computeUnits: 2, maxBatchSize: 3, expectedDurationMs: 4, minComputeCapability: 8_010, inputTokens: 5, outputTokens: 6 },
      timeoutMs: 31_536_000_000,
      callbackUrl: "http://localhost/",
      strategy: "weighted",
      specificGpuId: "sim-0",
      idempotent: true,
      payload: new Uint8Array([1, 2, 3]),
      contentHash: expect.stringMatching(/^[\w-]{43}$/),
    });
  });

  test.each([
    ["inference", undefined, true],
    ["training", undefined, false],
    ["inference", false, false],
    ["training", true, true],
  ])("%s with idempotent %p is %p", (type, idempotent, expected) => {
    expect(specOf({ type, idempotent }).idempotent).toBe(expected);
  });

  test("JSON becomes UTF-8 text with its keys in order", () => {
    expect(text(specOf(json({ b: [1, { z: null, a: "é" }], a: true })).payload)).toBe('{"a":true,"b":[1,{"a":"é","z":null}]}');
  });

  test("a payload does not keep the message it came in alive, nor is it a Buffer", () => {
    const slab = Buffer.alloc(8_192);
    const wire = toBinary(RouteRequestSchema, create(RouteRequestSchema, { modelId: "m", ...bytes(new Uint8Array(100)) }));
    slab.set(wire, 10);
    const { payload } = requestSpec(fromBinary(RouteRequestSchema, slab.subarray(10, 10 + wire.length)));
    expect(payload.buffer).not.toBe(slab.buffer);
    expect(payload.buffer.byteLength).toBeLessThanOrEqual(Math.max(100, Buffer.poolSize));
    expect(Buffer.isBuffer(payload)).toBe(false);
  });

  test("a large payload is not copied", () => {
    const wire = toBinary(RouteRequestSchema, create(RouteRequestSchema, { modelId: "m", ...bytes(new Uint8Array(100_000)) }));
    const own = new Uint8Array(wire);
    expect(requestSpec(fromBinary(RouteRequestSchema, own)).payload.buffer).toBe(own.buffer);
  });
});

describe("wishes", () => {
  test.each<[string, Init]>([
    ["nothing", {}],
    ["what holds anyway, spelled out", { slo: {}, whenLate: WhenLate.DEMOTE, gpus: 1, preemptible: false }],
  ])("of %s are left out", (_, init) => {
    expect(specOf(init)).not.toHaveProperty("wishes");
  });

  test("come together as soon as there is one", () => {
    const none = { firstOutputMs: 0, totalMs: 0, deadlineAtMs: 0, whenLate: "demote", sessionKey: "", prefixHashes: [], gpus: 1, preemptible: false, checkpoint: false };
    const deadline = Date.UTC(2030, 0, 1, 12, 30, 5, 250);
    expect(specOf({ slo: { firstOutputMs: 500n } }).wishes).toEqual({ ...none, firstOutputMs: 500 });
    expect(specOf({ slo: { totalMs: 31_536_000_000n } }).wishes).toEqual({ ...none, totalMs: 31_536_000_000 });
    expect(specOf({ deadline: timestampFromMs(deadline) }).wishes).toEqual({ ...none, deadlineAtMs: deadline });
    expect(specOf({ whenLate: WhenLate.FAIL }).wishes).toEqual({ ...none, whenLate: "fail" });
    expect(specOf({ sessionKey: "chat-1" }).wishes).toEqual({ ...none, sessionKey: "chat-1" });
    expect(specOf({ prefixHashes: [0, 2 ** 32 - 1] }).wishes).toEqual({ ...none, prefixHashes: [0, 2 ** 32 - 1] });
    expect(specOf({ gpus: 4 }).wishes).toEqual({ ...none, gpus: 4 });
    expect(specOf({ preemptible: true }).wishes).toEqual({ ...none, preemptible: true });
    expect(specOf({ checkpoint: true }).wishes).toEqual({ ...none, checkpoint: true });
  });
});

describe("what shall be done when things go wrong", () => {
  test.each<[string, Init]>([
    ["nothing", {}],
    ["the defaults, spelled out", { timeouts: {}, onInterruption: OnInterruption.RESTART }],
  ])("is left out where the request says %s", (_, init) => {
    expect(specOf(init)).not.toHaveProperty("handling");
  });

  test("is the times that are given, 0 among them, and the choice", () => {
    expect(specOf({ timeouts: { waitingMs: 5n, runningMs: 0n } }).handling).toEqual({ onInterruption: "restart", timeouts: { waitingMs: 5, runningMs: 0 } });
    expect(specOf({ timeouts: { startingMs: 1n, answeringMs: 2n } }).handling?.timeouts).toEqual({ startingMs: 1, answeringMs: 2 });
    expect(specOf({ onInterruption: OnInterruption.FAIL }).handling).toEqual({ onInterruption: "fail", timeouts: {} });
  });
});

describe("the content hash", () => {
  const hashOf = (init: Init): string => specOf({ requestId: "r-1", ...init }).contentHash;

  test("is the same for the same content under another id, with defaults spelled out, or with JSON keys in another order", () => {
    expect(specOf({ requestId: "r-2" }).contentHash).toBe(hashOf({}));
    expect(hashOf({ priority: 3, type: "inference", userId: "anonymous", idempotent: true, resourceRequirements: {} })).toBe(hashOf({}));
    expect(hashOf(json({ a: 1, b: 2 }))).toBe(hashOf(json({ b: 2, a: 1 })));
  });

  test("of a request without wishes is what it was before there were any: requests in old journals must match their repeats", () => {
    expect(hashOf({})).toBe("jzmMVxvcwoGch41qPbnSftZQ8GbWWJnjDEeJR-tGDcg");
    expect(hashOf({ slo: {}, gpus: 1, preemptible: false })).toBe(hashOf({}));
  });

  test.each<[string, Init]>([
    ["user_id", { userId: "u" }],
    ["model_id", { modelId: "n" }],
    ["priority", { priority: 4 }],
    ["type", { type: "x", idempotent: true }],
    ["memory_mib", { resourceRequirements: { memoryMib: 1 } }],
    ["compute_units", { resourceRequirements: { computeUnits: 1 } }],
    ["max_batch_size", { resourceRequirements: { maxBatchSize: 1 } }],
    ["expected_duration_ms", { resourceRequirements: { expectedDurationMs: 1n } }],
    ["min_compute_capability", { resourceRequirements: { minComputeCapability: "8.0" } }],
    ["input_tokens", { resourceRequirements: { inputTokens: 1 } }],
    ["output_tokens", { resourceRequirements: { outputTokens: 1 } }],
    ["timeout_ms", { timeoutMs: 1n }],
    ["callback_url", { callbackUrl: "http://a/" }],
    ["payload_bytes", bytes(new Uint8Array([0]))],
    ["payload_json", json({})],
    ["strategy", { strategy: "s" }],
    ["specific_gpu_id", { specificGpuId: "g" }],
    ["idempotent", { idempotent: false }],
    ["deadline", { deadline: timestampFromMs(1_900_000_000_000) }],
    ["slo.first_output_ms", { slo: { firstOutputMs: 1n } }],
    ["slo.total_ms", { slo: { totalMs: 1n } }],
    ["when_late", { whenLate: WhenLate.FAIL }],
    ["session_key", { sessionKey: "s" }],
    ["prefix_hashes", { prefixHashes: [1] }],
    ["gpus", { gpus: 2 }],
    ["preemptible", { preemptible: true }],
    ["checkpoint", { checkpoint: true }],
    ["timeouts.waiting_ms", { timeouts: { waitingMs: 0n } }],
    ["timeouts.starting_ms", { timeouts: { startingMs: 0n } }],
    ["timeouts.running_ms", { timeouts: { runningMs: 0n } }],
    ["timeouts.answering_ms", { timeouts: { answeringMs: 0n } }],
    ["on_interruption", { onInterruption: OnInterruption.FAIL }],
  ])("changes with %s", (_field, init) => {
    expect(hashOf(init)).not.toBe(hashOf({}));
  });

  test("tells fields apart whatever they hold", () => {
    const name = fc.string({ maxLength: 5 });
    fc.assert(
      fc.property(name, name, name, name, (userA, modelA, userB, modelB) => {
        fc.pre(userA !== "" && userB !== "" && (userA !== userB || modelA !== modelB));
        expect(hashOf({ userId: userA, modelId: modelA })).not.toBe(hashOf({ userId: userB, modelId: modelB }));
      }),
      { seed: 1 },
    );
  });
});

describe("a list query", () => {
  test("asks for all phases and 100 requests by default", () => {
    expect(listQuery(create(ListRequestSchema))).toEqual({ phases: [], userId: "", pageSize: 100, pageToken: "" });
  });

  test("takes processing as placed and running", () => {
    const states = [RequestState.QUEUED, RequestState.PROCESSING, RequestState.COMPLETED, RequestState.FAILED, RequestState.CANCELLED];
    const query = listQuery(create(ListRequestSchema, { states, userId: "ada", pageSize: 7, pageToken: "t" }));
    expect(query).toEqual({ phases: ["queued", "placed", "running", "completed", "failed", "cancelled"], userId: "ada", pageSize: 7, pageToken: "t" });
  });
});
