// What the API needs of the router: the port between transport and engine. `router/` implements it.
// Everything here speaks the domain's words; nothing knows about protobuf.
import type { Decision, EstimateAccuracy } from "../core/model/decision.js";
import type { GpuView } from "../core/model/gpu.js";
import type { GpuId, RequestId, UserId } from "../core/model/ids.js";
import type { OverLimit } from "../core/model/quota.js";
import type { Phase, Request, RequestSpec } from "../core/model/request.js";

/** A request as the API shows it. `result` is there only when it is small enough to travel inline. */
export interface RequestView {
  readonly request: Readonly<Request>;
  /** Requests ahead while queued, else 0. */
  readonly queuePosition: number;
  readonly result: Uint8Array | null;
  /** Where to fetch the result; "" when there is none. */
  readonly resultUrl: string;
}

/** Everything that can come of Route. `api/outcomes.ts` maps each kind to gRPC, HTTP and words. */
export type RouteOutcome =
  | {
      readonly kind: "accepted";
      readonly requestId: RequestId;
      readonly phase: Phase;
      readonly gpuIds: readonly GpuId[];
      /** UTC ms; 0 when unknown. */
      readonly estimatedStartAtMs: number;
      readonly estimatedCompletionAtMs: number;
      readonly queuePosition: number;
      /** What to know about it, in words. */
      readonly message: string;
    }
  | { readonly kind: "id_conflict"; readonly requestId: RequestId }
  | { readonly kind: "unknown_strategy"; readonly strategy: string; readonly known: readonly string[] }
  | { readonly kind: "queue_full"; readonly what: "requests" | "bytes" | "memory"; readonly limit: number; readonly retryAfterMs: number }
  /** `retryAfterMs` is 0 when waiting does not help. */
  | { readonly kind: "over_quota"; readonly over: OverLimit; readonly retryAfterMs: number }
  | { readonly kind: "rate_limited"; readonly over: OverLimit; readonly retryAfterMs: number }
  /** Too much is still to be told to callback addresses, all of them or the request's own. */
  | { readonly kind: "callbacks_full"; readonly what: string; readonly limit: number; readonly retryAfterMs: number }
  | { readonly kind: "storage_full"; readonly detail: string; readonly retryAfterMs: number }
  | { readonly kind: "draining" };

/** One event of Watch. */
export type WatchEvent =
  | { readonly kind: "request"; readonly view: RequestView }
  | { readonly kind: "progress"; readonly fraction: number; readonly message: string }
  | { readonly kind: "output"; readonly attempt: number; readonly offset: number; readonly data: Uint8Array }
  /** What the attempt has put out is void: the request begins anew. */
  | { readonly kind: "output_void"; readonly attempt: number; readonly reason: string };

/** One message of WatchGpus. */
export interface GpuChanges {
  readonly sequence: number;
  readonly snapshot: boolean;
  readonly gpus: readonly GpuView[];
  /** Forgotten since the last message; absent for none, as in a snapshot. */
  readonly removed?: readonly GpuId[];
  readonly resumeToken: string;
  readonly atMs: number;
}

export interface ListQuery {
  /** All when empty. */
  readonly phases: readonly Phase[];
  readonly userId: UserId | "";
  readonly pageSize: number;
  readonly pageToken: string;
}

export interface RouterPort {
  /** Whose request it is; null when unknown. What is not durable yet counts too. */
  owner(requestId: RequestId): UserId | null;
  /** Resolves when the acceptance is durable, or with why it was not accepted. Never rejects for a bad request. */
  route(spec: RequestSpec): Promise<RouteOutcome>;
  /** null when unknown. Resolves when what it shows is durable: no answer shows what a crash could take back. */
  status(requestId: RequestId): Promise<RequestView | null>;
  /** null when the page token is not one of ours. Durable as above. */
  list(query: ListQuery): Promise<{ readonly requests: readonly RequestView[]; readonly nextPageToken: string } | null>;
  /** Resolves when the wish is durable; null when unknown. */
  cancel(requestId: RequestId, reason: string): Promise<RequestView | null>;
  /** null when unknown. Ends after the final state, or when `signal` aborts. */
  watch(requestId: RequestId, signal: AbortSignal): AsyncIterable<WatchEvent> | null;
  /**
   * The decision of the last placement, or what keeps a waiting request from being placed; null when unknown. Of one that ended without a
   * placement, as `endedAs`, what would be decided now.
   */
  explainRequest(requestId: RequestId): { readonly decision: Decision; readonly dryRun: boolean; readonly endedAs: Phase | null } | null;
  /** What would be decided now; an unknown strategy comes back as an outcome. */
  explainDryRun(spec: RequestSpec): { readonly kind: "decision"; readonly decision: Decision } | Extract<RouteOutcome, { kind: "unknown_strategy" }>;
  gpus(): readonly GpuView[];
  /** How near estimates came, the kinds of work with most outcomes first. */
  estimates(): readonly EstimateAccuracy[];
  watchGpus(resumeToken: string, minIntervalMs: number, signal: AbortSignal): AsyncIterable<GpuChanges>;
  /** The stored result; null when there is none. */
  result(requestId: RequestId): { readonly bytes: Uint8Array; readonly contentType: string } | null;
}
