// From the model's GPUs to messages. Called by `router-service.ts` for every GPU of every snapshot.
import { create } from "@bufbuild/protobuf";
import { GpuHealthState, GpuSchema, GpuState, HealthStatus, type Gpu } from "../../../gen/gpurouter/v1/gpu_pb.js";
import { GpuStatusResponseSchema, WatchGpusResponseSchema, type GpuStatusResponse, type WatchGpusResponse } from "../../../gen/gpurouter/v1/router_pb.js";
import type { GpuHealthState as ModelHealthState, GpuHealthView, GpuState as ModelGpuState, GpuTelemetry, GpuView, HealthStatus as ModelHealthStatus, RunnerLoad } from "../../core/model/gpu.js";
import type { EstimateAccuracy } from "../../core/model/decision.js";
import { computeCapabilityText } from "../../core/model/request.js";
import type { GpuChanges } from "../router-port.js";
import { known, timestamp, uint32, uint64 } from "./scalars.js";

const STATES: Readonly<Record<ModelGpuState, GpuState>> = {
  active: GpuState.ACTIVE,
  suspect: GpuState.SUSPECT,
  inactive: GpuState.INACTIVE,
  maintenance: GpuState.MAINTENANCE,
  draining: GpuState.DRAINING,
  error: GpuState.ERROR,
};

const HEALTH: Readonly<Record<ModelHealthStatus, HealthStatus>> = {
  healthy: HealthStatus.HEALTHY,
  warning: HealthStatus.WARNING,
  critical: HealthStatus.CRITICAL,
};

const HEALTH_STATES: Readonly<Record<ModelHealthState, GpuHealthState>> = {
  healthy: GpuHealthState.HEALTHY,
  degraded: GpuHealthState.DEGRADED,
  draining: GpuHealthState.DRAINING,
  quarantined: GpuHealthState.QUARANTINED,
  probation: GpuHealthState.PROBATION,
};

/** The fleet at `nowMs` (UTC). */
export function gpuStatusResponse(gpus: readonly GpuView[], nowMs: number, estimates: readonly EstimateAccuracy[] = []): GpuStatusResponse {
  return create(GpuStatusResponseSchema, { time: timestamp(nowMs), gpus: gpus.map(gpu), estimates: estimates.map((kind) => ({ ...kind, outcomes: uint64(kind.outcomes) })) });
}

/** One message of WatchGpus. */
export function watchGpusResponse(changes: GpuChanges): WatchGpusResponse {
  return create(WatchGpusResponseSchema, {
    sequence: uint64(changes.sequence),
    snapshot: changes.snapshot,
    gpus: changes.gpus.map(gpu),
    removedGpuIds: [...(changes.removed ?? [])],
    resumeToken: changes.resumeToken,
    time: timestamp(changes.atMs),
  });
}

/** One GPU. What its device cannot say is left out where the contract can leave out, and 0 elsewhere. */
export function gpu(view: GpuView): Gpu {
  const { inventory, telemetry } = view;
  return create(GpuSchema, {
    gpuId: inventory.gpuId,
    index: uint32(view.index),
    nodeId: view.nodeId,
    name: inventory.name,
    computeCapability: computeCapabilityText(inventory.computeCapability),
    state: STATES[view.state],
    stateReason: view.stateReason,
    maintenanceUntil: timestamp(view.maintenanceUntilMs ?? 0),
    health: HEALTH[view.health],
    ...healthDetails(view.healthDetails),
    memory: {
      totalMib: uint32(inventory.memoryTotalMib),
      usedMib: uint32(telemetry?.memoryUsedMib ?? 0),
      freeMib: uint32(telemetry?.memoryFreeMib ?? 0),
      reservedMib: uint32(view.memoryReservedMib),
    },
    ...(telemetry && measured(telemetry, inventory.powerLimitWatts)),
    ...(view.telemetryAgeMs >= 0 && { telemetryAgeMs: uint64(view.telemetryAgeMs) }),
    performanceIndex: view.performanceIndex,
    errorRate: view.errorRate,
    activeRequests: uint32(view.activeRequests),
    exclusive: view.exclusive,
    queuedRequests: uint32(view.queuedRequests),
    simulated: inventory.simulated,
    models: [...view.models],
    parentGpuId: inventory.parentGpuId,
    multiprocessorCount: uint32(inventory.multiprocessorCount),
    engineLoads: view.engineLoads.map(engineLoad),
  });
}

function healthDetails({ state, sinceMs, untilMs, signs, history }: GpuHealthView) {
  return {
    healthState: HEALTH_STATES[state],
    healthSince: timestamp(sinceMs),
    healthSigns: [...signs],
    healthHistory: history.map(({ atMs, from, to, reason }) => ({ time: timestamp(atMs), from: HEALTH_STATES[from], to: HEALTH_STATES[to], reason })),
    ...(untilMs > 0 && untilMs < Number.POSITIVE_INFINITY && { quarantinedUntil: timestamp(untilMs) }),
  };
}

function engineLoad({ runner, running, waiting, kvUse, prefixHitRatio, ageMs }: RunnerLoad) {
  return {
    runner,
    running: uint32(running),
    waiting: uint32(waiting),
    ...(kvUse !== undefined && { kvUse }),
    ...(prefixHitRatio !== undefined && { prefixHitRatio }),
    ageMs: uint64(ageMs),
  };
}

function measured(sample: GpuTelemetry, inventoryLimitWatts: number) {
  const gpuPercent = sample.gpuUtilizationPercent;
  const memoryPercent = sample.memoryUtilizationPercent;
  return {
    ...(!(Number.isNaN(gpuPercent) && Number.isNaN(memoryPercent)) && {
      utilization: { ...(!Number.isNaN(gpuPercent) && { gpuPercent }), ...(!Number.isNaN(memoryPercent) && { memoryPercent }) },
    }),
    ...(!Number.isNaN(sample.powerUsageWatts) && {
      power: { usageWatts: sample.powerUsageWatts, limitWatts: known(sample.powerLimitWatts) || inventoryLimitWatts },
    }),
    ...(!Number.isNaN(sample.temperatureCelsius) && { temperatureCelsius: sample.temperatureCelsius }),
    uptimeSeconds: uint64(sample.uptimeSeconds),
    clockEventReasons: uint64(sample.clockEventReasons),
  };
}
