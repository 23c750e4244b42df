// From the model's requests to messages of RouterService. Called by `router-service.ts`.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  RequestInfoSchema,
  RequestState,
  RouteResponseSchema,
  RouteStatus,
  WatchResponseSchema,
  type RequestInfo,
  type RouteResponse,
  type WatchResponse,
} from "../../../gen/gpurouter/v1/router_pb.js";
import { gpusOf, wishesOf, type Phase } from "../../core/model/request.js";
import type { ApiError } from "../outcomes.js";
import type { RequestView, RouteOutcome, WatchEvent } from "../router-port.js";
import { timestamp, uint32, uint64 } from "./scalars.js";

const STATES: Readonly<Record<Phase, RequestState>> = {
  queued: RequestState.QUEUED,
  placed: RequestState.PROCESSING,
  running: RequestState.PROCESSING,
  completed: RequestState.COMPLETED,
  failed: RequestState.FAILED,
  cancelled: RequestState.CANCELLED,
};

/** The answer to an accepted request. */
export function routeResponse(outcome: Extract<RouteOutcome, { kind: "accepted" }>): RouteResponse {
  return create(RouteResponseSchema, {
    requestId: outcome.requestId,
    status: outcome.phase === "queued" ? RouteStatus.QUEUED : RouteStatus.ACCEPTED,
    assignedGpu: outcome.gpuIds[0] ?? "",
    assignedGpus: [...outcome.gpuIds],
    estimatedStartTime: timestamp(outcome.estimatedStartAtMs),
    estimatedCompletionTime: timestamp(outcome.estimatedCompletionAtMs),
    queuePosition: uint32(outcome.queuePosition),
    message: outcome.message,
  });
}

/** The place of a refused request in the answer to a batch. */
export function rejectedResponse(requestId: string, { kind, message, retryAfterMs }: ApiError): RouteResponse {
  return create(RouteResponseSchema, { requestId, status: RouteStatus.REJECTED, message, rejection: kind, retryAfterMs: BigInt(Math.ceil(retryAfterMs)) });
}

/** Everything known of a request; `nowMs` (UTC) ends the duration of one that still runs. */
export function requestInfo(view: RequestView, nowMs: number): RequestInfo {
  return create(RequestInfoSchema, { ...withoutResult(view, nowMs), result: view.result ?? new Uint8Array(0) });
}

/** The same for a page of requests, which leaves results out. */
export function requestSummary(view: RequestView, nowMs: number): RequestInfo {
  return create(RequestInfoSchema, withoutResult(view, nowMs));
}

/** One event of a watched request. */
export function watchResponse(event: WatchEvent, nowMs: number): WatchResponse {
  switch (event.kind) {
    case "request":
      return create(WatchResponseSchema, { event: { case: "request", value: requestInfo(event.view, nowMs) } });
    case "progress":
      return create(WatchResponseSchema, {
        event: { case: "progress", value: { fraction: event.fraction, message: event.message } },
      });
    case "output":
      return create(WatchResponseSchema, {
        event: { case: "output", value: { attempt: uint32(event.attempt), offset: uint64(event.offset), data: event.data } },
      });
    case "output_void":
      return create(WatchResponseSchema, { event: { case: "outputVoid", value: { attempt: uint32(event.attempt), reason: event.reason } } });
  }
}

function withoutResult(view: RequestView, nowMs: number): Omit<MessageInitShape<typeof RequestInfoSchema>, "$typeName"> {
  const { request } = view;
  const { spec, result, error, statistics } = request;
  const { deadlineAtMs, firstOutputMs, totalMs, gpus } = wishesOf(spec);
  return {
    requestId: spec.requestId,
    userId: spec.userId,
    modelId: spec.modelId,
    type: spec.type,
    priority: spec.priority,
    state: STATES[request.phase],
    assignedGpu: request.gpuId,
    assignedGpus: [...gpusOf(request)],
    acceptedTime: timestamp(request.acceptedAtMs),
    startTime: timestamp(request.startedAtMs),
    completionTime: timestamp(request.endedAtMs),
    durationMs: request.startedAtMs > 0 ? uint64((request.endedAtMs || nowMs) - request.startedAtMs) : 0n,
    progress: request.progress,
    resultUrl: view.resultUrl,
    resultContentType: result?.contentType ?? "",
    resultSize: uint64(result?.sizeBytes ?? 0),
    ...(error && { error: { code: error.code, message: error.message, ...(error.exitCode !== undefined && { exitCode: error.exitCode }) } }),
    cancelReason: request.stop?.cause === "cancel" ? request.stop.reason : "",
    attempts: uint32(request.attempt),
    queuePosition: uint32(view.queuePosition),
    ...(statistics && {
      statistics: {
        runMs: statistics.runMs,
        firstOutputMs: statistics.firstOutputMs,
        inputTokens: uint32(statistics.inputTokens),
        outputTokens: uint32(statistics.outputTokens),
        peakMemoryMib: uint32(statistics.peakMemoryMib),
      },
    }),
    deadline: timestamp(deadlineAtMs),
    ...((firstOutputMs > 0 || totalMs > 0) && { slo: { firstOutputMs: uint64(firstOutputMs), totalMs: uint64(totalMs) } }),
    gpus,
  };
}
