// From the model's words of maintenance and callbacks to messages of AdminService. Called by `admin-service.ts`.
import { create } from "@bufbuild/protobuf";
import {
  ActorSchema,
  FailedCallbackSchema,
  GpuRestartSchema,
  MaintenanceSchema,
  MaintenanceTargetSchema,
  RestartState,
  type FailedCallback,
  type GpuRestart,
  type Maintenance,
  type MaintenanceTarget,
} from "../../../gen/gpurouter/v1/admin_pb.js";
import type { Caller } from "../../core/model/caller.js";
import type { MaintenanceTarget as ModelTarget, RestartState as ModelRestartState } from "../../core/model/maintenance.js";
import type { FailedCallbackView, MaintenanceView, RestartView } from "../admin-port.js";
import { timestamp, uint32, uint64 } from "./scalars.js";

const STATES: Readonly<Record<ModelRestartState, RestartState>> = {
  draining: RestartState.DRAINING,
  ordered: RestartState.ORDERED,
  succeeded: RestartState.SUCCEEDED,
  failed: RestartState.FAILED,
  refused: RestartState.REFUSED,
  agent_restarted: RestartState.AGENT_RESTARTED,
  withdrawn: RestartState.WITHDRAWN,
};

export function maintenanceMessage({ window, gpuIds, activeRequests }: MaintenanceView): Maintenance {
  const { target, reason, by, sinceMs, untilMs, drainByMs } = window;
  return create(MaintenanceSchema, {
    target: targetMessage(target),
    reason,
    actor: actor(by),
    since: timestamp(sinceMs),
    estimatedEnd: timestamp(untilMs),
    drainDeadline: timestamp(drainByMs),
    activeRequests: uint32(activeRequests),
    gpuIds: [...gpuIds],
  });
}

export function restartMessage({ restart, activeRequests }: RestartView): GpuRestart {
  const { restartId, gpuId, force, reason, by, state, message, requestedAtMs, endedAtMs } = restart;
  return create(GpuRestartSchema, {
    restartId,
    gpuId,
    force,
    reason,
    actor: actor(by),
    state: STATES[state],
    message,
    requested: timestamp(requestedAtMs),
    ended: timestamp(endedAtMs),
    activeRequests: uint32(activeRequests),
  });
}

export function failedCallback(view: FailedCallbackView): FailedCallback {
  const { callbackId, eventAtMs, givenUpAtMs, tries, ...rest } = view;
  return create(FailedCallbackSchema, { ...rest, callbackId: uint64(callbackId), eventTime: timestamp(eventAtMs), givenUp: timestamp(givenUpAtMs), tries: uint32(tries) });
}

function targetMessage(target: ModelTarget): MaintenanceTarget {
  const named = target.kind === "gpu" ? ({ case: "gpuId", value: target.gpuId } as const) : ({ case: "nodeId", value: target.nodeId } as const);
  return create(MaintenanceTargetSchema, { target: named });
}

function actor({ name, address }: Caller) {
  return create(ActorSchema, { name, address });
}
