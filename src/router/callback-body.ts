// The JSON of a callback: a thin envelope around what Status says, without a result's bytes. Called by src/callbacks when it sends one.
import { toJson, type JsonObject } from "@bufbuild/protobuf";
import { RequestInfoSchema } from "../../gen/gpurouter/v1/router_pb.js";
import { requestSummary } from "../api/to-proto/request.js";
import type { RequestView } from "../api/router-port.js";
import type { CallbackEvent } from "../core/callbacks.js";
import type { Request } from "../core/model/request.js";

/** `viewOf` is what Status would show of a request, without the bytes of its result. */
export function callbackBody(event: CallbackEvent, viewOf: (request: Request) => RequestView): string {
  const { result: _, ...request } = toJson(RequestInfoSchema, requestSummary(viewOf(event.request), event.atMs), { useProtoFieldName: true, alwaysEmitImplicit: true }) as JsonObject;
  const rerouted = event.type === "request.rerouted" ? { reason: event.reason, left_gpus: event.leftGpuIds } : {};
  return JSON.stringify({ type: event.type, timestamp: new Date(event.atMs).toISOString(), data: { sequence: event.sequence, ...rerouted, request } });
}
