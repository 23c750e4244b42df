// What may be said in a request beyond the rules in the contract: characters, spellings, addresses. Run by `validation.ts`.
// Paths are spelled out only for what is refused, so a message that passes costs next to nothing here.
import type { DescField, JsonValue } from "@bufbuild/protobuf";
import type { Path } from "@bufbuild/protobuf/reflect";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Violation } from "@bufbuild/protovalidate";
import {
  BatchRouteRequestSchema,
  CancelRequestSchema,
  ExplainRequestSchema,
  GpuStatusRequestSchema,
  ListRequestSchema,
  RequestState,
  ResourceRequirementsSchema,
  RouteRequestSchema,
  SloSchema,
  StatusRequestSchema,
  WatchRequestSchema,
  type BatchRouteRequest,
  type CancelRequest,
  type ExplainRequest,
  type GpuStatusRequest,
  type ListRequest,
  type RouteRequest,
  type StatusRequest,
  type WatchRequest,
} from "../../gen/gpurouter/v1/router_pb.js";
import { computeCapability } from "../core/model/request.js";
import { refuse, violation, type Rule } from "./validation.js";

const REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$/;
const REQUEST_ID_ALLOWED = "must be 1 to 128 letters, digits and _ . : - and begin with a letter or digit";
const TYPE = /^[a-z][a-z0-9_-]*$/;
/** Control characters, and halves of surrogate pairs, which have no UTF-8. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u;
const UNPRINTABLE_ALLOWED = "must be text without control characters";
export const PAGE_TOKEN_ALLOWED = "must be the next_page_token of an earlier answer, unchanged, or empty for the first page";
/** 2000-01-01 and 10000-01-01, s since 1970: outside of them somebody has mixed up his units. */
const FIRST_DEADLINE_S = 946_684_800n;
const LAST_DEADLINE_S = 253_402_300_800n;
/** protobuf-es itself stops a little deeper, with words that name no field. */
const MAX_JSON_DEPTH = 32;

/** Whether `text` can be the id of a request. */
export function isRequestId(text: string): boolean {
  return REQUEST_ID.test(text);
}

export const routeRequestRule: Rule<RouteRequest> = (request, at, found) => {
  const { field } = RouteRequestSchema;
  if (request.requestId !== "" && !isRequestId(request.requestId)) refuse(found, at, field.requestId, REQUEST_ID_ALLOWED);
  if (UNPRINTABLE.test(request.userId)) refuse(found, at, field.userId, UNPRINTABLE_ALLOWED);
  if (UNPRINTABLE.test(request.modelId)) refuse(found, at, field.modelId, UNPRINTABLE_ALLOWED);
  if (request.type !== "" && !TYPE.test(request.type)) {
    refuse(found, at, field.type, "must be a lower-case word of letters, digits, _ and -, such as inference, training or fine-tuning");
  }
  if (UNPRINTABLE.test(request.strategy)) refuse(found, at, field.strategy, UNPRINTABLE_ALLOWED);
  if (UNPRINTABLE.test(request.specificGpuId)) refuse(found, at, field.specificGpuId, UNPRINTABLE_ALLOWED);
  if (request.callbackUrl !== "" && !isCallbackUrl(request.callbackUrl)) {
    refuse(found, at, field.callbackUrl, "must be an http or https URL without user name, password and #fragment");
  }
  const requirements = request.resourceRequirements;
  if (requirements && Number.isNaN(computeCapability(requirements.minComputeCapability))) {
    refuse(found, [...at, field.resourceRequirements], ResourceRequirementsSchema.field.minComputeCapability, 'must be a number such as "8.0", or empty');
  }
  if (request.deadline && !isDeadline(request.deadline)) refuse(found, at, field.deadline, "must be a time from the year 2000 to 9999, with nanos from 0 to 999999999");
  const { slo } = request;
  if (slo && slo.totalMs > 0n && slo.firstOutputMs > slo.totalMs) {
    refuse(found, [...at, field.slo], SloSchema.field.firstOutputMs, "must be at most total_ms: output cannot begin after the end");
  }
  if (UNPRINTABLE.test(request.sessionKey)) refuse(found, at, field.sessionKey, UNPRINTABLE_ALLOWED);
  if (request.gpus > 1 && request.specificGpuId !== "") refuse(found, at, field.gpus, "must be 0 or 1 beside specific_gpu_id, which names the only GPU that may run it");
  if (request.payload.case === "payloadJson" && !isPlainJson(request.payload.value, MAX_JSON_DEPTH)) {
    refuse(found, at, field.payloadJson, `must hold finite numbers and be nested at most ${MAX_JSON_DEPTH} deep`);
  }
};

export const batchRouteRequestRule: Rule<BatchRouteRequest> = (batch, at, found) => {
  for (const [index, request] of batch.requests.entries()) {
    routeRequestRule(request, [...at, BatchRouteRequestSchema.field.requests, { kind: "list_sub", index }], found);
  }
};

export const statusRequestRule: Rule<StatusRequest> = (request, at, found) =>
  knownRequest(request.requestId, at, StatusRequestSchema.field.requestId, found);

export const watchRequestRule: Rule<WatchRequest> = (request, at, found) =>
  knownRequest(request.requestId, at, WatchRequestSchema.field.requestId, found);

export const cancelRequestRule: Rule<CancelRequest> = (request, at, found) =>
  knownRequest(request.requestId, at, CancelRequestSchema.field.requestId, found);

export const listRequestRule: Rule<ListRequest> = (request, at, found) => {
  const { field } = ListRequestSchema;
  for (const [index, state] of request.states.entries()) {
    if (state !== RequestState.UNSPECIFIED) continue;
    found.push(violation([...at, field.states, { kind: "list_sub", index }], "must name a state; leave states empty for all"));
  }
  if (UNPRINTABLE.test(request.userId)) refuse(found, at, field.userId, UNPRINTABLE_ALLOWED);
};

export const explainRequestRule: Rule<ExplainRequest> = ({ target }, at, found) => {
  const { field } = ExplainRequestSchema;
  if (target.case === "requestId") knownRequest(target.value, at, field.requestId, found);
  else if (target.case === "dryRun") routeRequestRule(target.value, [...at, field.dryRun], found);
};

export const gpuStatusRequestRule: Rule<GpuStatusRequest> = (request, at, found) => {
  for (const [index, gpuId] of request.gpuIds.entries()) {
    if (!UNPRINTABLE.test(gpuId)) continue;
    found.push(violation([...at, GpuStatusRequestSchema.field.gpuIds, { kind: "list_sub", index }], UNPRINTABLE_ALLOWED));
  }
};

/** A page token that List did not make; found out by the router, after all rules. */
export function unknownPageToken(): Violation {
  return violation([ListRequestSchema.field.pageToken], PAGE_TOKEN_ALLOWED);
}

/** A request that is named must have a name that requests can have; the contract refuses the empty one already. */
export function knownRequest(requestId: string, at: Path, field: DescField, found: Violation[]): void {
  if (requestId !== "" && !isRequestId(requestId)) refuse(found, at, field, REQUEST_ID_ALLOWED);
}

function isDeadline({ seconds, nanos }: Timestamp): boolean {
  return seconds >= FIRST_DEADLINE_S && seconds < LAST_DEADLINE_S && nanos >= 0 && nanos <= 999_999_999;
}

function isCallbackUrl(text: string): boolean {
  // The URL parser would drop some of these silently, and what is stored would not be what was checked.
  if (/\s/.test(text) || UNPRINTABLE.test(text) || !URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return (protocol === "http:" || protocol === "https:") && username === "" && password === "" && !text.includes("#");
}

/** protobuf carries NaN and infinities, JSON does not. */
function isPlainJson(value: JsonValue, depthLeft: number): boolean {
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object" || value === null) return true;
  return depthLeft > 0 && Object.values(value).every((inner) => isPlainJson(inner, depthLeft - 1));
}
