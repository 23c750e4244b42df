// The engine: one event in, records and effects out. The one place where the parts of the core are called.
// Synchronous and pure but for its own state: time comes in, randomness is seeded from request ids. The router makes the
// records durable before it performs the effects; it never calls in from inside a step.
import { unreachable } from "../lib/assert.js";
import { Admission } from "./admission.js";
import { Dispatcher } from "./dispatcher.js";
import { Estimator } from "./estimate/estimator.js";
import type { Event, Step, SubmitOutcome } from "./events.js";
import { Attempts } from "./failover/attempts.js";
import { stopped } from "./failover/attempt-ends.js";
import { Nodes } from "./failover/nodes.js";
import { TimeOuts, timeUp, type Overdue } from "./failover/time-outs.js";
import { FleetHealth } from "./health/fleet-health.js";
import { Maintenance } from "./maintenance/maintenance.js";
import type { Decision, EstimateAccuracy } from "./model/decision.js";
import type { AttemptRef, GpuId, NodeId } from "./model/ids.js";
import type { RestartRefusal } from "./model/maintenance.js";
import { gpusOf, isExclusive, type Request, type RequestSpec } from "./model/request.js";
import { ModelPlacement } from "./placement/model-placement.js";
import { Preemption } from "./placement/preemption.js";
import { Reserver } from "./placement/reserver.js";
import { apply, emit, STOP_GRACE_MS, type Record } from "./records.js";
import { stateFilters } from "./scheduling/registry.js";
import { Scheduler } from "./scheduling/scheduler.js";
import type { CoreSettings } from "./settings.js";
import { restoreSnapshot, type Snapshot } from "./snapshot.js";
import { State } from "./state.js";

/** A digest of the state is recorded after this many records. */
const DIGEST_EVERY_RECORDS = 50_000;
/** Samples older than this many report periods no longer count. */
const FRESH_PERIODS = 2;

export class Engine {
  readonly state: State;
  readonly health: FleetHealth;
  readonly #settings: CoreSettings;
  readonly #scheduler: Scheduler;
  readonly #estimator: Estimator;
  readonly #placement: ModelPlacement;
  readonly #preemption: Preemption;
  readonly #attempts: Attempts;
  readonly #nodes: Nodes;
  readonly #timeOuts: TimeOuts;
  readonly #dispatcher: Dispatcher;
  readonly #admission: Admission;
  readonly #maintenance: Maintenance;
  #recordsUntilDigest = DIGEST_EVERY_RECORDS;

  /** Starts empty, or from a snapshot. Throws when the settings contradict themselves. */
  constructor(settings: CoreSettings, snapshot: Snapshot | null = null) {
    const filters = stateFilters(settings);
    this.#estimator = new Estimator(settings.hybrid.learnedEstimates);
    this.#scheduler = new Scheduler(settings, filters.length);
    this.#settings = settings;
    this.state = snapshot ? restoreSnapshot(snapshot, filters, settings) : new State(filters, settings);
    const { state } = this;
    const health = new FleetHealth(state.fleet, settings);
    const scheduler = this.#scheduler;
    const estimator = this.#estimator;
    const placement = new ModelPlacement(state.fleet, settings);
    const reserver = new Reserver(state, scheduler);
    const preemption = new Preemption(state, scheduler, reserver, settings);
    const attempts = new Attempts(state, settings, estimator, preemption, health);
    this.health = health;
    this.#placement = placement;
    this.#preemption = preemption;
    this.#attempts = attempts;
    this.#timeOuts = new TimeOuts(state, settings);
    this.#nodes = new Nodes(state, settings, attempts, preemption, health);
    this.#maintenance = new Maintenance(state, settings, attempts, preemption, health);
    this.#admission = new Admission(state, settings, attempts);
    this.#dispatcher = new Dispatcher({ state, scheduler, estimator, placement, reserver, preemption, attempts, admission: this.#admission, batchSettings: settings.batch });
  }

  /** Results of superseded attempts that were refused; for metrics. */
  get lateResults(): number {
    return this.#attempts.lateResults;
  }

  /** Retries that are due and wait for the budget of all retries. */
  get retriesHeldBack(): number {
    return this.#attempts.heldBack;
  }

  /** Whether this is the live attempt of its request, and that node has it. */
  readonly runsOn = (nodeId: NodeId, ref: AttemptRef): boolean => this.#attempts.present(nodeId, ref) !== null;

  /** Whether this is a live attempt of which no output is known. */
  isUnanswered({ requestId, attempt }: AttemptRef): boolean {
    const request = this.state.requests.get(requestId);
    return request !== undefined && request.phase !== "queued" && request.attempt === attempt && !this.#attempts.hasOutput(requestId);
  }

  /** How near estimates of time came, by type and model: those with most outcomes first, at most `most`. */
  readonly estimateAccuracy = (most: number): readonly EstimateAccuracy[] => this.#estimator.accuracy(most);

  get strategyNames(): readonly string[] {
    return this.#scheduler.strategyNames;
  }

  /** Recovery: folds a record that is already durable. Only before the first step. */
  replay(record: Record): void {
    apply(this.state, record);
    this.#recordsUntilDigest = record.kind === "state_digest" ? DIGEST_EVERY_RECORDS : this.#recordsUntilDigest - 1;
  }

  step(event: Event, nowMs: number): Step {
    const step: Step = { records: [], effects: [], ended: [], callbacks: [], submitted: null };
    // 1. What happened.
    this.#handle(event, nowMs, step);
    // 2. Place what now fits.
    if (event.kind !== "attempt_progress" && event.kind !== "attempt_answered" && event.kind !== "attempt_started") this.#dispatcher.schedule(nowMs, step);
    if (event.kind === "tick") this.#dispatcher.preempt(nowMs, step);
    this.#timeOuts.happened(step.records);
    for (const transition of this.health.takeTransitions()) step.effects.push({ kind: "health_changed", transition });
    // 3. Now and then, a digest that replay can check.
    this.#recordsUntilDigest -= step.records.length;
    if (this.#recordsUntilDigest <= 0) {
      emit(this.state, { kind: "state_digest", digest: this.state.digest() }, step);
      this.#recordsUntilDigest = DIGEST_EVERY_RECORDS;
    }
    return step;
  }

  /** Why a GPU would not be restarted; null when it would. */
  restartRefusal(gpuId: GpuId, force: boolean): RestartRefusal | null {
    return this.#maintenance.refusal(gpuId, force);
  }

  /** What would be decided now for `spec`, which may be that of a request that waits. Changes nothing. */
  explain(spec: RequestSpec, nowMs: number): Decision {
    const exclusive = isExclusive(spec, this.#settings.exclusiveTypes);
    const asked = { spec, estimate: this.#estimator.estimate(spec), exclusive, avoidGpuId: "", acceptedAtMs: nowMs, late: false } as const;
    const waiting = this.state.queue.get(spec.requestId);
    return this.#dispatcher.explain(waiting?.spec === spec ? waiting : asked, nowMs);
  }

  #handle(event: Event, nowMs: number, step: Step): void {
    switch (event.kind) {
      case "take_over":
        emit(this.state, { kind: "epoch_started", epoch: event.epoch, atMs: nowMs }, step);
        this.#nodes.takenOver(nowMs);
        this.#attempts.takenOver(nowMs);
        this.#admission.takenOver();
        this.#timeOuts.takenOver();
        this.#preemption.restUntil(nowMs + this.#settings.takeoverGraceMs);
        this.#placement.takenOver(this.state, nowMs);
        return;
      case "submit":
        step.submitted = this.#submit(event.spec, nowMs, step);
        return;
      case "cancel":
        this.#cancel(event, nowMs, step);
        return;
      case "set_maintenance":
        this.#maintenance.set(event, nowMs, step);
        return;
      case "restart_gpu":
        this.#maintenance.restart(event, nowMs, step);
        return;
      case "gpu_restarted":
        this.#maintenance.restarted(event, nowMs, step);
        return;
      case "node_connected":
        this.#nodes.connected(event, nowMs, step);
        this.#maintenance.connected(event, nowMs, step);
        return;
      case "node_disconnected":
        this.#nodes.disconnected(event.nodeId, event.silentMs ?? 0, nowMs, step);
        return;
      case "router_stalled":
        this.#nodes.stalled(event.ms, nowMs);
        return;
      case "runners_changed":
        this.state.fleet.setRunners(event.nodeId, event.runners);
        return;
      case "telemetry":
        for (const { sample, ageMs } of event.samples) {
          const gpu = this.state.fleet.indexOf(sample.gpuId);
          if (gpu < 0 || this.state.fleet.nodeOf[gpu]!.nodeId !== event.nodeId) continue;
          this.state.fleet.observe(gpu, sample, nowMs - ageMs);
          this.health.observe(gpu, sample, nowMs - ageMs, nowMs);
        }
        return;
      case "runner_load":
        this.state.fleet.observeRunnerLoads(event.nodeId, event.loads, nowMs);
        return;
      case "gpu_report":
      case "gpu_lost":
        this.#nodes.toldOfGpu(event, nowMs, step);
        return;
      case "attempt_started": {
        const request = this.#attempts.present(event.nodeId, event.ref);
        if (!request || request.phase !== "placed") return;
        emit(this.state, { kind: "started", requestId: event.ref.requestId, attempt: event.ref.attempt, atMs: nowMs }, step);
        step.effects.push({ kind: "changed", requestId: event.ref.requestId });
        return;
      }
      case "attempt_progress": {
        const request = this.#attempts.present(event.nodeId, event.ref);
        if (!request) return;
        request.progress = Math.min(1, Math.max(0, event.fraction));
        this.#answered(request, nowMs, step);
        return;
      }
      case "attempt_answered": {
        const request = this.#attempts.present(event.nodeId, event.ref);
        if (!request) return;
        this.#attempts.gaveOutput(request);
        this.#answered(request, nowMs, step);
        return;
      }
      case "attempt_ended":
        this.#attempts.ended(event.nodeId, event.ref, event.end, nowMs, step);
        return;
      case "set_quota":
        this.#admission.setQuota(event, nowMs, step);
        return;
      case "memory":
        this.#admission.memory(event.share, nowMs, step);
        return;
      case "tick":
        this.#tick(nowMs, step);
        return;
      default:
        unreachable(event);
    }
  }

  #submit(spec: RequestSpec, nowMs: number, step: Step): SubmitOutcome {
    const known = this.state.requests.get(spec.requestId);
    if (known) return known.spec.contentHash === spec.contentHash ? { kind: "known", request: known } : { kind: "id_conflict" };
    if (!this.#scheduler.hasStrategy(spec.strategy)) return { kind: "unknown_strategy", known: this.strategyNames };
    const estimate = this.#estimator.estimate(spec);
    const verdict = this.#admission.judge(spec, estimate.durationMs, nowMs);
    if (verdict.kind !== "welcome") return verdict;

    const timeoutMs = this.#timeOuts.totalMs(spec);
    const deadlineAtMs = timeoutMs > 0 ? nowMs + timeoutMs : 0;
    emit(this.state, { kind: "accepted", spec, atMs: nowMs, sequence: this.state.nextSequence, deadlineAtMs, estimate }, step);
    const request = this.state.requests.get(spec.requestId)!;
    this.#admission.accepted(request, verdict.insteadOf, nowMs, step);
    this.#placement.asked(spec, estimate, nowMs);
    return { kind: "accepted", request };
  }

  /** The first sign of life of an attempt; a fact where something hangs on it. */
  #answered({ spec, attempt, answeredAtMs }: Request, nowMs: number, step: Step): void {
    if (answeredAtMs === undefined && this.#timeOuts.needsAnswer(spec)) emit(this.state, { kind: "answered", requestId: spec.requestId, attempt, atMs: nowMs }, step);
  }

  #cancel({ requestId, reason, by }: Extract<Event, { kind: "cancel" }>, nowMs: number, step: Step): void {
    const request = this.state.requests.get(requestId);
    if (request) this.#stop(request, { cause: "cancel", reason, atMs: nowMs, ...(by && { by }) }, nowMs, step);
  }

  /** Ends a waiting request at once; asks the agent to stop one that was dispatched. The first wish stands. */
  #stop(request: Request, stop: NonNullable<Request["stop"]>, nowMs: number, step: Step): void {
    if (request.stop) return;
    const { requestId } = request.spec;
    emit(this.state, { kind: "stop_requested", requestId, stop }, step);
    if (request.phase === "queued") {
      this.#attempts.end(request, stopped(stop), null, nowMs, step);
      return;
    }
    this.#attempts.tellToStop(request, step);
    step.effects.push({ kind: "changed", requestId });
  }

  /** A request that waits or runs too long fails; an attempt that does not get going is tried elsewhere. */
  #overdue({ request, stage, error, asked }: Overdue, nowMs: number, step: Step): void {
    if (stage === "waiting" || stage === "running") this.#stop(request, timeUp(request, this.state.queue, error.message, nowMs, stage), nowMs, step);
    else this.#attempts.overdue(request, error, asked, nowMs, step);
  }

  #tick(nowMs: number, step: Step): void {
    const { state } = this;
    this.#attempts.tick(nowMs);
    for (const request of state.inOrder(state.deadlines.advance(nowMs))) {
      if (request.stop) {
        if (request.stop.atMs + STOP_GRACE_MS <= nowMs) this.#attempts.end(request, stopped(request.stop), null, nowMs, step);
      } else if (request.deadlineAtMs > 0 && request.deadlineAtMs <= nowMs) {
        const where = request.phase === "queued" ? "waiting for a GPU" : `on ${gpusOf(request).join(", ")}`;
        const reason = `Not done within ${request.deadlineAtMs - request.acceptedAtMs} ms; it was ${where}.`;
        this.#stop(request, timeUp(request, state.queue, reason, nowMs), nowMs, step);
      }
    }
    for (const overdue of this.#timeOuts.due(nowMs)) this.#overdue(overdue, nowMs, step);
    this.#nodes.tick(nowMs, step);
    this.#maintenance.tick(nowMs, step);
    state.fleet.work.follow(nowMs);
    state.queue.standings.reopenHealing();
    this.#dispatcher.reopenHeld(nowMs);
    for (const order of this.#placement.tick(nowMs)) step.effects.push(order);
    this.health.tick(nowMs);
    state.fleet.forgetStaleSamples(nowMs, FRESH_PERIODS * this.#settings.telemetryIntervalMs);
  }
}
