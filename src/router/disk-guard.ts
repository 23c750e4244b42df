// Watches the free space below the journal. When it runs low new work is refused, so that what is accepted can still end:
// an LMDB commit that finds no space ends the process.
import type { Logger } from "pino";
import type { Journal } from "../journal/journal.js";

const CHECK_MS = 250;
/** Kept free for the ends of accepted requests: this much, or this share of a file system that is smaller than ten times it. */
const RESERVE_BYTES = 256 * 1024 * 1024;
const RESERVE_SHARE = 0.1;

/** What the guard needs of the journal. */
export type GuardedJournal = Pick<Journal, "directory" | "freeSpace" | "bytesWritten">;

export class DiskGuard {
  readonly #journal: GuardedJournal;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #freeBytes = Number.POSITIVE_INFINITY;
  #reserveBytes = 0;
  #writtenAtCheck = 0;
  #wasFull = false;

  constructor(journal: GuardedJournal, log: Logger) {
    this.#journal = journal;
    this.#log = log;
    this.#timer = setInterval(() => void this.#check(), CHECK_MS);
    this.#timer.unref();
    void this.#check();
  }

  /** Why nothing new is accepted; "" while there is room. Counts what was written since the last look at the disk. */
  get full(): string {
    const leftBytes = this.#freeBytes - (this.#journal.bytesWritten - this.#writtenAtCheck);
    return leftBytes < this.#reserveBytes ? `${Math.max(0, Math.floor(leftBytes / 1024))} KiB free in ${this.#journal.directory}` : "";
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #check(): Promise<void> {
    try {
      const written = this.#journal.bytesWritten;
      const { bytes, totalBytes } = await this.#journal.freeSpace();
      this.#freeBytes = bytes;
      this.#reserveBytes = Math.min(RESERVE_BYTES, RESERVE_SHARE * totalBytes);
      this.#writtenAtCheck = written;
      const { full } = this;
      if (full && !this.#wasFull) this.#log.error({ detail: full }, "disk nearly full: refusing new requests until there is room");
      if (!full && this.#wasFull) this.#log.info("disk has room again: accepting requests");
      this.#wasFull = full !== "";
    } catch (error) {
      this.#log.warn({ error: String(error) }, "cannot read the free disk space");
    }
  }
}
