// The command line's doors to the outside: streams, environment, Ctrl-C. Commands get a Terminal and never touch
// `process`, so that tests run them in-process. Decides whether colours and redrawing are welcome.
import type { Readable, Writable } from "node:stream";

/** A stream for people or pipes; the last three are there only when it is a terminal. */
export type TerminalStream = Writable & { isTTY?: boolean; columns?: number; rows?: number };

export interface Terminal {
  readonly stdin: Readable;
  readonly stdout: TerminalStream;
  readonly stderr: TerminalStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Calls back on every Ctrl-C until the returned function is called. Without a listener Ctrl-C ends the process. */
  onInterrupt(listener: () => void): () => void;
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    onInterrupt(listener) {
      process.on("SIGINT", listener);
      return () => process.off("SIGINT", listener);
    },
  };
}

/** Writes and waits while the reader is slow, so that output in memory stays bounded. */
export async function write(stream: Writable, chunk: string | Uint8Array): Promise<void> {
  if (stream.write(chunk) || stream.destroyed) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      stream.off("drain", done).off("close", done).off("error", done);
      resolve();
    };
    stream.on("drain", done).on("close", done).on("error", done);
  });
}

/** Whether a stream can be redrawn in place. */
export function isRedrawable(stream: TerminalStream, env: Terminal["env"]): boolean {
  return stream.isTTY === true && env["TERM"] !== "dumb";
}

/** How many characters fit on a line; 100 where nobody can say, as in a pipe or a terminal of no size. */
export function widthOf({ columns }: TerminalStream): number {
  return columns === undefined || columns === 0 ? 100 : columns;
}
