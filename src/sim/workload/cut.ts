// Windows of a stream, and the requests of some senders only.
import { changed, type Stream } from "./stream.js";

/** What lies in [fromMs, toMs), on a clock that begins at `fromMs`. */
export function cut(stream: Stream, fromMs: number, toMs: number): Stream {
  return {
    ...stream,
    durationMs: Math.max(0, Math.min(toMs, stream.durationMs) - fromMs),
    *requests(seed, laterMs = 0) {
      for (const request of between(stream, fromMs, toMs).requests(seed, fromMs + laterMs)) yield { ...request, atMs: request.atMs - fromMs };
    },
  };
}

/** What lies in [fromMs, toMs), on the stream's own clock. */
export function between(stream: Stream, fromMs: number, toMs: number): Stream {
  return {
    ...stream,
    durationMs: Math.min(toMs, stream.durationMs),
    *requests(seed, laterMs = 0) {
      for (const request of stream.requests(seed, Math.max(fromMs, laterMs))) {
        if (request.atMs >= toMs) return;
        yield request;
      }
    },
  };
}

/** What these senders sent; the stream's list of senders stays. */
export function only(stream: Stream, keep: (sender: number) => boolean): Stream {
  return changed(stream, () => (request) => (keep(request.sender) ? request : null));
}
