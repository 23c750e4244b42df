// The dispatcher: who of those that wait is served now, and where. Called by the engine after each event and at each tick; which GPU is
// the scheduler's decision, what becomes of an attempt is failover/attempts.ts's.
import { assert } from "../lib/assert.js";
import type { Heap } from "../lib/heap.js";
import { batchRoom } from "./batches/batch-room.js";
import type { Admission } from "./admission.js";
import type { Estimator } from "./estimate/estimator.js";
import type { Step } from "./events.js";
import type { Attempts } from "./failover/attempts.js";
import type { Fleet } from "./fleet/fleet.js";
import { gpuTimeMs } from "./fleet/gpu-time.js";
import type { Decision } from "./model/decision.js";
import type { OverLimit } from "./model/quota.js";
import { isPromised, wishesOf } from "./model/request.js";
import type { ModelPlacement } from "./placement/model-placement.js";
import type { Preemption } from "./placement/preemption.js";
import type { Reserver } from "./placement/reserver.js";
import type { EligibilityClass, Place, Waiting } from "./queue/waiting-queue.js";
import { gpuTimeOf } from "./quota/quotas.js";
import { emit } from "./records.js";
import type { Ask } from "./scheduling/contract.js";
import { withP90, type Scheduler } from "./scheduling/scheduler.js";
import { batch } from "./scheduling/filters/batch.js";
import { seedOf } from "./scheduling/seed-of.js";
import type { BatchSettings } from "./settings.js";
import type { State } from "./state.js";

/** How many behind a head that does not fit are tried in its place. */
const LOOK_AHEAD = 6;

/** What the dispatcher works with; all of it the engine's. */
export interface DispatcherParts {
  readonly state: State;
  readonly scheduler: Scheduler;
  readonly estimator: Estimator;
  readonly placement: ModelPlacement;
  readonly reserver: Reserver;
  readonly preemption: Preemption;
  readonly attempts: Attempts;
  readonly admission: Admission;
  readonly batchSettings: BatchSettings;
}

export class Dispatcher {
  readonly #state: State;
  readonly #scheduler: Scheduler;
  readonly #estimator: Estimator;
  readonly #placement: ModelPlacement;
  readonly #reserver: Reserver;
  readonly #preemption: Preemption;
  readonly #attempts: Attempts;
  readonly #admission: Admission;
  readonly #batchSettings: BatchSettings;
  /** The period of GPU time, and when to look again whether it is over. */
  #period = 0;
  #nextPeriodCheckMs = 0;
  /** The fleet's shape that the hopeless were judged by. */
  #shapeSeen = 0;

  constructor({ state, scheduler, estimator, placement, reserver, preemption, attempts, admission, batchSettings }: DispatcherParts) {
    this.#state = state;
    this.#scheduler = scheduler;
    this.#estimator = estimator;
    this.#placement = placement;
    this.#reserver = reserver;
    this.#preemption = preemption;
    this.#attempts = attempts;
    this.#admission = admission;
    this.#batchSettings = batchSettings;
  }

  /** What would be decided now for somebody who waits, or might. Changes nothing. */
  explain(waiting: Omit<Waiting, "sequence" | "dueAtMs">, nowMs: number): Decision {
    const ask = { ...this.askOf(waiting, 0, nowMs), spread: this.#estimator.spread(waiting.spec) };
    const over = this.#heldBy(waiting, nowMs);
    const decision = this.#scheduler.explain(this.#state.fleet, over ? { ...ask, quota: { over, allows: () => false } } : ask);
    return { ...decision, estimate: withP90(ask) };
  }

  /** Gives those another turn whom quotas hold and whom only the clock may help: a new period, a promise that comes to its end. */
  reopenHeld(nowMs: number): void {
    const { queue, quotas } = this.#state;
    if (!queue.holdsAnybody) return;
    const { gpuTimePeriodMs, checkIntervalMs } = quotas.settings;
    const period = nowMs < this.#nextPeriodCheckMs ? this.#period : Math.floor(nowMs / gpuTimePeriodMs);
    if (nowMs >= this.#nextPeriodCheckMs) this.#nextPeriodCheckMs = nowMs + checkIntervalMs;
    const all = period !== this.#period;
    this.#period = period;
    for (const [userId, heads] of queue.heldHeads()) {
      if (all || heads.some(({ spec, late }) => (isPromised(spec) && !late) || quotas.gpusOpenTo(spec))) queue.letGo(userId);
    }
  }

  /** Those who may only go to GPUs that they are on look there again when these have changed. */
  #reopenOnOwn(freed: readonly number[]): void {
    const { queue, quotas } = this.#state;
    if (!queue.holdsAnybody) return;
    for (const [userId, heads] of queue.heldHeads()) {
      const room = heads[0] && quotas.gpusOpenTo(heads[0].spec);
      if (room && freed.some((gpu) => room.allows(gpu))) queue.letGo(userId);
    }
  }

  #heldBy({ spec, estimate }: Pick<Waiting, "spec" | "estimate">, nowMs: number): OverLimit | null {
    return this.#state.quotas.held(spec, gpuTimeOf(estimate.durationMs, wishesOf(spec).gpus), nowMs);
  }

  /** Tells less urgent work to stop for somebody who cannot be in time otherwise. It goes back in line when it has stopped. */
  preempt(nowMs: number, step: Step): void {
    const stopped = this.#preemption.tick(nowMs, (waiting) => this.askOf(waiting, this.#nextAttempt(waiting), nowMs));
    for (const request of stopped) this.#attempts.tellToStop(request, step);
    // What was kept for him before is now for others.
    if (stopped.length > 0) this.schedule(nowMs, step);
  }

  /** Places what fits, then keeps GPUs for what needs more than is free; whom that no longer concerns makes room for others. */
  schedule(nowMs: number, step: Step): void {
    do this.#pass(nowMs, step);
    while (this.#reserver.settle(nowMs, (waiting) => this.askOf(waiting, this.#nextAttempt(waiting), nowMs)));
  }

  /**
   * Places waiting requests until nothing fits: highest band first, earliest first within it. A class whose head fitted
   * nowhere is tried again only against GPUs that changed since, so a pass never grows with the queue.
   */
  #pass(nowMs: number, step: Step): void {
    const { queue, fleet } = this.#state;
    // By index, so that a tie does not hang on the order in which GPUs changed.
    const freed = queue.size > 0 ? [...fleet.freed].sort((a, b) => a - b) : [];
    fleet.freed.clear();
    if (freed.length > 0) this.#reopenOnOwn(freed);
    if (fleet.shapeSequence !== this.#shapeSeen) queue.standings.reopenHopeless();
    this.#shapeSeen = fleet.shapeSequence;
    const line = queue.line(freed.map((gpu) => ({ gpuId: fleet.inventory[gpu]!.gpuId, runners: fleet.nodeOf[gpu]!.runners })), nowMs);
    // When all that was freed is full again, no refused class can follow.
    for (let of = queue.next(line, nowMs); of && (queue.hasOpen || freed.length > 0); of = queue.next(line, nowMs)) {
      if (this.#serve(of, line, freed, nowMs, step)) queue.putBack(line, of, nowMs);
    }
  }

  /** Places the head of a class, or one soon behind it that fits where the head does not. False when there was nothing to do. */
  #serve(of: EligibilityClass, line: Heap<Place>, freed: number[], nowMs: number, step: Step): boolean {
    const { queue, fleet } = this.#state;
    const { head } = of;
    const ask = this.askOf(head, this.#nextAttempt(head), nowMs);
    if (!head.late && this.#scheduler.tooLate(fleet, ask)) {
      const among = this.#tooLate(head, nowMs, step);
      if (among) queue.putBack(line, among, nowMs);
      return true;
    }
    const over = this.#heldBy(head, nowMs);
    if (over) {
      this.#hold(of, over);
      return true;
    }
    const among = of.standing === "open" ? undefined : freed;
    if (this.#tryPlace(ask, freed, among, step)) return true;
    this.#noteHeld(ask, among === undefined, nowMs);
    // The others of the class are not bound to the same GPUs.
    if (ask.quota) {
      this.#hold(of, ask.quota.over);
      return true;
    }
    const { refusedForSize } = this.#scheduler;
    if (refusedForSize) this.#reserver.keepRoom(ask);
    // The clock may also tell that it is too late for it; and somebody smaller may come who waits behind it.
    const healsWithTime = this.#scheduler.healsWithTime || refusedForSize || (isPromised(head.spec) && !head.late);
    if (refusedForSize) for (const next of of.behind(LOOK_AHEAD)) if (!this.#heldBy(next, nowMs) && this.#tryPlace(this.askOf(next, this.#nextAttempt(next), nowMs), freed, among, step)) return true;
    if (of.standing === "open") queue.standings.refuse(of, this.#scheduler.hopeless(fleet, ask) ? "hopeless" : "refused", healsWithTime);
    else if (healsWithTime) queue.standings.heals(of);
    return false;
  }

  /** The next user of the class has the turn. */
  #hold(of: EligibilityClass, over: OverLimit): void {
    const { queue, quotas } = this.#state;
    if (queue.hold(of)) quotas.countHeld(over);
  }

  /** A batch stands still for its own sake when GPUs had room that it was not allowed; not when nobody has any. */
  #noteHeld({ spec, batch: room }: Ask, lookedEverywhere: boolean, nowMs: number): void {
    if (!spec.batch || !room) return;
    if (this.#scheduler.refusedBy === batch) this.#state.batches.held(spec.batch, nowMs);
    else if (lookedEverywhere) this.#state.batches.moved(spec.batch);
  }

  #tryPlace(ask: Ask, freed: number[], among: readonly number[] | undefined, step: Step): boolean {
    const { fleet } = this.#state;
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
    const request = this.#state.requests.get(spec.requestId)!;
    this.#placement.missed(spec.modelId);
    if (wishesOf(spec).whenLate === "demote") {
      return this.#state.queue.demote(spec.requestId);
    }
    const message = `It could not be in time any more after waiting ${nowMs - request.acceptedAtMs} ms for a GPU.`;
    this.#attempts.end(request, { kind: "end", phase: "failed", error: { code: "too_late", message } }, null, nowMs, step);
    return null;
  }

  #nextAttempt({ spec }: Waiting): number {
    return this.#state.requests.get(spec.requestId)!.attempt + 1;
  }

  /** What is asked of the scheduler for somebody who waits, or might. */
  askOf(waiting: Omit<Waiting, "sequence" | "dueAtMs">, attempt: number, nowMs: number): Ask {
    const { spec, estimate, avoidGpuId, acceptedAtMs, late, exclusive } = waiting;
    const { fleet, queue } = this.#state;
    const band = queue.bandOf(waiting, nowMs);
    const spread = fleet.reservations.hasWhole ? this.#estimator.spread(spec) : 1;
    const quota = this.#state.quotas.gpusOpenTo(spec);
    const room = batchRoom(this.#state.batches, fleet, this.#batchSettings, waiting, nowMs);
    return { spec, estimate, avoidGpuId, seed: seedOf(spec.requestId, attempt), acceptedAtMs, nowMs, late, gpus: wishesOf(spec).gpus, exclusive, band, spread, quota, batch: room };
  }

  #place({ spec, estimate, nowMs, late, exclusive, band, batch: room }: Ask, gpus: readonly number[], decision: Decision, step: Step): void {
    const { fleet, queue } = this.#state;
    const { requestId, modelId, type } = spec;
    const request = this.#state.requests.get(requestId)!;
    const attempt = request.attempt + 1;
    const first = gpus[0]!;
    const gpuIds = gpus.map((gpu) => fleet.inventory[gpu]!.gpuId);
    const gpuId = gpuIds[0]!;
    const several = gpus.length > 1 ? { gpuIds } : {};
    const { nodeId, instanceId, runners } = fleet.nodeOf[first]!;
    const runner = runners[fleet.runners.for(fleet, modelId, type, gpus.length).runnerOf[first]!];
    assert(runner !== undefined, "a GPU that was chosen has a runner");
    this.#attempts.placed(attempt, nowMs);
    if (late) this.#attempts.placedLate(requestId);
    if (exclusive && band === Number.POSITIVE_INFINITY) this.#state.overdue.went(requestId, gpus.length);
    if (spec.batch && room?.allows(first)) this.#state.batches.moved(spec.batch);
    queue.charge(requestId, gpuTimeMs(fleet.work, gpus, modelId, estimate));
    this.#state.quotas.countShadow(spec, gpus, gpuTimeOf(estimate.durationMs, gpus.length), nowMs);
    this.#admission.placed(nowMs);
    emit(this.#state, { kind: "placed", requestId, attempt, gpuId, ...several, atMs: nowMs, memoryMib: estimate.memoryMib, decision }, step);
    step.effects.push({ kind: "dispatch", nodeId, instanceId, request, attempt, gpuId, ...several, runner: runner.name });
    step.effects.push({ kind: "changed", requestId });
  }
}

/** The GPUs of all nodes that have one of `gpus`. */
function besides(fleet: Fleet, gpus: readonly number[]): number[] {
  return [...new Set(gpus.map((gpu) => fleet.nodeOf[gpu]!))].flatMap((node) => node.gpus).sort((a, b) => a - b);
}
