// One placement as the work ledger takes it, and the pace that its promises need.
import { TOKENS_PER_ITERATION } from "../estimate/service-times.js";
import type { RequestId } from "../model/ids.js";

/** What one placement puts on a GPU. Token counts are 0 for work that is not measured in tokens. */
export interface Work {
  readonly requestId: RequestId;
  readonly modelId: string;
  readonly inputTokens: number;
  /** Of the input, what the GPU has read before. */
  readonly cachedTokens: number;
  /** As expected. */
  readonly outputTokens: number;
  /** When its first output must have come and when it must have ended, ms; Infinity where nothing was promised. */
  readonly firstDueAtMs: number;
  readonly dueAtMs: number;
}

/** With how long iterations the promises of what is placed now can just be kept, ms; Infinity without any, or with none that can be. */
export function bearableStepMs({ inputTokens, cachedTokens, outputTokens, firstDueAtMs, dueAtMs }: Work, msPerToken: number, startMs: number, prefilledAtMs: number): number {
  const unread = inputTokens - cachedTokens;
  const readingMs = (firstDueAtMs - startMs - unread * msPerToken) / (unread / TOKENS_PER_ITERATION + 1);
  const writingMs = (dueAtMs - prefilledAtMs) / Math.max(1, outputTokens);
  return Math.min(readingMs > 0 ? readingMs : Number.POSITIVE_INFINITY, writingMs > 0 ? writingMs : Number.POSITIVE_INFINITY);
}
