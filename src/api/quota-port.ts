// What the API needs to know of quotas. `router/quota-views.ts` implements it; nothing here knows about protobuf.
import type { LimitName, QuotaEntry, QuotaLimits, QuotaMode, QuotaOverride, SubjectKind } from "../core/model/quota.js";

/** A user or a team. */
export interface QuotaSubject {
  readonly subject: SubjectKind;
  readonly subjectId: string;
}

/** A quota as the API shows it. Times are UTC ms. */
export interface QuotaView extends QuotaSubject {
  readonly mode: QuotaMode;
  /** A user's; "" for none. */
  readonly team: string;
  readonly weight: number;
  readonly limits: QuotaLimits;
  /** What counts against each limit now; GPU time in ms, without `model_requests`. */
  readonly used: Readonly<Record<Exclude<LimitName, "model_requests">, number>>;
  readonly usedByModel: ReadonlyMap<string, number>;
  /** Requests that a limit refused or kept waiting since the router started. */
  readonly refused: ReadonlyMap<LimitName, number>;
  /** When the next of what a rate counts falls out; 0 when nothing is counted. */
  readonly minuteResetAtMs: number;
  readonly dayResetAtMs: number;
  readonly gpuTimeResetAtMs: number;
  /** What was set; null for nothing. */
  readonly entry: QuotaEntry | null;
}

/** What one user has had since `sinceMs`. */
export interface UsageView {
  readonly userId: string;
  readonly sinceMs: number;
  readonly accepted: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly gpuMs: number;
  /** Sum over what completed, ms. */
  readonly responseMs: number;
}

/** What is to be set: `override` over what was set before, or, with `reset`, in its place. */
export interface QuotaChange extends QuotaSubject {
  readonly override: QuotaOverride;
  readonly reset: boolean;
  readonly by: string;
  readonly reason: string;
}

/** Why nothing was set: as many users and teams have something set of their own, or one of them for as many models, as may. */
export interface QuotasFull {
  readonly kind: "quotas_full";
  readonly what: "quotas" | "models";
  readonly limit: number;
}

export interface QuotaPage<T> {
  readonly items: readonly T[];
  /** Name of the last one, to go on after it; "" when there is no more. */
  readonly lastName: string;
}

export interface QuotaPort {
  /** Of somebody who was never seen: the defaults. */
  quota(subject: QuotaSubject): QuotaView;
  /** Resolves when it is durable. */
  setQuota(change: QuotaChange): Promise<QuotaView | QuotasFull>;
  /** Those that were set: teams, then users, each by name. `after` is a `lastName`, "" for the first page. */
  quotas(after: string, atMost: number): QuotaPage<QuotaView>;
  /** By name; `after` as above. Only of `userId` unless it is "". */
  usage(userId: string, after: string, atMost: number): QuotaPage<UsageView>;
}
