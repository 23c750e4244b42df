// Records a running router: everything that its engine is given and decides, from its start on. Called by the engine loop for each step;
// never makes it wait and never fails it: whatever goes wrong ends the recording, says so in the log, and the router goes on.
import { open, rename, type FileHandle } from "node:fs/promises";
import type { Event } from "../core/events.js";
import type { Record } from "../core/records.js";
import type { CoreSettings } from "../core/settings.js";
import type { Snapshot } from "../core/snapshot.js";
import { Discretion } from "./discretion.js";
import { RecordingEncoder } from "./encoder.js";

/** A frame is written when it holds this many entries, or is this old. */
const FRAME_ENTRIES = 256;
const FRAME_MS = 100;
/** Bytes that may wait for the disk, beside those of the recovery, which come all at once. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

export interface RecorderOptions {
  readonly file: string;
  /** The recording ends here; the file may become one frame larger. */
  readonly maxBytes: number;
  readonly hashUsers: boolean;
  readonly settings: CoreSettings;
  /** Of gpu-router. */
  readonly version: string;
  readonly log: RecorderLog;
}

/** The part of pino's logger that is needed. */
export interface RecorderLog {
  info(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

export class Recorder {
  readonly #options: RecorderOptions;
  readonly #encoder: RecordingEncoder;
  /** null once the recording has ended. */
  #handle: FileHandle | null;
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> = Promise.resolve();
  #waitingBytes = 0;
  #bytes = 0;
  #recoveryBytes = 0;
  /** What follows a frame that could not be written whole is not written either. */
  #torn = false;

  private constructor(options: RecorderOptions, handle: FileHandle) {
    this.#options = options;
    this.#encoder = new RecordingEncoder(new Discretion(options.hashUsers));
    this.#handle = handle;
  }

  /** A recording that is there already is kept as FILE.previous. Null, with the reason in the log, when the file cannot be made. */
  static async open(options: RecorderOptions): Promise<Recorder | null> {
    const { file, log } = options;
    try {
      await rename(file, `${file}.previous`).catch(unlessMissing);
      const recorder = new Recorder(options, await open(file, "wx", 0o600));
      log.info({ file, maxBytes: options.maxBytes, hashUsers: options.hashUsers }, "recording");
      return recorder;
    } catch (error) {
      log.error({ file, error: textOf(error) }, "not recording: the file cannot be made");
      return null;
    }
  }

  /** The router begins with what its journal held: this, then `replayed` for each record after it, then `stepped`. */
  recovered(snapshot: Snapshot | null): void {
    const { settings, version, hashUsers } = this.#options;
    this.#try(() => this.#write(this.#encoder.header({ version, node: process.version, startedAtMs: Date.now(), hashedUsers: hashUsers, settings, snapshot })));
  }

  replayed(record: Record): void {
    this.#try(() => {
      this.#recoveryBytes = this.#bytes;
      this.#encoder.recovered(record);
      this.#wrote();
    });
  }

  /** One step of the engine. Progress alone decides nothing and is left out. */
  stepped(event: Event, nowMs: number, records: readonly Record[]): void {
    if (this.#handle === null || event.kind === "attempt_progress") return;
    this.#try(() => {
      this.#encoder.step(event, nowMs, records);
      this.#wrote();
    });
  }

  /** Ends the recording with the digest of the state after the last step. Resolves when all of it is written, or could not be. */
  async close(digest: number): Promise<void> {
    this.#try(() => {
      this.#flush();
      if (this.#handle === null) return;
      this.#encoder.end({ kind: "stopped", digest });
      this.#write(this.#encoder.frame());
      this.#finish();
    });
    await this.#writing;
  }

  #wrote(): void {
    if (this.#encoder.pending >= FRAME_ENTRIES) this.#flush();
    else this.#timer ??= setTimeout(() => this.#try(() => this.#flush()), FRAME_MS).unref();
  }

  #flush(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#encoder.pending === 0 || this.#handle === null) return;
    this.#write(this.#encoder.frame());
    if (this.#bytes < this.#options.maxBytes) return;
    this.#encoder.end({ kind: "limit" });
    this.#write(this.#encoder.frame());
    const { file, maxBytes, log } = this.#options;
    log.error({ file, maxBytes }, "the recording has reached its size limit and ends here; the router goes on");
    this.#finish();
  }

  #write(frame: Buffer): void {
    const handle = this.#handle;
    if (handle === null) return;
    if (this.#waitingBytes > MAX_WAITING_BYTES + this.#recoveryBytes) throw new Error("the disk does not keep up");
    this.#bytes += frame.byteLength;
    this.#waitingBytes += frame.byteLength;
    this.#writing = this.#writing.then(async () => {
      try {
        if (!this.#torn) await handle.appendFile(frame);
      } catch (error) {
        this.#torn = true;
        this.#fail(error);
      }
      this.#waitingBytes -= frame.byteLength;
    });
  }

  /** Closes the file behind what is still to be written. */
  #finish(): void {
    const handle = this.#handle;
    this.#handle = null;
    if (handle) this.#writing = this.#writing.then(() => handle.close()).catch(() => undefined);
  }

  #try(work: () => void): void {
    if (this.#handle === null) return;
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#options.log.error({ file: this.#options.file, error: textOf(error) }, "the recording ends here; the router goes on");
    this.#finish();
  }
}

function unlessMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
