// What a recording says: one step of the engine after the other, each an event, when it came, and what the engine made of it. The codec
// writes and reads these, the replay makes them again, the simulator takes its workload from them.
import type { Event } from "../core/events.js";
import type { RequestId } from "../core/model/ids.js";
import type { Record } from "../core/records.js";
import type { CoreSettings } from "../core/settings.js";
import type { Snapshot } from "../core/snapshot.js";

type Of<K extends Record["kind"]> = Extract<Record, { readonly kind: K }>;

/** A file that is not a recording, or not one that can be read; the message says what to do. */
export class RecordingError extends Error {
  override readonly name = "RecordingError";
}

/** With what a recording begins. */
export interface RecordingHeader {
  /** Of gpu-router, and of Node. */
  readonly version: string;
  readonly node: string;
  /** UTC, ms. */
  readonly startedAtMs: number;
  /** Users and sessions go by other names here. */
  readonly hashedUsers: boolean;
  readonly settings: CoreSettings;
  /** The state that the router found in its journal; null for none. */
  readonly snapshot: Snapshot | null;
}

/** What is kept of what a step made: all that was decided, nothing that was only passed on. */
export type Fact =
  | Of<"accepted">
  | Of<"placed">
  | Of<"state_digest">
  | { readonly kind: "retried"; readonly requestId: RequestId; readonly attempt: number; readonly retryAtMs: number }
  | { readonly kind: "ended"; readonly requestId: RequestId; readonly phase: Of<"ended">["phase"] };

export interface RecordedStep {
  /** From 1. */
  readonly number: number;
  readonly atMs: number;
  /** Payloads and results are zeros of the same length; texts that may quote them are empty. */
  readonly event: Event;
  readonly facts: readonly Fact[];
}

/** What a recording holds, in its order. */
export type Entry =
  /** A record of the journal that the router folded in when it started. */
  | { readonly kind: "recovered"; readonly record: Record }
  | { readonly kind: "step"; readonly step: RecordedStep };

/** How a recording ends. `digest` is that of the state after the last step. */
export type Ending =
  | { readonly kind: "stopped"; readonly digest: number }
  /** Its size limit was reached while the router went on. */
  | { readonly kind: "limit" }
  /** The router did not get to end it; so many bytes of an entry that is not whole were left out. */
  | { readonly kind: "cut"; readonly droppedBytes: number };

export function factsOf(records: readonly Record[]): Fact[] {
  const facts: Fact[] = [];
  for (const record of records) {
    switch (record.kind) {
      case "accepted":
      case "placed":
      case "state_digest":
        facts.push(record);
        break;
      case "attempt_failed":
        facts.push({ kind: "retried", requestId: record.requestId, attempt: record.attempt, retryAtMs: record.retryAtMs });
        break;
      case "ended":
        facts.push({ kind: "ended", requestId: record.requestId, phase: record.phase });
        break;
      default:
    }
  }
  return facts;
}
