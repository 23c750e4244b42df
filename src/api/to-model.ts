// From validated messages to the domain's words, with defaults filled in. Called by `router-service.ts`; checks nothing.
import type { JsonValue } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { hash, randomUUID } from "node:crypto";
import { OnInterruption, RequestState, WhenLate, type ListRequest, type RouteRequest } from "../../gen/gpurouter/v1/router_pb.js";
import type { GpuId, ModelId, RequestId, UserId } from "../core/model/ids.js";
import { computeCapability, DEFAULT_PRIORITY, NO_WISHES, type BatchRef, type Handling, type Phase, type Priority, type Requirements, type RequestSpec, type Wishes } from "../core/model/request.js";
import type { ListQuery } from "./router-port.js";

const DEFAULT_PAGE_SIZE = 100;
export const DEFAULT_TYPE = "inference";
const DEFAULT_USER = "anonymous";
const NO_PAYLOAD = new Uint8Array(0);
const NO_REQUIREMENTS: Requirements = {
  memoryMib: 0,
  computeUnits: 0,
  maxBatchSize: 0,
  expectedDurationMs: 0,
  minComputeCapability: 0,
  inputTokens: 0,
  outputTokens: 0,
};

/** A validated RouteRequest as the core takes it, in its batch if it came in one. Owns its payload: the message's memory can go. About 2 µs. */
export function requestSpec(message: RouteRequest, batch?: BatchRef): RequestSpec {
  const type = message.type === "" ? DEFAULT_TYPE : message.type;
  const wished = wishes(message);
  const handled = handling(message);
  const plain = {
    userId: (message.userId === "" ? DEFAULT_USER : message.userId) as UserId,
    modelId: message.modelId as ModelId,
    type,
    // Validated to be 0..5.
    priority: message.priority === 0 ? DEFAULT_PRIORITY : (message.priority as Priority),
    requirements: requirements(message),
    timeoutMs: Number(message.timeoutMs),
    callbackUrl: message.callbackUrl,
    strategy: message.strategy,
    specificGpuId: message.specificGpuId as GpuId | "",
    idempotent: message.idempotent ?? type === DEFAULT_TYPE,
    payload: payloadBytes(message.payload),
  };
  const spec = wished || handled ? { ...plain, ...(wished && { wishes: wished }), ...(handled && { handling: handled }) } : plain;
  const together = batch && { batch };
  return message.requestId === ""
    ? { requestId: timeOrderedUuid(Date.now()) as RequestId, ...spec, ...together, contentHash: "" }
    : { requestId: message.requestId as RequestId, ...spec, ...together, contentHash: contentHash(spec) };
}

/**
 * A UUID of version 7 (RFC 9562): milliseconds, then random bits. Ids that grow with time lie beside each other in the journal's
 * tables, which keeps commits small.
 */
function timeOrderedUuid(nowMs: number): string {
  const time = nowMs.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}

/** A validated ListRequest as the port takes it. */
export function listQuery(message: ListRequest): ListQuery {
  return {
    phases: message.states.flatMap((state) => PHASES[state]),
    userId: message.userId as UserId | "",
    pageSize: message.pageSize === 0 ? DEFAULT_PAGE_SIZE : message.pageSize,
    pageToken: message.pageToken,
  };
}

const PHASES: Readonly<Record<RequestState, readonly Phase[]>> = {
  [RequestState.UNSPECIFIED]: [],
  [RequestState.QUEUED]: ["queued"],
  [RequestState.PROCESSING]: ["placed", "running"],
  [RequestState.COMPLETED]: ["completed"],
  [RequestState.FAILED]: ["failed"],
  [RequestState.CANCELLED]: ["cancelled"],
};

function requirements({ resourceRequirements: asked }: RouteRequest): Requirements {
  if (!asked) return NO_REQUIREMENTS;
  return {
    memoryMib: asked.memoryMib,
    computeUnits: asked.computeUnits,
    maxBatchSize: asked.maxBatchSize,
    expectedDurationMs: Number(asked.expectedDurationMs),
    minComputeCapability: computeCapability(asked.minComputeCapability),
    inputTokens: asked.inputTokens,
    outputTokens: asked.outputTokens,
  };
}

/** null for a request that wishes nothing, however it spells that: most do, and pay nothing for the rest. */
function wishes(message: RouteRequest): Wishes | null {
  const { deadline, slo, whenLate, sessionKey, prefixHashes, gpus, preemptible = false, checkpoint } = message;
  const firstOutputMs = Number(slo?.firstOutputMs ?? 0n);
  const totalMs = Number(slo?.totalMs ?? 0n);
  const nothing =
    !deadline && firstOutputMs === 0 && totalMs === 0 && whenLate !== WhenLate.FAIL && sessionKey === "" && prefixHashes.length === 0 && gpus <= 1 && !preemptible && !checkpoint;
  if (nothing) return null;
  return {
    firstOutputMs,
    totalMs,
    deadlineAtMs: deadline ? timestampMs(deadline) : NO_WISHES.deadlineAtMs,
    whenLate: whenLate === WhenLate.FAIL ? "fail" : "demote",
    sessionKey,
    prefixHashes,
    gpus: Math.max(NO_WISHES.gpus, gpus),
    preemptible,
    checkpoint,
  };
}

/** null for a request that leaves it all to the configuration. */
function handling({ timeouts, onInterruption }: RouteRequest): Handling | null {
  if (!timeouts && onInterruption !== OnInterruption.FAIL) return null;
  const asked = Object.entries({ waitingMs: timeouts?.waitingMs, startingMs: timeouts?.startingMs, runningMs: timeouts?.runningMs, answeringMs: timeouts?.answeringMs });
  const said = asked.flatMap(([stage, ms]) => (ms === undefined ? [] : [[stage, Number(ms)] as const]));
  if (said.length === 0 && onInterruption !== OnInterruption.FAIL) return null;
  return { onInterruption: onInterruption === OnInterruption.FAIL ? "fail" : "restart", timeouts: Object.fromEntries(said) };
}

function payloadBytes(payload: RouteRequest["payload"]): Uint8Array {
  switch (payload.case) {
    case "payloadBytes":
      return owned(payload.value);
    case "payloadJson":
      return new TextEncoder().encode(JSON.stringify(sortedKeys(payload.value)));
    case undefined:
      return NO_PAYLOAD;
  }
}

/**
 * A copy of its own where the message's memory is much larger: decoded bytes are views of the whole message, which may itself lie
 * in a slab that it shares with other messages. Node pools small copies, which costs half of a typed array of its own.
 */
function owned(bytes: Uint8Array): Uint8Array {
  const source = bytes.byteLength * 2 < bytes.buffer.byteLength ? Buffer.from(bytes) : bytes;
  return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
}

/** A protobuf map has no order and senders shuffle it; sorted, the same content gives the same bytes. */
function sortedKeys(value: JsonValue): JsonValue {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(sortedKeys);
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sortedKeys(inner)]),
  );
}

/**
 * Of all fields but the id. JSON keeps the fields apart; the payload enters by its own hash, which spares a copy. What was hashed
 * once must hash the same for ever: requests in the journal are compared with repeats. So wishes enter only when there are any.
 */
function contentHash(spec: Omit<RequestSpec, "requestId" | "contentHash">): string {
  const { requirements: needs, wishes: wished, handling: handled, payload } = spec;
  const fields = JSON.stringify([
    spec.userId,
    spec.modelId,
    spec.type,
    spec.priority,
    needs.memoryMib,
    needs.computeUnits,
    needs.maxBatchSize,
    needs.expectedDurationMs,
    needs.minComputeCapability,
    needs.inputTokens,
    needs.outputTokens,
    spec.timeoutMs,
    spec.callbackUrl,
    spec.strategy,
    spec.specificGpuId,
    spec.idempotent,
    ...(wished ? [wishFields(wished)] : []),
    ...(handled ? [handlingFields(handled)] : []),
  ]);
  return hash("sha256", fields + hash("sha256", payload, "hex"), "base64url");
}

function handlingFields({ onInterruption, timeouts }: Handling): readonly unknown[] {
  return [onInterruption, timeouts.waitingMs ?? null, timeouts.startingMs ?? null, timeouts.runningMs ?? null, timeouts.answeringMs ?? null];
}

function wishFields(wished: Wishes): readonly unknown[] {
  return [
    wished.firstOutputMs,
    wished.totalMs,
    wished.deadlineAtMs,
    wished.whenLate,
    wished.sessionKey,
    wished.prefixHashes,
    wished.gpus,
    wished.preemptible,
    wished.checkpoint,
  ];
}
