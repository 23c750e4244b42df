// Attempts: what becomes of them, what is learned of their ends, and the end of their requests. Called by the engine, its nodes and its
// dispatcher; which attempts are made is the dispatcher's.
import { LinkedList } from "../../lib/linked-list.js";
import { seededRandom } from "../../lib/random.js";
import type { Estimator } from "../estimate/estimator.js";
import type { AttemptEnd, Step } from "../events.js";
import { gpuTimeMs } from "../fleet/gpu-time.js";
import type { FleetHealth } from "../health/fleet-health.js";
import type { AttemptRef, NodeId, RequestId } from "../model/ids.js";
import { gpusOf, type Request, type RequestError, type RunStatistics } from "../model/request.js";
import type { Preemption } from "../placement/preemption.js";
import { emit } from "../records.js";
import { seedOf } from "../scheduling/seed-of.js";
import type { CoreSettings } from "../settings.js";
import type { State } from "../state.js";
import { RetryBudget } from "./retry-budget.js";
import { longestDelayMs, nextStep, type AttemptFate, type NextStep } from "./attempt-ends.js";

const NO_STATISTICS = { runMs: 0, firstOutputMs: 0, inputTokens: 0, outputTokens: 0, peakMemoryMib: 0 };

/** Of an attempt's error, in a GPU's evidence. */
const MAX_CODE_CHARS = 64;

export class Attempts {
  readonly #state: State;
  readonly #settings: CoreSettings;
  readonly #estimator: Estimator;
  readonly #preemption: Preemption;
  readonly #health: FleetHealth;
  /** Those on GPUs that were late when they were placed: charged among the late. */
  readonly #placedLate = new Set<RequestId>();
  readonly #budget = new RetryBudget();
  /** Whose retry is due and waits for the budget, in that order. */
  readonly #dueRetries = new LinkedList<RequestId>();
  /** Whose present attempt has given output, as far as this life of the router knows. */
  readonly #withOutput = new Set<RequestId>();
  /** Attempts that must not run twice and were told to stop because they were overdue, or their GPU was lost or drained, and why. */
  readonly #overdue = new Map<RequestId, { readonly attempt: number; readonly error: RequestError }>();
  /** Results of superseded attempts that were refused; for metrics. */
  lateResults = 0;

  constructor(state: State, settings: CoreSettings, estimator: Estimator, preemption: Preemption, health: FleetHealth) {
    this.#state = state;
    this.#settings = settings;
    this.#estimator = estimator;
    this.#preemption = preemption;
    this.#health = health;
  }

  /** An attempt has been placed. */
  placed(attempt: number, nowMs: number): void {
    if (attempt === 1) this.#budget.firstAttempt(nowMs);
  }

  /**
   * A router takes over: whose retry was due meanwhile is in line before anybody's time is looked at. The clock of the one before it may
   * have been ahead: nobody waits for a retry longer than a delay can be.
   */
  takenOver(nowMs: number): void {
    const longestMs = longestDelayMs(this.#settings);
    for (const requestId of this.#state.requests.keys()) {
      const retry = this.#state.retryOf(requestId);
      if (retry && retry.retryAtMs > nowMs + longestMs) this.#dueRetries.append(requestId);
    }
    this.tick(nowMs);
  }

  /** Retries that are due but for the budget. */
  get heldBack(): number {
    return this.#dueRetries.size;
  }

  /** Puts those back in line whose retry is due, as far as the budget goes. */
  tick(nowMs: number): void {
    const { retries } = this.#state;
    for (const requestId of retries.advance(nowMs)) this.#dueRetries.append(requestId);
    for (let first = this.#dueRetries.head; first; first = this.#dueRetries.head) {
      // Cancelled meanwhile, or timed out.
      const stale = this.#state.retryOf(first.value) === null;
      if (!stale && !this.#budget.take(nowMs)) return;
      this.#dueRetries.remove(first);
      if (!stale) this.#state.retryDue(first.value);
    }
  }

  /** An attempt did not begin, or gave no sign of life, in its time. `asked`: the request brought that time itself. */
  overdue(request: Request, error: RequestError, asked: boolean, nowMs: number, step: Step): void {
    const { requestId, idempotent } = request.spec;
    // It is about to go back in line anyway.
    if (this.#preemption.isStopping({ requestId, attempt: request.attempt })) return;
    this.tellToStop(request, step);
    if (!asked) this.#blame(request, error.code, nowMs);
    if (idempotent) this.over(request, "overdue", error, null, nowMs, step);
    else this.awaitStop(request, error);
  }

  /** The present attempt has begun to give output. */
  gaveOutput(request: Request): void {
    this.#withOutput.add(request.spec.requestId);
  }

  hasOutput(requestId: RequestId): boolean {
    return this.#withOutput.has(requestId);
  }

  /** An attempt that must not run twice was told to stop, and why; its agent says when it has. */
  awaitStop({ spec, attempt }: Request, error: RequestError): void {
    this.#overdue.set(spec.requestId, { attempt, error });
  }

  /** Whether an attempt is to stop to go elsewhere. */
  isOverdue({ requestId, attempt }: AttemptRef): boolean {
    return this.#overdue.get(requestId)?.attempt === attempt;
  }

  /** A request that nothing was promised to any more has been placed. */
  placedLate(requestId: RequestId): void {
    this.#placedLate.add(requestId);
  }

  /** The request when `ref` is its live attempt and runs on `nodeId`; null for everything superseded, ended or foreign. */
  present(nodeId: NodeId, ref: AttemptRef): Request | null {
    const request = this.#state.requests.get(ref.requestId);
    return request && request.phase !== "queued" && request.attempt === ref.attempt && request.nodeId === nodeId ? request : null;
  }

  /** Has the agent stop the live attempt of a request; its end is still told. */
  tellToStop({ spec: { requestId }, attempt, nodeId }: Request, step: Step): void {
    step.effects.push({ kind: "cancel_attempt", nodeId: nodeId as NodeId, ref: { requestId, attempt } });
  }

  /** Stops and forgets an attempt that is no longer wanted. */
  refuse(nodeId: NodeId, ref: AttemptRef, step: Step): void {
    step.effects.push({ kind: "cancel_attempt", nodeId, ref }, { kind: "acknowledge", nodeId, ref });
  }

  /** An agent tells the end of an attempt. */
  ended(nodeId: NodeId, ref: AttemptRef, end: AttemptEnd, nowMs: number, step: Step): void {
    const request = this.present(nodeId, ref);
    if (!request) {
      this.lateResults += 1;
      step.effects.push({ kind: "acknowledge", nodeId, ref });
      return;
    }
    // An end without a start: the start was lost with a stream. The facts need both.
    if (request.phase === "placed" && end.outcome === "succeeded") {
      emit(this.#state, { kind: "started", requestId: ref.requestId, attempt: ref.attempt, atMs: nowMs }, step);
    }
    if (end.outcome === "succeeded" || end.outcome === "unavailable") this.#learn(request, end, nowMs);
    const preempted = end.outcome === "cancelled" && this.#preemption.isStopping(ref);
    const overdue = this.#overdue.get(ref.requestId);
    if (end.outcome === "cancelled" && overdue) this.over(request, "overdue", overdue.error, end, nowMs, step);
    else if (preempted) this.over(request, "preempted", this.#preemption.orderOf(ref), end, nowMs, step);
    else this.over(request, end.outcome, end.error, end, nowMs, step);
    step.effects.push({ kind: "acknowledge", nodeId, ref });
  }

  #learn(request: Request, end: AttemptEnd, nowMs: number): void {
    const { fleet } = this.#state;
    const gpus = this.#indexesOf(request);
    const fault = end.outcome === "unavailable";
    if (!fault || end.fault !== "none") {
      const kind = !fault ? "succeeded" : end.fault === "gpu" ? "gpu_fault" : "fault";
      // The code alone: everybody who sees GPUs sees their evidence, and what an attempt said is its user's.
      const text = end.error?.code.slice(0, MAX_CODE_CHARS) ?? "";
      this.#health.ended(gpus, { modelId: request.spec.modelId, kind, text, ratio: this.#slowness(request, gpus, end.statistics) }, nowMs);
    }
    if (fault || !end.statistics || !isMeasured(end.statistics)) return;
    this.#settle(request, end.statistics);
    const speed = this.#estimator.learn(request.spec, end.statistics, request.decision?.estimate.durationMs);
    if (speed >= 0) for (const gpu of gpus) fleet.learnSpeed(gpu, speed);
  }

  /** It was too slow for the times of the configuration. */
  #blame(request: Request, code: string, nowMs: number): void {
    this.#health.ended(this.#indexesOf(request), { modelId: request.spec.modelId, kind: "fault", text: code, ratio: 0 }, nowMs);
  }

  /** Time that it took over what was expected, of its GPU's kind or of work like it; 0 when nothing can be said. */
  #slowness({ decision }: Request, gpus: readonly number[], statistics: RunStatistics | null): number {
    if (!decision || !statistics || !isMeasured(statistics)) return 0;
    const { estimate } = decision;
    return estimate.outputTokens === undefined ? statistics.runMs / Math.max(1, estimate.durationMs) : this.#state.fleet.work.drag[gpus[0]!]!;
  }

  #indexesOf(request: Request): readonly number[] {
    return gpusOf(request).map((gpuId) => this.#state.fleet.indexOf(gpuId));
  }

  /** The user's share is charged what it really took. */
  #settle(request: Request, { inputTokens, outputTokens, runMs }: RunStatistics): void {
    const { spec, decision } = request;
    if (!decision) return;
    // Time on a GPU that is shared says nothing of its share of it.
    if (inputTokens + outputTokens === 0 && (decision.estimate.inputTokens ?? 0) + (decision.estimate.outputTokens ?? 0) > 0) return;
    const { work } = this.#state.fleet;
    const gpus = this.#indexesOf(request);
    const actually = gpuTimeMs(work, gpus, spec.modelId, { durationMs: runMs, inputTokens, outputTokens });
    this.#state.queue.settle(spec, this.#placedLate.has(spec.requestId), actually - gpuTimeMs(work, gpus, spec.modelId, decision.estimate));
  }

  /** An attempt is over: its request ends, or goes back in line. */
  over(request: Request, fate: AttemptFate, error: RequestError | null, end: AttemptEnd | null, nowMs: number, step: Step): void {
    if (fate === "succeeded" || fate === "unavailable" || fate === "lost") {
      for (const gpu of this.#indexesOf(request)) this.#state.fleet.outcomes.ended(gpu, nowMs - request.placedAtMs, fate !== "succeeded", nowMs);
    }
    const jitter = seededRandom(seedOf(request.spec.requestId, request.attempt))();
    const next = nextStep(request, fate, error, this.#settings, jitter);
    if (next.kind === "end") {
      this.end(request, next, end, nowMs, step);
      return;
    }
    const { requestId } = request.spec;
    const { attempt } = request;
    this.#forget(requestId);
    if (this.#withOutput.delete(requestId)) step.effects.push({ kind: "output_void", requestId, attempt, reason: next.reason });
    // One that has to wait for the budget waits like any other.
    const delayMs = next.budgeted && next.delayMs === 0 && !this.#budget.take(nowMs) ? 1 : next.delayMs;
    emit(
      this.#state,
      {
        kind: "attempt_failed",
        requestId,
        attempt,
        reason: next.reason,
        ...(fate === "preempted" && { preempted: true }),
        retryAtMs: nowMs + delayMs,
        estimate: this.#estimator.estimate(request.spec),
        atMs: nowMs,
      },
      step,
    );
    step.effects.push({ kind: "changed", requestId });
  }

  /** The request is over. */
  end(request: Request, how: Extract<NextStep, { kind: "end" }>, end: AttemptEnd | null, nowMs: number, step: Step): void {
    this.#forget(request.spec.requestId);
    this.#withOutput.delete(request.spec.requestId);
    const result = end?.result ?? new Uint8Array();
    emit(
      this.#state,
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

  /** What was noted of the live attempt of a request. */
  #forget(requestId: RequestId): void {
    this.#placedLate.delete(requestId);
    this.#overdue.delete(requestId);
    this.#preemption.ended(requestId);
  }
}

/** Whether an agent's figures can be calculated with: one that is no number would make all that is learned of it none. */
function isMeasured({ runMs, firstOutputMs, peakMemoryMib }: RunStatistics): boolean {
  return [runMs, firstOutputMs, peakMemoryMib].every((value) => value >= 0 && value < Number.POSITIVE_INFINITY);
}
