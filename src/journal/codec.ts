// Bytes of the journal: frames of records, snapshots and finished requests. MessagePack with a checksum.
import { crc32 } from "node:zlib";
import { Packr } from "msgpackr";
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
  ["strategy", "considered", "filters", "scorers", "candidates", "seed", "estimate"],
  ["scorer", "weight"],
  ["gpuId", "score", "values", "telemetryAgeMs"],
];

const packr = new Packr({ useRecords: true, moreTypes: false, structures: SHAPES.map((keys) => [...keys]), maxSharedStructures: SHAPES.length });
const CHECKSUM_BYTES = 4;
const NO_PAYLOAD = new Uint8Array();

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
  return seal(records);
}

/** Throws CorruptJournalError. */
export function decodeFrame(bytes: Uint8Array, what: string): Record[] {
  return open(bytes, what) as Record[];
}

/** A finished request as it is stored: `result` is empty where it has a place of its own, or there is none. */
export interface StoredFinish {
  readonly request: Request;
  readonly result: Uint8Array;
}

/** Without the payload, which nobody needs any more. */
export function encodeFinished({ request, result }: StoredFinish): Buffer {
  return seal([{ ...request, spec: { ...request.spec, payload: NO_PAYLOAD } }, result]);
}

/** Throws CorruptJournalError. */
export function decodeFinished(bytes: Uint8Array): StoredFinish {
  const [request, result] = open(bytes, "a finished request") as [Request, Uint8Array];
  return { request, result };
}

export function encodeSnapshot(snapshot: Snapshot): Buffer {
  return seal(snapshot);
}

/** Throws CorruptJournalError. */
export function decodeSnapshot(bytes: Uint8Array): Snapshot {
  return open(bytes, "the snapshot") as Snapshot;
}
