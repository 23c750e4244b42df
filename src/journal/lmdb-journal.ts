// The durable log on LMDB: frames of records, one snapshot, finished requests and their results, all of a group in one
// transaction. Called by the router's engine loop, one append at a time; reads are synchronous memory-mapped look-ups.
import { mkdirSync } from "node:fs";
import { statfs } from "node:fs/promises";
import path from "node:path";
import type { RequestId } from "../core/model/ids.js";
import type { Request } from "../core/model/request.js";
import type { Record } from "../core/records.js";
import { decodeFinished, decodeFrame, decodeSnapshot, encodeFinished, encodeFrame, encodeSnapshot } from "./codec.js";
import type { Batch, FinishedPage, Journal, Recovered } from "./journal.js";
import { lockDirectory, type DirectoryLock } from "./directory-lock.js";
import { OutboxTable } from "./outbox-table.js";
import { openSealedFile, putFormat, storedNumber, type SealedFile } from "./sealed-file.js";
import { SealedTable } from "./sealed-table.js";
import type { VaultKey } from "./vault-key.js";

const MAX_TABLES = 8;
/** The one entry of the meta table that says something about somebody; sealed. */
const SNAPSHOT = "snapshot";
const SNAPSHOT_SEQUENCE = "snapshot_sequence";

/** A result up to this size is stored with its request: one entry instead of two. */
const MAX_INLINE_RESULT_BYTES = 4 * 1024;
const NO_RESULT = new Uint8Array();

export class LmdbJournal implements Journal {
  readonly directory: string;
  /** What callers are still to be told. */
  readonly outbox: OutboxTable;
  readonly #file: SealedFile;
  readonly #log: SealedTable<number>;
  readonly #finished: SealedTable<string>;
  /** Order of ending of the first of a commit -> the ids that ended in it, a line each. One entry a commit, not one a request. */
  readonly #finishedOrder: SealedTable<number>;
  readonly #results: SealedTable<string>;
  readonly #lock: DirectoryLock;
  #nextSequence = 1;
  #nextOrder = 1;
  #bytesSinceSnapshot = 0;
  #bytesWritten = 0;
  #snapshotBytes = 0;

  /** Creates `directory` when it is missing. Throws when it is in use, unreadable, of another format, or not under `key` (null: not encrypted). */
  static async open(directory: string, key: VaultKey | null = null): Promise<LmdbJournal> {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const lock = await lockDirectory(directory);
    try {
      return new LmdbJournal(directory, lock, key);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  private constructor(directory: string, lock: DirectoryLock, key: VaultKey | null) {
    this.directory = directory;
    this.#lock = lock;
    this.#file = openSealedFile(path.join(directory, "journal.mdb"), MAX_TABLES, key);
    const { root, vault } = this.#file;
    this.#log = new SealedTable(root, "log", vault);
    this.#finished = new SealedTable(root, "finished", vault, { blind: true });
    this.#finishedOrder = new SealedTable(root, "finished_order", vault);
    this.#results = new SealedTable(root, "results", vault, { blind: true });
    this.outbox = new OutboxTable(root, vault, (write) => this.#commit(write));
    for (const last of this.#finishedOrder.getRange({ reverse: true, limit: 1 })) this.#nextOrder = last.key + idsOf(last.value).length;
  }

  /** Reads everything that is durable. Call once, before the first append. Throws CorruptJournalError, or on a gap. */
  recover(): Recovered {
    const { meta, vault } = this.#file;
    const sealed = meta.get(SNAPSHOT);
    const snapshot = sealed ? decodeSnapshot(vault.open(SNAPSHOT, sealed)) : null;
    this.#snapshotBytes = sealed?.byteLength ?? 0;
    const snapshotSequence = storedNumber(meta, SNAPSHOT_SEQUENCE);
    this.#nextSequence = snapshotSequence + 1;
    return { snapshot, records: this.#framesAfter(snapshotSequence) };
  }

  *#framesAfter(snapshotSequence: number): Iterable<Record> {
    for (const { key, value } of this.#log.getRange({ start: snapshotSequence + 1 })) {
      if (key !== this.#nextSequence) throw new Error(`The journal has a gap: record ${this.#nextSequence} is missing, ${key} is next.`);
      const records = decodeFrame(value, `frame ${key}`);
      this.#nextSequence += records.length;
      this.#bytesSinceSnapshot += value.byteLength;
      yield* records;
    }
  }

  get nextSequence(): number {
    return this.#nextSequence;
  }

  get bytesSinceSnapshot(): number {
    return this.#bytesSinceSnapshot;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  get snapshotBytes(): number {
    return this.#snapshotBytes;
  }

  /**
   * Resolves when the batch is on the disk. Rejects when it is not; the caller must then stop, because its memory is ahead
   * of the disk. Strictly one at a time.
   */
  async append(batch: Batch): Promise<void> {
    if (batch.firstSequence !== this.#nextSequence) throw new Error(`Appended ${batch.firstSequence}, expected ${this.#nextSequence}.`);
    const committed = this.#commit(() => this.#write(batch));
    this.#nextSequence += batch.records.length;
    await committed;
    await this.#file.root.flushed;
  }

  /** Commits what `write` puts and removes as one transaction. Rejects with the cause and the space that is left. */
  async #commit(write: () => void): Promise<void> {
    try {
      await this.#file.root.batch(write);
    } catch (error) {
      // lmdb gives the cause as a promise of its own.
      const cause = await (error as { readonly commitError?: Promise<unknown> }).commitError?.catch((reason: unknown) => reason);
      const { bytes } = await this.freeSpace();
      const trouble = cause instanceof Error ? cause : (error as Error);
      throw new Error(`${trouble.message}; ${Math.floor(bytes / 1024)} KiB free in ${this.directory}`, { cause: error });
    }
  }

  #write({ firstSequence, records, ended, callbacks = [], snapshot }: Batch): void {
    if (firstSequence === 1) putFormat(this.#file);
    if (records.length > 0) {
      const frame = encodeFrame(records);
      this.#bytesSinceSnapshot += frame.byteLength;
      this.#bytesWritten += frame.byteLength;
      this.#log.put(firstSequence, frame);
    }
    this.outbox.put(callbacks);
    if (ended.length > 0) {
      this.#finishedOrder.put(this.#nextOrder, Buffer.from(ended.map(({ request }) => request.spec.requestId).join("\n")));
      this.#nextOrder += ended.length;
    }
    for (const { request, result } of ended) {
      const { requestId } = request.spec;
      const beside = result.byteLength > MAX_INLINE_RESULT_BYTES;
      this.#finished.put(requestId, encodeFinished({ request, result: beside ? NO_RESULT : result }));
      this.#bytesWritten += result.byteLength;
      if (beside) this.#results.put(requestId, Buffer.from(result.buffer, result.byteOffset, result.byteLength));
    }
    if (!snapshot) return;
    const lastSequence = firstSequence + records.length - 1;
    const encoded = encodeSnapshot(snapshot);
    this.#snapshotBytes = encoded.byteLength;
    this.#putSnapshot(encoded, lastSequence);
    for (const key of this.#log.getKeys({ end: lastSequence + 1 })) this.#log.remove(key);
    if (records.length > 0) this.#log.remove(firstSequence);
    this.#bytesSinceSnapshot = 0;
  }

  #putSnapshot(encoded: Buffer, sequence: number): void {
    const { meta, vault } = this.#file;
    void meta.put(SNAPSHOT, vault.seal(SNAPSHOT, encoded));
    void meta.put(SNAPSHOT_SEQUENCE, Buffer.from(`${sequence}`));
  }

  /** null when unknown or past its retention. About 5 µs. */
  finished(requestId: RequestId): Request | null {
    const sealed = this.#finished.get(requestId);
    return sealed ? decodeFinished(sealed).request : null;
  }

  result(requestId: RequestId): Uint8Array | null {
    const beside = this.#results.get(requestId);
    if (beside) return beside;
    const sealed = this.#finished.get(requestId);
    const inline = sealed ? decodeFinished(sealed).result : NO_RESULT;
    return inline.byteLength > 0 ? inline : null;
  }

  /** Newest first, below `belowOrder` (0 for the newest). */
  listFinished(belowOrder: number, limit: number): FinishedPage {
    const requests: Request[] = [];
    const below = belowOrder > 0 ? belowOrder : this.#nextOrder;
    for (const { key, value } of this.#finishedOrder.getRange({ start: below - 1, reverse: true })) {
      const ids = idsOf(value);
      for (let place = Math.min(ids.length, below - key) - 1; place >= 0; place -= 1) {
        const request = this.finished(ids[place] as RequestId);
        if (request) requests.push(request);
        if (requests.length === limit) return { requests, nextOrder: key + place > 1 ? key + place : 0 };
      }
    }
    return { requests, nextOrder: 0 };
  }

  /**
   * Drops finished requests and results that ended before `endedBeforeMs` or exceed `keepAtMost`, whole commits at a time: a
   * commit stays while any of its requests should. Stops after `limit` requests; returns how many.
   */
  async purge(endedBeforeMs: number, keepAtMost: number, limit: number): Promise<number> {
    const orders: number[] = [];
    const dropped: string[] = [];
    const keepFrom = this.#nextOrder - keepAtMost;
    for (const { key, value } of this.#finishedOrder.getRange({ start: 0 })) {
      const ids = idsOf(value);
      const youngest = this.finished(ids[ids.length - 1] as RequestId);
      if (dropped.length >= limit || (youngest && key + ids.length > keepFrom && youngest.endedAtMs >= endedBeforeMs)) break;
      orders.push(key);
      dropped.push(...ids);
    }
    if (dropped.length === 0) return 0;
    await this.#commit(() => {
      for (const order of orders) this.#finishedOrder.remove(order);
      for (const requestId of dropped) {
        this.#finished.remove(requestId);
        this.#results.remove(requestId);
      }
    });
    return dropped.length;
  }

  /** Writes all that it holds into `target`, which is new, under that one's key. */
  async copyTo(target: LmdbJournal): Promise<void> {
    const { meta, vault } = this.#file;
    const snapshot = meta.get(SNAPSHOT);
    await target.#commit(() => {
      putFormat(target.#file);
      if (snapshot) target.#putSnapshot(vault.open(SNAPSHOT, snapshot), storedNumber(meta, SNAPSHOT_SEQUENCE));
    });
    const commit = (write: () => void): Promise<void> => target.#commit(write);
    await this.#log.copyTo(target.#log, commit);
    await this.#finishedOrder.copyTo(target.#finishedOrder, commit);
    // By their ids, which are in them.
    await this.#finished.copyTo(target.#finished, commit, (value) => {
      const { requestId } = decodeFinished(value).request.spec;
      const beside = this.#results.get(requestId);
      if (beside) target.#results.put(requestId, beside);
      return requestId;
    });
    await this.outbox.copyTo(target.outbox);
    await target.#file.root.flushed;
  }

  /** What is free on the journal's file system, and its size. */
  async freeSpace(): Promise<{ readonly bytes: number; readonly totalBytes: number }> {
    const { bavail, blocks, bsize } = await statfs(this.directory);
    return { bytes: bavail * bsize, totalBytes: blocks * bsize };
  }

  async close(): Promise<void> {
    await this.#file.root.close();
    await this.#lock.release();
  }
}

function idsOf(commit: Buffer): string[] {
  return commit.toString().split("\n");
}
