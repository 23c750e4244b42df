// Bytes of the journal: frames of records, snapshots and finished requests. MessagePack, self-describing, with a checksum.
// Decisions are stored as rows of numbers: they are most of a record and their key names would be most of a decision.
import { crc32 } from "node:zlib";
import { Packr } from "msgpackr";
import type { Decision } from "../core/model/decision.js";
import type { GpuId } from "../core/model/ids.js";
import type { Request } from "../core/model/request.js";
import type { Record } from "../core/records.js";
import type { Snapshot } from "../core/snapshot.js";

/** Raised when stored bytes are not what was written. */
export class CorruptJournalError extends Error {
  override readonly name = "CorruptJournalError";
}

/**
 * Shapes that are stored as a number instead of their key names. Part of the format: append, never change or reorder. An object
 * of any other shape is stored with its keys, so that a new field costs space until its shape is appended here, nothing else.
 */
const SHAPES: readonly (readonly string[])[] = [
  ["kind", "spec", "atMs", "sequence", "deadlineAtMs", "estimate"],
  ["kind", "requestId", "attempt", "gpuId", "atMs", "memoryMib", "decision"],
  ["kind", "requestId", "attempt", "atMs"],
  ["kind", "requestId", "phase", "atMs", "error", "result", "statistics"],
  // prettier-ignore
  ["requestId", "userId", "modelId", "type", "priority", "requirements", "timeoutMs", "callbackUrl", "strategy", "specificGpuId", "idempotent", "payload", "contentHash"],
  ["memoryMib", "computeUnits", "maxBatchSize", "expectedDurationMs", "minComputeCapability", "inputTokens", "outputTokens"],
  ["memoryMib", "durationMs", "source"],
  // prettier-ignore
  ["spec", "sequence", "acceptedAtMs", "deadlineAtMs", "phase", "attempt", "gpuId", "nodeId", "placedAtMs", "startedAtMs", "endedAtMs", "progress", "stop", "error", "result", "statistics", "decision"],
  ["sizeBytes", "contentType"],
  ["runMs", "firstOutputMs", "inputTokens", "outputTokens", "peakMemoryMib"],
  ["filter", "removed", "needed"],
  ["request", "reservedMib", "waiting"],
];

const packr = new Packr({ useRecords: true, moreTypes: false, structures: SHAPES.map((keys) => [...keys]), maxSharedStructures: SHAPES.length });
const CHECKSUM_BYTES = 4;
const NO_PAYLOAD = new Uint8Array();

/** [strategy, considered, filters, seed, estimate, scorer names, weights, [gpuId, score, telemetryAgeMs, ...values] per candidate] */
type PackedDecision = [
  string,
  number,
  Decision["filters"],
  number,
  Decision["estimate"],
  string[],
  number[],
  [string, number, number, ...number[]][],
];

function packDecision(decision: Decision): PackedDecision {
  const terms = decision.candidates[0]?.terms ?? [];
  return [
    decision.strategy,
    decision.considered,
    decision.filters,
    decision.seed,
    decision.estimate,
    terms.map((term) => term.scorer),
    terms.map((term) => term.weight),
    decision.candidates.map((candidate) => [candidate.gpuId, candidate.score, candidate.telemetryAgeMs, ...candidate.terms.map((term) => term.value)]),
  ];
}

function unpackDecision([strategy, considered, filters, seed, estimate, names, weights, rows]: PackedDecision): Decision {
  const candidates = rows.map(([gpuId, score, telemetryAgeMs, ...values]) => ({
    gpuId: gpuId as GpuId,
    score,
    telemetryAgeMs,
    terms: names.map((scorer, index) => ({ scorer, value: values[index] ?? 0, weight: weights[index] ?? 0 })),
  }));
  return { strategy, considered, filters, seed, estimate, candidates };
}

function seal(value: unknown): Buffer {
  const body = packr.pack(value);
  const sealed = Buffer.allocUnsafe(body.length + CHECKSUM_BYTES);
  sealed.set(body);
  sealed.writeUInt32LE(crc32(body), body.length);
  return sealed;
}

function open(bytes: Uint8Array, what: string): unknown {
  const end = bytes.byteLength - CHECKSUM_BYTES;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const body = bytes.subarray(0, Math.max(0, end));
  if (end < 0 || view.getUint32(end, true) !== crc32(body)) throw new CorruptJournalError(`The checksum of ${what} does not match its bytes.`);
  return packr.unpack(body);
}

export function encodeFrame(records: readonly Record[]): Buffer {
  return seal(records.map((record) => (record.kind === "placed" ? { ...record, decision: packDecision(record.decision) } : record)));
}

/** Throws CorruptJournalError. */
export function decodeFrame(bytes: Uint8Array, what: string): Record[] {
  const records = open(bytes, what) as (Record & { decision: PackedDecision })[];
  return records.map((record) => (record.kind === "placed" ? ({ ...record, decision: unpackDecision(record.decision) } as Record) : record));
}

function packRequest(request: Request): unknown {
  return request.decision ? { ...request, decision: packDecision(request.decision) } : request;
}

function unpackRequest(packed: unknown): Request {
  const request = packed as Request & { decision: PackedDecision | null };
  return request.decision ? { ...request, decision: unpackDecision(request.decision) } : request;
}

/** A finished request without its payload, which nobody needs any more. */
export function encodeFinished(request: Request): Buffer {
  const { spec, decision } = request;
  return seal({ ...request, spec: { ...spec, payload: NO_PAYLOAD }, decision: decision && packDecision(decision) });
}

/** Throws CorruptJournalError. */
export function decodeFinished(bytes: Uint8Array): Request {
  return unpackRequest(open(bytes, "a finished request"));
}

export function encodeSnapshot(snapshot: Snapshot): Buffer {
  return seal({ ...snapshot, requests: snapshot.requests.map((live) => ({ ...live, request: packRequest(live.request) })) });
}

/** Throws CorruptJournalError. */
export function decodeSnapshot(bytes: Uint8Array): Snapshot {
  const packed = open(bytes, "the snapshot") as Snapshot;
  return { ...packed, requests: packed.requests.map((live) => ({ ...live, request: unpackRequest(live.request) })) };
}
