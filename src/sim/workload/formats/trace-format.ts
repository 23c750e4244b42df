// What a trace's format is, once it is known, and reading a file of one row a line. `replay` sends such rows to a router, the simulator
// loads them. Which format a file has is told by detect-format.ts.
import { TraceError, unreadable } from "../trace-error.js";
import { readLines } from "./read-lines.js";

/** One request or job of a trace. What a format does not have is left out. */
export interface TraceRow {
  /** On the trace's own clock, ms: UTC where it has dates, since some start elsewhere. */
  readonly atMs: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Chained hashes of the prompt's blocks of 512 tokens, 32 bits each. */
  readonly prefixHashes?: readonly number[];
  /** Who sent it, in the trace's words. */
  readonly sender?: string;
  /** The model that it asked, in the trace's words. */
  readonly model?: string;
  /** What its conversation is called. */
  readonly sessionKey?: string;
  /** GPUs at once; 0 for a pod without one. */
  readonly gpus?: number;
  /** How long it kept its GPUs, ms. */
  readonly workMs?: number;
}

/** Why a line is no row: which column, what it has, what it should have. */
export interface BadRow {
  readonly trouble: string;
}

/** How the lines of one file become rows. */
export interface TraceFormat {
  readonly name: string;
  /** What rows are: requests in tokens, or jobs in time, of which those without a GPU or without time are no work. */
  readonly of: "requests" | "jobs";
  /** Whether times are on a calendar, so that traces of the same hours line up. */
  readonly calendar: boolean;
  /** Times were rounded down to about this, ms; 0 when they are exact. */
  readonly gridMs: number;
  /** Whether rows are in the order of time, as far as the beginning of the file tells. */
  readonly ordered: boolean;
  /** Whether the first line is a heading. */
  readonly headed: boolean;
  parse(line: string): TraceRow | BadRow;
}

/**
 * The rows of a file. Throws a `TraceError` that names file, line and column of what it cannot take; with `inOrder` also of a time that
 * goes back.
 */
export async function* readTrace(path: string, format: TraceFormat, inOrder = false): AsyncGenerator<TraceRow, void, undefined> {
  let lineNumber = 0;
  let headingLeft = format.headed;
  let previousMs = Number.NEGATIVE_INFINITY;
  for await (const line of lines(path)) {
    lineNumber += 1;
    if (line.trim() === "") continue;
    if (headingLeft) {
      headingLeft = false;
      continue;
    }
    const row = format.parse(line);
    if ("trouble" in row) throw new TraceError(`${path}:${lineNumber}: not a row of a ${format.name}: ${row.trouble}: ${line.slice(0, 80)}`);
    if (inOrder && row.atMs < previousMs) throw new TraceError(`${path}:${lineNumber}: time goes back: sort the trace by time first`);
    previousMs = row.atMs;
    yield row;
  }
}

async function* lines(path: string): AsyncGenerator<string, void, undefined> {
  try {
    yield* readLines(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}
