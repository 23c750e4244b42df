// Draws from the distributions that workloads are made of. Every one takes its random numbers from the caller.
import { hash32 } from "../../lib/random.js";

type Random = () => number;

/** Standard normal, by Box and Muller. */
export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Gamma with scale 1; `shape` above 0. Marsaglia and Tsang, 2000. */
export function gamma(shape: number, random: Random): number {
  if (shape < 1) return gamma(shape + 1, random) * (1 - random()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(random);
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - random()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}

/** Weibull with scale 1; `shape` above 0. */
export function weibull(shape: number, random: Random): number {
  return (-Math.log(1 - random())) ** (1 / shape);
}

/** The shape of a Gamma distribution with this coefficient of variation. */
export function gammaShape(cv: number): number {
  return 1 / cv ** 2;
}

// Coefficients of variation from 0.03 to beyond 10^9.
const LEAST_SHAPE = 0.05;
const MOST_SHAPE = 50;

/** The shape of a Weibull distribution with this coefficient of variation. */
export function weibullShape(cv: number): number {
  let low = Math.log(LEAST_SHAPE);
  let high = Math.log(MOST_SHAPE);
  // The variation falls with the shape.
  for (let step = 0; step < 50; step += 1) {
    const middle = (low + high) / 2;
    if (weibullVariation(Math.exp(middle)) > cv) low = middle;
    else high = middle;
  }
  return Math.exp((low + high) / 2);
}

function weibullVariation(shape: number): number {
  return Math.sqrt(Math.exp(logGamma(1 + 2 / shape) - 2 * logGamma(1 + 1 / shape)) - 1);
}

const LANCZOS = [676.5203681218851, -1259.1392167224028, 771.3234287776531, -176.6150291621406, 12.507343278686905, -0.13857109526572012, 9.984369578019572e-6, 1.5056327351493116e-7];

/** Logarithm of the gamma function for x of 1 and above, by Lanczos. */
function logGamma(x: number): number {
  const t = x + 6.5;
  const series = LANCZOS.reduce((sum, coefficient, index) => sum + coefficient / (x + index), 0.9999999999998099);
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(series);
}

/** A seed for one use of a workload's seed: the same label and seed give the same, other labels are independent. */
export function seedFor(label: string, seed: number): number {
  return mix(hash32(label) ^ mix(seed));
}

/** Scrambles 32 bits so that near inputs give far outputs; unsigned. Finaliser of MurmurHash3. */
function mix(value: number): number {
  let bits = value | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

// Times of traces have digits down to 100 ns.
const TICKS_PER_MS = 10_000;

/**
 * A number in [0, 1) that belongs to one request of a pass: it does not depend on what was asked for before, so that a pass
 * that begins later gives every request the same lot.
 */
export function lotOf(seed: number, request: { readonly atMs: number; readonly inputTokens: number; readonly outputTokens: number }): number {
  const ticks = Math.round(request.atMs * TICKS_PER_MS);
  const time = mix((ticks % 0x1_0000_0000) ^ mix(Math.floor(ticks / 0x1_0000_0000)));
  return mix(seed ^ time ^ mix(request.inputTokens ^ Math.imul(request.outputTokens, 0x9e3779b1))) / 0x1_0000_0000;
}
