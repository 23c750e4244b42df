// What users and teams have and have had, counted anew from records alone: not from what the router has counted. Judges each record
// that raises a count, each refusal, and who is kept waiting. Made by world.ts, for what is on the disk and for what this life of the router
// knows, and by the property test of quotas.
import { NO_LIMITS, type LimitName, type OverLimit, type QuotaLimits, type QuotaSettings, type SubjectKind } from "../../../src/core/model/quota.js";
import { gpusOf, wishesOf, type RequestSpec } from "../../../src/core/model/request.js";
import type { Record } from "../../../src/core/records.js";
import { Violation } from "./violation.js";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** What was accepted counts for so much longer at most. */
const MINUTE_SLOT_MS = 1_000;
const DAY_SLOT_MS = 900_000;
const TIMER_SLACK_MS = 200;

/** A live request; never changed, so that a copy of the oracle is cheap. */
interface Life {
  readonly spec: RequestSpec;
  readonly attempt: number;
  /** Of the live attempt; none while it waits. */
  readonly gpus: readonly string[];
  readonly gpuMs: number;
  readonly placedAtMs: number;
  readonly startedAtMs: number;
}

/** Something that stays counted after its request is over, for its user and the team that he was in. */
interface Spent {
  readonly userId: string;
  readonly teamId: string;
  readonly amount: number;
  readonly atMs: number;
}

export interface Subject {
  readonly kind: SubjectKind;
  readonly id: string;
}

/** What one user or team has. */
export interface Held {
  readonly running: number;
  readonly priority: number;
  readonly gpus: ReadonlySet<string>;
  readonly models: ReadonlyMap<string, number>;
  readonly queued: number;
  readonly queuedBytes: number;
  readonly reservedGpuMs: number;
}

export class QuotaOracle {
  readonly settings: QuotaSettings;
  /** By request. */
  readonly lives = new Map<string, Life>();
  readonly #accepted: Spent[] = [];
  readonly #charges: Spent[] = [];
  readonly #limits = new Map<string, QuotaLimits>();
  readonly #teamOf = new Map<string, string>();
  /** Of all acceptances: a clock that is set back stands still here, ms. */
  #latestMs = 0;

  constructor(settings: QuotaSettings) {
    this.settings = settings;
  }

  /** One that goes on from here by itself. */
  copy(): QuotaOracle {
    const copy = new QuotaOracle(this.settings);
    for (const [id, life] of this.lives) copy.lives.set(id, life);
    for (const [key, limits] of this.#limits) copy.#limits.set(key, limits);
    for (const [userId, teamId] of this.#teamOf) copy.#teamOf.set(userId, teamId);
    copy.#accepted.push(...this.#accepted);
    copy.#charges.push(...this.#charges);
    copy.#latestMs = this.#latestMs;
    return copy;
  }

  limitsOf({ kind, id }: Subject): QuotaLimits {
    return this.#limits.get(`${kind} ${id}`) ?? (kind === "user" ? this.settings.defaults : NO_LIMITS);
  }

  held(subject: Subject): Held {
    const gpus = new Set<string>();
    const models = new Map<string, number>();
    let [running, priority, queued, queuedBytes, reservedGpuMs] = [0, 0, 0, 0, 0];
    for (const { spec, attempt, gpus: on, gpuMs } of this.lives.values()) {
      if (!this.#belongs(spec.userId, subject)) continue;
      if (on.length > 0) {
        running += 1;
        if (spec.priority > 3) priority += 1;
        for (const gpu of on) gpus.add(gpu);
        models.set(spec.modelId, (models.get(spec.modelId) ?? 0) + 1);
        reservedGpuMs += gpuMs;
      } else if (attempt === 0) {
        queued += 1;
        queuedBytes += spec.payload.byteLength;
      }
    }
    return { running, priority, gpus, models, queued, queuedBytes, reservedGpuMs };
  }

  /** GPU time that was charged in the period of `nowMs`, ms. Periods do not begin again when a clock is set back. */
  gpuUsedMs(subject: Subject, nowMs: number): number {
    let latest = Number.NEGATIVE_INFINITY;
    let usedMs = 0;
    for (const charge of this.#charges) {
      if (charge.amount === 0 || !spentBy(charge, subject)) continue;
      const period = this.#period(charge.atMs);
      if (period > latest) usedMs = 0;
      latest = Math.max(latest, period);
      usedMs += charge.amount;
    }
    return this.#period(nowMs) > latest ? 0 : usedMs;
  }

  /** Requests that were accepted within `windowMs` before `nowMs`. */
  accepted(subject: Subject, windowMs: number, nowMs: number): number {
    return sum(this.#accepted.filter((one) => spentBy(one, subject) && one.atMs > nowMs - windowMs));
  }

  /** Takes a record in; throws when it raises a count beyond its limit. */
  fold(record: Record): void {
    switch (record.kind) {
      case "accepted": {
        const { spec } = record;
        this.lives.set(spec.requestId, { spec, attempt: 0, gpus: [], gpuMs: 0, placedAtMs: 0, startedAtMs: 0 });
        this.#latestMs = Math.max(this.#latestMs, record.atMs);
        this.#accepted.push(this.#spent(spec.userId, 1, this.#latestMs));
        for (const subject of this.#subjects(spec.userId)) this.#judgeAcceptance(subject, record.atMs);
        return;
      }
      case "placed": {
        const before = this.#life(record.requestId);
        const gpus = gpusOf(record);
        const life = { spec: before.spec, attempt: record.attempt, gpus, gpuMs: Math.ceil(record.decision.estimate.durationMs) * gpus.length, placedAtMs: record.atMs, startedAtMs: 0 };
        for (const subject of this.#subjects(life.spec.userId)) this.#judgePlacement(subject, life, record.atMs);
        this.lives.set(record.requestId, life);
        return;
      }
      case "started":
        this.lives.set(record.requestId, { ...this.#life(record.requestId), startedAtMs: record.atMs });
        return;
      case "attempt_failed":
        this.lives.set(record.requestId, { ...this.#life(record.requestId), gpus: [], gpuMs: 0, startedAtMs: 0 });
        return;
      case "ended": {
        const { spec, gpus, placedAtMs, startedAtMs } = this.#life(record.requestId);
        const told = record.statistics?.runMs ?? 0;
        const ranMs = startedAtMs === 0 || record.error?.code === "retries_exhausted" ? 0 : told > 0 ? Math.min(told, record.atMs - placedAtMs) : record.atMs - startedAtMs;
        this.#charges.push(this.#spent(spec.userId, Math.max(0, Math.ceil(ranMs)) * gpus.length, record.atMs));
        this.lives.delete(record.requestId);
        return;
      }
      case "quota_set": {
        const { subject, subjectId, override } = record.entry;
        const { team = "", weight: _weight, ...limits } = override;
        this.#limits.set(`${subject} ${subjectId}`, { ...(subject === "user" ? this.settings.defaults : NO_LIMITS), ...limits });
        if (subject === "user") this.#teamOf.set(subjectId, team);
        return;
      }
      default:
    }
  }

  /** Throws when a request was refused that has room by what is counted here, or when its caller was told something else of the limit. */
  judgeRefusal({ name, subject: kind, subjectId: id, limit, used, asked }: OverLimit, spec: RequestSpec, nowMs: number): void {
    const subject = { kind, id };
    const limits = this.limitsOf(subject);
    const { queued, queuedBytes, gpus } = this.held(subject);
    const usedMs = this.gpuUsedMs(subject, nowMs);
    // Room comes back at most one slot of a window late.
    const since = (windowMs: number, slotMs: number): readonly [number, number] => [this.accepted(subject, windowMs, nowMs), this.accepted(subject, windowMs + slotMs, nowMs)];
    const truth: { readonly [N in LimitName]?: readonly [usedLeast: number, usedMost: number, asked: number, limit: number] } = {
      requests_per_minute: [...since(MINUTE_MS, MINUTE_SLOT_MS), 1, limits.requestsPerMinute],
      requests_per_day: [...since(DAY_MS, DAY_SLOT_MS), 1, limits.requestsPerDay],
      queued_requests: [queued, queued, 1, limits.queuedRequests],
      queued_bytes: [queuedBytes, queuedBytes, spec.payload.byteLength, limits.queuedBytes],
      gpus: [gpus.size, gpus.size, wishesOf(spec).gpus, limits.gpus],
      gpu_time: [usedMs, usedMs, asked, limits.gpuTimeMs],
    };
    const [least, most, wants, allowed] = truth[name] ?? [0, 0, 0, 0];
    const inVain = (why: string): Violation => new Violation("nobodyIsRefusedInVain", `${spec.requestId} was refused for ${name} of ${kind} ${id}, ${why}`);
    if (limit !== allowed || asked !== wants || used < least || used > most) throw inVain(`told of ${used} + ${asked} of ${limit} and not of ${least}..${most} + ${wants} of ${allowed}`);
    // What is larger than the whole limit never fits; of GPU time the last bit may be overdrawn; GPUs are waited for.
    const reached = asked > limit || (name === "gpu_time" ? used >= limit : name !== "gpus" && used + asked > limit);
    if (limit === 0 || !reached) throw inVain(`who has ${used} of ${limit}`);
  }

  /** Throws when a request is kept waiting by the quotas of its user or team although they have room for it. */
  judgeWaiting(spec: RequestSpec, durationMs: number, nowMs: number): void {
    const { gpus } = wishesOf(spec);
    const gpuMs = Math.ceil(durationMs) * gpus;
    const late = nowMs - this.settings.checkIntervalMs - TIMER_SLACK_MS;
    const full = this.#subjects(spec.userId).some((subject) => {
      const limits = this.limitsOf(subject);
      const held = this.held(subject);
      return (
        exceeds(held.running, 1, limits.concurrentRequests) ||
        (spec.priority > 3 && exceeds(held.priority, 1, limits.priorityRequests)) ||
        exceeds(held.models.get(spec.modelId) ?? 0, 1, limits.modelRequests[spec.modelId] ?? 0) ||
        exceeds(held.gpus.size, gpus, limits.gpus) ||
        exceeds(this.gpuUsedMs(subject, nowMs) + held.reservedGpuMs, Math.min(gpuMs, limits.gpuTimeMs), limits.gpuTimeMs) ||
        // A new period is noticed a little late.
        (limits.gpuTimeMs > 0 && this.#period(late) !== this.#period(nowMs))
      );
    });
    if (!full) throw new Violation("nobodyIsHeldInVain", `${spec.requestId} waits for room under a quota that has it`);
  }

  #judgeAcceptance(subject: Subject, atMs: number): void {
    if (this.settings.mode !== "enforce") return;
    const limits = this.limitsOf(subject);
    const { queued, queuedBytes } = this.held(subject);
    within(subject, "requests per minute", this.accepted(subject, MINUTE_MS, atMs), limits.requestsPerMinute);
    within(subject, "requests per day", this.accepted(subject, DAY_MS, atMs), limits.requestsPerDay);
    within(subject, "requests in line", queued, limits.queuedRequests);
    within(subject, "bytes in line", queuedBytes, limits.queuedBytes);
  }

  #judgePlacement(subject: Subject, { spec, gpus, gpuMs }: Life, atMs: number): void {
    if (this.settings.mode !== "enforce") return;
    const limits = this.limitsOf(subject);
    const held = this.held(subject);
    within(subject, "requests at once", held.running + 1, limits.concurrentRequests);
    if (spec.priority > 3) within(subject, "priority requests at once", held.priority + 1, limits.priorityRequests);
    within(subject, `requests at once for ${spec.modelId}`, (held.models.get(spec.modelId) ?? 0) + 1, limits.modelRequests[spec.modelId] ?? 0);
    if (gpus.some((gpu) => !held.gpus.has(gpu))) within(subject, "GPUs at once", new Set([...held.gpus, ...gpus]).size, limits.gpus);
    // What alone is expected to take more goes alone.
    within(subject, "ms of GPU time", this.gpuUsedMs(subject, atMs) + held.reservedGpuMs + Math.min(gpuMs, limits.gpuTimeMs), limits.gpuTimeMs);
  }

  #spent(userId: string, amount: number, atMs: number): Spent {
    return { userId, teamId: this.#teamOf.get(userId) ?? "", amount, atMs };
  }

  #period(atMs: number): number {
    return Math.floor(atMs / this.settings.gpuTimePeriodMs);
  }

  #subjects(userId: string): readonly Subject[] {
    const teamId = this.#teamOf.get(userId) ?? "";
    const user: Subject = { kind: "user", id: userId };
    return teamId === "" ? [user] : [user, { kind: "team", id: teamId }];
  }

  #belongs(userId: string, { kind, id }: Subject): boolean {
    return (kind === "user" ? userId : (this.#teamOf.get(userId) ?? "")) === id;
  }

  #life(requestId: string): Life {
    const life = this.lives.get(requestId);
    if (!life) throw new Error(`Invariant broken: request ${requestId} is live`);
    return life;
  }
}

function spentBy({ userId, teamId }: Spent, { kind, id }: Subject): boolean {
  return (kind === "user" ? userId : teamId) === id;
}

function sum(spent: readonly Spent[]): number {
  return spent.reduce((total, { amount }) => total + amount, 0);
}

function exceeds(used: number, asked: number, limit: number): boolean {
  return limit > 0 && used + asked > limit;
}

function within({ kind, id }: Subject, what: string, used: number, limit: number): void {
  if (exceeds(used, 0, limit)) throw new Violation("noQuotaOvershoot", `${kind} ${id} has ${used} of ${limit} ${what}`);
}
