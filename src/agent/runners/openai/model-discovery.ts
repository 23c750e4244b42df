// Keeps asking a server which models it serves. Owned by `openai.ts`.
// A server that does not answer serves nothing; the reason is reported once per change.
import { isRecord, recordIn } from "../json-record.js";
import { boundedText, faultOf, requestHeaders, type Server } from "./call.js";

/** What a server has just said that it serves. */
export interface Listing {
  /** Sorted. */
  readonly models: readonly string[];
  /** Why there is no list, in words; "" when there is one. */
  readonly trouble: string;
}

export interface DiscoveryOptions {
  /** For messages: what is asked. */
  readonly url: string;
  /** Asks the server. Rejects when `signal` aborts, or as fetch does. */
  readonly list: (signal: AbortSignal) => Promise<Listing>;
  /** ms between the end of one question and the next. */
  readonly intervalMs: number;
  /** The list has changed. */
  readonly onModels: (models: readonly string[]) => void;
  /** The server has begun to fail in this way, in words; "" when it is well again. */
  readonly onTrouble: (trouble: string) => void;
}

/** As many as a runner may name to the router. */
export const MAX_MODELS = 1024;
export const MAX_LIST_BYTES = 4 << 20;
const ANSWER_TIMEOUT_MS = 10_000;

/** A running discovery. The first question is asked at once. */
export class ModelDiscovery {
  readonly #options: DiscoveryOptions;
  readonly #closed = new AbortController();
  #models: readonly string[] = [];
  #trouble = "";
  /** The answer that is due may be old already. */
  #again = false;
  #timer: NodeJS.Timeout | null = null;
  #asking: Promise<void>;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
    this.#asking = this.#ask();
  }

  /** Sorted. */
  get models(): readonly string[] {
    return this.#models;
  }

  /** Asks now rather than at the next turn, after the present answer if one is due; for when a call has just failed, or an order is over. */
  hurry(): void {
    this.#again = true;
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#asking = this.#ask();
  }

  async close(): Promise<void> {
    this.#closed.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#asking;
  }

  async #ask(): Promise<void> {
    this.#again = false;
    const { models, trouble } = await this.#modelsNow();
    if (this.#closed.signal.aborted) return;
    if (trouble !== this.#trouble) {
      this.#trouble = trouble;
      this.#options.onTrouble(trouble);
    }
    if (models.join("\n") !== this.#models.join("\n")) {
      this.#models = models;
      this.#options.onModels(models);
    }
    // Does not keep the process alive: an agent that has nothing else to do may end.
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#asking = this.#ask();
    }, this.#again ? 0 : this.#options.intervalMs).unref();
  }

  async #modelsNow(): Promise<Listing> {
    const { url, list } = this.#options;
    const stop = new AbortController();
    const onClose = (): void => stop.abort();
    this.#closed.signal.addEventListener("abort", onClose, { once: true });
    const timer = setTimeout(() => stop.abort(), ANSWER_TIMEOUT_MS);
    try {
      return await list(stop.signal);
    } catch (error) {
      return { models: [], trouble: `GET ${url}: ${stop.signal.aborted ? `no answer in ${ANSWER_TIMEOUT_MS} ms` : faultOf(error).text}` };
    } finally {
      clearTimeout(timer);
      this.#closed.signal.removeEventListener("abort", onClose);
    }
  }
}

/** What `GET /models` of any OpenAI-compatible server lists. */
export async function listModels(server: Server, signal: AbortSignal): Promise<Listing> {
  const trouble = (text: string): Listing => ({ models: [], trouble: `GET ${server.baseUrl}/models: ${text}` });
  const response = await fetch(`${server.baseUrl}/models`, { headers: requestHeaders(server), redirect: "manual", signal });
  const text = await boundedText(response, MAX_LIST_BYTES);
  if (response.status !== 200) return trouble(`status ${response.status}`);
  const models = text === null ? null : listedModels(text);
  return models === null ? trouble('the answer is not {"data": [{"id": …}]}') : { models, trouble: "" };
}

/** Sorted and without doubles; null when it is not such a list. */
function listedModels(text: string): readonly string[] | null {
  const list = recordIn(text);
  // Ollama without any model answers `"data": null`.
  const data = list && (list["data"] ?? []);
  if (!Array.isArray(data)) return null;
  const ids = data.map((model) => (isRecord(model) ? model["id"] : undefined)).filter((id): id is string => typeof id === "string" && id !== "");
  return [...new Set(ids)].sort().slice(0, MAX_MODELS);
}
