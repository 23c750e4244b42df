// Requests that nobody sent: arrivals by a renewal process, lengths log-normal. For tests, and so that the simulator works
// for whoever has no traces. Everything made here is named synthetic wherever it is shown.
import { seededRandom } from "../../lib/random.js";
import { gamma, gammaShape, normal, seedFor } from "./draw.js";
import type { Stream } from "./stream.js";

/** A log-normal length in tokens: its median, its 90th percentile, and where it is cut. */
export interface LengthShape {
  readonly p50: number;
  readonly p90: number;
  readonly most: number;
}

export interface SyntheticShape {
  /** Tells apart streams of one workload, which are drawn independently. */
  readonly name: string;
  readonly ratePerSecond: number;
  /** Coefficient of variation of the gaps: 1 is Poisson, above it bursty. */
  readonly cv: number;
  readonly input: LengthShape;
  readonly output: LengthShape;
  readonly durationMs: number;
}

/** The stream, with one sender of its name. */
export function synthetic({ name, ratePerSecond, cv, input, output, durationMs }: SyntheticShape): Stream {
  const shape = gammaShape(cv);
  const scaleMs = 1000 / ratePerSecond / shape;
  return {
    durationMs,
    senders: [name],
    *requests(seed, fromMs = 0) {
      const gaps = seededRandom(seedFor(`gaps ${name}`, seed));
      const lengths = seededRandom(seedFor(`lengths ${name}`, seed));
      for (let atMs = gamma(shape, gaps) * scaleMs; atMs < durationMs; atMs += gamma(shape, gaps) * scaleMs) {
        const inputTokens = length(input, lengths);
        const outputTokens = length(output, lengths);
        if (atMs >= fromMs) yield { atMs, sender: 0, inputTokens, outputTokens, prefixHashes: [], sessionKey: "", gpus: 1, workMs: 0 };
      }
    },
  };
}

// The standard normal's 90th percentile.
const Z90 = 1.2815515655446004;

function length({ p50, p90, most }: LengthShape, random: () => number): number {
  const sigma = Math.log(p90 / p50) / Z90;
  return Math.max(1, Math.min(most, Math.round(p50 * Math.exp(sigma * normal(random)))));
}
