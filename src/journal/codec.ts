// Bytes of the journal: frames of records, snapshots and finished requests. MessagePack with a checksum.
import { crc32 } from "node:zlib";
import { Packr } from "msgpackr";
import type { Request } from "../core/model/request.js";
import type { Record } from "../core/records.js";
import type { Snapshot } from "../core/snapshot.js";
import { MessagePackWriter } from "./message-pack.js";
import { RecordWriter } from "./record-writer.js";
import { SHAPES } from "./shapes.js";

/** Raised when stored bytes are not what was written. */
export class CorruptJournalError extends Error {
  override readonly name = "CorruptJournalError";
}

const packr = new Packr({ useRecords: true, moreTypes: false, structures: SHAPES.map((keys) => [...keys]), maxSharedStructures: SHAPES.length });
const CHECKSUM_BYTES = 4;
const NO_PAYLOAD = new Uint8Array();

const out = new MessagePackWriter();
const writer = new RecordWriter(out, packr);

function open(bytes: Uint8Array, what: string): unknown {
  const end = bytes.byteLength - CHECKSUM_BYTES;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const body = bytes.subarray(0, Math.max(0, end));
  if (end < 0 || view.getUint32(end, true) !== crc32(body)) throw new CorruptJournalError(`The checksum of ${what} does not match its bytes.`);
  return packr.unpack(body);
}

export function encodeFrame(records: readonly Record[]): Buffer {
  out.begin();
  out.array(records.length);
  for (const record of records) writer.record(record);
  return out.seal();
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
  out.begin();
  out.array(2);
  writer.request(request, NO_PAYLOAD);
  out.bytes(result);
  return out.seal();
}

/** Throws CorruptJournalError. */
export function decodeFinished(bytes: Uint8Array): StoredFinish {
  const [request, result] = open(bytes, "a finished request") as [Request, Uint8Array];
  return { request, result };
}

export function encodeSnapshot(snapshot: Snapshot): Buffer {
  out.begin();
  out.raw(packr.pack(snapshot));
  return out.seal();
}

/** Throws CorruptJournalError. */
export function decodeSnapshot(bytes: Uint8Array): Snapshot {
  return open(bytes, "the snapshot") as Snapshot;
}

/** Any plain value of the journal's tables, with a checksum. */
export function encodeValue(value: object): Buffer {
  out.begin();
  out.raw(packr.pack(value));
  return out.seal();
}

/** Throws CorruptJournalError. */
export function decodeValue<T>(bytes: Uint8Array, what: string): T {
  return open(bytes, what) as T;
}
