// What quotas promise, counted anew from the records and from nothing else; throws at the first that is broken.
import { assert } from "../../src/lib/assert.js";
import { NO_LIMITS, type LimitName, type OverLimit, type QuotaLimits, type QuotaSettings } from "../../src/core/model/quota.js";
import { DEFAULT_PRIORITY, gpusOf, wishesOf, type RequestSpec } from "../../src/core/model/request.js";
import type { Record } from "../../src/core/records.js";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** How finely the windows are counted. */
const MINUTE_SLOT_MS = 1_000;
const DAY_SLOT_MS = 900_000;

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
  /** Of which he was then. */
  readonly teamId: string;
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

  acceptedSince(kind: "user" | "team", id: string, afterMs: number): number {
    return this.#accepted.filter(({ userId, teamId, atMs }) => (kind === "user" ? userId : teamId) === id && atMs > afterMs).length;
  }

  /** Whether what a caller was told of a limit is so, and is a reason to refuse him. */
  judgeRefusal({ name, subject, subjectId, limit, used, asked }: OverLimit, nowMs: number): void {
    const limits = this.limitsOf(subject, subjectId);
    const { queued, queuedBytes, gpus, gpuUsedMs } = this.held(subject, subjectId, nowMs);
    const since = (windowMs: number): number => this.acceptedSince(subject, subjectId, nowMs - windowMs);
    const truth: { readonly [N in LimitName]?: readonly [limit: number, used: number] } = {
      queued_requests: [limits.queuedRequests, queued],
      queued_bytes: [limits.queuedBytes, queuedBytes],
      gpus: [limits.gpus, gpus],
      gpu_time: [limits.gpuTimeMs, gpuUsedMs],
      // Room comes back at most one slot of the window late.
      requests_per_minute: [limits.requestsPerMinute, Math.min(used, since(MINUTE_MS + MINUTE_SLOT_MS))],
      requests_per_day: [limits.requestsPerDay, Math.min(used, since(DAY_MS + DAY_SLOT_MS))],
    };
    assert(String(truth[name]) === String([limit, used]), `${subject} ${subjectId} was told of ${used} of ${limit} ${name}, not ${truth[name]}`);
    // What is larger than the whole limit never fits; GPU time is refused only when none is left.
    const reached = asked > limit || (name === "gpu_time" ? used >= limit : name !== "gpus" && used + asked > limit);
    assert(reached, `${name} of ${subject} ${subjectId} refused ${asked} though ${used} of ${limit} were in use`);
  }

  /** Whether some limit keeps a request that is expected to take so long from some GPU. */
  holds(spec: RequestSpec, durationMs: number, nowMs: number): boolean {
    const { gpus } = wishesOf(spec);
    return this.#subjects(spec.userId).some(([kind, id]) => {
      const limits = this.limitsOf(kind, id);
      const held = this.held(kind, id, nowMs);
      const ofModel = this.#runningOfModel(spec.modelId, kind, id);
      return (
        beyond(held.running + 1, limits.concurrentRequests) ||
        (spec.priority > DEFAULT_PRIORITY && beyond(held.priority + 1, limits.priorityRequests)) ||
        beyond(ofModel + 1, limits.modelRequests[spec.modelId] ?? 0) ||
        beyond(held.gpus + gpus, limits.gpus) ||
        beyond(held.gpuUsedMs + held.reservedGpuMs + Math.min(Math.ceil(durationMs) * gpus, limits.gpuTimeMs), limits.gpuTimeMs)
      );
    });
  }

  #runningOfModel(modelId: string, kind: "user" | "team", id: string): number {
    return [...this.lives.values()].filter(({ spec, gpus }) => spec.modelId === modelId && gpus.length > 0 && this.#belongs(spec.userId, kind, id)).length;
  }

  #belongs(userId: string, kind: "user" | "team", id: string): boolean {
    return kind === "user" ? userId === id : this.teamOf(userId) === id;
  }

  record(record: Record): void {
    switch (record.kind) {
      case "accepted": {
        const { userId } = record.spec;
        this.lives.set(record.spec.requestId, { spec: record.spec, attempt: 0, gpus: [], gpuMs: 0, placedAtMs: 0, startedAtMs: 0 });
        this.#accepted.push({ userId, teamId: this.teamOf(userId), atMs: record.atMs });
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
    if (this.#settings.mode !== "enforce") return;
    for (const [kind, id] of this.#subjects(userId)) {
      const limits = this.limitsOf(kind, id);
      const { queued, queuedBytes } = this.held(kind, id, atMs);
      within(this.acceptedSince(kind, id, atMs - MINUTE_MS), limits.requestsPerMinute, `requests per minute of ${kind} ${id}`);
      within(this.acceptedSince(kind, id, atMs - DAY_MS), limits.requestsPerDay, `requests per day of ${kind} ${id}`);
      within(queued, limits.queuedRequests, `requests in line of ${kind} ${id}`);
      within(queuedBytes, limits.queuedBytes, `bytes in line of ${kind} ${id}`);
    }
  }

  #judgePlacement({ spec, gpus, gpuMs }: Life, atMs: number): void {
    if (this.#settings.mode !== "enforce") return;
    for (const [kind, id] of this.#subjects(spec.userId)) {
      const limits = this.limitsOf(kind, id);
      const held = this.held(kind, id, atMs);
      within(held.running, limits.concurrentRequests, `requests at once of ${kind} ${id}`);
      if (spec.priority > 3) within(held.priority, limits.priorityRequests, `priority requests of ${kind} ${id}`);
      const inUse = new Set([...this.lives.values()].filter((life) => life.spec !== spec && this.#belongs(life.spec.userId, kind, id)).flatMap((life) => life.gpus));
      if (gpus.some((gpu) => !inUse.has(gpu))) within(held.gpus, limits.gpus, `GPUs of ${kind} ${id}`);
      within(this.#runningOfModel(spec.modelId, kind, id), limits.modelRequests[spec.modelId] ?? 0, `requests for a model of ${kind} ${id}`);
      // What alone is expected to take more goes alone.
      within(held.reservedGpuMs + held.gpuUsedMs - gpuMs + Math.min(gpuMs, limits.gpuTimeMs), limits.gpuTimeMs, `GPU time of ${kind} ${id}`);
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
  assert(!beyond(used, limit), `${what}: ${used} of ${limit}`);
}

function beyond(used: number, limit: number): boolean {
  return limit > 0 && used > limit;
}
