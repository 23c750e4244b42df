// Between the agent's own words (probes, runners) and the protocol's messages.
import { create } from "@bufbuild/protobuf";
import {
  AgentHelloSchema,
  AttemptEndedSchema,
  AttemptOutcome,
  FaultOwner,
  GpuTelemetrySchema,
  ModelAction,
  RunnerListSchema,
  RunnerLoadSchema,
  type AgentHello,
  type AttemptEnded,
  type AttemptRef,
  type Dispatch,
  type GpuTelemetry,
  type ModelOrder as OrderMessage,
  type RunnerList,
  type RunnerLoad,
} from "../../gen/gpurouter/v1/agent_pb.js";
import { RequestErrorSchema } from "../../gen/gpurouter/v1/router_pb.js";
import type { GpuSample, ProbedGpu } from "./probes/probe.js";
import type { EngineLoad, Job, JobOutcome, ModelOrder, Runner } from "./runners/runner.js";

const OUTCOMES: Readonly<{ [outcome in JobOutcome["outcome"]]: AttemptOutcome }> = {
  succeeded: AttemptOutcome.SUCCEEDED,
  failed: AttemptOutcome.FAILED,
  unavailable: AttemptOutcome.UNAVAILABLE,
  cancelled: AttemptOutcome.CANCELLED,
  fenced: AttemptOutcome.FENCED,
};

export interface Hello {
  readonly nodeId: string;
  readonly instanceId: string;
  readonly version: string;
  readonly highestEpoch: bigint;
  readonly gpus: readonly ProbedGpu[];
  readonly runners: readonly Runner[];
  readonly held: AttemptRef[];
  readonly restartsGpus: boolean;
}

export function helloMessage({ nodeId, instanceId, version, highestEpoch, gpus, runners, held, restartsGpus }: Hello): AgentHello {
  return create(AgentHelloSchema, { nodeId, instanceId, agentVersion: version, highestEpoch, gpus: [...gpus], runners: runnerListMessage(runners), held, restartsGpus });
}

export function runnerListMessage(runners: readonly Runner[]): RunnerList {
  return create(RunnerListSchema, {
    runners: runners.map((runner) => {
      const { models, types, gpuIds, loadable = [], kvCapacityTokens = 0 } = runner.describe();
      return {
        name: runner.name,
        kind: runner.kind,
        models: [...models],
        types: [...types],
        gpuIds: [...gpuIds],
        loadable: loadable.map(({ modelId, memoryMib, loadMs, kvTokenBytes = 0 }) => ({ modelId, memoryMib: Math.ceil(memoryMib), loadMs: BigInt(Math.round(loadMs)), kvTokenBytes: Math.round(kvTokenBytes) })),
        kvCapacityTokens: BigInt(Math.floor(kvCapacityTokens)),
      };
    }),
  });
}

export function runnerLoadMessage(runner: string, load: EngineLoad, ageMs: number): RunnerLoad {
  return create(RunnerLoadSchema, { runner, ...load, ageMs: Math.round(ageMs) });
}

/** What a runner is told; null for an action that this agent does not know. */
export function modelOrderOf({ modelId, action }: OrderMessage): ModelOrder | null {
  if (action === ModelAction.LOAD) return { modelId, action: "load" };
  return action === ModelAction.UNLOAD ? { modelId, action: "unload" } : null;
}

export function telemetryMessage(sample: GpuSample, ageMs: number, uptimeSeconds: number): GpuTelemetry {
  return create(GpuTelemetrySchema, {
    gpuId: sample.gpuId,
    memoryUsedMib: Math.round(sample.memoryUsedMib),
    memoryFreeMib: Math.round(sample.memoryFreeMib),
    ...defined({
      gpuUtilizationPercent: sample.gpuUtilizationPercent,
      memoryUtilizationPercent: sample.memoryUtilizationPercent,
      temperatureCelsius: sample.temperatureCelsius,
      powerUsageWatts: sample.powerUsageWatts,
      powerLimitWatts: sample.powerLimitWatts,
    }),
    ...(sample.eccCorrected === undefined ? {} : { eccCorrected: BigInt(sample.eccCorrected) }),
    ...(sample.eccUncorrected === undefined ? {} : { eccUncorrected: BigInt(sample.eccUncorrected) }),
    uptimeSeconds: BigInt(Math.floor(uptimeSeconds)),
    clockEventReasons: BigInt(sample.clockEventReasons),
    ...defined({ rowRemapPending: sample.rowRemapPending, rowRemapFailed: sample.rowRemapFailed, retiredPagesPending: sample.retiredPagesPending }),
    processes: sample.processes.map(({ pid, memoryUsedMib }) => ({ pid, memoryUsedMib: Math.round(memoryUsedMib) })),
    ageMs: Math.round(ageMs),
  });
}

export function jobOf(dispatch: Dispatch, ref: AttemptRef): Job {
  const requirements = dispatch.resourceRequirements;
  return {
    requestId: ref.requestId,
    attempt: ref.attempt,
    continues: dispatch.continues,
    // A router that knows of one GPU per request names that alone.
    gpuIds: dispatch.gpuIds.length > 0 ? dispatch.gpuIds : [dispatch.gpuId],
    modelId: dispatch.modelId,
    type: dispatch.type,
    userId: dispatch.userId,
    payload: dispatch.payload,
    timeLeftMs: Number(dispatch.timeLeftMs),
    inputTokens: requirements?.inputTokens ?? 0,
    outputTokens: requirements?.outputTokens ?? 0,
    memoryMib: requirements?.memoryMib ?? 0,
    expectedDurationMs: Number(requirements?.expectedDurationMs ?? 0n),
    mustNotRunTwice: dispatch.mustNotRunTwice,
  };
}

export function endedMessage(outcome: JobOutcome): AttemptEnded {
  const { result, contentType, statistics } = outcome;
  const ended = create(AttemptEndedSchema, { outcome: OUTCOMES[outcome.outcome], result, resultContentType: contentType, statistics: { ...statistics } });
  if (outcome.outcome !== "succeeded") {
    if (outcome.fault) ended.faultOwner = outcome.fault === "gpu" ? FaultOwner.GPU : FaultOwner.NOT_GPU;
    ended.error = create(RequestErrorSchema, { code: outcome.code, message: outcome.message, ...defined({ exitCode: outcome.exitCode }) });
  }
  return ended;
}

/** The end of an attempt that no runner took. */
export function unknownRunnerMessage(runner: string): AttemptEnded {
  const error = { code: "unknown_runner", message: `This node has no runner named ${runner}.` };
  return create(AttemptEndedSchema, { outcome: AttemptOutcome.UNAVAILABLE, error });
}

function defined<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: NonNullable<T[K]> };
}
