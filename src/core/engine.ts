// The engine: one event in, records and effects out. The one place where the parts of the core are called.
// Synchronous and pure but for its own state: time comes in, randomness is seeded from request ids. The router makes the
// records durable before it performs the effects; it never calls in from inside a step.
import { assert, unreachable } from "../lib/assert.js";
import type { Heap } from "../lib/heap.js";
import { hash32, seededRandom } from "../lib/random.js";
import { Estimator } from "./estimate/estimator.js";
import type { AttemptEnd, Event, Step, SubmitOutcome } from "./events.js";
import type { Fleet } from "./fleet/fleet.js";
import type { WorkLedger } from "./fleet/work-ledger.js";
import { nextStep, stopped, type AttemptFate, type NextStep } from "./failover/attempt-ends.js";
import type { Decision } from "./model/decision.js";
import type { GpuInventory } from "./model/gpu.js";
import type { AttemptRef, GpuId, NodeId, RequestId } from "./model/ids.js";
import { gpusOf, isExclusive, wishesOf, type Request, type RequestError, type RequestSpec, type RunStatistics } from "./model/request.js";
import { apply, STOP_GRACE_MS, type Record } from "./records.js";
import type { EligibilityClass, Place, Waiting } from "./queue/waiting-queue.js";
import type { Ask } from "./scheduling/contract.js";
import { stateFilters } from "./scheduling/registry.js";
import { Scheduler } from "./scheduling/scheduler.js";
import type { CoreSettings } from "./settings.js";
import { ModelPlacement } from "./placement/model-placement.js";
import { Preemption } from "./placement/preemption.js";
import { Reserver } from "./placement/reserver.js";
import { restoreSnapshot, type Snapshot } from "./snapshot.js";
import { State } from "./state.js";

/** A digest of the state is recorded after this many records. */
const DIGEST_EVERY_RECORDS = 50_000;
/** Samples older than this many report periods no longer count. */
const FRESH_PERIODS = 2;
/** How many behind a head that does not fit are tried in its place. */
const LOOK_AHEAD = 6;
const NO_STATISTICS = { runMs: 0, firstOutputMs: 0, inputTokens: 0, outputTokens: 0, peakMemoryMib: 0 };

export class Engine {
  readonly state: State;
  readonly #settings: CoreSettings;
  readonly #scheduler: Scheduler;
  readonly #estimator = new Estimator();
  readonly #placement: ModelPlacement;
  readonly #reserver: Reserver;
  readonly #preemption: Preemption;
  /** Since when a node that may hold work is not connected, ms. */
  readonly #silentSince = new Map<NodeId, number>();
  /** The fleet's shape that the hopeless were judged by. */
  #shapeSeen = 0;
  #recordsUntilDigest = DIGEST_EVERY_RECORDS;
  /** Those on GPUs that were late when they were placed: charged among the late. */
  readonly #placedLate = new Set<RequestId>();
  /** Results of superseded attempts that were refused; for metrics. */
  lateResults = 0;

  /** Starts empty, or from a snapshot. Throws when the settings contradict themselves. */
  constructor(settings: CoreSettings, snapshot: Snapshot | null = null) {
    const filters = stateFilters(settings);
    this.#scheduler = new Scheduler(settings, filters.length);
    this.#settings = settings;
    this.state = snapshot ? restoreSnapshot(snapshot, filters, settings) : new State(filters, settings);
    this.#placement = new ModelPlacement(this.state.fleet, settings);
    this.#reserver = new Reserver(this.state, this.#scheduler);
    this.#preemption = new Preemption(this.state, this.#scheduler, this.#reserver, settings);
  }

  get strategyNames(): readonly string[] {
    return this.#scheduler.strategyNames;
  }

  /** Recovery: folds a record that is already durable. Only before the first step. */
  replay(record: Record): void {
    apply(this.state, record);
    this.#recordsUntilDigest = record.kind === "state_digest" ? DIGEST_EVERY_RECORDS : this.#recordsUntilDigest - 1;
  }

  step(event: Event, nowMs: number): Step {
    const step: Step = { records: [], effects: [], ended: [], submitted: null };
    // 1. What happened.
    this.#handle(event, nowMs, step);
    // 2. Place what now fits.
    if (event.kind !== "attempt_progress" && event.kind !== "attempt_started") this.#schedule(nowMs, step);
    if (event.kind === "tick") this.#preempt(nowMs, step);
    // 3. Now and then, a digest that replay can check.
    if (this.#recordsUntilDigest <= 0) {
      this.#emit({ kind: "state_digest", digest: this.state.digest() }, step);
      this.#recordsUntilDigest = DIGEST_EVERY_RECORDS;
    }
    return step;
  }

  /** What would be decided now for `spec`, which may be that of a request that waits. Changes nothing. */
  explain(spec: RequestSpec, nowMs: number): Decision {
    const exclusive = isExclusive(spec, this.#settings.exclusiveTypes);
    const asked = { spec, estimate: this.#estimator.estimate(spec), exclusive, avoidGpuId: "", acceptedAtMs: nowMs, late: false } as const;
    const waiting = this.state.queue.get(spec.requestId);
    return this.#scheduler.explain(this.state.fleet, this.#askOf(waiting?.spec === spec ? waiting : asked, 0, nowMs));
  }

  #handle(event: Event, nowMs: number, step: Step): void {
    switch (event.kind) {
      case "take_over":
        this.#emit({ kind: "epoch_started", epoch: event.epoch, atMs: nowMs }, step);
        for (const nodeId of this.state.busyNodes()) this.#silentSince.set(nodeId, nowMs);
        this.#preemption.restUntil(nowMs + this.#settings.nodeLostAfterMs);
        return;
      case "submit":
        step.submitted = this.#submit(event.spec, nowMs, step);
        return;
      case "cancel":
        this.#cancel(event.requestId, event.reason, nowMs, step);
        return;
      case "node_connected":
        this.#nodeConnected(event, nowMs, step);
        return;
      case "node_disconnected":
        this.state.fleet.setConnected(event.nodeId, false, "");
        this.#silentSince.set(event.nodeId, nowMs);
        return;
      case "runners_changed":
        this.state.fleet.setRunners(event.nodeId, event.runners);
        return;
      case "telemetry":
        for (const { sample, ageMs } of event.samples) {
          const gpu = this.state.fleet.indexOf(sample.gpuId);
          if (gpu >= 0 && this.state.fleet.nodeOf[gpu]!.nodeId === event.nodeId) this.state.fleet.observe(gpu, sample, nowMs - ageMs);
        }
        return;
      case "runner_load":
        this.state.fleet.observeRunnerLoads(event.nodeId, event.loads, nowMs);
        return;
      case "gpu_lost":
        this.#gpuLost(event.nodeId, event.gpuId, event.reason, nowMs, step);
        return;
      case "attempt_started": {
        const request = this.#present(event.nodeId, event.ref);
        if (!request || request.phase !== "placed") return;
        this.#emit({ kind: "started", requestId: event.ref.requestId, attempt: event.ref.attempt, atMs: nowMs }, step);
        step.effects.push({ kind: "changed", requestId: event.ref.requestId });
        return;
      }
      case "attempt_progress": {
        const request = this.#present(event.nodeId, event.ref);
        if (request) request.progress = Math.min(1, Math.max(0, event.fraction));
        return;
      }
      case "attempt_ended":
        this.#attemptEnded(event.nodeId, event.ref, event.end, nowMs, step);
        return;
      case "tick":
        this.#tick(nowMs, step);
        return;
      default:
        unreachable(event);
    }
  }

  // -- Requests ---------------------------------------------------------------------------------------------------------

  #submit(spec: RequestSpec, nowMs: number, step: Step): SubmitOutcome {
    const known = this.state.requests.get(spec.requestId);
    if (known) return known.spec.contentHash === spec.contentHash ? { kind: "known", request: known } : { kind: "id_conflict" };
    if (!this.#scheduler.hasStrategy(spec.strategy)) return { kind: "unknown_strategy", known: this.strategyNames };
    const { maxQueuedRequests, maxQueuedBytes, requestTimeoutMs } = this.#settings;
    const { queue } = this.state;
    if (queue.size + this.state.waitingForRetry >= maxQueuedRequests) return { kind: "queue_full", what: "requests", limit: maxQueuedRequests };
    if (queue.bytes + spec.payload.byteLength > maxQueuedBytes) return { kind: "queue_full", what: "bytes", limit: maxQueuedBytes };

    const timeoutMs = spec.timeoutMs || (spec.type === "inference" ? requestTimeoutMs : 0);
    this.#emit(
      {
        kind: "accepted",
        spec,
        atMs: nowMs,
        sequence: this.state.nextSequence,
        deadlineAtMs: timeoutMs > 0 ? nowMs + timeoutMs : 0,
        estimate: this.#estimator.estimate(spec),
      },
      step,
    );
    const request = this.state.requests.get(spec.requestId)!;
    this.#placement.asked(spec, this.state.queue.get(spec.requestId)!.estimate, nowMs);
    return { kind: "accepted", request };
  }

  #cancel(requestId: RequestId, reason: string, nowMs: number, step: Step): void {
    const request = this.state.requests.get(requestId);
    if (request) this.#stop(request, { cause: "cancel", reason, atMs: nowMs }, nowMs, step);
  }

  /** Ends a waiting request at once; asks the agent to stop one that was dispatched. The first wish stands. */
  #stop(request: Request, stop: NonNullable<Request["stop"]>, nowMs: number, step: Step): void {
    if (request.stop) return;
    const { requestId } = request.spec;
    this.#emit({ kind: "stop_requested", requestId, stop }, step);
    if (request.phase === "queued") {
      this.#end(request, stopped(stop), null, nowMs, step);
      return;
    }
    step.effects.push({ kind: "cancel_attempt", nodeId: request.nodeId as NodeId, ref: { requestId, attempt: request.attempt } });
    step.effects.push({ kind: "changed", requestId });
  }

  #tick(nowMs: number, step: Step): void {
    const { state } = this;
    for (const requestId of state.retries.advance(nowMs)) state.retryDue(requestId);
    for (const request of state.inOrder(state.deadlines.advance(nowMs))) {
      if (request.stop) {
        if (request.stop.atMs + STOP_GRACE_MS <= nowMs) this.#end(request, stopped(request.stop), null, nowMs, step);
      } else if (request.deadlineAtMs > 0 && request.deadlineAtMs <= nowMs) {
        const where = request.phase === "queued" ? "waiting for a GPU" : `on ${gpusOf(request).join(", ")}`;
        const reason = `Not done within ${request.deadlineAtMs - request.acceptedAtMs} ms; it was ${where}.`;
        this.#stop(request, { cause: "timeout", reason, atMs: nowMs }, nowMs, step);
      }
    }
    for (const [nodeId, sinceMs] of this.#silentSince) {
      if (nowMs - sinceMs < this.#settings.nodeLostAfterMs) continue;
      this.#silentSince.delete(nodeId);
      const error = { code: "node_lost", message: `Node ${nodeId} was silent for ${nowMs - sinceMs} ms.` };
      for (const request of state.onNode(nodeId)) this.#attemptOver(request, "lost", error, null, nowMs, step);
    }
    state.fleet.work.follow(nowMs);
    state.queue.reopenHealing();
    for (const order of this.#placement.tick(nowMs, state.queue.heads())) step.effects.push(order);
    state.fleet.expireCooldowns(nowMs);
    state.fleet.forgetStaleSamples(nowMs, FRESH_PERIODS * this.#settings.telemetryIntervalMs);
  }

  // -- Nodes and GPUs ---------------------------------------------------------------------------------------------------

  #nodeConnected(event: Extract<Event, { kind: "node_connected" }>, nowMs: number, step: Step): void {
    const { nodeId } = event;
    const { fleet } = this.state;
    this.#silentSince.delete(nodeId);
    for (const inventory of event.gpus) this.#register(nodeId, inventory, step);
    fleet.setRunners(nodeId, event.runners);
    fleet.setConnected(nodeId, true, event.instanceId);
    const reported = new Set(event.gpus.map((gpu) => gpu.gpuId));
    for (const gpu of fleet.nodes.get(nodeId)!.gpus) {
      if (!reported.has(fleet.inventory[gpu]!.gpuId)) fleet.takeOut(gpu, "its node does not report it", Number.POSITIVE_INFINITY);
      else if (fleet.outUntilMs[gpu] === Number.POSITIVE_INFINITY) fleet.putBack(gpu);
    }

    // Reconcile: what the agent does not hold is lost, what we do not want it must stop and forget.
    const held = new Set(event.held.map((ref) => `${ref.attempt} ${ref.requestId}`));
    for (const request of this.state.onNode(nodeId)) {
      const ref: AttemptRef = { requestId: request.spec.requestId, attempt: request.attempt };
      if (!held.has(`${ref.attempt} ${ref.requestId}`)) {
        const error = { code: "attempt_lost", message: `The agent of ${nodeId} does not hold attempt ${ref.attempt}.` };
        this.#attemptOver(request, "lost", error, null, nowMs, step);
      } else if (request.stop || this.#preemption.isStopping(ref)) {
        step.effects.push({ kind: "cancel_attempt", nodeId, ref });
      }
    }
    for (const ref of event.held) if (!this.#present(nodeId, ref)) this.#refuse(nodeId, ref, step);
  }

  #register(nodeId: NodeId, inventory: GpuInventory, step: Step): void {
    const { fleet } = this.state;
    const known = fleet.indexOf(inventory.gpuId);
    if (known >= 0 && fleet.nodeOf[known]!.nodeId === nodeId && sameInventory(fleet.inventory[known]!, inventory)) return;
    this.#emit({ kind: "gpu_registered", index: known >= 0 ? known : fleet.size, nodeId, inventory }, step);
  }

  #gpuLost(nodeId: NodeId, gpuId: GpuId, reason: string, nowMs: number, step: Step): void {
    const { fleet } = this.state;
    const gpu = fleet.indexOf(gpuId);
    if (gpu < 0 || fleet.nodeOf[gpu]!.nodeId !== nodeId) return;
    fleet.takeOut(gpu, reason, nowMs + this.#settings.gpuCooldownMs);
    for (const request of this.state.onNode(nodeId)) {
      if (!gpusOf(request).includes(gpuId)) continue;
      step.effects.push({ kind: "cancel_attempt", nodeId, ref: { requestId: request.spec.requestId, attempt: request.attempt } });
      // Work that must not run twice waits for the agent's word that it has stopped: the node lives and will say so.
      if (request.spec.idempotent) this.#attemptOver(request, "lost", { code: "gpu_lost", message: reason }, null, nowMs, step);
    }
  }

  // -- Attempts ---------------------------------------------------------------------------------------------------------

  /** The request when `ref` is its live attempt and runs on `nodeId`; null for everything superseded, ended or foreign. */
  #present(nodeId: NodeId, ref: AttemptRef): Request | null {
    const request = this.state.requests.get(ref.requestId);
    return request && request.phase !== "queued" && request.attempt === ref.attempt && request.nodeId === nodeId ? request : null;
  }

  /** Stops and forgets an attempt that is no longer wanted. */
  #refuse(nodeId: NodeId, ref: AttemptRef, step: Step): void {
    step.effects.push({ kind: "cancel_attempt", nodeId, ref }, { kind: "acknowledge", nodeId, ref });
  }

  #attemptEnded(nodeId: NodeId, ref: AttemptRef, end: AttemptEnd, nowMs: number, step: Step): void {
    const request = this.#present(nodeId, ref);
    if (!request) {
      this.lateResults += 1;
      step.effects.push({ kind: "acknowledge", nodeId, ref });
      return;
    }
    // An end without a start: the start was lost with a stream. The facts need both.
    if (request.phase === "placed" && end.outcome === "succeeded") {
      this.#emit({ kind: "started", requestId: ref.requestId, attempt: ref.attempt, atMs: nowMs }, step);
    }
    if (end.outcome === "succeeded" || end.outcome === "unavailable") this.#learn(request, end, nowMs);
    const preempted = end.outcome === "cancelled" && this.#preemption.isStopping(ref);
    this.#attemptOver(request, preempted ? "preempted" : end.outcome, end.error, end, nowMs, step);
    step.effects.push({ kind: "acknowledge", nodeId, ref });
  }

  #learn(request: Request, end: AttemptEnd, nowMs: number): void {
    const { fleet } = this.state;
    const gpus = this.#indexesOf(request);
    const fault = end.outcome === "unavailable";
    // Of several GPUs any may be the one to blame.
    for (const gpu of gpus) {
      fleet.learnOutcome(gpu, fault);
      if (fault && fleet.errorRate[gpu]! > this.#settings.errorThreshold) {
        fleet.takeOut(gpu, `error rate ${fleet.errorRate[gpu]!.toFixed(2)}`, nowMs + this.#settings.gpuCooldownMs);
      }
    }
    if (fault || !end.statistics || !isMeasured(end.statistics)) return;
    this.#settle(request, end.statistics);
    const speed = this.#estimator.learn(request.spec, end.statistics, request.decision?.estimate.durationMs);
    if (speed >= 0) for (const gpu of gpus) fleet.learnSpeed(gpu, speed);
  }

  #indexesOf(request: Request): readonly number[] {
    return gpusOf(request).map((gpuId) => this.state.fleet.indexOf(gpuId));
  }

  /** The user's share is charged what it really took. */
  #settle(request: Request, { inputTokens, outputTokens, runMs }: RunStatistics): void {
    const { spec, decision } = request;
    if (!decision) return;
    // Time on a GPU that is shared says nothing of its share of it.
    if (inputTokens + outputTokens === 0 && (decision.estimate.inputTokens ?? 0) + (decision.estimate.outputTokens ?? 0) > 0) return;
    const gpus = this.#indexesOf(request);
    const actually = this.#gpuMs(gpus, spec, { durationMs: runMs, inputTokens, outputTokens });
    this.state.queue.settle(spec, this.#placedLate.has(spec.requestId), actually - this.#gpuMs(gpus, spec, decision.estimate));
  }

  /** GPU time of a request, over all its GPUs, ms. */
  #gpuMs(gpus: readonly number[], { modelId }: RequestSpec, of: Parameters<WorkLedger["gpuMs"]>[2]): number {
    const { work } = this.state.fleet;
    if (gpus.length > 1) return gpus.length * of.durationMs;
    return work.gpuMs(gpus[0]!, modelId, of);
  }

  #attemptOver(request: Request, fate: AttemptFate, error: RequestError | null, end: AttemptEnd | null, nowMs: number, step: Step): void {
    this.#placedLate.delete(request.spec.requestId);
    if (fate === "succeeded" || fate === "unavailable" || fate === "lost") {
      for (const gpu of this.#indexesOf(request)) this.state.fleet.outcomes.ended(gpu, nowMs - request.placedAtMs, fate !== "succeeded", nowMs);
    }
    this.#preemption.ended(request.spec.requestId);
    const jitter = seededRandom(seedOf(request.spec.requestId, request.attempt))();
    const next = nextStep(request, fate, error, this.#settings, jitter);
    if (next.kind === "end") {
      this.#end(request, next, end, nowMs, step);
      return;
    }
    const { requestId } = request.spec;
    this.#emit(
      {
        kind: "attempt_failed",
        requestId,
        attempt: request.attempt,
        reason: next.reason,
        ...(fate === "preempted" && { preempted: true }),
        retryAtMs: nowMs + next.delayMs,
        estimate: this.#estimator.estimate(request.spec),
        atMs: nowMs,
      },
      step,
    );
    step.effects.push({ kind: "changed", requestId });
  }

  #end(request: Request, how: Extract<NextStep, { kind: "end" }>, end: AttemptEnd | null, nowMs: number, step: Step): void {
    this.#placedLate.delete(request.spec.requestId);
    this.#preemption.ended(request.spec.requestId);
    const result = end?.result ?? new Uint8Array();
    this.#emit(
      {
        kind: "ended",
        requestId: request.spec.requestId,
        phase: how.phase,
        atMs: nowMs,
        error: how.error,
        result: result.byteLength > 0 ? { sizeBytes: result.byteLength, contentType: end?.resultContentType ?? "" } : null,
        statistics: end ? (end.statistics ?? NO_STATISTICS) : null,
      },
      step,
    );
    step.ended.push({ request, result });
    step.effects.push({ kind: "changed", requestId: request.spec.requestId });
  }

  // -- Scheduling -------------------------------------------------------------------------------------------------------

  /** Tells less urgent work to stop for somebody who cannot be in time otherwise. It goes back in line when it has stopped. */
  #preempt(nowMs: number, step: Step): void {
    for (const { spec, attempt, nodeId } of this.#preemption.tick(nowMs, (waiting) => this.#askOf(waiting, this.#nextAttempt(waiting), nowMs))) {
      step.effects.push({ kind: "cancel_attempt", nodeId: nodeId as NodeId, ref: { requestId: spec.requestId, attempt } });
    }
  }

  /** Places what fits, then keeps GPUs for what needs more than is free; whom that no longer concerns makes room for others. */
  #schedule(nowMs: number, step: Step): void {
    do this.#pass(nowMs, step);
    while (this.#reserver.settle(nowMs, (waiting) => this.#askOf(waiting, this.#nextAttempt(waiting), nowMs)));
  }

  /**
   * Places waiting requests until nothing fits: highest band first, earliest first within it. A class whose head fitted
   * nowhere is tried again only against GPUs that changed since, so a pass never grows with the queue.
   */
  #pass(nowMs: number, step: Step): void {
    const { queue, fleet } = this.state;
    // By index, so that a tie does not hang on the order in which GPUs changed.
    const freed = queue.size > 0 ? [...fleet.freed].sort((a, b) => a - b) : [];
    fleet.freed.clear();
    if (fleet.shapeSequence !== this.#shapeSeen) queue.reopenHopeless();
    this.#shapeSeen = fleet.shapeSequence;
    const line = queue.line(freed.length > 0, nowMs);
    // When all that was freed is full again, no refused class can follow.
    for (let of = queue.next(line, nowMs); of && (queue.hasOpen || freed.length > 0); of = queue.next(line, nowMs)) {
      if (this.#serve(of, line, freed, nowMs, step)) queue.putBack(line, of, nowMs);
    }
  }

  /** Places the head of a class, or one soon behind it that fits where the head does not. False when there was nothing to do. */
  #serve(of: EligibilityClass, line: Heap<Place>, freed: number[], nowMs: number, step: Step): boolean {
    const { queue, fleet } = this.state;
    const { head } = of;
    const ask = this.#askOf(head, this.#nextAttempt(head), nowMs);
    if (!head.late && this.#scheduler.tooLate(fleet, ask)) {
      const among = this.#tooLate(head, nowMs, step);
      if (among) queue.putBack(line, among, nowMs);
      return true;
    }
    const among = of.standing === "open" ? undefined : freed;
    if (this.#tryPlace(ask, freed, among, step)) return true;
    const { refusedForSize } = this.#scheduler;
    // The clock may also tell that it is too late for it; and somebody smaller may come who waits behind it.
    const healsWithTime = this.#scheduler.healsWithTime || refusedForSize || (head.spec.wishes !== undefined && !head.late);
    if (refusedForSize) for (const next of of.behind(LOOK_AHEAD)) if (this.#tryPlace(this.#askOf(next, this.#nextAttempt(next), nowMs), freed, among, step)) return true;
    if (of.standing === "open") queue.refuse(of, this.#scheduler.hopeless(fleet, ask) ? "hopeless" : "refused", healsWithTime);
    else if (healsWithTime) of.healsWithTime = true;
    return false;
  }

  #tryPlace(ask: Ask, freed: number[], among: readonly number[] | undefined, step: Step): boolean {
    const { fleet } = this.state;
    // One GPU that was freed may complete a node's.
    const choice = this.#scheduler.choose(fleet, ask, among && ask.gpus > 1 ? besides(fleet, among) : among);
    if (!choice) return false;
    this.#place(ask, choice.gpus, choice.decision, step);
    for (const gpu of choice.gpus) if (fleet.blocked[gpu] !== 0 && freed.includes(gpu)) freed.splice(freed.indexOf(gpu), 1);
    return true;
  }

  /** A request that cannot be in time any more makes way for those that can: the class where it waits now, or null when it has ended. */
  #tooLate({ spec, late }: Waiting, nowMs: number, step: Step): EligibilityClass | null {
    assert(!late, "a request is late once");
    const request = this.state.requests.get(spec.requestId)!;
    this.#placement.missed(spec.modelId);
    if (wishesOf(spec).whenLate === "demote") {
      return this.state.queue.demote(spec.requestId);
    }
    const message = `It could not be in time any more after waiting ${nowMs - request.acceptedAtMs} ms for a GPU.`;
    this.#end(request, { kind: "end", phase: "failed", error: { code: "too_late", message } }, null, nowMs, step);
    return null;
  }

  #nextAttempt({ spec }: Waiting): number {
    return this.state.requests.get(spec.requestId)!.attempt + 1;
  }

  #askOf(waiting: Omit<Waiting, "sequence" | "dueAtMs">, attempt: number, nowMs: number): Ask {
    const { spec, estimate, avoidGpuId, acceptedAtMs, late, exclusive } = waiting;
    const { fleet, queue } = this.state;
    const band = queue.bandOf(waiting, nowMs);
    const spread = fleet.reservations.size > 0 ? this.#estimator.spread(spec) : 1;
    return { spec, estimate, avoidGpuId, seed: seedOf(spec.requestId, attempt), acceptedAtMs, nowMs, late, gpus: wishesOf(spec).gpus, exclusive, band, spread };
  }

  #place({ spec, estimate, nowMs, late }: Ask, gpus: readonly number[], decision: Decision, step: Step): void {
    const { fleet, queue } = this.state;
    const { requestId, modelId, type } = spec;
    const request = this.state.requests.get(requestId)!;
    const attempt = request.attempt + 1;
    const first = gpus[0]!;
    const gpuIds = gpus.map((gpu) => fleet.inventory[gpu]!.gpuId);
    const gpuId = gpuIds[0]!;
    const several = gpus.length > 1 ? { gpuIds } : {};
    const { nodeId, runners } = fleet.nodeOf[first]!;
    const runner = runners[fleet.runners.for(fleet, modelId, type, gpus.length).runnerOf[first]!];
    assert(runner !== undefined, "a GPU that was chosen has a runner");
    if (late) this.#placedLate.add(requestId);
    queue.charge(requestId, this.#gpuMs(gpus, spec, estimate));
    this.#emit({ kind: "placed", requestId, attempt, gpuId, ...several, atMs: nowMs, memoryMib: estimate.memoryMib, decision }, step);
    step.effects.push({ kind: "dispatch", nodeId, request, attempt, gpuId, ...several, runner: runner.name });
    step.effects.push({ kind: "changed", requestId });
  }

  #emit(record: Record, step: Step): void {
    apply(this.state, record);
    step.records.push(record);
    this.#recordsUntilDigest -= 1;
  }
}

/** The GPUs of all nodes that have one of `gpus`. */
function besides(fleet: Fleet, gpus: readonly number[]): number[] {
  return [...new Set(gpus.map((gpu) => fleet.nodeOf[gpu]!))].flatMap((node) => node.gpus).sort((a, b) => a - b);
}

/** Whether an agent's figures can be calculated with: one that is no number would make all that is learned of it none. */
function isMeasured({ runMs, firstOutputMs, peakMemoryMib }: RunStatistics): boolean {
  return [runMs, firstOutputMs, peakMemoryMib].every((value) => value >= 0 && value < Number.POSITIVE_INFINITY);
}

function seedOf(requestId: RequestId, attempt: number): number {
  return hash32(requestId, 0x811c9dc5 ^ attempt);
}

function sameInventory(a: GpuInventory, b: GpuInventory): boolean {
  return (Object.keys(b) as (keyof GpuInventory)[]).every((key) => a[key] === b[key]);
}
