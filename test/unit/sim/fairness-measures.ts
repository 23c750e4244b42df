// What is meant by fairness, so that a simulated run and one of real processes are judged alike. docs/quotas.md says the same in words; the
// definitions were written down before anything was measured by them. Pure functions of what was sent and when it was given a GPU.
//
// * Service: GPU time of a request's tokens on a GPU that works on as many requests as it may: the weighted tokens of Sheng et al.,
//   "Fairness in Serving Large Language Models" (OSDI 2024), with the GPU's own times as their weights.
// * Jain's index: Jain, Chiu, Hawe, "A Quantitative Measure of Fairness and Discrimination" (DEC TR-301, 1984): 1 when all have the same,
//   1/n when one has all.
// * Backlogged: having something in line at every moment of an interval, as in start-time fair queueing (Goyal, Vin, Cheng, 1996).
// * Light: wanting less than an equal share of what the GPUs can do.
import { serviceTimes } from "../../../src/simulated-gpu/service-times.js";
import type { GpuKind } from "../../../src/simulated-gpu/gpu-kinds.js";

/** One request. Times in ms since the start of its run. */
export interface Served {
  /** Index of its user. */
  readonly user: number;
  readonly arrivedAtMs: number;
  /** When it was given a GPU; Infinity when it never was. */
  readonly placedAtMs: number;
  /** GPU time, ms. */
  readonly costMs: number;
}

/** Prices requests on GPUs of a kind that work on `slots` at a time, ms: each pays for its own tokens and its share of the iterations. */
export function priceOn(kind: GpuKind, model: string, slots: number): (inputTokens: number, outputTokens: number) => number {
  const { prefillMsPerToken, prefillMsPerTokenPair, stepBaseMs, stepMsPerRequest, stepMsPerKvToken } = serviceTimes(kind, model);
  return (input, output) => {
    const readMs = input * prefillMsPerToken + (input ** 2 / 2) * prefillMsPerTokenPair;
    return readMs + output * (stepMsPerRequest + stepBaseMs / slots) + (output * input + output ** 2 / 2) * stepMsPerKvToken;
  };
}

/** What each user asks for: GPU time of all that it sends, ms. */
export function askedMs(requests: readonly Pick<Served, "user" | "costMs">[], users: number): number[] {
  const asked = Array.from({ length: users }, () => 0);
  for (const { user, costMs } of requests) asked[user]! += costMs;
  return asked;
}

/** GPU time of what each user had placed in [fromMs, untilMs), ms. */
export function givenMs(requests: readonly Served[], users: number, fromMs: number, untilMs: number): number[] {
  return askedMs(requests.filter(({ placedAtMs }) => placedAtMs >= fromMs && placedAtMs < untilMs), users);
}

/** Users who have something in line at every moment of [fromMs, untilMs). */
export function backlogged(requests: readonly Served[], users: number, fromMs: number, untilMs: number): number[] {
  // Until when each is known to have something in line without a gap.
  const untilNow = Array.from({ length: users }, () => fromMs);
  for (const { user, arrivedAtMs, placedAtMs } of [...requests].sort((a, b) => a.arrivedAtMs - b.arrivedAtMs)) {
    if (arrivedAtMs <= untilNow[user]!) untilNow[user] = Math.max(untilNow[user]!, placedAtMs);
  }
  return untilNow.flatMap((atMs, user) => (atMs >= untilMs ? [user] : []));
}

export function jain(values: readonly number[]): number {
  return sumOf(values) ** 2 / (values.length * sumOf(values.map((value) => value ** 2)));
}

/** Users who ask for something, but for less than an equal share of `capacityMs`. */
export function lightUsers(asked: readonly number[], capacityMs: number): number[] {
  const share = capacityMs / asked.filter((ms) => ms > 0).length;
  return asked.flatMap((ms, user) => (ms > 0 && ms < share ? [user] : []));
}

/** What each may have at most so that nobody can have more without another who has less having less still (max-min), ms. */
export function maxMinShareMs(asked: readonly number[], capacityMs: number): number {
  let left = capacityMs;
  const sorted = asked.filter((ms) => ms > 0).sort((a, b) => a - b);
  for (const [place, ms] of sorted.entries()) {
    const share = left / (sorted.length - place);
    if (ms > share) return share;
    left -= ms;
  }
  return Number.POSITIVE_INFINITY;
}

/** The wait that 95 % of these users' requests that came in [fromMs, untilMs) did not exceed, ms. */
export function p95WaitMs(requests: readonly Served[], users: readonly number[], fromMs: number, untilMs: number): number {
  const waits = requests
    .filter(({ user, arrivedAtMs }) => arrivedAtMs >= fromMs && arrivedAtMs < untilMs && users.includes(user))
    .map(({ arrivedAtMs, placedAtMs }) => placedAtMs - arrivedAtMs)
    .sort((a, b) => a - b);
  return waits[Math.ceil(waits.length * 0.95) - 1] ?? Number.NaN;
}

export function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
