// A rough price of a request in GPU time, to say how much of one kind of work goes beside another before anything is
// simulated. It decides shares of a mix and nothing else; how long work takes is the service-time model's matter.
import { assert } from "../../lib/assert.js";
import type { Stream, StreamRequest } from "./stream.js";

// An 8 B model on an A100 in batches of about twenty: prefill at 20,000 tokens/s, steps of 15 ms that twenty requests share.
const PREFILL_MS_PER_TOKEN = 0.05;
const DECODE_MS_PER_TOKEN = 0.75;

/** GPU time of a request, ms: what a job takes on all its GPUs, and its tokens, `factor` times as heavy as an 8 B model's. */
export function nominalWorkMs({ inputTokens, outputTokens, gpus, workMs }: Pick<StreamRequest, "inputTokens" | "outputTokens" | "gpus" | "workMs">, factor: number): number {
  return workMs * gpus + (inputTokens * PREFILL_MS_PER_TOKEN + outputTokens * DECODE_MS_PER_TOKEN) * factor;
}

// Enough for a mean within a percent; a day of a busy service has millions.
const MOST_REQUESTS = 200_000;

/** What a stream asks for. */
export interface Survey {
  /** GPU time a second, ms: a thousand keeps one reference GPU busy. */
  readonly workRate: number;
  /** By sender, the requests that were read. */
  readonly requests: readonly number[];
  /** Whether that was all of the stream. */
  readonly whole: boolean;
}

/** Reads the first 200,000 requests at most. `factors` says by sender how heavy its tokens are. */
export function survey(stream: Stream, factors: readonly number[]): Survey {
  assert(Number.isFinite(stream.durationMs), "the work of a stream without an end is not a sum");
  const requests = stream.senders.map(() => 0);
  let sumMs = 0;
  let count = 0;
  for (const request of stream.requests(0)) {
    sumMs += nominalWorkMs(request, factors[request.sender] ?? 1);
    requests[request.sender]! += 1;
    count += 1;
    if (count === MOST_REQUESTS && request.atMs > 0) return { workRate: (sumMs / request.atMs) * 1000, requests, whole: false };
  }
  return { workRate: (sumMs / stream.durationMs) * 1000, requests, whole: true };
}
