// The models that one GPU works for, and what a request meets of them: integrals over time of their presence, their requests and their tokens.
// Part of work-ledger.ts, which lets the time pass.
import type { MetModel, ModelTimes } from "../estimate/service-times.js";

/** One of them. It stays until the GPU is idle. */
interface Entry {
  readonly times: ModelTimes;
  count: number;
  kvTokens: number;
  presentMs: number;
  countArea: number;
  kvArea: number;
}

/** The integrals of a model at one time. */
export interface ModelSums {
  readonly entry: Entry;
  readonly presentMs: number;
  readonly countArea: number;
  readonly kvArea: number;
}

/** Models that are remembered since the GPU was idle; above it those that have ended go. */
const MAX_ENTRIES = 16;

export class ModelsAtWork {
  /** A handful at most. */
  #entries: Entry[] = [];

  /** Requests of a model, each of which holds `tokens`, come or go. */
  count(times: ModelTimes, by: number, tokens: number): void {
    let entry = this.#entries.find((each) => each.times === times);
    if (!entry) {
      if (this.#entries.length >= MAX_ENTRIES) this.forgetEnded();
      entry = { times, count: 0, kvTokens: 0, presentMs: 0, countArea: 0, kvArea: 0 };
      this.#entries.push(entry);
    }
    entry.count += by;
    entry.kvTokens = entry.count === 0 ? 0 : entry.kvTokens + by * tokens;
  }

  /** Nothing of ours is there any more. */
  forgetEnded(): void {
    this.#entries = this.#entries.filter(({ count }) => count > 0);
  }

  /** One iteration on a GPU of a kind, ms; 0 when nothing runs. */
  stepMs(kind: number): number {
    let stepMs = 0;
    for (const { times, count, kvTokens } of this.#entries) {
      if (count > 0) stepMs += times.stepBaseMs[kind]! + count * times.stepMsPerRequest[kind]! + kvTokens * times.stepMsPerKvToken[kind]!;
    }
    return stepMs;
  }

  /** Lets time pass. */
  pass(elapsedMs: number): void {
    for (const entry of this.#entries) {
      if (entry.count > 0) entry.presentMs += elapsedMs;
      entry.countArea += elapsedMs * entry.count;
      entry.kvArea += elapsedMs * entry.kvTokens;
    }
  }

  /** The integrals as they will be when `sinceMs` have passed. */
  sums(sinceMs: number): readonly ModelSums[] {
    return this.#entries.map((entry) => ({
      entry,
      presentMs: entry.presentMs + (entry.count > 0 ? sinceMs : 0),
      countArea: entry.countArea + sinceMs * entry.count,
      kvArea: entry.kvArea + sinceMs * entry.kvTokens,
    }));
  }

  /** What somebody has met who was there for `elapsedMs`, since the integrals were `from`. */
  met(from: readonly ModelSums[], elapsedMs: number): MetModel[] {
    return this.#entries.map((entry) => {
      const start = from.find((sums) => sums.entry === entry);
      return {
        times: entry.times,
        presence: Math.min(1, Math.max(0, (entry.presentMs - (start?.presentMs ?? 0)) / elapsedMs)),
        concurrency: Math.max(0, (entry.countArea - (start?.countArea ?? 0)) / elapsedMs),
        kvTokens: Math.max(0, (entry.kvArea - (start?.kvArea ?? 0)) / elapsedMs),
      };
    });
  }
}
