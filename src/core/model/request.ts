// A request: what the caller asked for, and where it stands.
import type { Decision } from "./decision.js";
import type { Caller } from "./caller.js";
import type { GpuId, ModelId, NodeId, RequestId, UserId } from "./ids.js";

/** 5 is the most urgent. */
export type Priority = 1 | 2 | 3 | 4 | 5;
export const DEFAULT_PRIORITY: Priority = 3;
const LOWEST_PRIORITY: Priority = 1;

/** What the work needs; 0 means unknown. */
export interface Requirements {
  /** GPU memory of the request itself, on each of its GPUs, MiB. */
  readonly memoryMib: number;
  /** Streaming multiprocessors at least. */
  readonly computeUnits: number;
  readonly maxBatchSize: number;
  readonly expectedDurationMs: number;
  /** As `computeCapability()` gives it. */
  readonly minComputeCapability: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/**
 * What a request wants of scheduling beside its needs. Most want nothing: the field is left out then, and `wishesOf` gives
 * NO_WISHES.
 */
export interface Wishes {
  /** From acceptance to the first output, ms; 0 for no wish. */
  readonly firstOutputMs: number;
  /** From acceptance to the end, ms; 0 for no wish. Unlike the time-out, missing it does not end the request. */
  readonly totalMs: number;
  /** When it is wanted, UTC ms; 0 for no wish. The earlier of this and `totalMs` counts. */
  readonly deadlineAtMs: number;
  /** What to do when it can no longer be in time: serve it after those that can, or fail it so that the caller knows at once. */
  readonly whenLate: "demote" | "fail";
  /** Requests of one session find their context where the last one ran; "" for none. */
  readonly sessionKey: string;
  /** Chained hashes of the prompt's blocks: equal hashes mean equal prompts up to there. 32 bits each. */
  readonly prefixHashes: readonly number[];
  /** GPUs of one node that it runs on at once; at least 1. */
  readonly gpus: number;
  /** May be stopped for more urgent work and begun again. */
  readonly preemptible: boolean;
  /** Its runner saves what was done: begun again, it goes on from there. */
  readonly checkpoint: boolean;
}

/** How long a request may stay where it stands, ms each: in line at a time, dispatched and not begun, begun, begun without a sign of life. 0 for no bound; absent for the configured one. */
export interface StageTimeouts {
  readonly waitingMs?: number;
  readonly startingMs?: number;
  readonly runningMs?: number;
  readonly answeringMs?: number;
}

/** The batch that a request came in: others of the same model and type, with the same needs of hardware, which are spread over GPUs together. */
export interface BatchRef {
  /** The same for all of them and nobody else. */
  readonly id: string;
  /** How many came, itself among them. */
  readonly size: number;
  /** Whether it may go to several GPUs; null as configured. */
  readonly split: boolean | null;
  /** Fewest on each GPU; 0 as configured. */
  readonly minPerGpu: number;
}

/** What a request wants done when things go wrong. Most leave that to the configuration: the field is left out then. */
export interface Handling {
  /** When an attempt is interrupted that has given output. */
  readonly onInterruption: "restart" | "fail";
  readonly timeouts: StageTimeouts;
}

export const NO_WISHES: Wishes = {
  firstOutputMs: 0,
  totalMs: 0,
  deadlineAtMs: 0,
  whenLate: "demote",
  sessionKey: "",
  prefixHashes: [],
  gpus: 1,
  preemptible: false,
  checkpoint: false,
};

export function wishesOf(spec: RequestSpec): Wishes {
  return spec.wishes ?? NO_WISHES;
}

/** Whether anything was promised to it: a time to its first output, to its end, or a deadline. Its other wishes say nothing of that. */
export function isPromised({ wishes }: RequestSpec): boolean {
  return wishes !== undefined && (wishes.firstOutputMs > 0 || wishes.totalMs > 0 || wishes.deadlineAtMs > 0);
}

/** Types of work that nobody sits and waits for. */
const UNATTENDED_TYPES: ReadonlySet<string> = new Set(["batch", "training", "fine-tuning"]);

/**
 * Whether it is work in the background, which makes room for all other: nothing was promised to it, and its type or the lowest
 * priority says that nobody waits for it. A request without an SLO that is neither is somebody's who waits as long as it takes.
 */
export function isBackground(spec: RequestSpec): boolean {
  return !isPromised(spec) && (spec.priority === LOWEST_PRIORITY || UNATTENDED_TYPES.has(spec.type));
}

/** Whether it has its GPUs to itself: work of certain types, and whatever runs on several GPUs at once. */
export function isExclusive(spec: RequestSpec, exclusiveTypes: readonly string[]): boolean {
  return wishesOf(spec).gpus > 1 || exclusiveTypes.includes(spec.type);
}

/** When a request should have ended, UTC ms; Infinity when it brings no such wish. */
export function dueAtMs(spec: RequestSpec, acceptedAtMs: number): number {
  const { totalMs, deadlineAtMs } = wishesOf(spec);
  const byTotal = totalMs > 0 ? acceptedAtMs + totalMs : Number.POSITIVE_INFINITY;
  return deadlineAtMs > 0 ? Math.min(deadlineAtMs, byTotal) : byTotal;
}

/** When its first output should have come, UTC ms; Infinity when it brings no such wish. */
export function firstOutputDueAtMs(spec: RequestSpec, acceptedAtMs: number): number {
  const { firstOutputMs } = wishesOf(spec);
  return firstOutputMs > 0 ? acceptedAtMs + firstOutputMs : Number.POSITIVE_INFINITY;
}

/** A validated request as it was accepted. Never changes. */
export interface RequestSpec {
  readonly requestId: RequestId;
  readonly userId: UserId;
  readonly modelId: ModelId;
  /** "inference", "training", "fine-tuning" or another lower-case word. */
  readonly type: string;
  readonly priority: Priority;
  readonly requirements: Requirements;
  /** From acceptance to the end, ms; 0 means the configured default of its type. */
  readonly timeoutMs: number;
  readonly callbackUrl: string;
  /** Strategy name; "" means the configured one. */
  readonly strategy: string;
  /** Only this GPU may run it; "" means any. */
  readonly specificGpuId: GpuId | "";
  /** Whether two attempts may run at the same time, as they can for a while after a network cut. */
  readonly idempotent: boolean;
  readonly wishes?: Wishes;
  readonly handling?: Handling;
  readonly batch?: BatchRef;
  readonly payload: Uint8Array;
  /** Hash of all the above but the id and the batch, which is the call's and not the request's: tells a repeat from a clash; "" when the router made the id. */
  readonly contentHash: string;
}

/**
 * `queued` waits for a GPU; `placed` is bound to one, its runner has not begun; `running` has begun.
 * The other three are final.
 */
export type Phase = "queued" | "placed" | "running" | "completed" | "failed" | "cancelled";

/** Why a request failed. */
export interface RequestError {
  /** Stable lower-case code such as "timeout". */
  readonly code: string;
  readonly message: string;
  readonly exitCode?: number;
}

/** What a runner measured of an attempt. */
export interface RunStatistics {
  readonly runMs: number;
  /** 0 when nothing was streamed. */
  readonly firstOutputMs: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** 0 when unknown. */
  readonly peakMemoryMib: number;
}

/** Why a request is to end before its work does. */
export interface StopWish {
  readonly cause: "cancel" | "timeout";
  /** Which time-out it was; absent for that of the whole request. */
  readonly stage?: "waiting" | "running";
  /** What kept it from a GPU until its time was up; absent when that was no more than others before it. */
  readonly obstacle?: "no_eligible_gpu" | "over_quota";
  readonly reason: string;
  readonly atMs: number;
  /** There when somebody else than its owner asked for it. */
  readonly by?: Caller;
}

/** A stored result, without its bytes. */
export interface ResultInfo {
  readonly sizeBytes: number;
  readonly contentType: string;
}

/** What is known of a request: the fold of its records. Times are UTC milliseconds; 0 means not yet. */
export interface Request {
  readonly spec: RequestSpec;
  /** Place in the order of acceptance. */
  readonly sequence: number;
  readonly acceptedAtMs: number;
  /** When it fails as timed out; 0 without a time-out. */
  readonly deadlineAtMs: number;
  phase: Phase;
  /** Dispatches so far. */
  attempt: number;
  /** Of them, those that were stopped for more urgent work; absent for none. */
  preemptions?: number;
  /** An attempt that is over had begun. */
  begun?: true;
  /** Since when it is back in line after an attempt; absent before the first is over. */
  waitingSinceMs?: number;
  /** The GPU of the present or last attempt; "" before the first. */
  gpuId: GpuId | "";
  /** All GPUs of an attempt that has several, `gpuId` first. */
  gpuIds?: readonly GpuId[];
  nodeId: NodeId | "";
  placedAtMs: number;
  startedAtMs: number;
  /** When the present attempt first gave output or told its progress, where something hangs on that; absent before. */
  answeredAtMs?: number;
  endedAtMs: number;
  /** 0..1; not durable. */
  progress: number;
  /** Its end was asked for: by somebody, or because its time is up. */
  stop: StopWish | null;
  error: RequestError | null;
  result: ResultInfo | null;
  statistics: RunStatistics | null;
  /** The decision of the last placement. */
  decision: Decision | null;
}

/** The GPUs of the present or last attempt; none before the first. */
export function gpusOf({ gpuId, gpuIds }: Pick<Request, "gpuId" | "gpuIds">): readonly GpuId[] {
  return gpuIds ?? (gpuId === "" ? [] : [gpuId]);
}

/** Whether a phase is final. */
export function isTerminal(phase: Phase): boolean {
  return phase === "completed" || phase === "failed" || phase === "cancelled";
}

/**
 * A compute capability as one number that compares right ("8.10" is above "8.9"): major * 1000 + minor.
 * "" gives 0. Returns NaN for anything but digits, optionally followed by a dot and digits.
 */
export function computeCapability(text: string): number {
  if (text === "") return 0;
  const match = /^(\d{1,3})(?:\.(\d{1,3}))?$/.exec(text);
  return match ? Number(match[1]) * 1000 + Number(match[2] ?? 0) : Number.NaN;
}

/** The inverse of `computeCapability` for people to read; 0 gives "". */
export function computeCapabilityText(value: number): string {
  return value === 0 ? "" : `${Math.floor(value / 1000)}.${value % 1000}`;
}
