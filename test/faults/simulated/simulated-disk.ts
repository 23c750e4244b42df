// A simulated disk with the journal on it. What is durable outlives the router process; what was being written when it died is
// there whole or not at all, as LMDB promises. It can be slow, fail a commit (of which nobody knows whether it is on the disk), and fill up.
import type { EndedRequest } from "../../../src/core/events.js";
import type { RequestId } from "../../../src/core/model/ids.js";
import type { Request } from "../../../src/core/model/request.js";
import type { Record } from "../../../src/core/records.js";
import { decodeFinished, decodeFrame, decodeSnapshot, encodeFinished, encodeFrame, encodeSnapshot } from "../../../src/journal/codec.js";
import type { Batch, FinishedPage, Journal, Recovered } from "../../../src/journal/journal.js";
import { assert } from "../../../src/lib/assert.js";
import { sealed, SimulatedOutbox, type OutboxTables } from "./simulated-outbox.js";
import type { SimulatedProcess, VirtualTime } from "./virtual-time.js";

const TOTAL_BYTES = 1 << 30;

/** The bytes of one batch. */
interface Written {
  readonly firstSequence: number;
  readonly recordCount: number;
  readonly frame: Uint8Array | null;
  /** What is read back from the frame. */
  readonly decoded: readonly Record[];
  readonly finished: readonly (readonly [string, Uint8Array])[];
  readonly callbacks: readonly (readonly [number, Uint8Array])[];
  readonly snapshot: Uint8Array | null;
}

/** What decides how the disk behaves. */
export interface DiskConduct {
  /** How long the next commit takes, ms. */
  commitMs(): number;
  /** Whether the next commit fails. */
  fails(): boolean;
  /** Whether what was being written when the process died, or the commit failed, is on the disk. */
  keptByChance(): boolean;
  /** How much larger the journal believes its log to be, so that snapshots are taken in a short life. */
  readonly logScale: number;
}

/** The durable half of the router's machine. */
export class SimulatedDisk {
  readonly frames = new Map<number, Uint8Array>();
  snapshot: Uint8Array | null = null;
  snapshotSequence = 0;
  readonly finished = new Map<string, Uint8Array>();
  readonly outbox: OutboxTables = { pending: new Map(), dead: new Map() };
  readonly conduct: DiskConduct;
  /** What is free of it, 0..1. */
  freeShare = 1;
  /** Called with each batch of records as they became durable. */
  onDurable: (records: readonly Record[]) => void = () => {};
  #pending: Written | null = null;

  constructor(conduct: DiskConduct) {
    this.conduct = conduct;
  }

  begin(written: Written): void {
    assert(this.#pending === null, "batches are appended one at a time");
    this.#pending = written;
  }

  /** The batch under way is on the disk. */
  commit(): void {
    const written = this.#pending;
    this.#pending = null;
    if (!written) return;
    if (written.frame) this.frames.set(written.firstSequence, written.frame);
    for (const [requestId, bytes] of written.finished) this.finished.set(requestId, bytes);
    for (const [order, bytes] of written.callbacks) this.outbox.pending.set(order, bytes);
    if (written.snapshot) {
      this.snapshot = written.snapshot;
      this.snapshotSequence = written.firstSequence + written.recordCount - 1;
      this.frames.clear();
    }
    this.onDurable(written.decoded);
  }

  /** Its process died while it wrote. */
  interrupted(): void {
    if (this.conduct.keptByChance()) this.commit();
    this.#pending = null;
  }
}

/** The journal of one life of the router, on a disk that outlives it. */
export class SimulatedJournal implements Journal {
  readonly directory = "the simulated disk";
  readonly outbox: SimulatedOutbox;
  readonly #disk: SimulatedDisk;
  readonly #time: VirtualTime;
  readonly #process: SimulatedProcess;
  readonly #onAppend: (decoded: readonly Record[]) => void;
  #nextSequence = 1;
  #bytesSinceSnapshot = 0;
  #bytesWritten = 0;
  #snapshotBytes = 0;

  /** `onAppend` is told the records of each batch as they would be read back, before anybody knows whether they become durable. */
  constructor(disk: SimulatedDisk, time: VirtualTime, process: SimulatedProcess, onAppend: (decoded: readonly Record[]) => void) {
    this.#disk = disk;
    this.#time = time;
    this.#process = process;
    this.#onAppend = onAppend;
    this.outbox = new SimulatedOutbox(disk.outbox, (write) => this.#transaction(write, () => {}));
  }

  get nextSequence(): number {
    return this.#nextSequence;
  }

  get bytesSinceSnapshot(): number {
    return this.#bytesSinceSnapshot * this.#disk.conduct.logScale;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  get snapshotBytes(): number {
    return this.#snapshotBytes;
  }

  recover(): Recovered {
    const { snapshot, snapshotSequence } = this.#disk;
    this.#nextSequence = snapshotSequence + 1;
    this.#snapshotBytes = snapshot?.byteLength ?? 0;
    return { snapshot: snapshot && decodeSnapshot(snapshot), records: this.#frames() };
  }

  *#frames(): Iterable<Record> {
    for (const key of [...this.#disk.frames.keys()].sort((a, b) => a - b)) {
      if (key !== this.#nextSequence) throw new Error(`The journal has a gap: record ${this.#nextSequence} is missing, ${key} is next.`);
      const bytes = this.#disk.frames.get(key)!;
      const records = decodeFrame(bytes, `frame ${key}`);
      this.#nextSequence += records.length;
      this.#bytesSinceSnapshot += bytes.byteLength;
      yield* records;
    }
  }

  append({ firstSequence, records, ended, callbacks = [], snapshot }: Batch): Promise<void> {
    if (firstSequence !== this.#nextSequence) return Promise.reject(new Error(`Appended ${firstSequence}, expected ${this.#nextSequence}.`));
    this.#nextSequence += records.length;
    const frame = records.length > 0 ? Uint8Array.from(encodeFrame(records)) : null;
    const snapshotBytes = snapshot && Uint8Array.from(encodeSnapshot(snapshot));
    const finished = ended.map((one) => [one.request.spec.requestId, bytesOf(one)] as const);
    const bytes = (frame?.byteLength ?? 0) + finished.reduce((sum, [, { byteLength }]) => sum + byteLength, 0);
    this.#bytesWritten += bytes;
    this.#bytesSinceSnapshot = snapshotBytes ? 0 : this.#bytesSinceSnapshot + (frame?.byteLength ?? 0);
    this.#snapshotBytes = snapshotBytes?.byteLength ?? this.#snapshotBytes;
    const decoded = frame ? decodeFrame(frame, "what is written") : [];
    this.#disk.begin({ firstSequence, recordCount: records.length, frame, decoded, finished, callbacks: callbacks.map(({ order, event }) => [order, sealed(event)]), snapshot: snapshotBytes });
    this.#onAppend(decoded);
    return this.#transaction(
      () => this.#disk.commit(),
      () => this.#disk.interrupted(),
    );
  }

  /** Takes the time of a commit; ends in one of the two. */
  #transaction(committed: () => void, failed: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#time.after(this.#disk.conduct.commitMs(), this.#process, () => {
        if (this.#disk.freeShare > 0 && !this.#disk.conduct.fails()) {
          committed();
          resolve();
        } else {
          failed();
          reject(new Error(this.#disk.freeShare > 0 ? "input/output error" : "no space left"));
        }
      });
    });
  }

  finished(requestId: RequestId): Request | null {
    const bytes = this.#disk.finished.get(requestId);
    return bytes ? decodeFinished(bytes).request : null;
  }

  result(requestId: RequestId): Uint8Array | null {
    const bytes = this.#disk.finished.get(requestId);
    const result = bytes && decodeFinished(bytes).result;
    return result && result.byteLength > 0 ? result : null;
  }

  /** In the order in which they ended. */
  listFinished(belowOrder: number, limit: number): FinishedPage {
    const ids = [...this.#disk.finished.keys()];
    const end = belowOrder > 0 ? belowOrder - 1 : ids.length;
    const from = Math.max(0, end - limit);
    const requests = ids.slice(from, end).toReversed().map((requestId) => this.finished(requestId as RequestId));
    return { requests: requests.filter((request) => request !== null), nextOrder: from > 0 ? from + 1 : 0 };
  }

  /** A run is shorter than any retention. */
  purge(): Promise<number> {
    return Promise.resolve(0);
  }

  freeSpace(): Promise<{ readonly bytes: number; readonly totalBytes: number }> {
    return Promise.resolve({ bytes: TOTAL_BYTES * this.#disk.freeShare, totalBytes: TOTAL_BYTES });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function bytesOf(ended: EndedRequest): Uint8Array {
  return Uint8Array.from(encodeFinished(ended));
}
