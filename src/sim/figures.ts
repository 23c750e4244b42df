// The figures that reports show, out of what was measured. One place, so that text, JSON and page say the same.
import type { LogHistogram } from "./log-histogram.js";
import { meanMs, quantileMs } from "./log-histogram.js";
import { attainmentOf, completionOf, fairness, worstUser, type Measures } from "./measure.js";

export interface DurationFigures {
  readonly meanMs: number | null;
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
}

export interface UserFigures {
  readonly name: string;
  readonly requests: number;
  /** Of work without an SLO null. */
  readonly attainment: number | null;
  readonly completion: number;
  readonly firstOutput: DurationFigures;
  readonly response: DurationFigures;
}

export interface Figures {
  readonly policy: string;
  readonly scenario: string;
  readonly load: number;
  readonly seeds: readonly number[];
  readonly requests: number;
  /** Of the requests with an SLO, the share that was completed within it. */
  readonly attainment: number;
  /** Lowest and highest over the seeds, and the standard deviation. */
  readonly attainmentSpread: { readonly lowest: number; readonly highest: number; readonly deviation: number };
  readonly worstUser: string | null;
  readonly worstUserAttainment: number | null;
  /** Share of the work without an SLO that was done by the end of the drain; null without any. */
  readonly batchCompletion: number | null;
  readonly firstOutput: DurationFigures;
  readonly response: DurationFigures;
  readonly busyShare: number;
  readonly busyByKind: readonly { readonly kind: string; readonly busyShare: number }[];
  /** Of the tokens and of the blocks of 512 tokens of prompts, the share found in a prefix cache. */
  readonly cachedTokenShare: number;
  readonly cachedBlockShare: number;
  readonly loadSkew: number;
  readonly fairness: number;
  readonly waits: readonly ({ readonly priority: number; readonly requests: number } & DurationFigures)[];
  readonly users: readonly UserFigures[];
  readonly gpus: readonly { readonly kind: string; readonly count: number }[];
  /** What the simulation cost. */
  readonly wallMs: number;
}

/** The figures of pooled runs. */
export function figuresOf(measures: Measures): Figures {
  const { interactive, batch, seeds } = measures;
  const worst = worstUser(measures);
  const attainments = seeds.map(({ attainment }) => attainment);
  return {
    policy: measures.policy,
    scenario: measures.scenario,
    load: measures.load,
    seeds: seeds.map(({ seed }) => seed),
    requests: interactive.requests + batch.requests,
    attainment: attainmentOf(interactive),
    attainmentSpread: { lowest: Math.min(...attainments), highest: Math.max(...attainments), deviation: deviation(attainments) },
    worstUser: worst?.name ?? null,
    worstUserAttainment: worst?.attainment ?? null,
    batchCompletion: batch.requests === 0 ? null : completionOf(batch),
    firstOutput: durations(measures.firstOutput),
    response: durations(measures.response),
    busyShare: measures.busyShare,
    busyByKind: measures.busyByKind,
    cachedTokenShare: measures.cachedTokens / Math.max(1, measures.inputTokens),
    cachedBlockShare: measures.cachedBlocks / Math.max(1, measures.inputBlocks),
    loadSkew: measures.loadSkew,
    fairness: fairness(measures),
    waits: measures.waits.map((wait, index) => ({ priority: index + 1, requests: wait.count, ...durations(wait) })),
    users: measures.users.map((user) => ({
      name: user.name,
      requests: user.requests,
      attainment: user.promised ? attainmentOf(user) : null,
      completion: completionOf(user),
      firstOutput: durations(user.firstOutput),
      response: durations(user.response),
    })),
    gpus: measures.gpus,
    wallMs: measures.wallMs,
  };
}

/** Of a sample; 0 for fewer than two values. */
function deviation(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

function durations(histogram: LogHistogram): DurationFigures {
  return { meanMs: meanMs(histogram), p50Ms: quantileMs(histogram, 0.5), p95Ms: quantileMs(histogram, 0.95), p99Ms: quantileMs(histogram, 0.99) };
}
