// Watches the free space below the journal. When it runs low new work is refused, so that what is accepted can still end:
// an LMDB commit that finds no space ends the process.
import type { Logger } from "pino";
import type { LmdbJournal } from "../journal/lmdb-journal.js";

const CHECK_MS = 500;
/** Kept free for the ends of accepted requests: this much, or this share of a file system that is smaller than ten times it. */
const RESERVE_BYTES = 256 * 1024 * 1024;
const RESERVE_SHARE = 0.1;

export class DiskGuard {
  readonly #journal: LmdbJournal;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #full = "";

  constructor(journal: LmdbJournal, log: Logger) {
    this.#journal = journal;
    this.#log = log;
    this.#timer = setInterval(() => void this.#check(), CHECK_MS);
    this.#timer.unref();
    void this.#check();
  }

  /** Why nothing new is accepted; "" while there is room. */
  get full(): string {
    return this.#full;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #check(): Promise<void> {
    try {
      const { bytes, share } = await this.#journal.freeSpace();
      const before = this.#full;
      this.#full = bytes < RESERVE_BYTES && share < RESERVE_SHARE ? `${Math.floor(bytes / 1024)} KiB free in ${this.#journal.directory}` : "";
      if (this.#full && !before) this.#log.error({ detail: this.#full }, "disk nearly full: refusing new requests until there is room");
      if (!this.#full && before) this.#log.info("disk has room again: accepting requests");
    } catch (error) {
      this.#log.warn({ error: String(error) }, "cannot read the free disk space");
    }
  }
}
