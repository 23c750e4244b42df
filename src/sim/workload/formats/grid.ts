// Whether a trace's times were rounded, and to what: logs often know seconds only, or write once in three.
import type { TraceRow } from "./trace-format.js";

const FINEST_MS = 500;
const COARSEST_MS = 60_000;
/** Rounding puts rows on one time; a trace in which that hardly happens is either exact or so thin that it does not matter. */
const LEAST_SHARED = 0.05;
/** Times on a grid of 3,000 ms are found 2,997 apart. */
const ROUND_MS = 50;

/** The grid that the rows' times lie on, ms; 0 when they seem exact. */
export function gridOf(rows: readonly TraceRow[]): number {
  const times = Float64Array.from(new Set(rows.map(({ atMs }) => atMs))).sort();
  if (times.length < 3 || times.length > rows.length * (1 - LEAST_SHARED)) return 0;
  let least = Number.POSITIVE_INFINITY;
  for (let place = 1; place < times.length; place += 1) least = Math.min(least, (times[place] ?? 0) - (times[place - 1] ?? 0));
  const grid = Math.round(least / ROUND_MS) * ROUND_MS;
  return grid >= FINEST_MS && grid <= COARSEST_MS ? grid : 0;
}
