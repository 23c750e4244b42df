// A trace in memory, and the stream of its requests. A trace is read once; every pass over it is lazy.
import { readTrace, type TraceFormat, type TraceRow } from "./formats/trace-format.js";
import { seedFor } from "./draw.js";
import { seededRandom } from "../../lib/random.js";
import type { Stream, StreamRequest } from "./stream.js";
import { TraceError } from "./trace-error.js";

/** Rows in the order of time. */
export interface Trace {
  readonly name: string;
  /** As formats are called. */
  readonly format: string;
  readonly rows: readonly TraceRow[];
  readonly calendar: boolean;
  /** The times were rounded down to about this, ms; 0 when they are exact. */
  readonly gridMs: number;
}

export interface LoadOptions {
  /** Only rows at least this long after the first one, and less than `toMs` after it, ms. */
  readonly fromMs?: number;
  readonly toMs?: number;
  /** Only rows that it is true of. */
  readonly keep?: (row: TraceRow) => boolean;
}

// About 100 bytes each.
const MAX_ROWS = 5_000_000;

/** Reads a trace. Rejects with a `TraceError` when it cannot be read, none of it is left, or more than five million rows are. */
export async function loadTrace(path: string, format: TraceFormat, options: LoadOptions = {}): Promise<Trace> {
  const { fromMs = Number.NEGATIVE_INFINITY, toMs = Number.POSITIVE_INFINITY, keep } = options;
  if (!format.ordered && (options.fromMs !== undefined || options.toMs !== undefined)) throw new TraceError(`${path}: a ${format.name} trace is not in order of time and cannot be cut while it is read`);
  const rows: TraceRow[] = [];
  let firstMs = Number.NaN;
  for await (const row of readTrace(path, format)) {
    if (Number.isNaN(firstMs)) firstMs = row.atMs;
    if (row.atMs - firstMs >= toMs) break;
    if (row.atMs - firstMs < fromMs || (keep !== undefined && !keep(row))) continue;
    if (rows.length === MAX_ROWS) throw new TraceError(`${path} has more than ${MAX_ROWS} rows: give the part of it that you want`);
    rows.push(row);
  }
  return traceOf(path, rows, format);
}

/** A trace of rows in any order; takes `rows` over. Throws a `TraceError` when there are none, or all are of one time: such a trace has no rate. */
export function traceOf(path: string, rows: TraceRow[], format: Pick<TraceFormat, "name" | "calendar" | "gridMs">): Trace {
  if (rows.length === 0) throw new TraceError(`${path} has no requests: give a trace with some, at two times at least`);
  rows.sort((one, other) => one.atMs - other.atMs);
  if (rows[0]?.atMs === rows.at(-1)?.atMs) throw new TraceError(`${path} has ${rows.length === 1 ? "one request" : `${rows.length} requests, all at one time`}: nobody can say how often they come; give a trace with two times at least`);
  return { name: path.slice(path.lastIndexOf("/") + 1), format: format.name, rows, calendar: format.calendar, gridMs: format.gridMs };
}

/** Time of the first row on the trace's own clock, ms. */
export function startOf(trace: Trace): number {
  return trace.rows[0]?.atMs ?? 0;
}

/** How long the trace goes on: to its last row, and on for a mean gap so that an end can be followed by the start. */
export function spanOf(trace: Trace): number {
  const spanMs = (trace.rows.at(-1)?.atMs ?? 0) - startOf(trace);
  return spanMs + trace.gridMs + spanMs / (trace.rows.length - 1);
}

/**
 * The requests of a trace. `leadMs` before its first row the stream begins, and it lasts `durationMs` (to its end unless
 * given): traces that belong together get the same clock that way. Coarse times are spread uniformly over their grid.
 */
export function traceStream(trace: Trace, leadMs = 0, durationMs = leadMs + spanOf(trace)): Stream {
  const shiftMs = leadMs - startOf(trace);
  const names = new Set(trace.rows.map((row) => row.sender ?? ""));
  const senders = [...names].sort();
  const indexOf = new Map(senders.map((name, index) => [name, index]));
  const request = (row: TraceRow, atMs: number): StreamRequest => ({
    atMs,
    sender: indexOf.get(row.sender ?? "") ?? 0,
    inputTokens: row.inputTokens,
    outputTokens: row.outputTokens,
    prefixHashes: row.prefixHashes ?? [],
    sessionKey: "",
    gpus: row.gpus ?? 1,
    workMs: row.workMs ?? 0,
  });
  return {
    durationMs,
    senders,
    *requests(seed, fromMs = 0) {
      const { rows, gridMs } = trace;
      const spread = gridMs === 0 ? null : spreadTimes(trace, seedFor(`spread ${trace.name}`, seed));
      const timeAt = (place: number): number => (spread === null ? (rows[place]?.atMs ?? 0) : (spread.times[spread.order[place] ?? 0] ?? 0)) + shiftMs;
      for (let place = firstAtOrAfter(timeAt, rows.length, fromMs); place < rows.length; place += 1) {
        const row = rows[spread?.order[place] ?? place];
        if (row !== undefined) yield request(row, timeAt(place));
      }
    },
  };
}

/** Every row's time moved by a random share of the grid, and the rows' order after that. */
function spreadTimes({ rows, gridMs }: Trace, seed: number): { readonly times: Float64Array; readonly order: Uint32Array } {
  const random = seededRandom(seed);
  const times = Float64Array.from(rows, (row) => row.atMs + random() * gridMs);
  const order = Uint32Array.from(rows.keys()).sort((one, other) => (times[one] ?? 0) - (times[other] ?? 0) || one - other);
  return { times, order };
}

function firstAtOrAfter(timeAt: (place: number) => number, length: number, fromMs: number): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timeAt(middle) < fromMs) low = middle + 1;
    else high = middle;
  }
  return low;
}
