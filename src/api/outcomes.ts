// The one table from what can come of a call to gRPC code, HTTP status, words and time to wait. Both transports and the
// batch answer read it; nothing else in the API names a status code. A new outcome does not compile until it has a row.
import { status } from "@grpc/grpc-js";
import { violationsToProto, type Violation } from "@bufbuild/protovalidate";
import type { Violations } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { overLimitText, type OverLimit } from "../core/model/quota.js";
import type { QuotasFull } from "./quota-port.js";
import type { RouteOutcome } from "./router-port.js";

/** What can come of a call before or beside the router's own answer. */
export type ApiOutcome =
  | { readonly kind: "invalid_argument"; readonly violations: readonly Violation[] }
  | { readonly kind: "malformed"; readonly type: string; readonly detail: string }
  | { readonly kind: "unknown_request"; readonly requestId: string }
  | { readonly kind: "unknown_gpus"; readonly gpuIds: readonly string[] }
  | { readonly kind: "unknown_target"; readonly target: string }
  | { readonly kind: "restart_refused"; readonly gpuId: string; readonly detail: string }
  | { readonly kind: "unknown_callback"; readonly callbackId: string }
  | { readonly kind: "unknown_service"; readonly service: string }
  | { readonly kind: "no_result"; readonly requestId: string }
  | { readonly kind: "unauthenticated"; readonly why: string }
  | { readonly kind: "permission_denied"; readonly why: string }
  | { readonly kind: "too_many_attempts"; readonly retryAfterMs: number }
  | { readonly kind: "too_many_streams"; readonly limit: number }
  | { readonly kind: "identity_unavailable"; readonly why: string }
  | { readonly kind: "unknown_key"; readonly keyId: string }
  | { readonly kind: "unknown_user"; readonly userId: string }
  | { readonly kind: "first_not_admin" }
  | { readonly kind: "book_full"; readonly what: "keys" | "users"; readonly limit: number }
  | QuotasFull
  | { readonly kind: "internal" };

/** Everything that the table maps. */
export type Outcome = RouteOutcome | ApiOutcome;

interface Row<O> {
  readonly code: status;
  readonly http: number;
  text(outcome: O): string;
  /** When to try again, ms; left out when trying again would not help. */
  retryAfterMs?(outcome: O): number;
  /** The limit that was reached. */
  over?(outcome: O): OverLimit;
}

/** Violations that one answer names; the rest is counted. Keeps trailers small whatever was sent. */
const VIOLATIONS_SHOWN = 8;
const DRAIN_RETRY_AFTER_MS = 1_000;
const IDENTITY_RETRY_AFTER_MS = 1_000;

const TABLE = {
  accepted: { code: status.OK, http: 200, text: (o) => o.message },
  id_conflict: {
    code: status.ALREADY_EXISTS,
    http: 409,
    text: (o) => `request_id: ${quote(o.requestId)} was accepted before with other content; send new work under a new id, or leave request_id empty`,
  },
  unknown_strategy: {
    code: status.INVALID_ARGUMENT,
    http: 400,
    text: (o) => `strategy: ${quote(o.strategy)} is not one of ${o.known.join(", ")}; leave it empty for the configured one`,
  },
  queue_full: {
    code: status.RESOURCE_EXHAUSTED,
    http: 429,
    text: (o) => `${o.what === "memory" ? "the router is short of memory" : `the queue is full: its limit is ${o.limit} ${o.what}`}; try again in ${o.retryAfterMs} ms`,
    retryAfterMs: (o) => o.retryAfterMs,
  },
  over_quota: {
    code: status.RESOURCE_EXHAUSTED,
    http: 429,
    text: (o) => `over quota: ${overLimitText(o.over)}; ${o.retryAfterMs > 0 ? `try again in ${o.retryAfterMs} ms` : "ask for less, or for a higher limit"}`,
    retryAfterMs: (o) => o.retryAfterMs,
    over: (o) => o.over,
  },
  rate_limited: {
    code: status.RESOURCE_EXHAUSTED,
    http: 429,
    text: (o) => `rate limited: ${overLimitText(o.over)}; try again in ${o.retryAfterMs} ms`,
    retryAfterMs: (o) => o.retryAfterMs,
    over: (o) => o.over,
  },
  callbacks_full: {
    code: status.RESOURCE_EXHAUSTED,
    http: 429,
    text: (o) => `callback_url: too many ${o.what} are still to be delivered: the limit is ${o.limit}; try again later, or without callback_url`,
    retryAfterMs: (o) => o.retryAfterMs,
  },
  storage_full: {
    code: status.RESOURCE_EXHAUSTED,
    http: 429,
    text: (o) => `the router cannot store new requests (${o.detail}); accepted ones go on`,
    retryAfterMs: (o) => o.retryAfterMs,
  },
  draining: {
    code: status.UNAVAILABLE,
    http: 503,
    text: () => "the router is shutting down; call again when it is back, with the same request_id",
    retryAfterMs: () => DRAIN_RETRY_AFTER_MS,
  },
  invalid_argument: { code: status.INVALID_ARGUMENT, http: 400, text: (o) => violationText(o.violations) },
  malformed: { code: status.INVALID_ARGUMENT, http: 400, text: (o) => `the request is not a valid ${o.type}: ${o.detail}` },
  unknown_request: {
    code: status.NOT_FOUND,
    http: 404,
    text: (o) => `no request with id ${quote(o.requestId)}; finished requests are kept for the retention period`,
  },
  unknown_gpus: {
    code: status.NOT_FOUND,
    http: 404,
    text: (o) => `gpu_ids: no GPU with id ${o.gpuIds.slice(0, VIOLATIONS_SHOWN).map(quote).join(", ")}${more(o.gpuIds.length)}; leave gpu_ids empty to see all`,
  },
  unknown_target: { code: status.NOT_FOUND, http: 404, text: (o) => `target: the fleet has no ${o.target}; GpuStatus shows its GPUs and their nodes` },
  restart_refused: { code: status.FAILED_PRECONDITION, http: 409, text: (o) => `GPU ${quote(o.gpuId)} is not restarted: ${o.detail}` },
  unknown_callback: { code: status.NOT_FOUND, http: 404, text: (o) => `no failed callback ${quote(o.callbackId)}; ListFailedCallbacks shows those that are kept` },
  unknown_service: { code: status.NOT_FOUND, http: 404, text: (o) => `service: ${quote(o.service)} is not served here` },
  no_result: {
    code: status.NOT_FOUND,
    http: 404,
    text: (o) => `no result for request ${quote(o.requestId)}: it is unknown, has not completed, or is past its retention`,
  },
  unauthenticated: { code: status.UNAUTHENTICATED, http: 401, text: (o) => o.why },
  permission_denied: { code: status.PERMISSION_DENIED, http: 403, text: (o) => o.why },
  too_many_attempts: {
    code: status.RESOURCE_EXHAUSTED,
    http: 429,
    text: (o) => `too many failed attempts to sign in; try again in ${o.retryAfterMs} ms, with a credential that is right`,
    retryAfterMs: (o) => o.retryAfterMs,
  },
  too_many_streams: { code: status.RESOURCE_EXHAUSTED, http: 429, text: (o) => `you have ${o.limit} streams open, which is the limit (auth.max_streams_per_user); end one first, or ask by Status` },
  identity_unavailable: {
    code: status.UNAVAILABLE,
    http: 503,
    text: () => "who is calling cannot be checked now; the router's log has the cause",
    retryAfterMs: () => IDENTITY_RETRY_AFTER_MS,
  },
  unknown_key: { code: status.NOT_FOUND, http: 404, text: (o) => `no key with id ${quote(o.keyId)}` },
  unknown_user: { code: status.NOT_FOUND, http: 404, text: (o) => `no user and no key of ${quote(o.userId)}` },
  first_not_admin: {
    code: status.FAILED_PRECONDITION,
    http: 400,
    text: () => "the first key or user must have role admin, or nobody could make another",
  },
  book_full: { code: status.RESOURCE_EXHAUSTED, http: 429, text: (o) => `there are ${o.limit} ${o.what} already, which is the limit` },
  quotas_full: {
    code: status.RESOURCE_EXHAUSTED,
    http: 429,
    text: (o) =>
      o.what === "quotas"
        ? `${o.limit} users and teams have a quota of their own already, which is the limit (user_quota_manager.max_quotas); take one back first: ListQuotas shows them, SetQuota with reset and no limits forgets one`
        : `the quota would name more than ${o.limit} models; set it with reset, and those that still count`,
  },
  internal: { code: status.INTERNAL, http: 500, text: () => "internal error; the router's log has the cause" },
} satisfies { readonly [K in Outcome["kind"]]: Row<Extract<Outcome, { kind: K }>> };

/** What ends a call that is open when its caller loses the right to it. */
export const EXPELLED = { kind: "unauthenticated", why: "the credential of this call was revoked, changed or has expired; sign in again" } as const;

/** An outcome other than "accepted", on its way to the caller. `message` is for people; `kind` is the stable label. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly kind: Outcome["kind"];
  /** gRPC status code; Connect's codes are the same numbers. */
  readonly code: status;
  readonly httpStatus: number;
  /** ms; 0 when trying again would not help. */
  readonly retryAfterMs: number;
  /** The limit that was reached; null when none is to blame. */
  readonly over: OverLimit | null;
  /** What was wrong with which field, for machines; null when no field is to blame. */
  readonly violations: Violations | null;

  constructor(outcome: Exclude<Outcome, { kind: "accepted" }>) {
    // The row is looked up by the outcome's own kind, which the compiler cannot follow.
    const row: Row<never> = TABLE[outcome.kind];
    super(row.text(outcome as never));
    this.kind = outcome.kind;
    this.code = row.code;
    this.httpStatus = row.http;
    this.retryAfterMs = row.retryAfterMs?.(outcome as never) ?? 0;
    this.over = row.over?.(outcome as never) ?? null;
    this.violations =
      outcome.kind === "invalid_argument" ? violationsToProto(outcome.violations.slice(0, VIOLATIONS_SHOWN))[0] : null;
  }
}

function violationText(violations: readonly Violation[]): string {
  const shown = violations.slice(0, VIOLATIONS_SHOWN).map((v) => `${pathToString(v.field)}: ${v.message}`);
  return shown.join("; ") + more(violations.length);
}

function more(count: number): string {
  return count > VIOLATIONS_SHOWN ? ` and ${count - VIOLATIONS_SHOWN} more` : "";
}

/** In quotes, with control characters and broken surrogates escaped: a status message must be well-formed text. */
function quote(text: string): string {
  return JSON.stringify(text);
}
