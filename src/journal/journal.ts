// The port of the durable log: what the router needs of whatever keeps its records. `lmdb-journal.ts` is one on a local disk; the
// simulation of faults has one on a simulated disk.
import type { EndedRequest } from "../core/events.js";
import type { RequestId } from "../core/model/ids.js";
import type { Request } from "../core/model/request.js";
import type { Record } from "../core/records.js";
import type { Snapshot } from "../core/snapshot.js";
import type { OutboxEntry, OutboxTable } from "./outbox-table.js";

/** What becomes durable together. */
export interface Batch {
  /** Sequence number of the first record; must follow the last batch. */
  readonly firstSequence: number;
  readonly records: readonly Record[];
  readonly ended: readonly EndedRequest[];
  /** What callers are to be told of these records. */
  readonly callbacks?: readonly OutboxEntry[];
  /** The state after this batch; frames up to here are dropped with it. */
  readonly snapshot: Snapshot | null;
}

/** What a start finds. */
export interface Recovered {
  readonly snapshot: Snapshot | null;
  /** Records after the snapshot, in order. */
  readonly records: Iterable<Record>;
}

/** A page of finished requests, newest first. */
export interface FinishedPage {
  readonly requests: readonly Request[];
  /** Continue below this order; 0 when there are no more. */
  readonly nextOrder: number;
}

/** What callers are still to be told. */
export type Outbox = Pick<OutboxTable, "stamp" | "pending" | "read" | "settle" | "deadCount" | "deadLetters" | "retry">;

/** The log, the requests that have ended, and their results. One writer. */
export interface Journal {
  /** Where it lies, for people to read. */
  readonly directory: string;
  readonly outbox: Outbox;
  readonly nextSequence: number;
  /** Log bytes that a recovery would have to fold. */
  readonly bytesSinceSnapshot: number;
  /** Bytes of log and results written since the start of the process. */
  readonly bytesWritten: number;
  /** Size of the last snapshot, bytes. */
  readonly snapshotBytes: number;
  /** Reads everything that is durable. Call once, before the first append. Throws when it is not what was written. */
  recover(): Recovered;
  /**
   * Resolves when all of the batch is durable. Rejects when it may not be; the caller must then stop, because its memory is ahead of
   * the disk. Strictly one at a time. Has read the batch when it returns: what it refers to may change after that.
   */
  append(batch: Batch): Promise<void>;
  /** null when unknown or past its retention. */
  finished(requestId: RequestId): Request | null;
  result(requestId: RequestId): Uint8Array | null;
  /** Newest first, below `belowOrder` (0 for the newest). */
  listFinished(belowOrder: number, limit: number): FinishedPage;
  /** Drops requests that ended before `endedBeforeMs` or exceed `keepAtMost`; stops after `limit` or somewhat more. Resolves to how many. */
  purge(endedBeforeMs: number, keepAtMost: number, limit: number): Promise<number>;
  freeSpace(): Promise<{ readonly bytes: number; readonly totalBytes: number }>;
  close(): Promise<void>;
}
