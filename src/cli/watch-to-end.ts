// Follows one request to its end across cut streams and restarts of the router. `route --wait`, `watch` and `replay` use it.
// It decides when to try again and when a request is lost; it prints nothing.
import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";

import type { RouterClient } from "../api/client.js";
import { RequestState, WatchResponseSchema, type WatchResponse } from "../../gen/gpurouter/v1/router_pb.js";
import { backOffMs, type Clock } from "./clock.js";
import { isServiceError } from "./failure.js";

export interface WatchToEndOptions {
  readonly clock: Clock;
  /** Numbers in [0, 1) for the jitter. */
  readonly random: () => number;
  /** How long to keep trying without hearing anything, ms. */
  readonly giveUpMs: number;
  /** The same before the first message, ms. */
  readonly firstGiveUpMs: number;
  /** Ends the following; the generator then returns. */
  readonly signal: AbortSignal;
  /** Told before every new try. */
  readonly onRetry?: (error: unknown) => void;
}

// A router closes the stream behind the final state; this bounds the wait for one that does not, ms.
const CLOSE_GRACE_MS = 5000;

const STATUS_DEADLINE_MS = 10_000;

// Answers that the same call would get again.
const LASTING = new Set<number>([
  status.NOT_FOUND,
  status.INVALID_ARGUMENT,
  status.PERMISSION_DENIED,
  status.UNAUTHENTICATED,
  status.UNIMPLEMENTED,
  status.FAILED_PRECONDITION,
]);

/** Whether a request in this state has ended. */
export function isFinal(state: RequestState): boolean {
  return state === RequestState.COMPLETED || state === RequestState.FAILED || state === RequestState.CANCELLED;
}

/**
 * Yields what Watch says until the request has ended and the stream is closed: reading on behind the final state shows
 * a router that ends a request twice. Throws the last ServiceError when it gives up; NOT_FOUND only when Status agrees.
 */
export async function* watchToEnd(
  client: Pick<RouterClient, "watch" | "status">,
  requestId: string,
  options: WatchToEndOptions,
): AsyncGenerator<WatchResponse, void, undefined> {
  const { clock, random, signal } = options;
  let heardAtMs = clock.now();
  let heard = false;
  let failures = 0;
  for (;;) {
    const stream = new AbortController();
    const abort = (): void => stream.abort();
    signal.addEventListener("abort", abort, { once: true });
    let grace: NodeJS.Timeout | undefined;
    let failure: unknown = new Error("the stream ended before the request did");
    try {
      for await (const message of client.watch({ requestId }, { signal: stream.signal })) {
        heardAtMs = clock.now();
        heard = true;
        failures = 0;
        if (message.event.case === "request" && isFinal(message.event.value.state)) grace ??= setTimeout(abort, CLOSE_GRACE_MS);
        yield message;
      }
    } catch (error) {
      failure = error;
    } finally {
      clearTimeout(grace);
      signal.removeEventListener("abort", abort);
      stream.abort();
    }
    if (grace !== undefined || signal.aborted) return;
    if (isServiceError(failure) && failure.code === status.NOT_FOUND) {
      const ended = await endByStatus(client, requestId, failure);
      if (ended !== null) return yield ended;
    } else if (isServiceError(failure) && LASTING.has(failure.code)) {
      throw failure;
    }
    failures += 1;
    if (clock.now() - heardAtMs >= (heard ? options.giveUpMs : options.firstGiveUpMs)) throw failure;
    options.onRetry?.(failure);
    await clock.sleep(backOffMs(failures, random), signal);
    if (signal.aborted) return;
  }
}

/** The final state as an event; null when the request is known and goes on, or the question failed; throws when it is unknown. */
async function endByStatus(client: Pick<RouterClient, "status">, requestId: string, notFound: unknown): Promise<WatchResponse | null> {
  try {
    const { request } = await client.status({ requestId }, { deadlineMs: STATUS_DEADLINE_MS });
    if (request === undefined || !isFinal(request.state)) return null;
    return create(WatchResponseSchema, { event: { case: "request", value: request } });
  } catch (error) {
    if (isServiceError(error) && error.code === status.NOT_FOUND) throw notFound;
    return null;
  }
}
