// How near the estimates came to what work took, by type and model, lately. Written by the estimator with each outcome, read by whoever
// shows it. Decides nothing; not durable.
import { putLast } from "../../lib/put-last.js";
import type { RequestSpec } from "../model/request.js";
import type { EstimateAccuracy } from "../model/decision.js";

/** Bound on kinds of work; the one that learned longest ago goes first. */
const MAX_KINDS = 1_000;
/** Share by which one outcome moves the means; the first ones move them more. */
const GAIN = 0.02;
/** An error above this counts as this: work that ended after a millisecond must not drown the rest. */
const MAX_ERROR = 10;

/** What was expected of an attempt and what it took, ms. */
export interface Outcome {
  readonly expectedMs: number;
  /** Nine of ten should take at most this. */
  readonly p90Ms: number;
  readonly actualMs: number;
}

type Kind = { -readonly [K in keyof EstimateAccuracy]: EstimateAccuracy[K] };

export class Accuracy {
  readonly #kinds = new Map<string, Kind>();

  /** Takes a success in; one without a time or an expectation is left out. */
  learn({ type, modelId }: Pick<RequestSpec, "type" | "modelId">, { expectedMs, p90Ms, actualMs }: Outcome): void {
    if (!(expectedMs > 0 && actualMs > 0)) return;
    const key = `${type}\n${modelId}`;
    const kind = this.#kinds.get(key) ?? { type, modelId, outcomes: 0, meanRelativeError: 0, meanRatio: 0, withinP90: 0 };
    kind.outcomes += 1;
    const gain = Math.max(GAIN, 1 / kind.outcomes);
    kind.meanRelativeError += gain * (Math.min(MAX_ERROR, Math.abs(expectedMs - actualMs) / actualMs) - kind.meanRelativeError);
    kind.meanRatio += gain * (Math.min(MAX_ERROR, actualMs / expectedMs) - kind.meanRatio);
    kind.withinP90 += gain * ((actualMs <= p90Ms ? 1 : 0) - kind.withinP90);
    putLast(this.#kinds, key, kind, MAX_KINDS);
  }

  /** Those with most outcomes first, at most `most`. */
  all(most: number): readonly EstimateAccuracy[] {
    return [...this.#kinds.values()]
      .sort((a, b) => b.outcomes - a.outcomes)
      .slice(0, most)
      .map((kind) => ({ ...kind }));
  }
}
