// Callback events for tests, of requests that were never made.
import type { CallbackEvent } from "../../../src/core/callbacks.js";
import { requestOf, specOf, requestId } from "../api/fake-router.js";

/** The event `sequence` of the request `id`, to be told to `callbackUrl`. */
export function eventOf(id: string, sequence: number, callbackUrl: string, atMs = Date.now()): CallbackEvent {
  const request = requestOf({ spec: specOf({ requestId: requestId(id), callbackUrl }), phase: "completed" });
  return { eventId: `${id}_${sequence}`, type: "request.ended", sequence, atMs, request, leftGpuIds: [], reason: "" };
}
