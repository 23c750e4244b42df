// Tells progress lines from output in the stdout of a command. Called by `exec.ts`.
//
// A command reports progress with a line of its own, in either form, fraction 0..1, message optional:
//   ::progress 0.42 epoch 3 of 7
//   {"progress": 0.42, "message": "epoch 3 of 7"}
// Such a line is not output. JSON with any other key is output, so that nothing is swallowed by mistake.
import { isRecord } from "../json-record.js";

export interface ProgressFilterEvents {
  /** `message` is at most 256 characters. */
  progress(fraction: number, message: string): void;
  /** Everything else, in order, as early as possible: a line is only held back while it may still become a progress line. */
  output(data: Buffer): void;
}

const MARK = Buffer.from("::progress ");
const BRACE = 0x7b;
const NEWLINE = 0x0a;
/** What is longer is not a progress line. */
const MAX_LINE_BYTES = 4096;
const MAX_MESSAGE_CHARS = 256;

/** The filter of one stream. */
export class ProgressFilter {
  readonly #events: ProgressFilterEvents;
  /** The start of a line that may be progress. */
  #held: Buffer = Buffer.alloc(0);
  /** In the middle of a line that is output. */
  #midLine = false;

  constructor(events: ProgressFilterEvents) {
    this.#events = events;
  }

  push(chunk: Buffer): void {
    const data = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = Buffer.alloc(0);
    // Neighbouring output lines leave in one piece.
    let outputFrom = 0;
    for (let from = 0; from < data.length; ) {
      const newline = data.indexOf(NEWLINE, from);
      const to = newline === -1 ? data.length : newline + 1;
      const line = data.subarray(from, to);
      const candidate = !this.#midLine && line.length <= MAX_LINE_BYTES && mayBeProgress(line);
      if (candidate && newline === -1) {
        this.#held = Buffer.from(line);
        this.#output(data.subarray(outputFrom, from));
        return;
      }
      const progress = candidate ? parseProgressLine(line.toString("utf8")) : null;
      if (progress !== null) {
        this.#output(data.subarray(outputFrom, from));
        outputFrom = to;
        this.#events.progress(progress.fraction, progress.message);
      }
      this.#midLine = newline === -1;
      from = to;
    }
    this.#output(data.subarray(outputFrom));
  }

  /** The stream has ended; what was held back counts as a line. */
  end(): void {
    const line = this.#held;
    this.#held = Buffer.alloc(0);
    const progress = parseProgressLine(line.toString("utf8"));
    if (progress === null) this.#output(line);
    else this.#events.progress(progress.fraction, progress.message);
  }

  #output(data: Buffer): void {
    if (data.length > 0) this.#events.output(data);
  }
}

/** Whether `line`, or what it may become when it is not complete, starts like progress. */
function mayBeProgress(line: Buffer): boolean {
  const compared = Math.min(line.length, MARK.length);
  return line[0] === BRACE || line.compare(MARK, 0, compared, 0, compared) === 0;
}

/** null for a line that is not progress. */
export function parseProgressLine(line: string): { readonly fraction: number; readonly message: string } | null {
  const text = line.trimEnd();
  const marked = /^::progress +(\d*\.?\d+(?:[eE]-?\d+)?)(?: +(.*))?$/.exec(text);
  if (marked !== null) return checked(Number(marked[1]), marked[2] ?? "");
  if (!text.startsWith("{")) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isRecord(value) || Object.keys(value).some((key) => key !== "progress" && key !== "message")) return null;
  const { progress, message = "" } = value;
  return typeof progress === "number" && typeof message === "string" ? checked(progress, message) : null;
}

function checked(fraction: number, message: string): { readonly fraction: number; readonly message: string } | null {
  return fraction >= 0 && fraction <= 1 ? { fraction, message: message.slice(0, MAX_MESSAGE_CHARS) } : null;
}
