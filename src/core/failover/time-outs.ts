// Time-outs by where a request stands: in line, dispatched, begun, begun without a sign of life. Says which are over; what follows from
// that is the engine's. Its timers are made of the state alone, so they are the same after a restart.
//
// A time that the request brings counts first, then the configured one for its "type/priority", its "type", "*/priority" and "*".
import { ChurnMap } from "../../lib/churn-map.js";
import { TimerWheel } from "../../lib/timer-wheel.js";
import type { RequestId } from "../model/ids.js";
import { gpusOf, type Request, type RequestError, type RequestSpec, type StageTimeouts, type StopWish } from "../model/request.js";
import type { WaitingQueue } from "../queue/waiting-queue.js";
import type { Record as Fact } from "../records.js";
import type { ConfiguredTimeouts, CoreSettings } from "../settings.js";
import type { State } from "../state.js";

/** Width of the buckets: a time-out is at most this late, and a tick. */
const BUCKET_MS = 50;

export type Stage = "waiting" | "starting" | "running" | "answering";

/** A time that is over. */
export interface Overdue {
  readonly request: Request;
  readonly stage: Stage;
  /** Which, and in words. */
  readonly error: RequestError;
  /** The request brought it: nobody else is to blame. */
  readonly asked: boolean;
}

/** What a request has been when one of its times is over. */
const STAGE_WORDS: Readonly<{ [S in Stage]: string }> = { waiting: "waiting for a GPU", starting: "dispatched and had not begun", running: "running", answering: "running without a sign of life" };
/** Of the errors that callers see. */
const STAGE_CODES: Readonly<{ [S in Stage]: string }> = { waiting: "waiting_timeout", starting: "starting_timeout", running: "running_timeout", answering: "answering_timeout" };

interface Limit {
  readonly stage: Stage;
  readonly limitMs: number;
  readonly asked: boolean;
  readonly atMs: number;
}

export class TimeOuts {
  readonly #state: State;
  readonly #settings: CoreSettings;
  readonly #wheel = new TimerWheel<RequestId>(BUCKET_MS);
  /** When each timer is set to. */
  readonly #timers = new ChurnMap<RequestId, number>();
  readonly #any: boolean;

  constructor(state: State, settings: CoreSettings) {
    this.#state = state;
    this.#settings = settings;
    this.#any = Object.keys(settings.timeouts).length > 0;
  }

  /** From acceptance to the end, ms; 0 for none. */
  totalMs(spec: RequestSpec): number {
    const configured = this.#configured(spec, "totalMs") ?? (spec.type === "inference" ? this.#settings.requestTimeoutMs : 0);
    return spec.timeoutMs || configured;
  }

  /** Whether the first sign of life of its attempts must be known after a restart too. */
  needsAnswer(spec: RequestSpec): boolean {
    return spec.handling?.onInterruption === "fail" || this.#limitOf(spec, "answeringMs").limitMs > 0;
  }

  /** All that is live, when a router takes over. */
  takenOver(): void {
    for (const request of this.#state.requests.values()) this.#follow(request);
  }

  /** Takes note of where requests stand after these facts. */
  happened(facts: readonly Fact[]): void {
    for (const fact of facts) {
      if (fact.kind === "accepted") this.#followId(fact.spec.requestId);
      else if (fact.kind === "placed" || fact.kind === "started" || fact.kind === "attempt_failed") this.#followId(fact.requestId);
      else if (fact.kind === "ended") this.#clear(fact.requestId);
    }
  }

  /** Times that are over, in the order of acceptance, each once. */
  due(nowMs: number): readonly Overdue[] {
    const over: Overdue[] = [];
    for (const request of this.#state.inOrder(this.#wheel.advance(nowMs))) {
      this.#timers.delete(request.spec.requestId);
      const first = request.stop ? null : this.#firstLimit(request);
      if (first && first.atMs <= nowMs) over.push({ request, stage: first.stage, asked: first.asked, error: errorOf(request, first) });
      else if (first) this.#set(request.spec.requestId, first.atMs);
    }
    return over;
  }

  #followId(requestId: RequestId): void {
    const request = this.#state.requests.get(requestId);
    if (request) this.#follow(request);
  }

  #follow(request: Request): void {
    if (!this.#any && !request.spec.handling) return;
    const first = this.#firstLimit(request);
    this.#clear(request.spec.requestId);
    if (first) this.#set(request.spec.requestId, first.atMs);
  }

  #set(requestId: RequestId, atMs: number): void {
    this.#timers.set(requestId, atMs);
    this.#wheel.schedule(requestId, atMs);
  }

  #clear(requestId: RequestId): void {
    const atMs = this.#timers.get(requestId);
    if (atMs === undefined) return;
    this.#timers.delete(requestId);
    this.#wheel.cancel(requestId, atMs);
  }

  #firstLimit(request: Request): Limit | null {
    const { spec, phase } = request;
    if (phase === "queued") return this.#limit(spec, "waiting", request.waitingSinceMs ?? request.acceptedAtMs);
    if (phase === "placed") return this.#limit(spec, "starting", request.placedAtMs);
    const running = this.#limit(spec, "running", request.startedAtMs);
    const answering = request.answeredAtMs === undefined ? this.#limit(spec, "answering", request.startedAtMs) : null;
    return running && answering ? (answering.atMs < running.atMs ? answering : running) : (running ?? answering);
  }

  #limit(spec: RequestSpec, stage: Stage, sinceMs: number): Limit | null {
    const { limitMs, asked } = this.#limitOf(spec, `${stage}Ms`);
    return limitMs > 0 ? { stage, limitMs, asked, atMs: sinceMs + limitMs } : null;
  }

  #limitOf(spec: RequestSpec, field: keyof StageTimeouts): { readonly limitMs: number; readonly asked: boolean } {
    const asked = spec.handling?.timeouts[field];
    return { limitMs: asked ?? this.#configured(spec, field) ?? 0, asked: asked !== undefined };
  }

  #configured({ type, priority }: RequestSpec, field: keyof ConfiguredTimeouts): number | undefined {
    if (!this.#any) return undefined;
    const { timeouts } = this.#settings;
    for (const key of [`${type}/${priority}`, type, `*/${priority}`, "*"]) {
      const value = timeouts[key]?.[field];
      if (value !== undefined) return value;
    }
    return undefined;
  }
}

const OBSTACLES: Readonly<{ [O in NonNullable<StopWish["obstacle"]>]: string }> = {
  no_eligible_gpu: "No GPU of the fleet can take it, however idle; Explain says what it needs.",
  over_quota: "The quota of its user or his team kept it from its turn.",
};

/** The wish to end a request whose time is up, for `reason`. `stage` as in `StopWish`. */
export function timeUp(request: Request, queue: WaitingQueue, reason: string, nowMs: number, stage?: "waiting" | "running"): StopWish {
  const { spec, phase } = request;
  const obstacle = phase !== "queued" ? undefined : queue.isHopeless(spec.requestId) ? "no_eligible_gpu" : queue.isHeld(spec) ? "over_quota" : undefined;
  return { cause: "timeout", ...(stage && { stage }), ...(obstacle && { obstacle }), reason: obstacle ? `${reason} ${OBSTACLES[obstacle]}` : reason, atMs: nowMs };
}

function errorOf(request: Request, { stage, limitMs }: Limit): RequestError {
  const where = gpusOf(request).join(", ");
  return { code: STAGE_CODES[stage], message: `It was ${STAGE_WORDS[stage]}${where === "" || stage === "waiting" ? "" : ` on ${where}`} for ${limitMs} ms, which is its limit.` };
}
