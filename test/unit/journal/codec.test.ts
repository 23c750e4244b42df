import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { Packr } from "msgpackr";
import type { Decision } from "../../../src/core/model/decision.js";
import type { GpuInventory } from "../../../src/core/model/gpu.js";
import type { GpuId, ModelId, NodeId, RequestId, UserId } from "../../../src/core/model/ids.js";
import type { BatchRef, Handling, Phase, Priority, Request, RequestSpec, Wishes } from "../../../src/core/model/request.js";
import type { Record } from "../../../src/core/records.js";
import type { Snapshot } from "../../../src/core/snapshot.js";
import { CorruptJournalError, decodeFinished, decodeFrame, decodeSnapshot, encodeFinished, encodeFrame, encodeSnapshot } from "../../../src/journal/codec.js";
import { SHAPES } from "../../../src/journal/shapes.js";

// -0 and 0 are the same to everybody here; msgpack has one of them.
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
const count = fc.oneof(fc.nat(200), fc.maxSafeNat());
const text = fc.string({ unit: "grapheme", maxLength: 40 });
const bytes = fc.uint8Array({ maxLength: 300 }).map((value) => new Uint8Array(Buffer.from(value)));
const requestId = text as fc.Arbitrary<RequestId>;
const gpuId = text as fc.Arbitrary<GpuId>;
const nodeId = text as fc.Arbitrary<NodeId>;

const source = fc.constantFrom("request" as const, "learned" as const, "default" as const);
const estimate = fc.oneof(
  fc.record({ memoryMib: number, durationMs: number, source }),
  fc.record({ memoryMib: number, durationMs: number, source, inputTokens: count, outputTokens: count }),
);

const wishes: fc.Arbitrary<Wishes> = fc.record({
  firstOutputMs: count,
  totalMs: count,
  deadlineAtMs: count,
  whenLate: fc.constantFrom("demote" as const, "fail" as const),
  sessionKey: text,
  prefixHashes: fc.array(fc.nat(0xffffffff), { maxLength: 5 }),
  gpus: count,
  preemptible: fc.boolean(),
  checkpoint: fc.boolean(),
});

const handling: fc.Arbitrary<Handling> = fc.record({
  onInterruption: fc.constantFrom("restart" as const, "fail" as const),
  timeouts: fc.record({ waitingMs: count, startingMs: count, runningMs: count, answeringMs: count }, { requiredKeys: [] }),
});

const batch: fc.Arbitrary<BatchRef> = fc.record({ id: text, size: count, split: fc.option(fc.boolean(), { nil: null }), minPerGpu: count });

const decision: fc.Arbitrary<Decision> = fc.record({
  strategy: text,
  considered: count,
  filters: fc.array(fc.record({ filter: text, removed: count, needed: text }), { maxLength: 4 }),
  scorers: fc.array(fc.record({ scorer: text, weight: number }), { maxLength: 5 }),
  candidates: fc.array(fc.record({ gpuId, score: number, values: fc.array(number, { maxLength: 5 }), telemetryAgeMs: number }), { maxLength: 4 }),
  seed: fc.nat(0xffffffff),
  estimate,
});

const specFields = {
  requestId,
  userId: text as fc.Arbitrary<UserId>,
  modelId: text as fc.Arbitrary<ModelId>,
  type: text,
  priority: fc.integer({ min: 1, max: 5 }) as fc.Arbitrary<Priority>,
  requirements: fc.record({
    memoryMib: count,
    computeUnits: count,
    maxBatchSize: count,
    expectedDurationMs: number,
    minComputeCapability: count,
    inputTokens: count,
    outputTokens: count,
  }),
  timeoutMs: count,
  callbackUrl: text,
  strategy: text,
  specificGpuId: gpuId,
  idempotent: fc.boolean(),
  payload: bytes,
};
const spec: fc.Arbitrary<RequestSpec> = fc.oneof(
  fc.record({ ...specFields, contentHash: text }),
  fc.record({ ...specFields, wishes, contentHash: text }),
  fc.record({ ...specFields, wishes, handling, contentHash: text }),
  fc.record({ ...specFields, handling, contentHash: text }),
  fc.record({ ...specFields, batch, contentHash: text }),
  fc.record({ ...specFields, wishes, batch, contentHash: text }),
  fc.record({ ...specFields, handling, batch, contentHash: text }),
  fc.record({ ...specFields, wishes, handling, batch, contentHash: text }),
);

const error = fc.option(fc.oneof(fc.record({ code: text, message: text }), fc.record({ code: text, message: text, exitCode: fc.integer({ min: -1, max: 255 }) })), { nil: null });
const statistics = fc.option(fc.record({ runMs: number, firstOutputMs: number, inputTokens: count, outputTokens: count, peakMemoryMib: count }), { nil: null });
const result = fc.option(fc.record({ sizeBytes: count, contentType: text }), { nil: null });
const stop = fc.oneof(
  fc.record({ cause: fc.constantFrom("cancel" as const, "timeout" as const), reason: text, atMs: count }),
  fc.record({ cause: fc.constant("timeout" as const), stage: fc.constantFrom("waiting" as const, "running" as const), reason: text, atMs: count }),
);
const inventory: fc.Arbitrary<GpuInventory> = fc.record({
  gpuId,
  name: text,
  computeCapability: count,
  memoryTotalMib: count,
  multiprocessorCount: count,
  powerLimitWatts: number,
  driverVersion: text,
  parentGpuId: gpuId,
  simulated: fc.boolean(),
});

const accepted = fc.record({ kind: fc.constant("accepted" as const), spec, atMs: count, sequence: count, deadlineAtMs: count, estimate });
const placed = fc.record({ kind: fc.constant("placed" as const), requestId, attempt: count, gpuId, atMs: count, memoryMib: number, decision });
const started = fc.record({ kind: fc.constant("started" as const), requestId, attempt: count, atMs: count });
const ended = fc.record({ kind: fc.constant("ended" as const), requestId, phase: fc.constantFrom("completed" as const, "failed" as const, "cancelled" as const), atMs: count, error: fc.constant(null), result, statistics });
const record: fc.Arbitrary<Record> = fc.oneof(
  fc.record({ kind: fc.constant("epoch_started" as const), epoch: count, atMs: count }),
  fc.record({ kind: fc.constant("gpu_registered" as const), index: count, nodeId, inventory }),
  fc.record({ kind: fc.constant("gpu_retired" as const), index: count, atMs: count }),
  accepted,
  placed,
  started,
  fc.record({ kind: fc.constant("answered" as const), requestId, attempt: count, atMs: count }),
  fc.record({ kind: fc.constant("stop_requested" as const), requestId, stop }),
  fc.record({ kind: fc.constant("attempt_failed" as const), requestId, attempt: count, reason: text, retryAtMs: number, estimate, atMs: count }),
  fc.record({ kind: fc.constant("ended" as const), requestId, phase: fc.constantFrom("completed" as const, "failed" as const, "cancelled" as const), atMs: count, error, result, statistics }),
  fc.record({ kind: fc.constant("state_digest" as const), digest: fc.nat(0xffffffff) }),
);

const phase: fc.Arbitrary<Phase> = fc.constantFrom("queued", "placed", "running", "completed", "failed", "cancelled");
const requestFields = {
  spec,
  sequence: count,
  acceptedAtMs: count,
  deadlineAtMs: count,
  phase,
  attempt: count,
  gpuId,
  nodeId,
  placedAtMs: count,
  startedAtMs: count,
  endedAtMs: count,
  progress: number,
  stop: fc.option(stop, { nil: null }),
  error,
  result,
  statistics,
  decision: fc.option(decision, { nil: null }),
};
const request: fc.Arbitrary<Request> = fc.oneof(
  fc.record(requestFields),
  fc.record({ ...requestFields, begun: fc.constant(true as const), waitingSinceMs: count, answeredAtMs: count }),
);

const snapshot: fc.Arbitrary<Snapshot> = fc.record({
  epoch: count,
  nextSequence: count,
  endedCount: count,
  gpus: fc.array(fc.record({ nodeId, inventory }), { maxLength: 3 }),
  requests: fc.array(
    fc.record({ request, reservedMib: number, waiting: fc.option(fc.record({ estimate, avoidGpuId: gpuId, retryAtMs: number }), { nil: null }) }),
    { maxLength: 5 },
  ),
  digest: fc.nat(0xffffffff),
});

/** Bytes are bytes, whatever kind of array holds them. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString("hex")}`;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]));
}

/** The same with a field more in every object of it. */
function withAddedFields<T>(value: T): T {
  if (Array.isArray(value)) return value.map(withAddedFields) as T;
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  return { ...Object.fromEntries(Object.entries(value).map(([key, field]) => [key, withAddedFields(field)])), addedLater: 1 } as T;
}

/** The codec as a process that has written nothing has it. */
async function freshCodec(): Promise<typeof import("../../../src/journal/codec.js")> {
  const specifier = "../../../src/journal/codec.js?fresh";
  return (await import(specifier)) as typeof import("../../../src/journal/codec.js");
}

describe("The codec", () => {
  test("gives back every frame, in this process and in the next one", async () => {
    const next = await freshCodec();
    expect(next.encodeFrame).not.toBe(encodeFrame);
    fc.assert(
      fc.property(fc.array(record, { maxLength: 20 }), (records) => {
        const frame = encodeFrame(records);
        expect(plain(decodeFrame(frame, "it"))).toEqual(plain(records));
        expect(plain(next.decodeFrame(frame, "it"))).toEqual(plain(records));
      }),
    );
  });

  test("gives back every finished request without its payload", async () => {
    const next = await freshCodec();
    fc.assert(
      fc.property(request, (finished) => {
        const expected = plain({ ...finished, spec: { ...finished.spec, payload: new Uint8Array() } });
        const bytesOfResult = finished.spec.payload;
        const stored = encodeFinished({ request: finished, result: bytesOfResult });
        for (const decode of [decodeFinished, next.decodeFinished]) {
          expect(plain(decode(stored).request)).toEqual(expected);
          expect([...decode(stored).result]).toEqual([...bytesOfResult]);
        }
      }),
    );
  });

  test("gives back every snapshot", async () => {
    const next = await freshCodec();
    fc.assert(
      fc.property(snapshot, (taken) => {
        const stored = encodeSnapshot(taken);
        expect(plain(decodeSnapshot(stored))).toEqual(plain(taken));
        expect(plain(next.decodeSnapshot(stored))).toEqual(plain(taken));
      }),
    );
  });

  test("keeps fields that it does not know, so that a field can be added", () => {
    const extended = { kind: "started", requestId: "r", attempt: 1, atMs: 2, addedLater: { deep: [1, "two"] } } as unknown as Record;
    expect(decodeFrame(encodeFrame([extended, extended]), "it")).toEqual([extended, extended]);
  });

  test("keeps fields that it does not know of the values that it writes by their fields, wherever they lie", () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 5 }), request, (records, finished) => {
        const laterRecords = records.map(withAddedFields);
        expect(plain(decodeFrame(encodeFrame(laterRecords), "it"))).toEqual(plain(laterRecords));
        const later = withAddedFields(finished);
        const stored = decodeFinished(encodeFinished({ request: later, result: new Uint8Array([1]) }));
        expect(plain(stored.request)).toEqual(plain({ ...later, spec: { ...later.spec, payload: new Uint8Array() } }));
      }),
    );
  });

  test("writes what msgpackr writes for the same shapes", () => {
    const packr = new Packr({ useRecords: true, moreTypes: false, structures: SHAPES.map((keys) => [...keys]), maxSharedStructures: SHAPES.length });
    const body = (sealed: Uint8Array): string => Buffer.from(sealed.subarray(0, -4)).toString("hex");
    fc.assert(
      fc.property(accepted, placed, started, ended, request, bytes, (first, second, third, fourth, finished, itsResult) => {
        const records = [first, second, third, fourth];
        expect(body(encodeFrame(records))).toBe(packr.pack(records).toString("hex"));
        const withoutPayload = { ...finished, error: null, stop: null, spec: { ...finished.spec, payload: new Uint8Array() } };
        expect(body(encodeFinished({ request: withoutPayload, result: itsResult }))).toBe(packr.pack([withoutPayload, itsResult]).toString("hex"));
      }),
    );
  });

  test("refuses bytes that were changed, cut or lengthened anywhere", () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 3 }), fc.nat(), fc.integer({ min: 1, max: 255 }), fc.nat(8), (records, at, flip, cut) => {
        const frame = encodeFrame(records);
        const changed = Buffer.from(frame);
        changed[at % changed.length]! ^= flip;
        expect(() => decodeFrame(changed, "frame 7")).toThrow(new CorruptJournalError("The checksum of frame 7 does not match its bytes."));
        expect(() => decodeFrame(frame.subarray(0, frame.length - 1 - cut), "frame 7")).toThrow(CorruptJournalError);
        expect(() => decodeFrame(Buffer.concat([frame, Buffer.alloc(1 + cut)]), "frame 7")).toThrow(CorruptJournalError);
      }),
    );
    expect(() => decodeFrame(new Uint8Array(), "nothing")).toThrow(CorruptJournalError);
  });
});
