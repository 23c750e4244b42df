// What a request takes of the GPUs, by which its user's share is charged: by estimate when it is placed, by what it was when it has ended.
import { writeMsPerToken } from "../estimate/service-times.js";
import type { WorkLedger } from "./work-ledger.js";

/** Expected, or measured. Token counts are 0 or absent for work that is not measured in tokens. */
export interface Taken {
  readonly durationMs: number;
  readonly inputTokens?: number;
  readonly outputTokens?: number;
}

/**
 * GPU time of a request over all its GPUs, ms: alone on one, its prompt and its share of the iterations that write its answer, whoever else
 * is there at the time. A price that follows the company would charge two users differently for the same.
 */
export function gpuTimeMs({ times, kind }: WorkLedger, gpus: readonly number[], modelId: string, { durationMs, inputTokens = 0, outputTokens = 0 }: Taken): number {
  if (gpus.length > 1 || inputTokens + outputTokens === 0) return gpus.length * durationMs;
  const of = times.of(modelId);
  const ofKind = kind[gpus[0]!]!;
  return inputTokens * of.prefillMsPerToken[ofKind]! + outputTokens * writeMsPerToken(of, ofKind, times.slots);
}
