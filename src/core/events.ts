// What goes into the engine and what comes out. Everything that happens to the router is one of these events.
import type { CallbackEvent } from "./callbacks.js";
import type { GpuTransition } from "./health/fleet-health.js";
import type { Caller } from "./model/caller.js";
import type { GpuInventory, GpuReport, GpuTelemetry, ModelOrder, RunnerInfo, RunnerLoad } from "./model/gpu.js";
import type { AttemptRef, GpuId, NodeId, RequestId } from "./model/ids.js";
import type { OverLimit, QuotaOverride, SubjectKind } from "./model/quota.js";
import type { MaintenanceTarget, RestartOutcome } from "./model/maintenance.js";
import type { Request, RequestError, RequestSpec, RunStatistics } from "./model/request.js";
import type { Record } from "./records.js";

/** How an attempt ended, as agent.proto's AttemptOutcome. */
export type AttemptOutcome = "succeeded" | "failed" | "unavailable" | "cancelled" | "fenced";

/** The end of an attempt as its agent tells it. */
export interface AttemptEnd {
  readonly outcome: AttemptOutcome;
  readonly error: RequestError | null;
  readonly result: Uint8Array;
  readonly resultContentType: string;
  readonly statistics: RunStatistics | null;
  /** Whose fault it was that it did not succeed: the GPU's for certain, or for certain not its. Absent when nobody knows. */
  readonly fault?: "gpu" | "none";
}

/** Whose word it is, and of what. */
export interface ToldOfGpu {
  readonly nodeId: NodeId;
  readonly gpuId: GpuId;
  /** Counted by the node's agent process: what is told again has the same. Absent where nobody counts. */
  readonly sequence?: number;
  /** How long ago it happened, ms; 0 when left out. */
  readonly ageMs?: number;
}

export type Event =
  /** A router takes over with this epoch; first event of its life. */
  | { readonly kind: "take_over"; readonly epoch: number }
  | { readonly kind: "submit"; readonly spec: RequestSpec }
  /** `by` is there when somebody else than its owner wants its end. */
  | { readonly kind: "cancel"; readonly requestId: RequestId; readonly reason: string; readonly by?: Caller }
  /** An operator takes a target out of service, or puts it back. Times as in MaintenanceWindow. */
  | {
      readonly kind: "set_maintenance";
      readonly target: MaintenanceTarget;
      readonly on: boolean;
      readonly reason: string;
      readonly by: Caller;
      readonly untilMs: number;
      readonly drainByMs: number;
    }
  | { readonly kind: "restart_gpu"; readonly gpuId: GpuId; readonly force: boolean; readonly reason: string; readonly by: Caller; readonly drainByMs: number }
  | { readonly kind: "gpu_restarted"; readonly nodeId: NodeId; readonly restartId: string; readonly outcome: RestartOutcome; readonly message: string }
  /** A node's hello; `held` is what it runs or has ended without an acknowledgement. */
  | {
      readonly kind: "node_connected";
      readonly nodeId: NodeId;
      readonly instanceId: string;
      readonly gpus: readonly GpuInventory[];
      readonly runners: readonly RunnerInfo[];
      readonly held: readonly AttemptRef[];
      /** The agent has a command that restarts a GPU. */
      readonly restartsGpus?: boolean;
    }
  /** Its stream was cut, or given up because nothing was heard on it for `silentMs`; its work is taken away only when it stays away. */
  | { readonly kind: "node_disconnected"; readonly nodeId: NodeId; readonly silentMs?: number }
  /** The router itself stood still for so long: nobody's silence in that time says anything. */
  | { readonly kind: "router_stalled"; readonly ms: number }
  | { readonly kind: "runners_changed"; readonly nodeId: NodeId; readonly runners: readonly RunnerInfo[] }
  /** `ageMs` is the age of each sample on arrival. */
  | { readonly kind: "telemetry"; readonly nodeId: NodeId; readonly samples: readonly { readonly sample: GpuTelemetry; readonly ageMs: number }[] }
  /** What engines say of themselves; only of the runners that have something new. */
  | { readonly kind: "runner_load"; readonly nodeId: NodeId; readonly loads: readonly RunnerLoad[] }
  | ({ readonly kind: "gpu_lost"; readonly reason: string } & ToldOfGpu)
  /** What else a node tells of a GPU of its own. */
  | ({ readonly kind: "gpu_report"; readonly report: GpuReport } & ToldOfGpu)
  | { readonly kind: "attempt_started"; readonly nodeId: NodeId; readonly ref: AttemptRef }
  /** The first output of an attempt. */
  | { readonly kind: "attempt_answered"; readonly nodeId: NodeId; readonly ref: AttemptRef }
  | { readonly kind: "attempt_progress"; readonly nodeId: NodeId; readonly ref: AttemptRef; readonly fraction: number }
  | { readonly kind: "attempt_ended"; readonly nodeId: NodeId; readonly ref: AttemptRef; readonly end: AttemptEnd }
  /** Replaces what is set for a user or team. */
  | { readonly kind: "set_quota"; readonly subject: SubjectKind; readonly subjectId: string; readonly override: QuotaOverride; readonly by: string; readonly reason: string }
  /** How much of the router's own memory is in use, 0..1. */
  | { readonly kind: "memory"; readonly share: number }
  /** Time passed; sent a few times a second. */
  | { readonly kind: "tick" };

/** What the router does once the step's records are durable. */
export type Effect =
  /** `gpuIds` is all of them when it runs on several, `gpuId` first. */
  | {
      readonly kind: "dispatch";
      readonly nodeId: NodeId;
      /** The agent process that it is for: to another one that has taken its place it must not go. */
      readonly instanceId: string;
      readonly request: Request;
      readonly attempt: number;
      readonly gpuId: GpuId;
      readonly gpuIds?: readonly GpuId[];
      readonly runner: string;
    }
  | { readonly kind: "cancel_attempt"; readonly nodeId: NodeId; readonly ref: AttemptRef }
  /** The agent may forget the attempt. */
  | { readonly kind: "acknowledge"; readonly nodeId: NodeId; readonly ref: AttemptRef }
  /** Its runners are to load or unload a model; what comes of it shows in the runners that the node reports. */
  | { readonly kind: "order_model"; readonly nodeId: NodeId; readonly order: ModelOrder }
  /** What an attempt has put out is void: the request begins anew. */
  | { readonly kind: "output_void"; readonly requestId: RequestId; readonly attempt: number; readonly reason: string }
  /** The health of a GPU changed, with the evidence. */
  | { readonly kind: "health_changed"; readonly transition: GpuTransition }
  /** That process of its agent, and no other, is to run the operator's command for that GPU. */
  | { readonly kind: "restart_gpu"; readonly nodeId: NodeId; readonly instanceId: string; readonly restartId: string; readonly gpuId: GpuId }
  /** Somebody who watches the request should be told. */
  | { readonly kind: "changed"; readonly requestId: RequestId };

/** A request that reached its end in this step; stored in the same transaction as the records. */
export interface EndedRequest {
  readonly request: Request;
  /** Empty when there is no result. */
  readonly result: Uint8Array;
}

/** What came of a submit or cancel. */
export type SubmitOutcome =
  | { readonly kind: "accepted"; readonly request: Request }
  /** The id is known and the content is the same. */
  | { readonly kind: "known"; readonly request: Request }
  | { readonly kind: "id_conflict" }
  | { readonly kind: "unknown_strategy"; readonly known: readonly string[] }
  /** No room in line, and nobody there who would have to make way. */
  | { readonly kind: "queue_full"; readonly what: "requests" | "bytes" | "memory"; readonly limit: number; readonly retryAfterMs: number }
  /** The user or his team has as much as he may have. `retryAfterMs` is 0 when waiting does not help. */
  | { readonly kind: "over_quota"; readonly over: OverLimit; readonly retryAfterMs: number }
  /** The user or his team sends too fast. */
  | { readonly kind: "rate_limited"; readonly over: OverLimit; readonly retryAfterMs: number };

/** The output of one step. Arrays are the step's own. */
export interface Step {
  readonly records: Record[];
  readonly effects: Effect[];
  readonly ended: EndedRequest[];
  /** What callers that left an address are told; stored in the same transaction as the records. */
  readonly callbacks: CallbackEvent[];
  /** Set by a submit. */
  submitted: SubmitOutcome | null;
}
