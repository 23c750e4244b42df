// AdminService, said once for all transports: validate, translate, ask the router, translate back. Decides nothing.
import { create } from "@bufbuild/protobuf";
import {
  CancelRequestRequestSchema,
  CancelRequestResponseSchema,
  ListFailedCallbacksRequestSchema,
  ListFailedCallbacksResponseSchema,
  ListMaintenanceRequestSchema,
  ListMaintenanceResponseSchema,
  RestartGpuRequestSchema,
  RestartGpuResponseSchema,
  RetryCallbackRequestSchema,
  RetryCallbackResponseSchema,
  SetMaintenanceRequestSchema,
  SetMaintenanceResponseSchema,
  type AdminService,
  type CancelRequestRequest,
  type ListFailedCallbacksRequest,
  type MaintenanceTarget,
  type SetMaintenanceRequest,
} from "../../gen/gpurouter/v1/admin_pb.js";
import type { GpuId, NodeId, RequestId } from "../core/model/ids.js";
import type { MaintenanceTarget as ModelTarget, RestartRefusal } from "../core/model/maintenance.js";
import type { Audit } from "../auth/audit-log.js";
import type { Caller as Author } from "../core/model/caller.js";
import type { AdminPort } from "./admin-port.js";
import type { Caller } from "./guard.js";
import { ApiError } from "./outcomes.js";
import { knownRequest, PAGE_TOKEN_ALLOWED } from "./request-rules.js";
import type { ServiceHandlers } from "./service-handlers.js";
import { failedCallback, maintenanceMessage, restartMessage } from "./to-proto/admin.js";
import { requestInfo } from "./to-proto/request.js";
import { createValidation, refuse, type Rule, type Validate } from "./validation.js";

const DEFAULT_PAGE = 100;

/** The handlers of AdminService over `admin`; what was done is told to `audit`. `now` gives UTC milliseconds. */
export function createAdminService(admin: AdminPort, audit: Audit, now: () => number = Date.now, validate: Validate = createValidation()): ServiceHandlers<typeof AdminService> {
  return {
    async setMaintenance(request, caller) {
      validate(SetMaintenanceRequestSchema, request, setMaintenanceRule);
      const { on, reason, estimatedDurationMs, drainMs } = request;
      const target = targetOf(request.target);
      const wish = { target, on, reason, estimatedDurationMs: Number(estimatedDurationMs), drainMs: drainMs === undefined ? undefined : Number(drainMs) };
      const view = await admin.setMaintenance(wish, authorOf(caller));
      if (view === "unknown_target") throw new ApiError({ kind: "unknown_target", target: targetText(target) });
      await audit.record(caller, { act: on ? "set maintenance" : "end maintenance", subject: targetText(target), why: reason });
      return create(SetMaintenanceResponseSchema, view ? { maintenance: maintenanceMessage(view) } : {});
    },

    async listMaintenance(request) {
      validate(ListMaintenanceRequestSchema, request);
      const { windows, restarts } = await admin.maintenance();
      return create(ListMaintenanceResponseSchema, { maintenance: windows.map(maintenanceMessage), restarts: restarts.map(restartMessage) });
    },

    async restartGpu(request, caller) {
      validate(RestartGpuRequestSchema, request);
      const { gpuId, force, reason, drainMs } = request;
      const outcome = await admin.restartGpu({ gpuId: gpuId as GpuId, force, reason, drainMs: drainMs === undefined ? undefined : Number(drainMs) }, authorOf(caller));
      if (outcome.kind === "refused") throw refused(gpuId, outcome.refusal);
      await audit.record(caller, { act: force ? "restart GPU by force" : "restart GPU", subject: gpuId, why: reason });
      return create(RestartGpuResponseSchema, { restart: restartMessage(outcome.view) });
    },

    async cancelRequest(request, caller) {
      validate(CancelRequestRequestSchema, request, cancelRequestRule);
      const view = await admin.cancelRequest(request.requestId as RequestId, request.reason, authorOf(caller));
      if (!view) throw new ApiError({ kind: "unknown_request", requestId: request.requestId });
      await audit.record(caller, { act: "cancel request", subject: request.requestId, why: request.reason });
      return create(CancelRequestResponseSchema, { request: requestInfo(view, now()) });
    },

    listFailedCallbacks(request) {
      validate(ListFailedCallbacksRequestSchema, request, listFailedRule);
      const pageSize = request.pageSize || DEFAULT_PAGE;
      const { callbacks, failed, pending } = admin.failedCallbacks(Number(request.pageToken || 0), pageSize);
      const last = callbacks.at(-1);
      return create(ListFailedCallbacksResponseSchema, {
        callbacks: callbacks.map(failedCallback),
        nextPageToken: last && callbacks.length === pageSize ? `${last.callbackId}` : "",
        failed: BigInt(failed),
        pending: BigInt(pending),
      });
    },

    async retryCallback(request, caller) {
      validate(RetryCallbackRequestSchema, request);
      const { target } = request;
      const retried = await admin.retryCallbacks(target.case === "callbackId" ? [Number(target.value)] : "all", authorOf(caller));
      if (retried === 0 && target.case === "callbackId") throw new ApiError({ kind: "unknown_callback", callbackId: `${target.value}` });
      await audit.record(caller, { act: "retry callbacks", subject: target.case === "callbackId" ? `${target.value}` : "all" });
      return create(RetryCallbackResponseSchema, { retried });
    },
  };
}

/** As it is recorded with the act. */
function authorOf({ principal, address }: Caller): Author {
  return { name: principal.name, address };
}

const setMaintenanceRule: Rule<SetMaintenanceRequest> = ({ on, estimatedDurationMs, drainMs }, at, found) => {
  const { field } = SetMaintenanceRequestSchema;
  if (!on && estimatedDurationMs > 0n) refuse(found, at, field.estimatedDurationMs, "must be left out when the target is put back into service");
  if (!on && drainMs !== undefined) refuse(found, at, field.drainMs, "must be left out when the target is put back into service");
};

const cancelRequestRule: Rule<CancelRequestRequest> = ({ requestId }, at, found) => knownRequest(requestId, at, CancelRequestRequestSchema.field.requestId, found);

const listFailedRule: Rule<ListFailedCallbacksRequest> = ({ pageToken }, at, found) => {
  if (pageToken !== "" && !/^[1-9]\d{0,14}$/.test(pageToken)) refuse(found, at, ListFailedCallbacksRequestSchema.field.pageToken, PAGE_TOKEN_ALLOWED);
};

function targetOf(message: MaintenanceTarget | undefined): ModelTarget {
  const target = message?.target;
  // Validated: one of the two is there.
  return target?.case === "nodeId" ? { kind: "node", nodeId: target.value as NodeId } : { kind: "gpu", gpuId: (target?.value ?? "") as GpuId };
}

function targetText(target: ModelTarget): string {
  return target.kind === "gpu" ? `GPU ${JSON.stringify(target.gpuId)}` : `node ${JSON.stringify(target.nodeId)}`;
}

function refused(gpuId: string, refusal: RestartRefusal): ApiError {
  if (refusal.kind === "unknown_gpu") return new ApiError({ kind: "unknown_gpus", gpuIds: [gpuId] });
  return new ApiError({ kind: "restart_refused", gpuId, detail: refusalText(refusal) });
}

function refusalText(refusal: Exclude<RestartRefusal, { kind: "unknown_gpu" }>): string {
  switch (refusal.kind) {
    case "mig_instance":
      return `it is a part of ${refusal.parentGpuId}, which can only be restarted as a whole`;
    case "node_away":
      return `its node ${refusal.nodeId} is not connected`;
    case "absent":
      return `its node ${refusal.nodeId} does not report it any more`;
    case "no_command":
      return `the agent of ${refusal.nodeId} has no gpu_restart_command in its configuration`;
    case "under_way":
      return `a restart by ${refusal.restart.by.name} is under way (${refusal.restart.state}); ListMaintenance shows it`;
  }
}
