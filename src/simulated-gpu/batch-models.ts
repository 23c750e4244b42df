// The models that have requests on a GPU, and what their requests hold of its key-value cache. Owned by token-batch.ts.
// Sums over them are taken anew each time: they are few, and what is counted are whole tokens, so nothing drifts.
import type { ServiceTimes } from "./service-times.js";

/** A model with requests. */
export interface BatchModel {
  readonly modelId: string;
  times: ServiceTimes;
  /** Part of the cache that one token takes. */
  tokenShare: number;
  /** In any state, waiting ones too. */
  requests: number;
  decoding: number;
  /** Tokens held by requests that decode. */
  decodingTokens: number;
  /** Tokens held by requests that read their prompt. */
  promptTokens: number;
  /** A prompt of it is read in the iteration that is being planned. */
  reads: boolean;
}

export class BatchModels {
  readonly #timesOf: (modelId: string) => ServiceTimes;
  readonly #models: BatchModel[] = [];

  constructor(timesOf: (modelId: string) => ServiceTimes) {
    this.#timesOf = timesOf;
  }

  [Symbol.iterator](): Iterator<BatchModel> {
    return this.#models.values();
  }

  /** The model, which is forgotten when its `requests` leave. */
  of(modelId: string): BatchModel {
    for (const model of this.#models) if (model.modelId === modelId) return model;
    const times = this.#timesOf(modelId);
    const tokenShare = shareOf(times);
    const model = { modelId, times, tokenShare, requests: 0, decoding: 0, decodingTokens: 0, promptTokens: 0, reads: false };
    this.#models.push(model);
    return model;
  }

  /** One of its requests is gone. */
  leave(model: BatchModel): void {
    model.requests -= 1;
    if (model.requests === 0) this.#models.splice(this.#models.indexOf(model), 1);
  }

  retime(): void {
    for (const model of this.#models) {
      model.times = this.#timesOf(model.modelId);
      model.tokenShare = shareOf(model.times);
    }
  }

  get decoding(): number {
    let count = 0;
    for (const model of this.#models) count += model.decoding;
    return count;
  }

  get tokens(): number {
    let count = 0;
    for (const model of this.#models) count += model.decodingTokens + model.promptTokens;
    return count;
  }

  /** Part of the cache in use, 0..1. */
  get cacheUse(): number {
    let use = 0;
    for (const model of this.#models) use += (model.decodingTokens + model.promptTokens) * model.tokenShare;
    return use;
  }

  /** Part of the cache that one more token for each request that decodes takes. */
  get cacheGrowth(): number {
    let growth = 0;
    for (const model of this.#models) growth += model.decoding * model.tokenShare;
    return growth;
  }

  /** Of the model that takes most of the cache for each token; 0 without models. */
  get largestTokenShare(): number {
    let largest = 0;
    for (const model of this.#models) largest = Math.max(largest, model.tokenShare);
    return largest;
  }
}

/** A model without any room has room for one token: its requests are served one at a time. */
function shareOf(times: ServiceTimes): number {
  return 1 / Math.max(1, times.kvCapacityTokens);
}
