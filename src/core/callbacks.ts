// What callers that left an address are told: one pure function from a record and the request that it concerns. Called by `emit` in
// records.ts for each new fact; the journal keeps what comes of it in the same transaction, src/callbacks delivers it.
import type { GpuId } from "./model/ids.js";
import type { Request } from "./model/request.js";
import type { Record } from "./records.js";

export type CallbackType = "request.ended" | "request.rerouted" | "request.timed_out";

/** Something that a request's callback address is told. */
export interface CallbackEvent {
  /** The same whenever it is sent: names the event for ever. */
  readonly eventId: string;
  readonly type: CallbackType;
  /** Grows by the request's events, not always by 1. */
  readonly sequence: number;
  /** When it happened, UTC ms. */
  readonly atMs: number;
  /** The request right after it, without its payload and its decision. */
  readonly request: Request;
  /** Of request.rerouted: the GPUs that it left, and why. */
  readonly leftGpuIds: readonly GpuId[];
  readonly reason: string;
}

const NO_PAYLOAD = new Uint8Array();
/** Longer texts are cut: a callback is bounded, Status tells all. */
const MAX_TEXT = 1_024;

/** Whether a record is one that callers are told of. */
export function isTold(record: Record): record is Extract<Record, { kind: "attempt_failed" | "ended" }> {
  return record.kind === "attempt_failed" || record.kind === "ended";
}

/**
 * The events of a record, in their order. `request` is as the record left it, `leftGpuIds` are the GPUs that it had before. Events are
 * numbered by attempts: the end of attempt n that was not the request's own is n, its time-out and its end come behind all of them.
 */
export function callbacksOf(record: Extract<Record, { kind: "attempt_failed" | "ended" }>, request: Request, leftGpuIds: readonly GpuId[]): CallbackEvent[] {
  const event = (type: CallbackType, sequence: number, reason: string, left: readonly GpuId[]): CallbackEvent => ({
    // Without full stops, which separate the parts that are signed.
    eventId: `${request.spec.requestId.replaceAll(".", "~")}_${request.acceptedAtMs.toString(36)}_${sequence}`,
    type,
    sequence,
    atMs: record.atMs,
    request: withoutBytes(request),
    leftGpuIds: left,
    reason: reason.slice(0, MAX_TEXT),
  });
  if (record.kind === "attempt_failed") return [event("request.rerouted", record.attempt, record.reason, leftGpuIds)];
  const { error } = record;
  const after = request.attempt + 1;
  const timedOut = record.phase === "failed" && error !== null && isTimeout(error.code);
  return [...(timedOut ? [event("request.timed_out", after, error.message, [])] : []), event("request.ended", after + 1, "", [])];
}

/** "timeout", or one that says of what, or what it waited for in vain. */
function isTimeout(code: string): boolean {
  return code === "timeout" || code === "no_eligible_gpu" || code === "over_quota" || code.startsWith("timeout_") || code.endsWith("_timeout");
}

function withoutBytes(request: Request): Request {
  const { spec, error } = request;
  const shortened = error && error.message.length > MAX_TEXT ? { ...error, message: error.message.slice(0, MAX_TEXT) } : error;
  return { ...request, spec: { ...spec, payload: NO_PAYLOAD }, error: shortened, decision: null };
}
