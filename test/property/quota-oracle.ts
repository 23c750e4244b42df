// What quotas promise, counted anew from the records and from nothing else; throws at the first that is broken.
import { assert } from "../../src/lib/assert.js";
import { NO_LIMITS, type QuotaLimits, type QuotaSettings } from "../../src/core/model/quota.js";
import { gpusOf, wishesOf, type RequestSpec } from "../../src/core/model/request.js";
import type { Record } from "../../src/core/records.js";

interface Life {
  readonly spec: RequestSpec;
  attempt: number;
  /** Of the live attempt; none while it waits. */
  gpus: readonly string[];
  gpuMs: number;
  placedAtMs: number;
  startedAtMs: number;
}

interface Accepted {
  readonly userId: string;
  readonly atMs: number;
}

/** What one user or team has, as the records say. */
export interface Held {
  readonly running: number;
  readonly priority: number;
  readonly gpus: number;
  readonly queued: number;
  readonly queuedBytes: number;
  readonly reservedGpuMs: number;
  readonly gpuUsedMs: number;
}

export class QuotaOracle {
  readonly #settings: QuotaSettings;
  readonly lives = new Map<string, Life>();
  readonly #accepted: Accepted[] = [];
  readonly #charges: { readonly userId: string; readonly teamId: string; readonly gpuMs: number; readonly atMs: number }[] = [];
  readonly #limits = new Map<string, QuotaLimits>();
  readonly #teamOf = new Map<string, string>();

  constructor(settings: QuotaSettings) {
    this.#settings = settings;
  }

  teamOf(userId: string): string {
    return this.#teamOf.get(userId) ?? "";
  }

  limitsOf(kind: "user" | "team", id: string): QuotaLimits {
    return this.#limits.get(`${kind} ${id}`) ?? (kind === "user" ? this.#settings.defaults : NO_LIMITS);
  }

  held(kind: "user" | "team", id: string, nowMs: number): Held {
    const mine = [...this.lives.values()].filter(({ spec }) => this.#belongs(spec.userId, kind, id));
    const running = mine.filter(({ gpus }) => gpus.length > 0);
    const queued = mine.filter(({ gpus, attempt }) => gpus.length === 0 && attempt === 0);
    const period = (atMs: number): number => Math.floor(atMs / this.#settings.gpuTimePeriodMs);
    const charged = this.#charges.filter(({ userId, teamId, atMs }) => (kind === "user" ? userId : teamId) === id && period(atMs) === period(nowMs));
    return {
      running: running.length,
      priority: running.filter(({ spec }) => spec.priority > 3).length,
      gpus: new Set(running.flatMap(({ gpus }) => gpus)).size,
      queued: queued.length,
      queuedBytes: queued.reduce((bytes, { spec }) => bytes + spec.payload.byteLength, 0),
      reservedGpuMs: running.reduce((sum, { gpuMs }) => sum + gpuMs, 0),
      gpuUsedMs: charged.reduce((sum, { gpuMs }) => sum + gpuMs, 0),
    };
  }

  /** Of a user; those that a team had while he was in it are not known here. */
  acceptedSince(userId: string, afterMs: number): number {
    return this.#accepted.filter((one) => one.userId === userId && one.atMs > afterMs).length;
  }

  #belongs(userId: string, kind: "user" | "team", id: string): boolean {
    return kind === "user" ? userId === id : this.teamOf(userId) === id;
  }

  record(record: Record): void {
    switch (record.kind) {
      case "accepted": {
        const { userId } = record.spec;
        this.lives.set(record.spec.requestId, { spec: record.spec, attempt: 0, gpus: [], gpuMs: 0, placedAtMs: 0, startedAtMs: 0 });
        this.#accepted.push({ userId, atMs: record.atMs });
        this.#judgeAcceptance(userId, record.atMs);
        return;
      }
      case "placed": {
        const life = this.#life(record.requestId);
        life.gpus = gpusOf(record);
        life.attempt = record.attempt;
        life.gpuMs = Math.ceil(record.decision.estimate.durationMs) * life.gpus.length;
        life.placedAtMs = record.atMs;
        life.startedAtMs = 0;
        this.#judgePlacement(life, record.atMs);
        return;
      }
      case "started":
        this.#life(record.requestId).startedAtMs = record.atMs;
        return;
      case "attempt_failed":
        Object.assign(this.#life(record.requestId), { gpus: [], gpuMs: 0, startedAtMs: 0 });
        return;
      case "ended": {
        const { spec, gpus, startedAtMs } = this.#life(record.requestId);
        const ranMs = startedAtMs === 0 || record.error?.code === "retries_exhausted" ? 0 : record.atMs - startedAtMs;
        this.#charges.push({ userId: spec.userId, teamId: this.teamOf(spec.userId), gpuMs: ranMs * gpus.length, atMs: record.atMs });
        this.lives.delete(record.requestId);
        return;
      }
      case "quota_set": {
        const { subject, subjectId, override } = record.entry;
        const { team = "", weight: _weight, ...limits } = override;
        this.#limits.set(`${subject} ${subjectId}`, { ...(subject === "user" ? this.#settings.defaults : NO_LIMITS), ...limits });
        if (subject === "user") this.#teamOf.set(subjectId, team);
        return;
      }
      default:
    }
  }

  #judgeAcceptance(userId: string, atMs: number): void {
    const limits = this.limitsOf("user", userId);
    within(this.acceptedSince(userId, atMs - 60_000), limits.requestsPerMinute, "requests per minute");
    within(this.acceptedSince(userId, atMs - 86_400_000), limits.requestsPerDay, "requests per day");
    for (const [kind, id] of this.#subjects(userId)) {
      const { queued, queuedBytes } = this.held(kind, id, atMs);
      within(queued, this.limitsOf(kind, id).queuedRequests, `requests in line of ${kind} ${id}`);
      within(queuedBytes, this.limitsOf(kind, id).queuedBytes, `bytes in line of ${kind} ${id}`);
    }
  }

  #judgePlacement({ spec, gpus }: Life, atMs: number): void {
    for (const [kind, id] of this.#subjects(spec.userId)) {
      const limits = this.limitsOf(kind, id);
      const held = this.held(kind, id, atMs);
      within(held.running, limits.concurrentRequests, `requests at once of ${kind} ${id}`);
      if (spec.priority > 3) within(held.priority, limits.priorityRequests, `priority requests of ${kind} ${id}`);
      const inUse = new Set([...this.lives.values()].filter((life) => life.spec !== spec && this.#belongs(life.spec.userId, kind, id)).flatMap((life) => life.gpus));
      if (gpus.some((gpu) => !inUse.has(gpu))) within(held.gpus, limits.gpus, `GPUs of ${kind} ${id}`);
      const ofModel = [...this.lives.values()].filter((life) => life.spec.modelId === spec.modelId && life.gpus.length > 0 && this.#belongs(life.spec.userId, kind, id)).length;
      within(ofModel, limits.modelRequests[spec.modelId] ?? 0, `requests for a model of ${kind} ${id}`);
      within(held.reservedGpuMs + held.gpuUsedMs, limits.gpuTimeMs, `GPU time of ${kind} ${id}`);
    }
  }

  #subjects(userId: string): readonly (readonly ["user" | "team", string])[] {
    const team = this.teamOf(userId);
    return team === "" ? [["user", userId]] : [["user", userId], ["team", team]];
  }

  #life(requestId: string): Life {
    const life = this.lives.get(requestId);
    assert(life !== undefined, `request ${requestId} is live`);
    return life;
  }
}

function within(used: number, limit: number, what: string): void {
  assert(limit === 0 || used <= limit, `${what}: ${used} of ${limit}`);
}

/** How many GPUs a request asks for. */
export function gpusAsked(spec: RequestSpec): number {
  return wishesOf(spec).gpus;
}
