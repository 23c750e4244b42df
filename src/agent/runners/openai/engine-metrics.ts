// Asks a server's metrics page how busy its engine is, when told to, and leaves it alone for a while when it has none. Owned by
// `openai.ts`. What the page means is `engine-load.ts`'s affair.
import type { EngineLoad } from "../runner.js";
import { boundedText, rootUrl, type Server } from "./call.js";
import { engineReadingOf, type EngineReading } from "./engine-load.js";

export interface EngineMetricsOptions {
  readonly server: Server;
  /** The size of its key-value cache has become known, or another; tokens, 0 for unknown. */
  readonly onKvCapacity: (tokens: number) => void;
}

/** Pages with many models and replicas come near 1 MiB. */
const MAX_PAGE_BYTES = 4 << 20;
const ANSWER_TIMEOUT_MS = 2_000;
/** How long a page that is not there is left alone: twice as long after each try. */
const FIRST_PAUSE_MS = 1_000;
const LAST_PAUSE_MS = 60_000;

export class EngineMetrics {
  readonly #options: EngineMetricsOptions;
  readonly #url: string;
  #asking: { readonly stop: AbortController; readonly reading: Promise<EngineReading | null> } | null = null;
  #closed = false;
  #pauseMs = 0;
  #notBeforeMs = 0;
  #kvCapacityTokens = 0;
  #prefix = { queries: 0, hits: 0 };
  #prefixHitRatio: number | undefined;

  constructor(options: EngineMetricsOptions) {
    this.#options = options;
    this.#url = `${rootUrl(options.server)}/metrics`;
  }

  /** Tokens; 0 while unknown. */
  get kvCapacityTokens(): number {
    return this.#kvCapacityTokens;
  }

  /** How busy the engine is now; null when it does not say, has not answered the last question, or is being left alone. Never rejects. */
  async read(): Promise<EngineLoad | null> {
    if (this.#closed || this.#asking !== null || performance.now() < this.#notBeforeMs) return null;
    const stop = new AbortController();
    this.#asking = { stop, reading: this.#fetch(stop) };
    const reading = await this.#asking.reading;
    this.#asking = null;
    if (this.#closed) return null;
    if (reading === null) {
      this.#pauseMs = Math.min(LAST_PAUSE_MS, this.#pauseMs * 2 || FIRST_PAUSE_MS);
      this.#notBeforeMs = performance.now() + this.#pauseMs;
      return null;
    }
    this.#pauseMs = 0;
    return this.#load(reading);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#asking?.stop.abort();
    await this.#asking?.reading;
  }

  #load({ running, waiting, kvUse, prefix, prefixHitRatio, kvCapacityTokens = 0 }: EngineReading): EngineLoad {
    if (kvCapacityTokens !== this.#kvCapacityTokens) {
      this.#kvCapacityTokens = kvCapacityTokens;
      this.#options.onKvCapacity(kvCapacityTokens);
    }
    const ratio = prefix ? this.#ratioSince(prefix) : prefixHitRatio;
    return { running, waiting, ...(kvUse !== undefined && { kvUse }), ...(ratio !== undefined && { prefixHitRatio: ratio }) };
  }

  /** Of the tokens looked up since the last reading; the last ratio while there were none. */
  #ratioSince(prefix: { readonly queries: number; readonly hits: number }): number | undefined {
    // Fewer than before: the engine was started anew and counts from 0.
    const before = prefix.queries < this.#prefix.queries ? { queries: 0, hits: 0 } : this.#prefix;
    const queries = prefix.queries - before.queries;
    if (queries > 0) this.#prefixHitRatio = Math.min(1, Math.max(0, (prefix.hits - before.hits) / queries));
    this.#prefix = prefix;
    return this.#prefixHitRatio;
  }

  async #fetch(stop: AbortController): Promise<EngineReading | null> {
    const { apiKey } = this.#options.server;
    const timer = setTimeout(() => stop.abort(), ANSWER_TIMEOUT_MS);
    try {
      const headers = { accept: "text/plain;version=0.0.4", ...(apiKey !== "" && { authorization: `Bearer ${apiKey}` }) };
      const response = await fetch(this.#url, { headers, redirect: "manual", signal: stop.signal });
      if (response.status !== 200) {
        await response.body?.cancel();
        return null;
      }
      const page = await boundedText(response, MAX_PAGE_BYTES);
      return page === null ? null : engineReadingOf(page);
    } catch {
      // That the server is down is told by the discovery of its models; the metrics are an extra.
      return null;
    } finally {
      clearTimeout(timer);
    }
  }
}
