// The median of the comparisons between GPUs. Pure; used by peer-statistics.ts and peer-comparison.ts.

/** The middle one of `values`, of an even number the lower of the two; NaN of none. Sorts them in place. */
export function lowerMedian(values: Float64Array): number {
  return values.sort()[Math.floor((values.length - 1) / 2)] ?? Number.NaN;
}
