// Follows the kernel's log from now on: the device where it may be read, else the journal, and again with growing pauses when that ends. Used
// by probes whose own source tells of no Xids. What the lines mean is xid-log.ts's to say.
import { openJournal } from "./journal-command.js";
import { openKmsg } from "./kmsg-device.js";
import type { OpenLineSource } from "./line-source.js";

export interface KernelLogOptions {
  /** "auto": /dev/kmsg, else the journal; "off": nothing is followed; else the path of the device. */
  readonly source: string;
  /** "journalctl" on the PATH by default. */
  readonly journalCommand?: string;
  /** Called with what people should know: where the lines come from, or why there are none and what to do. */
  readonly note?: (text: string, trouble: boolean) => void;
  /** Pause before it is tried again, ms; doubles up to `maxRetryMs`. */
  readonly firstRetryMs?: number;
  readonly maxRetryMs?: number;
}

const DEVICE = "/dev/kmsg";
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;
/** What was open for so long was well: pauses begin anew, ms. */
const WELL_AFTER_MS = 60_000;
const ADVICE =
  "Run the agent as a user who may read it (in the group systemd-journal, or with CAP_SYSLOG), in a container hand in /dev/kmsg, or set probe.kernel_log: off.";

export class KernelLog {
  readonly #options: KernelLogOptions;
  readonly #onLine: (line: string) => void;
  #open: OpenLineSource | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pauseMs: number;
  #noted = "";
  #closed = false;

  constructor(options: KernelLogOptions, onLine: (line: string) => void) {
    this.#options = options;
    this.#onLine = onLine;
    this.#pauseMs = options.firstRetryMs ?? FIRST_RETRY_MS;
  }

  /** Tries to open it; resolves when that has succeeded or failed for the first time. Never rejects. */
  async start(): Promise<void> {
    if (this.#closed || this.#options.source === "off") return;
    const failures: string[] = [];
    for (const [name, open] of this.#sources()) {
      try {
        const source = await open();
        this.#opened(source);
        return;
      } catch (error) {
        failures.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    this.#note(`The kernel's log cannot be read, so Xid errors of the GPUs stay unknown (${failures.join("; ")}). ${ADVICE}`, true);
    this.#again();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#open?.close();
  }

  #sources(): readonly (readonly [name: string, open: () => Promise<OpenLineSource>])[] {
    const { source, journalCommand = "journalctl" } = this.#options;
    const device = source === "auto" ? DEVICE : source;
    const kmsg = [device, () => openKmsg(device, this.#onLine)] as const;
    return source === "auto" ? [kmsg, [journalCommand, () => openJournal(journalCommand, this.#onLine)]] : [kmsg];
  }

  #opened(source: OpenLineSource): void {
    if (this.#closed) {
      source.close();
      return;
    }
    this.#open = source;
    this.#note(`Xid errors of the GPUs come from the kernel's log, read from ${source.name}.`, false);
    const sinceMs = performance.now();
    void source.ended.then((reason) => {
      this.#open = undefined;
      if (performance.now() - sinceMs >= WELL_AFTER_MS) this.#pauseMs = this.#options.firstRetryMs ?? FIRST_RETRY_MS;
      this.#note(`The kernel's log was read from ${source.name} until that ended (${reason}); it is tried again.`, true);
      this.#again();
    });
  }

  #again(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.start(), this.#pauseMs).unref();
    this.#pauseMs = Math.min(this.#pauseMs * 2, this.#options.maxRetryMs ?? MAX_RETRY_MS);
  }

  /** Once, however often it is tried. */
  #note(text: string, trouble: boolean): void {
    if (text === this.#noted) return;
    this.#noted = text;
    this.#options.note?.(text, trouble);
  }
}
