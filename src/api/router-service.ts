// RouterService, said once for all transports: validate, see to it that everybody touches his own only, translate, ask the router,
// translate back. Decides nothing else.
import { create } from "@bufbuild/protobuf";
import {
  BatchRouteRequestSchema,
  BatchRouteResponseSchema,
  CancelRequestSchema,
  CancelResponseSchema,
  ExplainRequestSchema,
  GpuStatusRequestSchema,
  ListRequestSchema,
  ListResponseSchema,
  RouteRequestSchema,
  StatusRequestSchema,
  StatusResponseSchema,
  WatchGpusRequestSchema,
  WatchRequestSchema,
  type RouteRequest,
  type RouteResponse,
  type RouterService,
  type WatchGpusResponse,
  type WatchResponse,
} from "../../gen/gpurouter/v1/router_pb.js";
import { hasRole } from "../auth/principal.js";
import type { RequestId } from "../core/model/ids.js";
import type { BatchRef } from "../core/model/request.js";
import { batchRefs } from "./batch-refs.js";
import type { Caller } from "./guard.js";
import { ApiError } from "./outcomes.js";
import {
  batchRouteRequestRule,
  cancelRequestRule,
  explainRequestRule,
  gpuStatusRequestRule,
  listRequestRule,
  routeRequestRule,
  statusRequestRule,
  unknownPageToken,
  watchRequestRule,
} from "./request-rules.js";
import type { GpuChanges, RouteOutcome, RouterPort, WatchEvent } from "./router-port.js";
import type { ServiceHandlers } from "./service-handlers.js";
import { listQuery, requestSpec } from "./to-model.js";
import { explainResponse } from "./to-proto/decision.js";
import { gpuStatusResponse, watchGpusResponse } from "./to-proto/gpu.js";
import { rejectedResponse, requestInfo, requestSummary, routeResponse, watchResponse } from "./to-proto/request.js";
import { createValidation, type Validate } from "./validation.js";

const DEFAULT_WATCH_INTERVAL_MS = 100;

/** The handlers of RouterService over `router`. `now` gives UTC milliseconds. Without `validate` it takes about 50 ms, to compile the rules. */
export function createRouterService(router: RouterPort, now: () => number = Date.now, validate: Validate = createValidation()): ServiceHandlers<typeof RouterService> {
  return {
    route(request, caller) {
      validate(RouteRequestSchema, request, routeRequestRule);
      claim(request, caller);
      return router.route(requestSpec(request)).then(acceptedResponse);
    },

    // One bad request refuses the whole call, before any of it is accepted: the caller's code is wrong, not its luck.
    async batchRoute(batch, caller) {
      validate(BatchRouteRequestSchema, batch, batchRouteRequestRule);
      for (const request of batch.requests) claim(request, caller);
      const refs = batchRefs(batch);
      return create(BatchRouteResponseSchema, { responses: await Promise.all(batch.requests.map((request, place) => routeOne(request, refs[place]))) });
    },

    async status(request, caller) {
      validate(StatusRequestSchema, request, statusRequestRule);
      const view = found(await router.status(own(request.requestId, caller)), request.requestId);
      return create(StatusResponseSchema, { request: requestInfo(view, now()) });
    },

    async list(request, caller) {
      validate(ListRequestSchema, request, listRequestRule);
      // An admin who names nobody means everybody.
      if (!hasRole(caller.principal, "admin")) claim(request, caller);
      const page = await router.list(listQuery(request));
      if (!page) throw new ApiError({ kind: "invalid_argument", violations: [unknownPageToken()] });
      const atMs = now();
      return create(ListResponseSchema, {
        requests: page.requests.map((view) => requestSummary(view, atMs)),
        nextPageToken: page.nextPageToken,
      });
    },

    async cancel(request, caller) {
      validate(CancelRequestSchema, request, cancelRequestRule);
      const id = own(request.requestId, caller);
      const { name, via } = caller.principal;
      const others = via !== "local" && router.owner(id) !== name;
      const view = found(await router.cancel(id, request.reason), request.requestId);
      // An admin, who may.
      if (others) await caller.did("cancel request", id, request.reason);
      return create(CancelResponseSchema, { request: requestInfo(view, now()) });
    },

    watch(request, signal, caller) {
      validate(WatchRequestSchema, request, watchRequestRule);
      return watchResponses(found(router.watch(own(request.requestId, caller), signal), request.requestId), now);
    },

    explain(request, caller) {
      validate(ExplainRequestSchema, request, explainRequestRule);
      const { target } = request;
      if (target.case === "dryRun") {
        claim(target.value, caller);
        const outcome = router.explainDryRun(requestSpec(target.value));
        if (outcome.kind !== "decision") throw new ApiError(outcome);
        return explainResponse(outcome.decision, true);
      }
      // Validated: one of the two is there.
      const requestId = target.value ?? "";
      const { decision, dryRun, endedAs } = found(router.explainRequest(own(requestId, caller)), requestId);
      return explainResponse(decision, dryRun, endedAs ? `It ${endedAs === "cancelled" ? "was cancelled" : endedAs} before it had a GPU. Now it would be: ` : "");
    },

    gpuStatus(request) {
      validate(GpuStatusRequestSchema, request, gpuStatusRequestRule);
      const fleet = router.gpus();
      if (request.gpuIds.length === 0) return gpuStatusResponse(fleet, now(), router.estimates());
      const wanted = new Set(request.gpuIds);
      const gpus = fleet.filter(({ inventory }) => wanted.delete(inventory.gpuId));
      if (wanted.size > 0) throw new ApiError({ kind: "unknown_gpus", gpuIds: [...wanted] });
      return gpuStatusResponse(gpus, now());
    },

    watchGpus(request, signal) {
      validate(WatchGpusRequestSchema, request);
      const minIntervalMs = request.minIntervalMs === 0 ? DEFAULT_WATCH_INTERVAL_MS : request.minIntervalMs;
      return watchGpusResponses(router.watchGpus(request.resumeToken, minIntervalMs, signal));
    },
  };

  /** The id, unless the request is somebody else's: then no more is said than of one that is not there. */
  function own(requestId: string, { principal }: Caller): RequestId {
    const id = requestId as RequestId;
    if (!hasRole(principal, "admin") && router.owner(id) !== principal.name) throw new ApiError({ kind: "unknown_request", requestId });
    return id;
  }

  async function routeOne(request: RouteRequest, batch: BatchRef | undefined): Promise<RouteResponse> {
    const spec = requestSpec(request, batch);
    const outcome = await router.route(spec);
    return outcome.kind === "accepted" ? routeResponse(outcome) : rejectedResponse(spec.requestId, new ApiError(outcome));
  }
}

/** Fills in whose it is. In another's name only an admin speaks. */
function claim(message: { userId: string }, caller: Caller): void {
  const { principal } = caller;
  if (message.userId === "") message.userId = principal.name;
  if (message.userId === principal.name || hasRole(principal, "admin")) return;
  caller.refused(`user ${message.userId}`, "speaks for another");
  throw new ApiError({ kind: "permission_denied", why: `user_id: you are ${JSON.stringify(principal.name)} and cannot speak for ${JSON.stringify(message.userId)}; leave user_id empty` });
}

function acceptedResponse(outcome: RouteOutcome): RouteResponse {
  if (outcome.kind !== "accepted") throw new ApiError(outcome);
  return routeResponse(outcome);
}

function found<T>(value: T | null, requestId: string): T {
  if (value === null) throw new ApiError({ kind: "unknown_request", requestId });
  return value;
}

async function* watchResponses(events: AsyncIterable<WatchEvent>, now: () => number): AsyncGenerator<WatchResponse> {
  for await (const event of events) yield watchResponse(event, now());
}

async function* watchGpusResponses(changes: AsyncIterable<GpuChanges>): AsyncGenerator<WatchGpusResponse> {
  for await (const change of changes) yield watchGpusResponse(change);
}
