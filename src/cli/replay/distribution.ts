// Exact quantiles of a list of durations: a replay is bounded, so sorting is cheap and nothing is estimated.

export interface Distribution {
  readonly count: number;
  readonly meanMs: number | null;
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

/** The smallest value that at least the share `ratio` (0..1) of the values does not exceed (nearest rank); null of an empty list. */
export function quantile(sorted: Float64Array, ratio: number): number | null {
  return sorted[Math.max(0, Math.ceil(ratio * sorted.length) - 1)] ?? null;
}

/** The values in ascending order, nulls left out. */
export function sortedValues(values: Iterable<number | null>): Float64Array {
  const numbers: number[] = [];
  for (const value of values) if (value !== null) numbers.push(value);
  return Float64Array.from(numbers).sort();
}

/** Count, mean, quantiles and maximum of sorted values; all null but the count when there are none. */
export function distribution(sorted: Float64Array): Distribution {
  return {
    count: sorted.length,
    meanMs: sorted.length === 0 ? null : sorted.reduce((sum, value) => sum + value, 0) / sorted.length,
    p50Ms: quantile(sorted, 0.5),
    p95Ms: quantile(sorted, 0.95),
    p99Ms: quantile(sorted, 0.99),
    maxMs: quantile(sorted, 1),
  };
}

// Every percent, and finer where tails are: 0.1 % steps from 99 %, 0.01 % steps from 99.9 %.
const CURVE_RATIOS = [
  ...Array.from({ length: 99 }, (_, index) => index / 100),
  ...Array.from({ length: 9 }, (_, index) => 0.99 + index / 1000),
  ...Array.from({ length: 11 }, (_, index) => 0.999 + index / 10_000),
];

/** The cumulative curve as [milliseconds, share 0..1] points, at most 119 of them. */
export function cumulativeCurve(sorted: Float64Array): readonly (readonly [number, number])[] {
  return CURVE_RATIOS.flatMap((ratio) => {
    const value = quantile(sorted, ratio);
    return value === null ? [] : [[value, Math.min(1, ratio)] as const];
  });
}
