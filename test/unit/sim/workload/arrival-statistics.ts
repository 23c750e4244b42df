// What a sequence of arrivals is like: rate, bursts, variation, lengths. Reads one pass and holds its token counts, 16 bytes an arrival.

interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

export interface ArrivalStatistics {
  readonly count: number;
  /** From the first to the last, ms. */
  readonly spanMs: number;
  readonly meanPerSecond: number;
  /** Most arrivals in one of the seconds, and per second in one of the minutes, counted from the first arrival. */
  readonly peakSecond: number;
  readonly peakMinutePerSecond: number;
  /** Coefficient of variation of the gaps: 1 for Poisson. */
  readonly cv: number;
  readonly inputTokens: Percentiles;
  readonly outputTokens: Percentiles;
}

/** Needs two arrivals at least to say anything; every number is 0 otherwise, or NaN where nothing is. */
export function statisticsOf(arrivals: Iterable<{ readonly atMs: number; readonly inputTokens: number; readonly outputTokens: number }>): ArrivalStatistics {
  const inputs: number[] = [];
  const outputs: number[] = [];
  let firstMs = 0;
  let lastMs = 0;
  let squares = 0;
  const second = new Peak(1000);
  const minute = new Peak(60_000);
  for (const { atMs, inputTokens, outputTokens } of arrivals) {
    if (inputs.length === 0) firstMs = atMs;
    else squares += (atMs - lastMs) ** 2;
    lastMs = atMs;
    second.add(atMs - firstMs);
    minute.add(atMs - firstMs);
    inputs.push(inputTokens);
    outputs.push(outputTokens);
  }
  const gaps = inputs.length - 1;
  const spanMs = lastMs - firstMs;
  const meanGapMs = spanMs / gaps;
  return {
    count: inputs.length,
    spanMs,
    meanPerSecond: spanMs === 0 ? 0 : (inputs.length / spanMs) * 1000,
    peakSecond: second.most,
    peakMinutePerSecond: minute.most / 60,
    cv: spanMs === 0 ? 0 : Math.sqrt(Math.max(0, squares / gaps - meanGapMs ** 2)) / meanGapMs,
    inputTokens: percentiles(inputs),
    outputTokens: percentiles(outputs),
  };
}

/** The fullest of the stretches that follow each other from 0. */
class Peak {
  most = 0;
  #stretch = 0;
  #count = 0;

  constructor(readonly lengthMs: number) {}

  add(atMs: number): void {
    const stretch = Math.floor(atMs / this.lengthMs);
    this.#count = stretch === this.#stretch ? this.#count + 1 : 1;
    this.#stretch = stretch;
    this.most = Math.max(this.most, this.#count);
  }
}

function percentiles(values: readonly number[]): Percentiles {
  const sorted = Float64Array.from(values).sort();
  const at = (ratio: number): number => sorted[Math.max(0, Math.ceil(ratio * sorted.length) - 1)] ?? Number.NaN;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99) };
}
