// Which traces are of the same hours: those with dates that start within an hour of each other keep their distance in time.

/** Where one trace stands among others. */
export interface Alignment {
  /** How long after the first of its group it starts, ms. */
  readonly leadMs: number;
  /** Traces of one number share a clock. */
  readonly group: number;
}

const SAME_HOURS_MS = 3_600_000;

/** For each trace, given the UTC time of its first row, ms, or null when it has no dates. */
export function align(starts: readonly (number | null)[]): Alignment[] {
  const result: Alignment[] = starts.map((_, group) => ({ leadMs: 0, group }));
  const dated = starts.flatMap((startMs, index) => (startMs === null ? [] : [{ startMs, index }]));
  dated.sort((one, other) => one.startMs - other.startMs);
  let first = dated[0];
  for (const each of dated) {
    if (first === undefined || each.startMs - first.startMs > SAME_HOURS_MS) first = each;
    result[each.index] = { leadMs: each.startMs - first.startMs, group: first.index };
  }
  return result;
}
