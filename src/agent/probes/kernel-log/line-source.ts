// What the sources of kernel messages have in common: the device (kmsg-device.ts) and the journal (journal-command.ts). See kernel-log.ts.

/** A source that is open. */
export interface OpenLineSource {
  /** Where the lines come from, in words. */
  readonly name: string;
  /** Why it ended by itself. Never resolves after `close`, never rejects. */
  readonly ended: Promise<string>;
  close(): void;
}

/** Longer lines are cut: what matters stands at their beginning. The kernel's own are below 1,024 characters. */
const MAX_LINE_CHARS = 8_192;

/** Makes lines of what comes in pieces. Keeps one unfinished line, of bounded length. */
export class LineSplitter {
  readonly #onLine: (line: string) => void;
  #partial = "";

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(text: string): void {
    const lines = (this.#partial + text).split("\n");
    this.#partial = (lines.pop() ?? "").slice(0, MAX_LINE_CHARS);
    for (const line of lines) this.#onLine(line.slice(0, MAX_LINE_CHARS));
  }
}
