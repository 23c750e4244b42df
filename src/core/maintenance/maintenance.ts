// What maintenance and restarts mean for work and agents: drains, stops at the deadline, orders. Called by the engine. What is set is kept
// in maintenance-book.ts; the filter `maintenance` keeps new work away.
import type { Event, Step } from "../events.js";
import type { Attempts } from "../failover/attempts.js";
import type { FleetHealth } from "../health/fleet-health.js";
import type { GpuId, NodeId } from "../model/ids.js";
import type { GpuRestart, MaintenanceTarget, RestartRefusal, RestartState } from "../model/maintenance.js";
import { gpusOf, wishesOf, type Request, type RequestError } from "../model/request.js";
import type { Preemption } from "../placement/preemption.js";
import { emit, STOP_GRACE_MS } from "../records.js";
import type { CoreSettings } from "../settings.js";
import type { State } from "../state.js";

export class Maintenance {
  readonly #state: State;
  readonly #attempts: Attempts;
  readonly #preemption: Preemption;
  readonly #health: FleetHealth;
  /** Connected nodes whose agents have a command for restarts. */
  readonly #restarting = new Set<NodeId>();
  /** Restarts that were ordered of a process which another has replaced: when the first has certainly begun none any more, ms. */
  readonly #fences = new Map<string, number>();
  readonly #fencedAfterMs: number;

  constructor(state: State, settings: CoreSettings, attempts: Attempts, preemption: Preemption, health: FleetHealth) {
    this.#state = state;
    this.#fencedAfterMs = settings.fencedAfterMs;
    this.#attempts = attempts;
    this.#preemption = preemption;
    this.#health = health;
  }

  set(event: Extract<Event, { kind: "set_maintenance" }>, nowMs: number, step: Step): void {
    const { target, on, reason, by, untilMs, drainByMs } = event;
    const { maintenance } = this.#state;
    if (maintenance.gpusOf(target).length === 0 && !maintenance.window(target)) return;
    if (!on && target.kind === "gpu") this.#withdraw(target.gpuId, `Put back into service by ${by.name}.`, nowMs, step);
    if (!on && !maintenance.window(target)) return;
    emit(this.#state, { kind: "maintenance_set", target, on, reason, by, untilMs, drainByMs, atMs: nowMs }, step);
    this.#drain(nowMs, step);
  }

  /** Null when it may be. */
  refusal(gpuId: GpuId, force: boolean): RestartRefusal | null {
    const { fleet, maintenance } = this.#state;
    const gpu = maintenance.gpusOf({ kind: "gpu", gpuId })[0];
    if (gpu === undefined) return { kind: "unknown_gpu" };
    const { parentGpuId } = fleet.inventory[gpu]!;
    if (parentGpuId !== "" && parentGpuId !== gpuId) return { kind: "mig_instance", parentGpuId };
    const { nodeId, connected } = fleet.nodeOf[gpu]!;
    if (!connected) return { kind: "node_away", nodeId };
    if (this.#health.isAbsent(gpu)) return { kind: "absent", nodeId };
    if (!this.#restarting.has(nodeId)) return { kind: "no_command", nodeId };
    const restart = maintenance.restartOf(gpuId);
    // One that waits may be hurried.
    return restart && !(restart.state === "draining" && force && !restart.force) ? { kind: "under_way", restart } : null;
  }

  restart({ gpuId, force, reason, by, drainByMs }: Extract<Event, { kind: "restart_gpu" }>, nowMs: number, step: Step): void {
    if (this.refusal(gpuId, force)) return;
    const restartId = this.#state.maintenance.restartOf(gpuId)?.restartId ?? `${nowMs}-${gpuId}`;
    emit(this.#state, { kind: "gpu_restart_requested", restartId, gpuId, force, reason, by, drainByMs: force ? nowMs : drainByMs, atMs: nowMs }, step);
    this.#drain(nowMs, step);
  }

  /** An agent tells how a restart went; what is not awaited is known already. */
  restarted({ nodeId, restartId, outcome, message }: Extract<Event, { kind: "gpu_restarted" }>, nowMs: number, step: Step): void {
    const restart = this.#state.maintenance.restart(restartId);
    if (!restart || restart.state !== "ordered" || this.#nodeOf(restart)?.nodeId !== nodeId) return;
    this.#end(restart, outcome, message, nowMs, step);
  }

  /** A node said hello. */
  connected({ nodeId, instanceId, restartsGpus = false }: Extract<Event, { kind: "node_connected" }>, nowMs: number, step: Step): void {
    if (restartsGpus) this.#restarting.add(nodeId);
    else this.#restarting.delete(nodeId);
    const { maintenance } = this.#state;
    if (maintenance.empty) return;
    for (const restart of maintenance.restarts) {
      if (restart.state !== "ordered" || this.#nodeOf(restart)?.nodeId !== nodeId) continue;
      const { restartId } = restart;
      if (restart.instanceId !== instanceId) {
        // It may come of the restart itself: never again. The one before may still be about to begin the command, until its lease is out.
        if (!this.#fences.has(restartId)) this.#fences.set(restartId, nowMs + this.#fencedAfterMs);
        continue;
      }
      // The same process may not have got the order; it knows the id if it has.
      this.#fences.delete(restartId);
      this.#order(nodeId, instanceId, restart, step);
    }
    this.#drain(nowMs, step);
  }

  tick(nowMs: number, step: Step): void {
    const { maintenance } = this.#state;
    for (const [restartId, fencedAtMs] of this.#fences) {
      const restart = maintenance.restart(restartId);
      if (restart?.state !== "ordered") this.#fences.delete(restartId);
      else if (fencedAtMs <= nowMs) this.#end(restart, "agent_restarted", "The agent's process was replaced before it told how the command went.", nowMs, step);
    }
    if (!maintenance.empty) this.#drain(nowMs, step);
  }

  /** Stops what may run no longer, and orders the restarts of GPUs that are empty. */
  #drain(nowMs: number, step: Step): void {
    const { maintenance, fleet } = this.#state;
    for (const { target, drainByMs, reason } of maintenance.windows) {
      if (drainByMs > 0 && drainByMs <= nowMs) this.#clear(target, orderOf("maintenance", "Its GPU was taken out of service", reason), nowMs, step);
    }
    for (const restart of maintenance.restarts) {
      if (restart.state !== "draining") continue;
      const target: MaintenanceTarget = { kind: "gpu", gpuId: restart.gpuId };
      const due = restart.drainByMs > 0 && restart.drainByMs <= nowMs;
      if (due) this.#clear(target, orderOf("gpu_restart", "Its GPU is to be restarted", restart.reason), nowMs, step);
      const busy = maintenance.gpusOf(target).some((gpu) => fleet.active[gpu]! > 0);
      // An agent that does not stop its work in time is not waited for when force was asked for: the restart ends that work.
      const overdue = restart.force && restart.drainByMs + STOP_GRACE_MS <= nowMs;
      const node = this.#nodeOf(restart);
      if (!node?.connected || (busy && !overdue)) continue;
      const { restartId, gpuId } = restart;
      emit(this.#state, { kind: "gpu_restart_ordered", restartId, gpuId, instanceId: node.instanceId, atMs: nowMs }, step);
      this.#order(node.nodeId, node.instanceId, restart, step);
    }
  }

  #nodeOf({ gpuId }: GpuRestart) {
    const { fleet, maintenance } = this.#state;
    const gpu = maintenance.gpusOf({ kind: "gpu", gpuId })[0];
    return gpu === undefined ? null : fleet.nodeOf[gpu]!;
  }

  #order(nodeId: NodeId, instanceId: string, { restartId, gpuId }: GpuRestart, step: Step): void {
    step.effects.push({ kind: "restart_gpu", nodeId, instanceId, restartId, gpuId });
  }

  #withdraw(gpuId: GpuId, message: string, nowMs: number, step: Step): void {
    const restart = this.#state.maintenance.restartOf(gpuId);
    if (restart?.state === "draining") this.#end(restart, "withdrawn", message, nowMs, step);
  }

  #end({ restartId, gpuId }: GpuRestart, state: RestartState, message: string, nowMs: number, step: Step): void {
    const { maintenance } = this.#state;
    this.#fences.delete(restartId);
    emit(this.#state, { kind: "gpu_restart_ended", restartId, gpuId, state, message, atMs: nowMs }, step);
    if (state !== "succeeded") return;
    // One that has gone missing meanwhile comes back when its node reports it, and not before.
    for (const gpu of maintenance.gpusOf({ kind: "gpu", gpuId })) if (!this.#health.isAbsent(gpu)) this.#health.restarted(gpu, "restarted by an operator", nowMs, nowMs);
  }

  /** Ends the attempts on a target: idempotent ones begin elsewhere at once, the others when their agent says that they have stopped. */
  #clear(target: MaintenanceTarget, why: RequestError, nowMs: number, step: Step): void {
    const { fleet, maintenance } = this.#state;
    const gpus = maintenance.gpusOf(target).filter((gpu) => fleet.active[gpu]! > 0);
    for (const nodeId of new Set(gpus.map((gpu) => fleet.nodeOf[gpu]!.nodeId))) {
      const gpuIds = new Set(gpus.map((gpu) => fleet.inventory[gpu]!.gpuId));
      for (const request of this.#state.onNode(nodeId)) if (gpusOf(request).some((gpuId) => gpuIds.has(gpuId))) this.#stop(request, why, nowMs, step);
    }
  }

  #stop(request: Request, why: RequestError, nowMs: number, step: Step): void {
    const { spec, attempt } = request;
    const ref = { requestId: spec.requestId, attempt };
    if (request.stop || this.#preemption.isStopping(ref) || this.#attempts.isOverdue(ref)) return;
    this.#attempts.tellToStop(request, step);
    if (spec.idempotent) this.#attempts.over(request, "preempted", why, null, nowMs, step);
    else if (wishesOf(spec).preemptible) this.#preemption.told(ref, why);
    else this.#attempts.awaitStop(request, why);
  }
}

/** Why an attempt was stopped, with what the operator gave as his reason. */
function orderOf(code: string, what: string, reason: string): RequestError {
  return { code, message: reason === "" ? `${what}.` : `${what}: ${reason}` };
}
