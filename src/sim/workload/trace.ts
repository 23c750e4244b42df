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
  /** Rows of the file that are no work. */
  readonly leftOut: number;
  readonly calendar: boolean;
  /** The times were rounded down to about this, ms; 0 when they are exact. */
  readonly gridMs: number;
}

/** Which part of a trace is wanted. */
export interface TraceWindow {
  /** Only rows at least this long after the earliest one, and less than `toMs` after it, ms. */
  readonly fromMs?: number;
  readonly toMs?: number;
}

// About 100 bytes each.
const MAX_ROWS = 5_000_000;
/** Logs that are in order write a row a little late now and then. */
const DISORDER_MS = 60_000;

/**
 * Reads a trace, or a window of it: a file in order of time no further than the window, another one twice. Rejects with a `TraceError`
 * when it cannot be read, nothing is left, or more than five million rows are.
 */
export async function loadTrace(path: string, format: TraceFormat, { fromMs = 0, toMs = Number.POSITIVE_INFINITY }: TraceWindow = {}): Promise<Trace> {
  const cut = fromMs > 0 || Number.isFinite(toMs);
  const rows: TraceRow[] = [];
  let leftOut = 0;
  let originMs = cut && !format.ordered ? await earliest(path, format) : Number.NaN;
  let latestMs = Number.NEGATIVE_INFINITY;
  for await (const row of readTrace(path, format)) {
    if (Number.isNaN(originMs)) originMs = row.atMs;
    const sinceMs = row.atMs - originMs;
    if (cut && format.ordered) {
      if (sinceMs < latestMs - DISORDER_MS) throw new TraceError(`${path}: a time goes back by ${Math.round((latestMs - sinceMs) / 1000)} s: sort the trace by time, to take a window of it`);
      if (sinceMs >= toMs + DISORDER_MS) break;
      latestMs = Math.max(latestMs, sinceMs);
    }
    if ((fromMs > 0 && sinceMs < fromMs) || sinceMs >= toMs) continue;
    if (format.of === "jobs" && ((row.gpus ?? 1) === 0 || (row.workMs ?? 0) === 0)) {
      leftOut += 1;
      continue;
    }
    if (rows.length === MAX_ROWS) throw new TraceError(`${path} has more than ${MAX_ROWS} rows: take a window of it, with from_minutes and to_minutes in the scenario file`);
    rows.push(row);
  }
  return traceOf(path, rows, format, leftOut);
}

async function earliest(path: string, format: TraceFormat): Promise<number> {
  let leastMs = Number.POSITIVE_INFINITY;
  for await (const { atMs } of readTrace(path, format)) leastMs = Math.min(leastMs, atMs);
  return leastMs;
}

/** A trace of rows in any order; takes `rows` over. Throws a `TraceError` when there are none, or all are of one time: such a trace has no rate. */
export function traceOf(path: string, rows: TraceRow[], format: Pick<TraceFormat, "name" | "calendar" | "gridMs">, leftOut = 0): Trace {
  if (rows.length === 0) throw new TraceError(`${path} has no requests${leftOut > 0 ? ` (${leftOut} rows without a GPU or without time are none)` : " there"}: give a trace with some, at two times at least`);
  rows.sort((one, other) => one.atMs - other.atMs);
  if (rows[0]?.atMs === rows.at(-1)?.atMs) throw new TraceError(`${path} has ${rows.length === 1 ? "one request" : `${rows.length} requests, all at one time`}: nobody can say how often they come; give a trace with two times at least`);
  return { name: path.slice(path.lastIndexOf("/") + 1), format: format.name, rows, leftOut, calendar: format.calendar, gridMs: format.gridMs };
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
  const { senders, asked, indexOf } = sendersOf(trace.rows);
  const request = (row: TraceRow, atMs: number): StreamRequest => ({
    atMs,
    sender: indexOf(row),
    inputTokens: row.inputTokens,
    outputTokens: row.outputTokens,
    prefixHashes: row.prefixHashes ?? [],
    sessionKey: row.sessionKey ?? "",
    gpus: row.gpus ?? 1,
    workMs: row.workMs ?? 0,
  });
  return {
    durationMs,
    senders,
    asked,
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

/** Who sends in a trace: each name with each model that it asks for. */
function sendersOf(rows: readonly TraceRow[]): { readonly senders: readonly string[]; readonly asked: readonly string[]; readonly indexOf: (row: TraceRow) => number } {
  const pairs = new Map<string, Map<string, number>>();
  for (const { sender = "", model = "" } of rows) {
    const models = pairs.get(sender) ?? new Map<string, number>();
    pairs.set(sender, models.set(model, 0));
  }
  const all = [...pairs].sort(([one], [other]) => (one < other ? -1 : 1)).flatMap(([sender, models]) => [...models.keys()].sort().map((model) => ({ sender, model })));
  for (const [index, { sender, model }] of all.entries()) pairs.get(sender)?.set(model, index);
  return { senders: all.map(({ sender }) => sender), asked: all.map(({ model }) => model), indexOf: ({ sender = "", model = "" }) => pairs.get(sender)?.get(model) ?? 0 };
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
