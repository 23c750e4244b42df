// When each request of one or several traces is sent: spreads coarse times, merges, cuts, speeds up. Streams: memory does not
// grow with the traces. The same traces, options and seed give the same schedule. `run.ts` keeps to it.
import { hash32, seededRandom } from "../../lib/random.js";
import { align } from "../../sim/workload/align.js";
import { readTrace, type TraceFormat, type TraceRow } from "../../sim/workload/formats/trace-format.js";
import { CliFailure } from "../failure.js";

/** One trace and who its requests are for. */
export interface TraceSource {
  readonly path: string;
  /** Its one user; of several, the beginning of their names: "conv-1", "conv-2". */
  readonly tenant: string;
  readonly format: TraceFormat;
  /** Of each of its users, 1..5, 0 for the router's default; at least one. Each request is of one of them, by lot. */
  readonly priorities: readonly number[];
}

export interface ScheduleOptions {
  /** 2 plays a trace in half its time; above 0. */
  readonly speed: number;
  /** Requests at most. */
  readonly limit: number;
  /** How far into the traces the replay begins, and how much of them it plays, ms on their clock; Infinity for all. */
  readonly fromMs: number;
  readonly durationMs: number;
  readonly seed: number;
}

export interface ScheduledRequest {
  /** Counts from 0 in the order of sending. */
  readonly number: number;
  /** Since the start of the replay, ms, in the replay's time. */
  readonly dueMs: number;
  readonly tenant: string;
  /** 1..5; 0 for the router's default. */
  readonly priority: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Chained hashes of the prompt's blocks; empty when the trace has none. */
  readonly prefixHashes: readonly number[];
}

// Rows that may share one grid cell; a trace with more in 3 s is no trace of requests.
const MAX_ROWS_PER_CELL = 1_000_000;

/** Rows with every time moved by a random share of the grid, in order again. Needs rows in order. */
export async function* spread(rows: AsyncIterable<TraceRow>, gridMs: number, random: () => number): AsyncGenerator<TraceRow, void, undefined> {
  let pending: TraceRow[] = [];
  let cellMs = Number.NaN;
  for await (const row of rows) {
    if (row.atMs !== cellMs) {
      // What is still to come moves to no earlier than this row's own time.
      pending.sort((one, other) => one.atMs - other.atMs);
      const ready = pending.findIndex((each) => each.atMs >= row.atMs);
      yield* ready === -1 ? pending.splice(0) : pending.splice(0, ready);
      cellMs = row.atMs;
    }
    if (pending.length >= MAX_ROWS_PER_CELL) throw new CliFailure(`more than ${MAX_ROWS_PER_CELL} rows share one time: this is no trace of requests`);
    pending.push({ ...row, atMs: row.atMs + random() * gridMs });
  }
  pending = pending.sort((one, other) => one.atMs - other.atMs);
  yield* pending;
}

interface OpenTrace {
  readonly source: TraceSource;
  readonly rows: AsyncIterator<TraceRow, void>;
  readonly users: readonly string[];
  /** Draws the user of the next request. */
  readonly lot: () => number;
  next: TraceRow;
  /** The trace's time at which the replay starts, ms. */
  originMs: number;
}

/** The requests of all traces in the order of sending. Each trace begins with its first request; see `alignCalendars` for those with dates. */
export async function* schedule(sources: readonly TraceSource[], options: ScheduleOptions): AsyncGenerator<ScheduledRequest, void, undefined> {
  let open: OpenTrace[] = [];
  try {
    for (const source of sources) {
      const rows = timedRows(source, options.seed);
      const first = await rows.next();
      if (first.done !== true) open.push({ source, rows, users: userNames(source), lot: userLot(source, options.seed), next: first.value, originMs: first.value.atMs });
    }
    alignCalendars(open);
    const dueMs = (trace: OpenTrace): number => trace.next.atMs - trace.originMs - options.fromMs;
    for (let number = 0; number < options.limit; ) {
      const trace = open.reduce<OpenTrace | undefined>((first, each) => (first === undefined || dueMs(each) < dueMs(first) ? each : first), undefined);
      if (trace === undefined || dueMs(trace) >= options.durationMs) return;
      const { inputTokens, outputTokens, prefixHashes = [] } = trace.next;
      const user = trace.lot();
      const tenant = trace.users[user] ?? trace.source.tenant;
      const priority = trace.source.priorities[user] ?? 0;
      if (dueMs(trace) >= 0) {
        yield { number, dueMs: dueMs(trace) / options.speed, tenant, priority, inputTokens, outputTokens, prefixHashes };
        number += 1;
      }
      const following = await trace.rows.next();
      if (following.done === true) open = open.filter((each) => each !== trace);
      else trace.next = following.value;
    }
  } finally {
    for (const { rows } of open) await rows.return?.();
  }
}

function timedRows({ path, format }: TraceSource, seed: number): AsyncGenerator<TraceRow, void, undefined> {
  const rows = readTrace(path, format, true);
  return format.gridMs === 0 ? rows : spread(rows, format.gridMs, seededRandom(hash32(fileName(path), seed)));
}

/** The users of a trace, in the order of its priorities. */
function userNames({ tenant, priorities }: TraceSource): string[] {
  return priorities.length === 1 ? [tenant] : priorities.map((_, index) => `${tenant}-${index + 1}`);
}

function userLot({ path, priorities }: TraceSource, seed: number): () => number {
  const random = seededRandom(hash32(`users of ${fileName(path)}`, seed));
  return () => Math.floor(random() * priorities.length);
}

function fileName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Traces of the same hours keep their distance in time. */
function alignCalendars(open: readonly OpenTrace[]): void {
  const alignments = align(open.map(({ source, next }) => (source.format.calendar ? next.atMs : null)));
  for (const [index, trace] of open.entries()) trace.originMs = trace.next.atMs - (alignments[index]?.leadMs ?? 0);
}

/** How many requests a schedule has and when the last is due. Reads all of it, so a broken row shows before anything is sent. */
export async function measureSchedule(requests: AsyncIterable<ScheduledRequest>): Promise<{ readonly count: number; readonly lastDueMs: number }> {
  let count = 0;
  let lastDueMs = 0;
  for await (const request of requests) {
    count += 1;
    lastDueMs = request.dueMs;
  }
  return { count, lastDueMs };
}
