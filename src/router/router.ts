// The router: engine loop, agent sessions, watchers and history behind the API's port. The composition of one daemon's
// inside; servers and signals are cli/serve.ts's, decisions are the core's.
import type { Logger } from "pino";
import type { ListQuery, RequestView, RouteOutcome, RouterPort, WatchEvent } from "../api/router-port.js";
import type { Deliverer } from "../callbacks/deliverer.js";
import type { AgentTerms, RetentionLimits } from "../config/router-config.js";
import type { CallbackEvent } from "../core/callbacks.js";
import type { Engine } from "../core/engine.js";
import type { Effect } from "../core/events.js";
import type { RequestId, UserId } from "../core/model/ids.js";
import { isTerminal, type Request, type RequestSpec } from "../core/model/request.js";
import type { CoreSettings } from "../core/settings.js";
import type { Journal } from "../journal/journal.js";
import type { Recorder } from "../recording/recorder.js";
import { StallWatch } from "../link/stall-watch.js";
import { Admin } from "./admin.js";
import { acceptedOutcome } from "./accepted-outcome.js";
import { AgentSessions } from "./agent-sessions.js";
import { callbackBody } from "./callback-body.js";
import type { Clock } from "./clock.js";
import { DiskGuard } from "./disk-guard.js";
import { EngineLoop } from "./engine-loop.js";
import { GpuViews } from "./gpu-views.js";
import { MemoryWatch } from "./memory-watch.js";
import { QuotaViews } from "./quota-views.js";
import { RequestList } from "./request-list.js";
import { RequestWatchers } from "./request-watchers.js";
import { Retention } from "./retention.js";

const TICK_MS = 50;
/** Results up to this size travel inside Status. */
const INLINE_RESULT_BYTES = 64 * 1024;
/** Kinds of work whose estimates GpuStatus tells of. */
const SHOWN_KINDS_OF_WORK = 100;
const RETRY_WHEN_FULL_MS = 1_000;
/** Callbacks that fail are tried again for a day: a host that does not answer is not back in a second. */
const RETRY_WHEN_UNTOLD_MS = 60_000;

export interface RouterOptions {
  readonly settings: CoreSettings;
  readonly agentTerms: AgentTerms;
  readonly retention: RetentionLimits;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where results can be fetched, such as "http://127.0.0.1:8000"; "" when there is no HTTP server. */
  readonly resultBaseUrl: () => string;
  readonly onJournalFailure: (error: Error) => void;
  /** Delivers callbacks; without it they stay in the journal. */
  readonly delivery?: (bodyOf: (event: CallbackEvent) => string) => Deliverer;
  /** null when nothing is recorded. */
  readonly recorder?: Pick<Recorder, "recovered" | "replayed" | "stepped" | "close"> | null;
}

export class Router implements RouterPort {
  readonly agents: AgentSessions;
  readonly quotas: QuotaViews;
  readonly admin: Admin;
  readonly #options: RouterOptions;
  readonly #loop: EngineLoop;
  readonly #watchers = new RequestWatchers();
  readonly #gpuViews: GpuViews;
  readonly #list: RequestList;
  readonly #disk: DiskGuard;
  readonly #retention: Retention;
  readonly #callbacks: Deliverer | null;
  readonly #timer: NodeJS.Timeout;
  readonly #memory: MemoryWatch;
  readonly #stalls = new StallWatch(TICK_MS);
  #draining = false;

  /** Recovers from the journal. Throws when it cannot be recovered from. */
  constructor(options: RouterOptions) {
    this.#options = options;
    const { clock, journal, log, settings } = options;
    const { onJournalFailure, recorder = null } = options;
    this.#loop = new EngineLoop({ settings, journal, clock, prepare: (effect) => this.#prepare(effect), onCallbacks: (entries) => this.#callbacks?.added(entries), onJournalFailure, recorder });
    this.agents = new AgentSessions({
      terms: options.agentTerms,
      clock,
      log,
      step: (event) => void this.#loop.step(event),
      epoch: () => this.#loop.epoch,
      nodeWith: (gpuId) => this.#loop.engine.state.fleet.connectedNodeOf(gpuId),
      isUnanswered: (ref) => this.#loop.engine.isUnanswered(ref),
      onOutput: (ref, offset, data, nodeId) => this.#loop.engine.runsOn(nodeId, ref) && this.#watchers.output(ref, offset, data),
      onProgress: (ref, fraction, message, nodeId) => this.#loop.engine.runsOn(nodeId, ref) && this.#watchers.progress(ref, fraction, message),
    });
    this.#gpuViews = new GpuViews(this.#loop.engine, clock);
    this.quotas = new QuotaViews(this.#loop, clock);
    this.#memory = new MemoryWatch(settings.shedAboveMemory, log, (share) => void this.#loop.step({ kind: "memory", share }));
    this.#list = new RequestList(this.#loop.engine.state, this.#loop.history);
    this.#disk = new DiskGuard(journal, log);
    this.#retention = new Retention(journal, clock, options.retention, log);
    this.#callbacks = options.delivery?.((event) => callbackBody(event, (request) => this.#viewOf(request, false))) ?? null;
    this.admin = new Admin({ loop: this.#loop, clock, log, callbacks: this.#callbacks, status: (requestId) => this.status(requestId) });
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    const { state } = this.#loop.engine;
    log.info({ epoch: state.epoch, live: state.requests.size, gpus: state.fleet.size }, "recovered from the journal");
  }

  get epoch(): number {
    return this.#loop.epoch;
  }

  /** For checks: it is read, never stepped. */
  get engine(): Engine {
    return this.#loop.engine;
  }

  /** Requests that have not ended. */
  get liveRequests(): number {
    return this.#loop.engine.state.requests.size;
  }

  /** What was counted since the start, and what waits, for people. */
  get figures(): { readonly lateResults: number; readonly retriesHeldBack: number } {
    const { lateResults, retriesHeldBack } = this.#loop.engine;
    return { lateResults, retriesHeldBack };
  }

  /** Resolves when everything up to now is durable. */
  durable(): Promise<void> {
    return this.#loop.durable();
  }

  route(spec: RequestSpec): Promise<RouteOutcome> {
    if (this.#draining) return Promise.resolve({ kind: "draining" });
    // A caller's own id may be that of a request that has ended; an id of our making cannot.
    const finished = spec.contentHash === "" ? null : this.#loop.history.find(spec.requestId);
    if (finished) return this.#loop.onceDurable(finished.spec.contentHash === spec.contentHash ? this.#accepted(finished) : { kind: "id_conflict", requestId: spec.requestId });
    const full = this.#disk.full;
    if (full && !this.#loop.engine.state.requests.has(spec.requestId)) {
      return Promise.resolve({ kind: "storage_full", detail: full, retryAfterMs: RETRY_WHEN_FULL_MS });
    }
    const untold = spec.callbackUrl === "" || this.#loop.engine.state.requests.has(spec.requestId) ? null : this.#callbacks?.overfull(spec.callbackUrl);
    if (untold) return Promise.resolve({ kind: "callbacks_full", ...untold, retryAfterMs: RETRY_WHEN_UNTOLD_MS });
    const { submitted } = this.#loop.step({ kind: "submit", spec });
    switch (submitted?.kind) {
      case "accepted":
      case "known":
        return this.#loop.onceDurable(this.#accepted(submitted.request));
      case "id_conflict":
        return Promise.resolve({ kind: "id_conflict", requestId: spec.requestId });
      case "unknown_strategy":
        return Promise.resolve({ ...submitted, strategy: spec.strategy });
      case "queue_full":
      case "over_quota":
      case "rate_limited":
        return Promise.resolve(submitted);
      default:
        throw new Error("Invariant broken: a submit has an outcome");
    }
  }

  owner(requestId: RequestId): UserId | null {
    return this.#find(requestId)?.spec.userId ?? null;
  }

  async status(requestId: RequestId): Promise<RequestView | null> {
    const view = this.#view(requestId);
    await this.#loop.durable();
    return view;
  }

  async list(query: ListQuery): Promise<{ readonly requests: readonly RequestView[]; readonly nextPageToken: string } | null> {
    const page = this.#list.page(query);
    await this.#loop.durable();
    return page && { requests: page.requests.map((request) => this.#viewOf(request, false)), nextPageToken: page.nextPageToken };
  }

  async cancel(requestId: RequestId, reason: string): Promise<RequestView | null> {
    this.#loop.step({ kind: "cancel", requestId, reason });
    return this.status(requestId);
  }

  watch(requestId: RequestId, signal: AbortSignal): AsyncIterable<WatchEvent> | null {
    if (!this.#find(requestId)) return null;
    return this.#watchers.watch(requestId, () => this.status(requestId), signal);
  }

  explainRequest(requestId: RequestId): ReturnType<RouterPort["explainRequest"]> {
    const request = this.#find(requestId);
    if (!request) return null;
    // One that waits has no decision yet: show what keeps it from being placed now.
    if (request.phase !== "queued" && request.decision) return { decision: request.decision, dryRun: false, endedAs: null };
    return { decision: this.#loop.engine.explain(request.spec, this.#options.clock.now()), dryRun: true, endedAs: isTerminal(request.phase) ? request.phase : null };
  }

  explainDryRun(spec: RequestSpec): ReturnType<RouterPort["explainDryRun"]> {
    const { engine } = this.#loop;
    if (spec.strategy !== "" && !engine.strategyNames.includes(spec.strategy)) return { kind: "unknown_strategy", strategy: spec.strategy, known: engine.strategyNames };
    return { kind: "decision", decision: engine.explain(spec, this.#options.clock.now()) };
  }

  gpus(): ReturnType<RouterPort["gpus"]> {
    return this.#gpuViews.all();
  }

  estimates(): ReturnType<RouterPort["estimates"]> {
    return this.#loop.engine.estimateAccuracy(SHOWN_KINDS_OF_WORK);
  }

  watchGpus(resumeToken: string, minIntervalMs: number, signal: AbortSignal): ReturnType<RouterPort["watchGpus"]> {
    return this.#gpuViews.watch(resumeToken, minIntervalMs, signal);
  }

  /** Only what is durable. */
  result(requestId: RequestId): { readonly bytes: Uint8Array; readonly contentType: string } | null {
    const { journal } = this.#options;
    const request = journal.finished(requestId);
    const bytes = request?.result ? journal.result(requestId) : null;
    return bytes && { bytes, contentType: request?.result?.contentType ?? "" };
  }

  /** Resolves when nobody watches a request any more. */
  unwatched(): Promise<void> {
    return this.#watchers.none();
  }

  /** Takes no new requests from now on; what is accepted stays in the journal for the next start. */
  drain(): void {
    this.#draining = true;
  }

  /** Makes everything durable and closes the journal. Work on the agents runs on. */
  async stop(): Promise<void> {
    this.#draining = true;
    clearInterval(this.#timer);
    this.#disk.stop();
    this.#memory.stop();
    await this.#retention.stop();
    this.agents.close();
    await this.#loop.stop();
    await this.#callbacks?.stop();
    await this.#options.recorder?.close(this.#loop.engine.state.digest());
    await this.#options.journal.close();
  }

  #tick(): void {
    const ms = this.#stalls.look(this.#options.clock.now());
    if (ms > 0) {
      this.#options.log.warn({ ms }, "the router stood still; whoever was silent meanwhile gets more time");
      this.#loop.step({ kind: "router_stalled", ms });
    }
    this.#loop.step({ kind: "tick" });
  }

  #prepare(effect: Effect): (() => void) | null {
    if (effect.kind === "output_void") return this.#watchers.voiding(effect.requestId, effect.attempt, effect.reason);
    if (effect.kind === "health_changed") {
      const { atMs: _, ...transition } = effect.transition;
      this.#options.log[transition.to === "healthy" ? "info" : "warn"](transition, "health of a GPU changed");
      return null;
    }
    if (effect.kind !== "changed") return () => this.agents.perform(effect);
    if (!this.#watchers.watched(effect.requestId)) return null;
    const view = this.#view(effect.requestId);
    return view && this.#watchers.telling(effect.requestId, view);
  }

  #accepted(request: Request): RouteOutcome {
    return acceptedOutcome(request, this.#loop.engine.state, this.#options.settings, this.#options.clock.now());
  }

  /** Whether it lives or has ended. */
  #find(requestId: RequestId): Request | null {
    return this.#loop.engine.state.requests.get(requestId) ?? this.#loop.history.find(requestId);
  }

  #view(requestId: RequestId): RequestView | null {
    const request = this.#find(requestId);
    return request && this.#viewOf(request, true);
  }

  /** A copy: what it shows does not move when the request does. */
  #viewOf(live: Request, withResult: boolean): RequestView {
    const request = { ...live };
    const { requestId } = request.spec;
    const stored = request.result;
    const inline = withResult && stored !== null && stored.sizeBytes <= INLINE_RESULT_BYTES;
    const baseUrl = stored ? this.#options.resultBaseUrl() : "";
    return {
      request,
      queuePosition: request.phase === "queued" ? this.#loop.engine.state.queue.position(requestId) : 0,
      result: inline ? this.#loop.history.result(requestId) : null,
      resultUrl: baseUrl === "" ? "" : `${baseUrl}/api/v1/requests/${encodeURIComponent(requestId)}/result`,
    };
  }
}
