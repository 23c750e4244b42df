// A request inside the batch, and where it stands. Owned by token-batch.ts; opaque to everybody else.
import type { ListEntry } from "../lib/linked-list.js";
import type { BatchModel } from "./batch-models.js";

export type JobId = string | number;

/** Work in tokens. */
export interface TokenJob {
  readonly id: JobId;
  readonly modelId: string;
  readonly inputTokens: number;
  /** Of the input, in the cache already: not read, but held. */
  readonly cachedTokens: number;
  readonly outputTokens: number;
}

/** A job inside. */
export interface Sequence {
  readonly job: TokenJob;
  readonly model: BatchModel;
  state: "waiting" | "reading" | "decoding" | "gone";
  started: boolean;
  /** Output tokens so far; while decoding, as of `since`. */
  generated: number;
  /** Tokens to hold before the next output: the input and what had been generated when it came in. */
  context: number;
  /** Of `context`, tokens still to be read, beside those that are overwritten while it waits. */
  unread: number;
  /** When it was put back: how far the allocations from the cache must come before its tokens are overwritten. */
  overwrittenFrom: number;
  /** Iteration from which on it decodes. */
  since: number;
  end: SequenceEnd | null;
  place: ListEntry<Sequence> | null;
}

/** After `iteration` the sequence has its last token. Stale when it is not the sequence's `end` any more. */
export interface SequenceEnd {
  readonly iteration: number;
  readonly order: number;
  readonly sequence: Sequence;
}

/** Output tokens that a sequence has after `iteration`. */
export function generatedBy({ state, generated, since }: Sequence, iteration: number): number {
  return state === "decoding" ? generated + iteration - since : generated;
}

/** A job that has just come. */
export function waitingSequence(job: TokenJob, model: BatchModel): Sequence {
  return { job, model, state: "waiting", started: false, generated: 0, context: 0, unread: 0, overwrittenFrom: Number.NEGATIVE_INFINITY, since: 0, end: null, place: null };
}
