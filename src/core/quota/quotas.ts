// Who may have how much, and who has what: the accounts of users and teams. The records' fold changes them (`accepted`, `placed`,
// `released`, `ended`, `set`); admission asks `refusal` and the dispatcher `held` and `gpusOpenTo` in the same synchronous step in which
// they record what follows, so a limit on a count is never exceeded. Knows nothing of queues and GPUs but their numbers.
import { DEFAULT_PRIORITY, gpusOf, wishesOf, type Request, type RequestSpec } from "../model/request.js";
import { Account, type StoredAccount } from "./account.js";
import { heldBy, isFull, nextPeriodMs, overLimit, refusedBy } from "./limit-checks.js";
import { LimitTally, type LimitCounts } from "./limit-tally.js";
import { NO_LIMITS, type OverLimit, type QuotaEntry, type QuotaOverride, type QuotaSettings, type SubjectKind } from "../model/quota.js";

/** Bound on accounts of users for whom nothing is set; above it those that are idle are forgotten, first those that forgetting gives nothing back. */
const MAX_ACCOUNTS = 100_000;

/** Which GPUs a request may go to where not all of them, and for which limit. */
export interface GpuRoom {
  readonly over: OverLimit;
  allows(gpu: number): boolean;
}

/** Plain data for a snapshot: in the order of the maps, so that replay and snapshot forget alike. */
export interface StoredQuotas {
  readonly entries: readonly QuotaEntry[];
  readonly accounts: readonly StoredAccount[];
}

export class Quotas {
  readonly settings: QuotaSettings;
  readonly #users = new Map<string, Account>();
  readonly #teams = new Map<string, Account>();
  /** What was set, by kind and name. */
  readonly #entries = new Map<string, QuotaEntry>();
  /** Users whose share is not 1. */
  readonly weights = new Map<string, number>();
  /** Has nothing and the default limits: stands for users that were never seen. */
  readonly #nobody: Account;
  readonly #tally = new LimitTally();

  constructor(settings: QuotaSettings) {
    this.settings = settings;
    this.#nobody = new Account("user", "", settings.defaults, 0);
  }

  // -- Questions --------------------------------------------------------------------------------------------------------

  /** The first limit that keeps a new request from being accepted; null when none does. `gpuMs` is what it is expected to take. */
  refusal(spec: RequestSpec, gpuMs: number, nowMs: number): OverLimit | null {
    if (this.settings.mode === "off") return null;
    const { gpuTimePeriodMs } = this.settings;
    const user = this.#users.get(spec.userId) ?? this.#nobody;
    const over = refusedBy(user, spec, gpuMs, nowMs, gpuTimePeriodMs) ?? (user.team && refusedBy(user.team, spec, gpuMs, nowMs, gpuTimePeriodMs));
    return over && this.#judged(over);
  }

  /** The first limit that keeps a waiting request from going to any GPU now; null when none does. */
  held(spec: RequestSpec, gpuMs: number, nowMs: number): OverLimit | null {
    if (this.settings.mode !== "enforce") return null;
    const { gpuTimePeriodMs } = this.settings;
    const user = this.#users.get(spec.userId) ?? this.#nobody;
    return heldBy(user, spec, gpuMs, nowMs, gpuTimePeriodMs) ?? (user.team && heldBy(user.team, spec, gpuMs, nowMs, gpuTimePeriodMs));
  }

  /** The GPUs that a request may go to, where the limit on GPUs leaves it only those that are in use for its user or team already. */
  gpusOpenTo(spec: RequestSpec): GpuRoom | null {
    if (this.settings.mode !== "enforce") return null;
    const { gpus } = wishesOf(spec);
    const user = this.#users.get(spec.userId) ?? this.#nobody;
    if (!isFull(user, gpus) && !(user.team && isFull(user.team, gpus))) return null;
    const full = [user, user.team].filter((account) => account !== null && isFull(account, gpus)) as Account[];
    const over = overLimit("gpus", full[0]!, spec, full[0]!.limits.gpus, full[0]!.onGpu.size, gpus);
    return { over, allows: (gpu) => full.every(({ onGpu }) => onGpu.has(gpu)) };
  }

  /** Counts what a placement would have waited for, in shadow mode; called just before it. */
  countShadow(spec: RequestSpec, gpus: readonly number[], gpuMs: number, nowMs: number): void {
    if (this.settings.mode !== "shadow") return;
    const user = this.#users.get(spec.userId) ?? this.#nobody;
    for (const account of user.team ? [user, user.team] : [user]) {
      const beyond = gpus.length === 1 && isFull(account, 1) && !account.onGpu.has(gpus[0]!);
      const over = heldBy(account, spec, gpuMs, nowMs, this.settings.gpuTimePeriodMs);
      if (over ?? beyond) this.countHeld(over ?? overLimit("gpus", account, spec, account.limits.gpus, account.onGpu.size, 1));
    }
  }

  /** Counts that a limit kept a request waiting. */
  countHeld(over: Pick<OverLimit, "name" | "subject" | "subjectId">): void {
    this.#tally.count(over);
  }

  countsOf(subject: SubjectKind, subjectId: string): LimitCounts {
    return this.#tally.of(subject, subjectId);
  }

  user(userId: string): Account | null {
    return this.#users.get(userId) ?? null;
  }

  team(teamId: string): Account | null {
    return this.#teams.get(teamId) ?? null;
  }

  users(): Iterable<Account> {
    return this.#users.values();
  }

  teams(): Iterable<Account> {
    return this.#teams.values();
  }

  /** What was set for one user or team; null for nothing. */
  entry(subject: SubjectKind, subjectId: string): QuotaEntry | null {
    return this.#entries.get(keyOf(subject, subjectId)) ?? null;
  }

  entries(): Iterable<QuotaEntry> {
    return this.#entries.values();
  }

  /** Whether something may be set for one more user or team; whoever has an entry keeps it. */
  hasRoomFor(subject: SubjectKind, subjectId: string): boolean {
    return this.#entries.size < this.settings.maxEntries || this.#entries.has(keyOf(subject, subjectId));
  }

  /** When the period of GPU time after that of `nowMs` begins, UTC ms. */
  nextPeriodMs(nowMs: number): number {
    return nextPeriodMs(nowMs, this.settings.gpuTimePeriodMs);
  }

  // -- The fold ---------------------------------------------------------------------------------------------------------

  accepted(spec: RequestSpec, atMs: number): void {
    const user = this.#open(spec.userId, atMs);
    for (let account: Account | null = user; account; account = account.team) {
      account.minute.add(atMs);
      account.day.add(atMs);
      account.usage.accepted += 1;
    }
    this.waits(spec);
  }

  /** A live request that was never dispatched is in line. */
  waits(spec: RequestSpec): void {
    this.#queue(spec, 1);
  }

  /** It is in line no more: dispatched for the first time, or over. */
  leaves(spec: RequestSpec): void {
    this.#queue(spec, -1);
  }

  #queue({ userId, payload }: RequestSpec, by: 1 | -1): void {
    for (let account: Account | null = this.#known(userId); account; account = account.team) {
      account.queued += by;
      account.queuedBytes += by * payload.byteLength;
    }
  }

  /** An attempt is on `gpus` and is expected to take so long. */
  placed(spec: RequestSpec, gpus: readonly number[], durationMs: number): void {
    this.#place(spec, gpus, durationMs, 1);
  }

  /** An attempt is over. What it used is charged by `ended`; an attempt that somebody else ended costs nothing. */
  released(spec: RequestSpec, gpus: readonly number[], durationMs: number): void {
    this.#place(spec, gpus, durationMs, -1);
  }

  #place({ userId, modelId, priority }: RequestSpec, gpus: readonly number[], durationMs: number, by: 1 | -1): void {
    const gpuMs = gpuTimeOf(durationMs, gpus.length);
    const isPriority = priority > DEFAULT_PRIORITY;
    for (let account: Account | null = this.#known(userId); account; account = account.team) account.place(gpus, modelId, isPriority, gpuMs, by);
  }

  /** A request is over; its fields are those of its end. */
  ended(request: Request): void {
    const { spec, phase, acceptedAtMs, endedAtMs } = request;
    const gpuMs = usedGpuMs(request);
    const { gpuTimePeriodMs } = this.settings;
    for (let account: Account | null = this.#known(spec.userId); account; account = account.team) {
      const { usage } = account;
      if (gpuMs > 0) account.chargeGpu(gpuMs, endedAtMs, gpuTimePeriodMs);
      if (phase === "completed") {
        usage.completed += 1;
        usage.responseMs += endedAtMs - acceptedAtMs;
      } else if (phase === "failed") usage.failed += 1;
      else usage.cancelled += 1;
    }
  }

  /** Replaces what is set for a user or team; an empty override forgets it. */
  set(entry: QuotaEntry): void {
    this.#put(entry);
    if (this.#teams.size > this.settings.maxEntries) this.#forgetTeams();
  }

  #put(entry: QuotaEntry): void {
    const { subject, subjectId, override, atMs } = entry;
    const key = keyOf(subject, subjectId);
    if (Object.keys(override).length === 0) this.#entries.delete(key);
    else this.#entries.set(key, entry);
    const account = subject === "user" ? this.#open(subjectId, atMs) : this.#openTeam(subjectId, atMs);
    this.#give(account, override, atMs);
  }

  #give(account: Account, override: QuotaOverride, atMs: number): void {
    const { weight = 1, team = "", ...limits } = override;
    account.limits = { ...(account.kind === "user" ? this.settings.defaults : NO_LIMITS), ...limits };
    if (account.kind === "team") return;
    if (weight === 1) this.weights.delete(account.id);
    else this.weights.set(account.id, weight);
    if (team === (account.team?.id ?? "")) return;
    account.team?.merge(account, -1);
    account.team = team === "" ? null : this.#openTeam(team, atMs);
    account.team?.merge(account, 1);
  }

  // -- Accounts ---------------------------------------------------------------------------------------------------------

  #known(userId: string): Account {
    return this.#users.get(userId) ?? this.#open(userId, 0);
  }

  #open(userId: string, atMs: number): Account {
    let user = this.#users.get(userId);
    if (user) return user;
    if (this.#users.size >= MAX_ACCOUNTS + this.#entries.size) this.#forget(atMs);
    user = new Account("user", userId, this.settings.defaults, atMs);
    this.#users.set(userId, user);
    return user;
  }

  #openTeam(teamId: string, atMs: number): Account {
    let team = this.#teams.get(teamId);
    if (!team) {
      team = new Account("team", teamId, NO_LIMITS, atMs);
      this.#teams.set(teamId, team);
    }
    return team;
  }

  #forget(nowMs: number): void {
    const { gpuTimePeriodMs } = this.settings;
    for (const spentOnly of [true, false]) {
      for (const [userId, user] of this.#users) {
        if (user.isIdle && !this.#entries.has(keyOf("user", userId)) && (!spentOnly || user.isSpent(nowMs, gpuTimePeriodMs))) this.#users.delete(userId);
      }
      if (this.#users.size < MAX_ACCOUNTS / 2 + this.#entries.size) return;
    }
  }

  /** Those for whom nothing is set any more and of whom nobody is. */
  #forgetTeams(): void {
    const peopled = new Set([...this.#users.values()].map(({ team }) => team));
    for (const [teamId, team] of this.#teams) if (!peopled.has(team) && !this.#entries.has(keyOf("team", teamId))) this.#teams.delete(teamId);
  }

  store(): StoredQuotas {
    return { entries: [...this.#entries.values()], accounts: [...this.#users.values(), ...this.#teams.values()].map((account) => account.store()) };
  }

  /** Puts back what `store` gave. Only into new quotas, and before any request. */
  restore({ entries, accounts }: StoredQuotas): void {
    // First, so that whoever has one is not forgotten for being one too many.
    for (const entry of entries) this.#entries.set(keyOf(entry.subject, entry.subjectId), entry);
    for (const stored of accounts) {
      const account = stored.kind === "user" ? this.#open(stored.id, stored.sinceMs) : this.#openTeam(stored.id, stored.sinceMs);
      account.restore(stored);
    }
    for (const entry of entries) this.#put(entry);
  }

  // -- Limits -----------------------------------------------------------------------------------------------------------

  /** Counts it; in shadow mode that is all. */
  #judged(over: OverLimit): OverLimit | null {
    this.countHeld(over);
    return this.settings.mode === "shadow" ? null : over;
  }
}

/** What an attempt is charged while it lasts, whole ms so that sums do not hang on their order. */
export function gpuTimeOf(durationMs: number, gpus: number): number {
  return Number.isFinite(durationMs) ? Math.max(0, Math.ceil(durationMs)) * gpus : 0;
}

/** What a request that is over is charged: nothing when we failed it, else what its last attempt ran, times its GPUs. */
function usedGpuMs(request: Request): number {
  const { statistics, placedAtMs, startedAtMs, endedAtMs, error } = request;
  if (startedAtMs === 0 || error?.code === "retries_exhausted") return 0;
  // An agent's figure is believed up to what is possible.
  const runMs = statistics && statistics.runMs > 0 ? Math.min(statistics.runMs, endedAtMs - placedAtMs) : endedAtMs - startedAtMs;
  return gpuTimeOf(runMs, gpusOf(request).length);
}

function keyOf(subject: SubjectKind, subjectId: string): string {
  return `${subject}\n${subjectId}`;
}
