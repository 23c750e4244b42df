// Keeps asking a server which models it serves. Owned by `openai.ts`.
// A server that does not answer serves nothing; the reason is reported once per change.
import { isRecord } from "../json-record.js";
import { boundedText, faultOf, requestHeaders, type Server } from "./call.js";

export interface DiscoveryOptions {
  readonly server: Server;
  /** ms between the end of one question and the next. */
  readonly intervalMs: number;
  /** The list has changed. */
  readonly onModels: (models: readonly string[]) => void;
  /** The server has begun to fail in this way, in words; "" when it is well again. */
  readonly onTrouble: (trouble: string) => void;
}

/** As many as a runner may name to the router. */
const MAX_MODELS = 1024;
const MAX_LIST_BYTES = 4 << 20;
const ANSWER_TIMEOUT_MS = 10_000;

/** A running discovery. The first question is asked at once. */
export class ModelDiscovery {
  readonly #options: DiscoveryOptions;
  readonly #closed = new AbortController();
  #models: readonly string[] = [];
  #trouble = "";
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

  /** Asks now rather than at the next turn; for when a call has just failed. */
  hurry(): void {
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
    }, this.#options.intervalMs).unref();
  }

  async #modelsNow(): Promise<{ readonly models: readonly string[]; readonly trouble: string }> {
    const { server } = this.#options;
    const stop = new AbortController();
    const onClose = (): void => stop.abort();
    this.#closed.signal.addEventListener("abort", onClose, { once: true });
    const timer = setTimeout(() => stop.abort(), ANSWER_TIMEOUT_MS);
    const trouble = (text: string): { models: string[]; trouble: string } => ({ models: [], trouble: `GET ${server.baseUrl}/models: ${text}` });
    try {
      const response = await fetch(`${server.baseUrl}/models`, { headers: requestHeaders(server), redirect: "manual", signal: stop.signal });
      const text = await boundedText(response, MAX_LIST_BYTES);
      if (response.status !== 200) return trouble(`status ${response.status}`);
      const models = text === null ? null : listedModels(text);
      return models === null ? trouble('the answer is not {"data": [{"id": …}]}') : { models, trouble: "" };
    } catch (error) {
      return trouble(stop.signal.aborted ? `no answer in ${ANSWER_TIMEOUT_MS} ms` : faultOf(error).text);
    } finally {
      clearTimeout(timer);
      this.#closed.signal.removeEventListener("abort", onClose);
    }
  }
}

/** Sorted and without doubles; null when it is not such a list. */
function listedModels(text: string): readonly string[] | null {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return null;
  }
  // Ollama without any model answers `"data": null`.
  const data = isRecord(list) ? (list["data"] ?? []) : null;
  if (!Array.isArray(data)) return null;
  const ids = data.map((model) => (isRecord(model) ? model["id"] : undefined)).filter((id): id is string => typeof id === "string" && id !== "");
  return [...new Set(ids)].sort().slice(0, MAX_MODELS);
}
