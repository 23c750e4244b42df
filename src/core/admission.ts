// Who may come in: the user's quota, then the bounds of the line. When the line is full, or memory is short, the lowest priority makes
// way, the youngest first: never what has ever been on a GPU, never for somebody who is no more urgent. Called by the engine.
import type { Event, Step, SubmitOutcome } from "./events.js";
import type { Attempts } from "./failover/attempts.js";
import type { RequestId } from "./model/ids.js";
import type { OverLimit } from "./model/quota.js";
import { wishesOf, type Priority, type Request, type RequestSpec } from "./model/request.js";
import { DrainRate } from "./drain-rate.js";
import { gpuTimeOf } from "./quota/quotas.js";
import { emit } from "./records.js";
import type { CoreSettings } from "./settings.js";
import type { State } from "./state.js";

type Refusal = Extract<SubmitOutcome, { readonly kind: "queue_full" | "over_quota" | "rate_limited" }>;

/** What comes of a newcomer. He may come in when those of `insteadOf` go. */
type Verdict = Refusal | { readonly kind: "welcome"; readonly insteadOf: readonly Request[] };

/** Names a request; not by itself, which would keep its payload, nor by its id alone, which may come again. */
interface Arrival {
  readonly requestId: RequestId;
  readonly sequence: number;
}

const WELCOME: Verdict = { kind: "welcome", insteadOf: [] };

/** Bound on those who make way for one newcomer. */
const MAX_SHED_AT_ONCE = 1_000;
/** Share of the line that goes at a time when memory is nearly gone. */
const PRESSURE_SHED_SHARE = 0.05;
/** Names of requests that are over are swept when there are more of them than of those that wait, and more than this. */
const MAX_STALE = 1_024;
const LOWEST_FIRST: readonly Priority[] = [1, 2, 3, 4];

/** What keeps a newcomer out of the line. */
interface Shortage {
  readonly what: "requests" | "bytes" | "memory";
  readonly limit: number;
  /** How much has to go for him. */
  readonly requests: number;
  readonly bytes: number;
}

export class Admission {
  readonly #state: State;
  readonly #settings: CoreSettings;
  readonly #attempts: Attempts;
  readonly #drain = new DrainRate();
  /** By priority in the order of acceptance; each may have been placed or have ended since. */
  readonly #arrived = new Map<Priority, Arrival[]>();
  /** Share of its memory that the router has in use, 0..1. */
  #memoryShare = 0;
  /** Requests that made way since the start; for metrics. */
  shedCount = 0;

  constructor(state: State, settings: CoreSettings, attempts: Attempts) {
    this.#state = state;
    this.#settings = settings;
    this.#attempts = attempts;
  }

  /** A router takes over: what waits may make way too. */
  takenOver(): void {
    this.#arrived.clear();
    const waiting = [...this.#state.requests.values()].filter((request) => isUntouched(request));
    for (const request of waiting.sort((a, b) => a.sequence - b.sequence)) this.#arrive(request);
  }

  /** Whether a newcomer may come in. Changes nothing but the counts of what limits refused. */
  judge(spec: RequestSpec, durationMs: number, nowMs: number): Verdict {
    const over = this.#state.quotas.refusal(spec, gpuTimeOf(durationMs, wishesOf(spec).gpus), nowMs);
    if (over) return this.#overLimit(over, nowMs);
    const shortage = this.#shortage(spec);
    if (!shortage) return WELCOME;
    const { found, enough } = this.#victims(spec.priority, shortage);
    if (enough) return { kind: "welcome", insteadOf: found };
    return { kind: "queue_full", what: shortage.what, limit: shortage.limit, retryAfterMs: this.#drain.retryAfterMs(nowMs) };
  }

  /** A newcomer is in line; those in whose place he came make way. */
  accepted(request: Request, insteadOf: readonly Request[], nowMs: number, step: Step): void {
    this.#arrive(request);
    for (const victim of insteadOf) this.#shed(victim, "more urgent work came while the line was full", nowMs, step);
  }

  #arrive({ spec: { requestId, priority }, sequence }: Request): void {
    let arrivals = this.#arrived.get(priority);
    if (!arrivals) {
      arrivals = [];
      this.#arrived.set(priority, arrivals);
    }
    arrivals.push({ requestId, sequence });
    if (arrivals.length > MAX_STALE + 2 * this.#state.queue.bandSize(priority)) {
      this.#arrived.set(
        priority,
        arrivals.filter((arrival) => this.#untouched(arrival) !== null),
      );
    }
  }

  /** Somebody leaves the line for a GPU. */
  placed(nowMs: number): void {
    this.#drain.note(nowMs);
  }

  /** Somebody sets what a user or team may have. */
  setQuota({ subject, subjectId, override, by, reason }: Extract<Event, { readonly kind: "set_quota" }>, nowMs: number, step: Step): void {
    emit(this.#state, { kind: "quota_set", entry: { subject, subjectId, override, by, reason, atMs: nowMs } }, step);
  }

  /** How much of the router's memory is in use, 0..1. When it is nearly gone, some make way at once. */
  memory(share: number, nowMs: number, step: Step): void {
    this.#memoryShare = share;
    const { shedAboveMemory } = this.#settings;
    if (share < (1 + shedAboveMemory) / 2) return;
    const bytes = Math.ceil(this.#state.queue.bytes * PRESSURE_SHED_SHARE);
    const requests = Math.ceil(this.#state.queue.size * PRESSURE_SHED_SHARE);
    const victims = this.#victims(5, { requests: Math.min(requests, MAX_SHED_AT_ONCE), bytes });
    for (const victim of victims.found) this.#shed(victim, "the router is short of memory", nowMs, step);
  }

  #overLimit(over: OverLimit, nowMs: number): Refusal {
    const { resetAtMs } = over;
    const kind = over.name === "requests_per_minute" || over.name === "requests_per_day" ? "rate_limited" : "over_quota";
    const never = resetAtMs === Number.POSITIVE_INFINITY;
    return { kind, over, retryAfterMs: never ? 0 : resetAtMs > 0 ? Math.max(1, Math.ceil(resetAtMs - nowMs)) : this.#drain.retryAfterMs(nowMs) };
  }

  #shortage({ priority, payload: { byteLength } }: RequestSpec): Shortage | null {
    const { maxQueuedRequests, maxQueuedBytes, queueHeadroom, shedAboveMemory } = this.#settings;
    const { queue, waitingForRetry } = this.#state;
    // The last places are for the urgent.
    const open = 1 - (queueHeadroom * (5 - priority)) / 4;
    const requests = queue.size + waitingForRetry;
    const requestLimit = Math.ceil(maxQueuedRequests * open);
    const byteLimit = Math.ceil(maxQueuedBytes * open);
    const missing = { requests: Math.min(1, Math.max(0, requests + 1 - requestLimit)), bytes: Math.max(0, Math.min(byteLength, queue.bytes + byteLength - byteLimit)) };
    if (missing.requests > 0) return { what: "requests", limit: requestLimit, ...missing };
    if (missing.bytes > 0) return { what: "bytes", limit: byteLimit, ...missing };
    // A payload that comes must not be larger than what goes.
    return this.#memoryShare >= shedAboveMemory ? { what: "memory", limit: 0, requests: 1, bytes: byteLength } : null;
  }

  /** Who goes first below a priority, until `need` is met. */
  #victims(priority: Priority, need: Pick<Shortage, "requests" | "bytes">): { readonly found: readonly Request[]; readonly enough: boolean } {
    const found: Request[] = [];
    let bytes = 0;
    for (const below of LOWEST_FIRST) {
      if (below >= priority) break;
      const arrivals = this.#arrived.get(below) ?? [];
      for (let place = arrivals.length - 1; place >= 0; place -= 1) {
        const request = this.#untouched(arrivals[place]!);
        // Those at the end that are over are forgotten on the way.
        if (!request && place === arrivals.length - 1) arrivals.pop();
        if (!request) continue;
        found.push(request);
        bytes += request.spec.payload.byteLength;
        if (found.length >= need.requests && bytes >= need.bytes) return { found, enough: true };
        if (found.length >= MAX_SHED_AT_ONCE) return { found, enough: false };
      }
    }
    return { found, enough: false };
  }

  #untouched({ requestId, sequence }: Arrival): Request | null {
    const request = this.#state.requests.get(requestId);
    return request?.sequence === sequence && isUntouched(request) ? request : null;
  }

  #shed(request: Request, why: string, nowMs: number, step: Step): void {
    this.shedCount += 1;
    const message = `It made way after waiting ${nowMs - request.acceptedAtMs} ms: ${why}. Send it again in ${this.#drain.retryAfterMs(nowMs)} ms.`;
    this.#attempts.end(request, { kind: "end", phase: "failed", error: { code: "shed", message } }, null, nowMs, step);
  }
}

/** Whether it waits and has never been on a GPU. */
function isUntouched({ phase, attempt, stop }: Request): boolean {
  return phase === "queued" && attempt === 0 && !stop;
}
