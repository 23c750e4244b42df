// A histogram of durations whose bins grow by 1 %: quantiles within 0.5 %, the same however values are split over runs and threads.
// Plain data, so that worker threads can send it.

/** Lower edge of bin 1, ms; bin 0 holds what is below. */
const FIRST_MS = 0.1;
const GROWTH = 1.01;
const LOG_GROWTH = Math.log(GROWTH);
/** Up to 10^8 ms, more than a day; longer ones count as that. */
const BINS = Math.ceil(Math.log(1e8 / FIRST_MS) / LOG_GROWTH) + 2;

export interface LogHistogram {
  count: number;
  sumMs: number;
  readonly bins: Uint32Array;
}

export function emptyHistogram(): LogHistogram {
  return { count: 0, sumMs: 0, bins: new Uint32Array(BINS) };
}

/** Adds a duration of 0 ms or more. */
export function record(histogram: LogHistogram, ms: number): void {
  histogram.count += 1;
  histogram.sumMs += ms;
  const bin = ms < FIRST_MS ? 0 : Math.min(BINS - 1, 1 + Math.floor(Math.log(ms / FIRST_MS) / LOG_GROWTH));
  histogram.bins[bin] = (histogram.bins[bin] ?? 0) + 1;
}

/** All values of several. */
export function mergedHistogram(histograms: readonly LogHistogram[]): LogHistogram {
  const merged = emptyHistogram();
  for (const { count, sumMs, bins } of histograms) {
    merged.count += count;
    merged.sumMs += sumMs;
    bins.forEach((each, bin) => (merged.bins[bin] = (merged.bins[bin] ?? 0) + each));
  }
  return merged;
}

/** Exact; null without values. */
export function meanMs({ count, sumMs }: LogHistogram): number | null {
  return count === 0 ? null : sumMs / count;
}

/** What at least the share `ratio` (0..1) of the values does not exceed (nearest rank); null without values. */
export function quantileMs({ count, bins }: LogHistogram, ratio: number): number | null {
  if (count === 0) return null;
  const rank = Math.max(1, Math.ceil(ratio * count));
  let seen = 0;
  for (let bin = 0; bin < bins.length; bin += 1) {
    seen += bins[bin] ?? 0;
    if (seen >= rank) return middleMs(bin);
  }
  return middleMs(BINS - 1);
}

const CURVE_STEP = 0.005;

/** The cumulative curve as [ms, share 0..1] points, one for each bin that holds a value, thinned to steps of the share. */
export function curve({ count, bins }: LogHistogram): readonly (readonly [number, number])[] {
  const points: [number, number][] = [];
  let seen = 0;
  bins.forEach((each, bin) => {
    if (each === 0) return;
    seen += each;
    const share = seen / count;
    if (share - (points.at(-1)?.[1] ?? -1) >= CURVE_STEP || seen === count) points.push([middleMs(bin), share]);
  });
  return points;
}

function middleMs(bin: number): number {
  return bin === 0 ? FIRST_MS / 2 : FIRST_MS * GROWTH ** (bin - 0.5);
}
