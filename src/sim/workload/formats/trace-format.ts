// What a trace format is, and reading a file of one row a line. `replay` sends such rows to a router, the simulator loads
// them. One format a file beside this one.
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
  /** GPUs at once; 0 for a pod without one. */
  readonly gpus?: number;
  /** Asked of the one GPU, thousandths; 1000 is all of it. */
  readonly gpuMilli?: number;
  /** How long it kept its GPUs, ms. */
  readonly workMs?: number;
}

/** How a line becomes a row. */
export interface TraceFormat {
  readonly name: string;
  /** Whether times are on a calendar, so that traces of the same hours line up. */
  readonly calendar: boolean;
  /** Times were rounded down to about this, ms; 0 when they are exact. */
  readonly gridMs: number;
  /** Whether rows are in the order of time; where they need not be, whoever loads them sorts. */
  readonly ordered: boolean;
  /** The first line of a file, null when the first line is a row. */
  readonly heading: string | null;
  /** A row, or null when the line is not one. */
  parse(line: string): TraceRow | null;
}

// What the contract takes as input_tokens and output_tokens.
const MAX_TOKENS = 16_777_216;

/** Whether a value can be a request's token count. */
export function isTokenCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_TOKENS;
}

/** Whether a line is this heading, whatever its spaces, quotes, case and byte order mark. */
export function isHeading(heading: string, line: string): boolean {
  return line.replaceAll(/[\s"]/g, "").toLowerCase() === heading.toLowerCase();
}

/**
 * The rows of a file. Throws a `TraceError` that names the line it cannot take: one that is no row, another heading, or, where
 * the format promises order, a time that goes back.
 */
export async function* readTrace(path: string, format: TraceFormat): AsyncGenerator<TraceRow, void, undefined> {
  let lineNumber = 0;
  let headingLeft = format.heading !== null;
  let previousMs = Number.NEGATIVE_INFINITY;
  for await (const line of lines(path)) {
    lineNumber += 1;
    if (line.trim() === "") continue;
    if (headingLeft) {
      if (!isHeading(format.heading ?? "", line)) throw new TraceError(`${path}:${lineNumber}: the first line of a ${format.name} trace is ${format.heading}, not: ${shown(line)}`);
      headingLeft = false;
      continue;
    }
    const row = format.parse(line);
    if (row === null) throw new TraceError(`${path}:${lineNumber}: not a row of a ${format.name} trace: ${shown(line)}`);
    if (format.ordered && row.atMs < previousMs) throw new TraceError(`${path}:${lineNumber}: time goes back: sort the trace by time first`);
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

function shown(line: string): string {
  return line.slice(0, 80);
}
