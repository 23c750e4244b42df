// Between the agent protocol's messages and the core's words, both ways.
import { create } from "@bufbuild/protobuf";
import {
  AttemptOutcome as ProtoOutcome,
  AttemptRefSchema,
  DispatchSchema,
  FaultOwner,
  ModelAction,
  ModelOrderSchema,
  RestartOrderSchema,
  RestartOutcome as ProtoRestartOutcome,
  type AgentHello,
  type AttemptEnded,
  type AttemptRef as ProtoRef,
  type Dispatch,
  type GpuEvent,
  type GpuInfo,
  type GpuTelemetry as ProtoTelemetry,
  type LoadableModel as ProtoLoadable,
  type ModelOrder as ProtoOrder,
  type RestartOrder,
  type RestartReport,
  type RunnerInfo as ProtoRunner,
  type RunnerList,
  type RunnerLoad as ProtoLoad,
} from "../../gen/gpurouter/v1/agent_pb.js";
import { ResourceRequirementsSchema, type ResourceRequirements } from "../../gen/gpurouter/v1/router_pb.js";
import type { AttemptEnd, AttemptOutcome, Effect, Event } from "../core/events.js";
import type { GpuInventory, GpuTelemetry, LoadableModel, ModelOrder, RunnerInfo, RunnerLoad } from "../core/model/gpu.js";
import type { RestartOutcome } from "../core/model/maintenance.js";
import type { AttemptRef, GpuId, ModelId, NodeId, RequestId } from "../core/model/ids.js";
import { computeCapability, computeCapabilityText, wishesOf, type Requirements } from "../core/model/request.js";

/** Of what a command said, this much is recorded, characters. */
const MAX_RESTART_MESSAGE = 2_048;

const OUTCOMES: Readonly<{ [outcome in ProtoOutcome]: AttemptOutcome }> = {
  // An agent that does not say how it went has failed to run it.
  [ProtoOutcome.UNSPECIFIED]: "unavailable",
  [ProtoOutcome.SUCCEEDED]: "succeeded",
  [ProtoOutcome.FAILED]: "failed",
  [ProtoOutcome.UNAVAILABLE]: "unavailable",
  [ProtoOutcome.CANCELLED]: "cancelled",
  [ProtoOutcome.FENCED]: "fenced",
};

export function refOf(ref: ProtoRef): AttemptRef {
  return { requestId: ref.requestId as RequestId, attempt: ref.attempt };
}

export function protoRef(ref: AttemptRef): ProtoRef {
  return create(AttemptRefSchema, ref);
}

export function connectedEvent(hello: AgentHello): Extract<Event, { kind: "node_connected" }> {
  return {
    kind: "node_connected",
    nodeId: hello.nodeId as NodeId,
    instanceId: hello.instanceId,
    gpus: hello.gpus.map(inventoryOf),
    runners: runnersOf(hello.runners),
    held: hello.held.map(refOf),
    ...(hello.restartsGpus && { restartsGpus: true }),
  };
}

const RESTART_OUTCOMES: Readonly<{ [outcome in ProtoRestartOutcome]: RestartOutcome }> = {
  // An agent that does not say how it went cannot say that it went well.
  [ProtoRestartOutcome.UNSPECIFIED]: "failed",
  [ProtoRestartOutcome.SUCCEEDED]: "succeeded",
  [ProtoRestartOutcome.FAILED]: "failed",
  [ProtoRestartOutcome.REFUSED]: "refused",
};

export function restartedEvent(nodeId: NodeId, { restartId, outcome, message }: RestartReport): Extract<Event, { kind: "gpu_restarted" }> {
  return { kind: "gpu_restarted", nodeId, restartId, outcome: RESTART_OUTCOMES[outcome] ?? "failed", message: message.slice(0, MAX_RESTART_MESSAGE) };
}

export function restartOrderOf({ restartId, gpuId }: Extract<Effect, { kind: "restart_gpu" }>): RestartOrder {
  return create(RestartOrderSchema, { restartId, gpuId });
}

export function runnersOf(list: RunnerList | undefined): RunnerInfo[] {
  return (list?.runners ?? []).map(runnerOf);
}

function runnerOf({ name, kind, models, types, gpuIds, loadable, kvCapacityTokens }: ProtoRunner): RunnerInfo {
  return {
    name,
    kind,
    models: models as ModelId[],
    types,
    gpuIds: gpuIds as GpuId[],
    ...(loadable.length > 0 && { loadable: loadable.map(loadableOf) }),
    ...(kvCapacityTokens > 0n && { kvCapacityTokens: Number(kvCapacityTokens) }),
  };
}

/** What an engine says of itself. Shares that are none, such as NaN, count as not said. */
export function runnerLoadOf({ runner, running, waiting, kvUse, prefixHitRatio, ageMs }: ProtoLoad): RunnerLoad {
  return {
    runner,
    running,
    waiting,
    ...(isShare(kvUse) && { kvUse }),
    ...(isShare(prefixHitRatio) && { prefixHitRatio }),
    ageMs,
  };
}

function isShare(value: number | undefined): value is number {
  return value !== undefined && value >= 0 && value <= 1;
}

function inventoryOf(info: GpuInfo): GpuInventory {
  return {
    gpuId: info.gpuId as GpuId,
    name: info.name,
    computeCapability: computeCapability(info.computeCapability) || 0,
    memoryTotalMib: info.memoryTotalMib,
    multiprocessorCount: info.multiprocessorCount,
    powerLimitWatts: measured(info.powerLimitWatts),
    driverVersion: info.driverVersion,
    parentGpuId: info.parentGpuId as GpuId,
    simulated: info.simulated,
  };
}

export function telemetryOf(sample: ProtoTelemetry): { readonly sample: GpuTelemetry; readonly ageMs: number } {
  return {
    ageMs: sample.ageMs,
    sample: {
      gpuId: sample.gpuId as GpuId,
      memoryUsedMib: sample.memoryUsedMib,
      memoryFreeMib: sample.memoryFreeMib,
      gpuUtilizationPercent: percent(sample.gpuUtilizationPercent),
      memoryUtilizationPercent: percent(sample.memoryUtilizationPercent),
      temperatureCelsius: finite(sample.temperatureCelsius),
      powerUsageWatts: finite(sample.powerUsageWatts),
      powerLimitWatts: finite(sample.powerLimitWatts),
      uptimeSeconds: Number(sample.uptimeSeconds),
      clockEventReasons: Number(sample.clockEventReasons),
      eccUncorrected: sample.eccUncorrected === undefined ? Number.NaN : Number(sample.eccUncorrected),
      ...(sample.processes.length > 0 && { processMemoryMib: sample.processes.reduce((sum, { memoryUsedMib }) => sum + memoryUsedMib, 0) }),
      ...(sample.rowRemapPending !== undefined && { rowRemapPending: sample.rowRemapPending }),
      ...(sample.rowRemapFailed !== undefined && { rowRemapFailed: sample.rowRemapFailed }),
      ...(sample.retiredPagesPending !== undefined && { retiredPagesPending: sample.retiredPagesPending }),
    },
  };
}

/** NaN, which stands for what a device cannot say, also for what is no number to calculate with. */
function finite(value: number | undefined): number {
  return value !== undefined && Number.isFinite(value) ? value : Number.NaN;
}

function percent(value: number | undefined): number {
  return Math.min(100, Math.max(0, finite(value)));
}

/** 0 for what is no number, or less than nothing. */
function measured(value: number): number {
  return value > 0 && Number.isFinite(value) ? value : 0;
}

/** The share of the work that is done; null for what is none. */
export function fractionOf(value: number): number | null {
  return Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : null;
}
/** What a node tells of a GPU; null for an event of a kind that this router does not know. */
export function gpuEventOf(nodeId: NodeId, { gpuId, event, xidDetail, sequence, ageMs }: GpuEvent): Extract<Event, { kind: "gpu_lost" | "gpu_report" }> | null {
  const of = { nodeId, gpuId: gpuId as GpuId, ...(sequence > 0n && { sequence: Number(sequence) }), ...(ageMs > 0 && { ageMs }) };
  switch (event.case) {
    case "lost":
      return { kind: "gpu_lost", ...of, reason: event.value };
    case "xid":
      return { kind: "gpu_report", ...of, report: { kind: "xid", xid: event.value, detail: xidDetail } };
    case "hangs":
    case "restored":
      return { kind: "gpu_report", ...of, report: { kind: event.case, reason: event.value } };
    case undefined:
      return null;
  }
}

const FAULTS: Readonly<{ [owner in FaultOwner]: AttemptEnd["fault"] }> = {
  [FaultOwner.UNSPECIFIED]: undefined,
  [FaultOwner.GPU]: "gpu",
  [FaultOwner.NOT_GPU]: "none",
};

export function attemptEndOf(ended: AttemptEnded): AttemptEnd {
  const { error, statistics } = ended;
  const fault = FAULTS[ended.faultOwner];
  return {
    outcome: OUTCOMES[ended.outcome] ?? "unavailable",
    error: error ? { code: error.code, message: error.message, ...(error.exitCode === undefined ? {} : { exitCode: error.exitCode }) } : null,
    result: ended.result,
    resultContentType: ended.resultContentType,
    statistics: statistics
      ? {
          runMs: measured(statistics.runMs),
          firstOutputMs: measured(statistics.firstOutputMs),
          inputTokens: statistics.inputTokens,
          outputTokens: statistics.outputTokens,
          peakMemoryMib: statistics.peakMemoryMib,
        }
      : null,
    ...(fault !== undefined && { fault }),
  };
}

export function dispatchOf({ request, attempt, gpuId, gpuIds = [], runner }: Extract<Effect, { kind: "dispatch" }>, nowMs: number): Dispatch {
  const { spec, deadlineAtMs, begun = false } = request;
  const { requirements } = spec;
  return create(DispatchSchema, {
    ref: protoRef({ requestId: spec.requestId, attempt }),
    gpuId,
    gpuIds: [...gpuIds],
    runner,
    modelId: spec.modelId,
    type: spec.type,
    userId: spec.userId,
    payload: spec.payload,
    timeLeftMs: deadlineAtMs === 0 ? 0n : BigInt(Math.max(1, deadlineAtMs - nowMs)),
    mustNotRunTwice: !spec.idempotent,
    continues: begun && wishesOf(spec).checkpoint,
    ...(stated(requirements) && { resourceRequirements: requirementsMessage(requirements) }),
  });
}

export function modelOrderOf({ runner, modelId, action }: ModelOrder): ProtoOrder {
  return create(ModelOrderSchema, { runner, modelId, action: action === "load" ? ModelAction.LOAD : ModelAction.UNLOAD });
}

/** Whether the request said anything about its needs. */
function stated(requirements: Requirements): boolean {
  return Object.values(requirements).some((value) => value !== 0);
}

function requirementsMessage(requirements: Requirements): ResourceRequirements {
  return create(ResourceRequirementsSchema, {
    memoryMib: requirements.memoryMib,
    computeUnits: requirements.computeUnits,
    maxBatchSize: requirements.maxBatchSize,
    expectedDurationMs: BigInt(Math.round(requirements.expectedDurationMs)),
    minComputeCapability: computeCapabilityText(requirements.minComputeCapability),
    inputTokens: requirements.inputTokens,
    outputTokens: requirements.outputTokens,
  });
}

function loadableOf({ modelId, memoryMib, loadMs, kvTokenBytes }: ProtoLoadable): LoadableModel {
  return { modelId: modelId as ModelId, memoryMib, loadMs: Number(loadMs), ...(kvTokenBytes > 0 && { kvTokenBytes }) };
}
