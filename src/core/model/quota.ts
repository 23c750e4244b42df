// What a user or a team may have: the limits, what is set for one of them, and what is told of a limit that is reached.

/** Most of each; 0 for no limit. */
export interface QuotaLimits {
  /** On GPUs at once. More wait in line. */
  readonly concurrentRequests: number;
  /** Different GPUs in use at once. What is beyond waits, or goes to a GPU that is in use already. */
  readonly gpus: number;
  /** Of priority 4 and 5 on GPUs at once. More wait in line. */
  readonly priorityRequests: number;
  /** Time on GPUs per period, times the GPUs of each request, ms. More wait for the next period; new ones are refused when none is left. */
  readonly gpuTimeMs: number;
  /** Accepted within any minute. More are refused. */
  readonly requestsPerMinute: number;
  /** Accepted within any 24 hours. More are refused. */
  readonly requestsPerDay: number;
  /** Waiting for their first dispatch. More are refused. */
  readonly queuedRequests: number;
  /** Payload bytes of those. More are refused. */
  readonly queuedBytes: number;
  /** On GPUs at once, by model. More wait in line. */
  readonly modelRequests: Readonly<Record<string, number>>;
}

export const NO_LIMITS: QuotaLimits = {
  concurrentRequests: 0,
  gpus: 0,
  priorityRequests: 0,
  gpuTimeMs: 0,
  requestsPerMinute: 0,
  requestsPerDay: 0,
  queuedRequests: 0,
  queuedBytes: 0,
  modelRequests: {},
};

/** `off` counts only; `shadow` also counts what it would have refused or held; `enforce` refuses and holds. */
export type QuotaMode = "off" | "shadow" | "enforce";

export interface QuotaSettings {
  readonly mode: QuotaMode;
  /** Of users for whom nothing else is set. Teams have no limits until some are set. */
  readonly defaults: QuotaLimits;
  /** Periods begin at multiples of this since 1970, UTC, ms. */
  readonly gpuTimePeriodMs: number;
  /** How late a new period may be noticed by what waits for it, ms. */
  readonly checkIntervalMs: number;
  /** Users and teams that may have something set of their own. */
  readonly maxEntries: number;
}

/** Names a limit to the outside; stable. */
export type LimitName =
  | "concurrent_requests"
  | "gpus"
  | "priority_requests"
  | "gpu_time"
  | "requests_per_minute"
  | "requests_per_day"
  | "queued_requests"
  | "queued_bytes"
  | "model_requests";

export type SubjectKind = "user" | "team";

/** A limit that a request runs into. Times in ms. */
export interface OverLimit {
  readonly name: LimitName;
  readonly subject: SubjectKind;
  readonly subjectId: string;
  readonly limit: number;
  /** Without the request. */
  readonly used: number;
  /** What the request would take of it. */
  readonly asked: number;
  /** When there is room again, UTC ms; 0 when that hangs on what runs, Infinity when the request is larger than the whole limit. */
  readonly resetAtMs: number;
}

/** What is set for one user or team; what is left out is as by default. */
export interface QuotaOverride extends Partial<QuotaLimits> {
  /** Share of the GPU time beside other users of the same priority; 1 by default. Of users only. */
  readonly weight?: number;
  /** The team whose limits count too; none by default. Of users only. */
  readonly team?: string;
}

/** An override with its origin. */
export interface QuotaEntry {
  readonly subject: SubjectKind;
  readonly subjectId: string;
  readonly override: QuotaOverride;
  /** Who set it. */
  readonly by: string;
  readonly reason: string;
  readonly atMs: number;
}

const WORDS: Readonly<Record<LimitName, string>> = {
  concurrent_requests: "requests on GPUs at once",
  gpus: "GPUs at once",
  priority_requests: "requests of priority 4 and 5 on GPUs at once",
  gpu_time: "minutes of GPU time",
  requests_per_minute: "requests per minute",
  requests_per_day: "requests per day",
  queued_requests: "requests in line",
  queued_bytes: "payload bytes in line",
  model_requests: "requests of this model on GPUs at once",
};

/** A limit in words: whose, how much of it is in use, how much was asked for. */
export function overLimitText({ name, subject, subjectId, used, asked, limit }: OverLimit): string {
  const amount = (value: number): string => String(name === "gpu_time" ? Math.ceil(value / 6_000) / 10 : value);
  const more = asked > 1 ? `, and this takes ${amount(asked)}` : "";
  return `${subject} ${JSON.stringify(subjectId)} has ${amount(used)} of ${amount(limit)} ${WORDS[name]}${more}`;
}
