// The load that the published measurements were taken under: a fixed number of clients, each sending its next request when the last one ends.
import { BatchingEngine } from "../../../../src/simulated-gpu/batching-engine.js";
import type { ServiceTimes } from "../../../../src/simulated-gpu/service-times.js";

export interface Load {
  readonly clients: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** Rounds of all clients; those before the second half of the second one are for warming up. */
const ROUNDS = 5;
const WARM_UP_ROUNDS = 1.5;
/** vLLM's default on GPUs of this size. */
const TOKEN_BUDGET = 8192;
const MAX_SEQS = 256;

/** Mean time between two output tokens of a request, ms. */
export function timePerTokenMs(times: ServiceTimes, { clients, inputTokens, outputTokens }: Load): number {
  const engine = new BatchingEngine({ times: () => times, maxSeqs: MAX_SEQS, tokenBudget: TOKEN_BUDGET });
  const firstOutputAtMs = new Map<number, number>();
  let next = 0;
  const send = (atMs: number): void => {
    engine.add({ id: next, modelId: "m", inputTokens, cachedTokens: 0, outputTokens }, atMs);
    next += 1;
  };
  // The clients begin evenly over about one request's time, as they would be after a while.
  const stepMs = times.stepBaseMs + clients * (times.stepMsPerRequest + (inputTokens + outputTokens / 2) * times.stepMsPerKvToken);
  const spreadMs = outputTokens * stepMs + clients * inputTokens * times.prefillMsPerToken;
  const startsAtMs = Array.from({ length: clients }, (_, client) => (client / clients) * spreadMs);
  let started = 0;
  let ended = 0;
  let sumMs = 0;
  let count = 0;
  while (ended < ROUNDS * clients) {
    const startAtMs = startsAtMs[started] ?? Number.POSITIVE_INFINITY;
    const nextAtMs = engine.nextAtMs();
    if (startAtMs <= nextAtMs) {
      started += 1;
      send(startAtMs);
      continue;
    }
    for (const { id, kind, atMs } of engine.advance(nextAtMs)) {
      if (kind === "first_output") firstOutputAtMs.set(Number(id), atMs);
      if (kind !== "ended") continue;
      ended += 1;
      if (ended > WARM_UP_ROUNDS * clients) {
        count += 1;
        sumMs += (atMs - (firstOutputAtMs.get(Number(id)) ?? Number.NaN)) / (outputTokens - 1);
      }
      send(atMs);
    }
  }
  return sumMs / count;
}
