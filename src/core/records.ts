// The facts. State is the fold of these records and nothing else: live running, recovery and replay all use `apply`.
// A record that was written once must be readable for ever: fields are added, never changed in meaning.
import { assert, unreachable } from "../lib/assert.js";
import { callbacksOf, isTold } from "./callbacks.js";
import type { Step } from "./events.js";
import type { Decision, ResourceEstimate } from "./model/decision.js";
import type { Caller } from "./model/caller.js";
import type { GpuInventory } from "./model/gpu.js";
import type { GpuId, NodeId, RequestId } from "./model/ids.js";
import type { QuotaEntry } from "./model/quota.js";
import type { GpuRestart, MaintenanceTarget, RestartState } from "./model/maintenance.js";
import { gpusOf, type Request, type RequestError, type RequestSpec, type ResultInfo, type RunStatistics, type StopWish } from "./model/request.js";
import type { State } from "./state.js";

export type Record =
  /** A router took over. Attempts are fenced by the epoch of the stream that carries them. */
  | { readonly kind: "epoch_started"; readonly epoch: number; readonly atMs: number }
  | { readonly kind: "gpu_registered"; readonly index: number; readonly nodeId: NodeId; readonly inventory: GpuInventory }
  /** It was gone for long and is forgotten; its index stays empty. Should it come back it is a new one. */
  | { readonly kind: "gpu_retired"; readonly index: number; readonly atMs: number }
  | {
      readonly kind: "accepted";
      readonly spec: RequestSpec;
      readonly atMs: number;
      /** Place in the order of acceptance. */
      readonly sequence: number;
      readonly deadlineAtMs: number;
      readonly estimate: ResourceEstimate;
    }
  | {
      readonly kind: "placed";
      readonly requestId: RequestId;
      readonly attempt: number;
      readonly gpuId: GpuId;
      /** All of them when it runs on several, `gpuId` first. */
      readonly gpuIds?: readonly GpuId[];
      readonly atMs: number;
      /** On each GPU. */
      readonly memoryMib: number;
      readonly decision: Decision;
    }
  | { readonly kind: "started"; readonly requestId: RequestId; readonly attempt: number; readonly atMs: number }
  /** Its first sign of life; only where something hangs on it. */
  | { readonly kind: "answered"; readonly requestId: RequestId; readonly attempt: number; readonly atMs: number }
  | { readonly kind: "stop_requested"; readonly requestId: RequestId; readonly stop: StopWish }
  /** An attempt ended and the request goes on: back to the queue at `retryAtMs`. */
  | {
      readonly kind: "attempt_failed";
      readonly requestId: RequestId;
      readonly attempt: number;
      readonly reason: string;
      /** It was stopped for more urgent work: no fault of anybody, and no retry is used up. */
      readonly preempted?: true;
      readonly retryAtMs: number;
      readonly estimate: ResourceEstimate;
      readonly atMs: number;
    }
  | {
      readonly kind: "ended";
      readonly requestId: RequestId;
      readonly phase: "completed" | "failed" | "cancelled";
      readonly atMs: number;
      readonly error: RequestError | null;
      readonly result: ResultInfo | null;
      readonly statistics: RunStatistics | null;
    }
  /** What a user or team may have, from now on; an empty override means as by default. */
  | { readonly kind: "quota_set"; readonly entry: QuotaEntry }
  /** An operator took a target out of service, or put it back. */
  | {
      readonly kind: "maintenance_set";
      readonly target: MaintenanceTarget;
      readonly on: boolean;
      readonly reason: string;
      readonly by: Caller;
      /** When it should be over; 0 when unknown. */
      readonly untilMs: number;
      /** When work that still runs there is stopped; 0 for never. */
      readonly drainByMs: number;
      readonly atMs: number;
    }
  /** Again for the same restart when it is hurried. */
  | {
      readonly kind: "gpu_restart_requested";
      readonly restartId: string;
      readonly gpuId: GpuId;
      readonly force: boolean;
      readonly reason: string;
      readonly by: Caller;
      readonly drainByMs: number;
      readonly atMs: number;
    }
  /** Its agent is told; durable before it is, so that no other process of the agent is told again. */
  | { readonly kind: "gpu_restart_ordered"; readonly restartId: string; readonly gpuId: GpuId; readonly instanceId: string; readonly atMs: number }
  | {
      readonly kind: "gpu_restart_ended";
      readonly restartId: string;
      readonly gpuId: GpuId;
      readonly state: RestartState;
      readonly message: string;
      readonly atMs: number;
    }
  /** A digest of the state after the record before it; replay checks it. */
  | { readonly kind: "state_digest"; readonly digest: number };

/** An agent that does not confirm a stop within this time is not waited for any longer. */
export const STOP_GRACE_MS = 30_000;

/** Folds one record in. Throws when the record contradicts the state: a broken journal must not be run from. */
export function apply(state: State, record: Record): void {
  switch (record.kind) {
    case "epoch_started":
      assert(record.epoch > state.epoch, "epochs only grow");
      state.epoch = record.epoch;
      return;
    case "gpu_registered":
      state.fleet.register(record.index, record.nodeId, record.inventory);
      state.maintenance.cover(record.index);
      return;
    case "gpu_retired":
      state.fleet.retire(record.index);
      return;
    case "accepted":
      applyAccepted(state, record);
      return;
    case "placed":
      applyPlaced(state, record);
      return;
    case "started": {
      const request = live(state, record.requestId);
      assert(request.phase === "placed" && request.attempt === record.attempt, "only a placed attempt starts");
      request.phase = "running";
      request.startedAtMs = record.atMs;
      state.started(request);
      return;
    }
    case "answered": {
      const request = live(state, record.requestId);
      assert(request.phase !== "queued" && request.attempt === record.attempt, "only the present attempt answers");
      request.answeredAtMs = record.atMs;
      return;
    }
    case "stop_requested":
      live(state, record.requestId).stop = record.stop;
      state.deadlines.schedule(record.requestId, record.stop.atMs + STOP_GRACE_MS);
      return;
    case "attempt_failed": {
      const request = live(state, record.requestId);
      assert(request.phase !== "queued" && request.attempt === record.attempt, "only the present attempt fails");
      state.batches.backInLine(request.spec, state.heldBy(request));
      state.release(request, record.atMs, null);
      if (request.phase === "running") request.begun = true;
      request.phase = "queued";
      request.waitingSinceMs = record.atMs;
      delete request.answeredAtMs;
      request.startedAtMs = 0;
      request.progress = 0;
      const avoidGpuId = record.preempted ? "" : request.gpuId;
      if (record.preempted) request.preemptions = (request.preemptions ?? 0) + 1;
      request.gpuId = "";
      delete request.gpuIds;
      request.nodeId = "";
      state.waitAgain(request, record.estimate, avoidGpuId, record.retryAtMs, record.atMs);
      return;
    }
    case "ended": {
      const request = live(state, record.requestId);
      state.batches.ended(request.spec, state.heldBy(request));
      state.release(request, record.atMs, record.phase === "completed" ? record.statistics : null);
      state.leaveQueue(record.requestId);
      if (request.attempt === 0) state.quotas.leaves(request.spec);
      request.phase = record.phase;
      request.endedAtMs = record.atMs;
      request.error = record.error;
      request.result = record.result;
      request.statistics = record.statistics;
      if (record.phase === "completed") request.progress = 1;
      state.requests.delete(record.requestId);
      state.deadlines.cancel(record.requestId, request.deadlineAtMs);
      if (request.stop) state.deadlines.cancel(record.requestId, request.stop.atMs + STOP_GRACE_MS);
      state.endedCount += 1;
      state.quotas.ended(request);
      return;
    }
    case "quota_set":
      state.quotas.set(record.entry);
      for (const [userId] of state.queue.heldHeads()) state.queue.letGo(userId);
      return;
    case "maintenance_set": {
      const { target, reason, by, untilMs, drainByMs, atMs } = record;
      if (record.on) state.maintenance.setWindow({ target, reason, by, sinceMs: atMs, untilMs, drainByMs });
      else state.maintenance.endWindow(target);
      return;
    }
    case "gpu_restart_requested": {
      const { restartId, gpuId, force, reason, by, drainByMs, atMs } = record;
      const before = state.maintenance.restart(restartId);
      const requestedAtMs = before?.requestedAtMs ?? atMs;
      state.maintenance.setRestart({ restartId, gpuId, force, reason, by, drainByMs, requestedAtMs, state: "draining", instanceId: "", message: "", endedAtMs: 0 });
      return;
    }
    case "gpu_restart_ordered":
      state.maintenance.setRestart({ ...knownRestart(state, record.restartId), state: "ordered", instanceId: record.instanceId });
      return;
    case "gpu_restart_ended":
      state.maintenance.setRestart({ ...knownRestart(state, record.restartId), state: record.state, message: record.message, endedAtMs: record.atMs });
      return;
    case "state_digest":
      assert(record.digest === state.digest(), "the state differs from the one that was recorded: the journal or this version is broken");
      return;
    default:
      unreachable(record);
  }
}

/** A new fact: folded in and added to the step, with what its request's caller is to be told. */
export function emit(state: State, record: Record, step: Step): void {
  const request = isTold(record) ? state.requests.get(record.requestId) : undefined;
  const told = request !== undefined && request.spec.callbackUrl !== "";
  const left = told ? gpusOf(request) : [];
  apply(state, record);
  step.records.push(record);
  if (told && isTold(record)) step.callbacks.push(...callbacksOf(record, request, left));
}

function knownRestart(state: State, restartId: string): GpuRestart {
  const restart = state.maintenance.restart(restartId);
  assert(restart !== null, `restart ${restartId} is known`);
  return restart;
}

function applyAccepted(state: State, record: Extract<Record, { kind: "accepted" }>): void {
  const { spec } = record;
  assert(!state.requests.has(spec.requestId), "a request is accepted once");
  const request: Request = {
    spec,
    sequence: record.sequence,
    acceptedAtMs: record.atMs,
    deadlineAtMs: record.deadlineAtMs,
    phase: "queued",
    attempt: 0,
    gpuId: "",
    nodeId: "",
    placedAtMs: 0,
    startedAtMs: 0,
    endedAtMs: 0,
    progress: 0,
    stop: null,
    error: null,
    result: null,
    statistics: null,
    decision: null,
  };
  state.requests.set(spec.requestId, request);
  state.nextSequence = record.sequence + 1;
  if (record.deadlineAtMs > 0) state.deadlines.schedule(spec.requestId, record.deadlineAtMs);
  state.quotas.accepted(spec, record.atMs);
  state.batches.accepted(spec);
  state.wait(request, record.estimate);
}

function applyPlaced(state: State, record: Extract<Record, { kind: "placed" }>): void {
  const request = live(state, record.requestId);
  assert(request.phase === "queued" && record.attempt === request.attempt + 1, "only a waiting request is placed");
  const gpus = gpusOf(record).map((gpuId) => state.fleet.indexOf(gpuId));
  assert(!gpus.includes(-1), "a request is placed on known GPUs");
  state.leaveQueue(record.requestId);
  if (record.attempt === 1) state.quotas.leaves(request.spec);
  request.phase = "placed";
  request.attempt = record.attempt;
  request.gpuId = record.gpuId;
  if (record.gpuIds) request.gpuIds = record.gpuIds;
  request.nodeId = state.fleet.nodeOf[gpus[0]!]!.nodeId;
  request.placedAtMs = record.atMs;
  request.startedAtMs = 0;
  request.decision = record.decision;
  state.batches.placed(request.spec, gpus);
  state.hold(request, gpus, record.memoryMib, record.decision.estimate, record.atMs);
}

function live(state: State, requestId: RequestId): Request {
  const request = state.requests.get(requestId);
  assert(request !== undefined, `request ${requestId} is live`);
  return request;
}
