// The models of an Ollama server, which it loads and unloads when told to: what lies on its disk, what is in memory, what was ordered.
// Owned by `openai.ts`. Speaks Ollama's own API beside /v1: GET /api/tags and /api/ps, POST /api/generate without a prompt.
// A model loaded so stays until it is told to go, or until the server needs its memory for another one; /api/ps says.
import { isRecord, recordIn } from "../json-record.js";
import { clip } from "../outcome.js";
import type { LoadableModel, ModelOrder } from "../runner.js";
import { boundedText, faultOf, requestHeaders, rootUrl, type Server } from "./call.js";
import { MAX_LIST_BYTES, MAX_MODELS, type Listing } from "./model-discovery.js";

export interface OllamaModelsOptions {
  readonly server: Server;
  /** `models` or `loadable` are other ones. */
  readonly onChange: () => void;
  /** An order is over, however: what is in memory should be asked for now. */
  readonly onOrderEnded: () => void;
  /** An order could not be carried out, in words; "" when the next one could. */
  readonly onTrouble: (trouble: string) => void;
}

/** Assumed before a model was ever loaded here: weights from a local disk, and the engine's start. */
const ASSUMED_MIB_PER_MS = 0.5;
const ASSUMED_BASE_MS = 2_000;
/** The router gives up an order after as long. */
const ORDER_TIMEOUT_MS = 300_000;
/** So long a model that could not be loaded is not offered: the router is free to have it loaded elsewhere. */
const FAILED_FOR_MS = 60_000;
const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_SERVER_MESSAGE_CHARS = 500;

export class OllamaModels {
  readonly #options: OllamaModelsOptions;
  /** Without /v1. */
  readonly #root: string;
  readonly #closed = new AbortController();
  /** By name: MiB on the disk, which is about what the weights take in memory. */
  #onDisk: ReadonlyMap<string, number> = new Map();
  #inMemory: readonly string[] = [];
  /** Ordered to go: no new requests. Until the server says that they are gone, or they are ordered again. */
  readonly #leaving = new Set<string>();
  /** Requests under way, by model. */
  readonly #users = new Map<string, number>();
  /** Not carried out yet, one for each model at most. They are taken one after the other: what goes makes room for what comes. */
  #orders: readonly ModelOrder[] = [];
  #working: Promise<void> = Promise.resolve();
  #busy = false;
  /** What loading took, ms. */
  readonly #loadMs = new Map<string, number>();
  /** When a load has failed, ms. */
  readonly #failedAtMs = new Map<string, number>();
  #trouble = "";
  #told = "";

  constructor(options: OllamaModelsOptions) {
    this.#options = options;
    this.#root = rootUrl(options.server);
  }

  /** In memory and not on their way out. Sorted. */
  get models(): readonly string[] {
    return this.#inMemory.filter((modelId) => !this.#leaving.has(modelId));
  }

  get loadable(): readonly LoadableModel[] {
    const now = performance.now();
    return [...this.#onDisk].flatMap(([modelId, memoryMib]) => {
      const failedAtMs = this.#failedAtMs.get(modelId);
      if (failedAtMs !== undefined && now - failedAtMs < FAILED_FOR_MS) return [];
      return [{ modelId, memoryMib, loadMs: this.#loadMs.get(modelId) ?? ASSUMED_BASE_MS + memoryMib / ASSUMED_MIB_PER_MS }];
    });
  }

  /** Asks the server what is in memory and on its disk. A server that does not answer has nothing. Rejects when `signal` aborts, or as fetch does. */
  async list(signal: AbortSignal): Promise<Listing> {
    let answers: readonly (ReadonlyMap<string, number> | string)[];
    try {
      answers = await Promise.all([this.#sizes("/api/ps", signal), this.#sizes("/api/tags", signal)]);
    } catch (error) {
      this.#take(new Map(), new Map());
      throw error;
    }
    const [inMemory, onDisk] = answers;
    if (typeof inMemory !== "object" || typeof onDisk !== "object") {
      this.#take(new Map(), new Map());
      return { models: [], trouble: [inMemory, onDisk].find((answer) => typeof answer === "string") ?? "" };
    }
    this.#take(inMemory, onDisk);
    return { models: this.models, trouble: "" };
  }

  /** A request begins to need a model. False when that does not serve: the server would load it unasked. */
  begin(modelId: string): boolean {
    if (!this.models.includes(modelId)) return false;
    this.#users.set(modelId, (this.#users.get(modelId) ?? 0) + 1);
    return true;
  }

  /** A request that began is over. */
  end(modelId: string): void {
    const users = (this.#users.get(modelId) ?? 0) - 1;
    if (users > 0) this.#users.set(modelId, users);
    else this.#users.delete(modelId);
    this.#work();
  }

  /** A model goes when nobody uses it any more; until then it takes no new requests. */
  order(order: ModelOrder): void {
    if (this.#closed.signal.aborted) return;
    const { modelId, action } = order;
    this.#orders = [...this.#orders.filter((other) => other.modelId !== modelId), order];
    if (action === "unload") this.#leaving.add(modelId);
    else this.#leaving.delete(modelId);
    this.#tell();
    this.#work();
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#orders = [];
    await this.#working;
  }

  #take(inMemory: ReadonlyMap<string, number>, onDisk: ReadonlyMap<string, number>): void {
    this.#inMemory = [...inMemory.keys()].sort();
    this.#onDisk = onDisk;
    for (const modelId of this.#leaving) if (!inMemory.has(modelId) && !this.#isOrdered(modelId)) this.#leaving.delete(modelId);
    for (const known of [this.#loadMs, this.#failedAtMs]) for (const modelId of known.keys()) if (!onDisk.has(modelId)) known.delete(modelId);
    this.#tell();
  }

  #isOrdered(modelId: string): boolean {
    return this.#orders.some((order) => order.modelId === modelId);
  }

  #tell(): void {
    const now = JSON.stringify([this.models, this.loadable]);
    if (now === this.#told || this.#closed.signal.aborted) return;
    this.#told = now;
    this.#options.onChange();
  }

  #work(): void {
    if (!this.#busy) this.#working = this.#obeyAll();
  }

  async #obeyAll(): Promise<void> {
    this.#busy = true;
    for (let order = this.#next(); order; order = this.#next()) {
      this.#orders = this.#orders.filter((other) => other !== order);
      await this.#obey(order);
    }
    this.#busy = false;
  }

  /** Nothing while the first is to unload what is in use: what comes after it may need its memory. */
  #next(): ModelOrder | undefined {
    const [first] = this.#orders;
    return first?.action === "unload" && this.#users.has(first.modelId) ? undefined : first;
  }

  async #obey({ modelId, action }: ModelOrder): Promise<void> {
    const wasThere = this.#inMemory.includes(modelId);
    const startedAtMs = performance.now();
    const trouble = await this.#generate(modelId, action === "load" ? -1 : 0);
    if (this.#closed.signal.aborted) return;
    if (action === "load") {
      if (trouble !== "") this.#failedAtMs.set(modelId, performance.now());
      else this.#failedAtMs.delete(modelId);
      if (trouble === "" && !wasThere) this.#loadMs.set(modelId, performance.now() - startedAtMs);
    } else if (trouble !== "" && !this.#isOrdered(modelId)) this.#leaving.delete(modelId);
    if (trouble !== this.#trouble) this.#options.onTrouble(trouble);
    this.#trouble = trouble;
    this.#tell();
    this.#options.onOrderEnded();
  }

  /** Loads a model for so long, or unloads it with 0. Returns what went wrong; "" for nothing. */
  async #generate(model: string, keepAlive: number): Promise<string> {
    const trouble = (text: string): string => `${keepAlive === 0 ? "unloading" : "loading"} ${model} with POST ${this.#root}/api/generate: ${text}`;
    const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(ORDER_TIMEOUT_MS)]);
    try {
      const body = JSON.stringify({ model, keep_alive: keepAlive, stream: false });
      const response = await fetch(`${this.#root}/api/generate`, { method: "POST", headers: requestHeaders(this.#options.server), body, redirect: "manual", signal });
      const text = await boundedText(response, MAX_ANSWER_BYTES);
      return response.status === 200 ? "" : trouble(`status ${response.status}: ${clip(text ?? "", MAX_SERVER_MESSAGE_CHARS)}`);
    } catch (error) {
      return trouble(signal.aborted ? `no answer in ${ORDER_TIMEOUT_MS} ms` : faultOf(error).text);
    }
  }

  /** The models that a list names, with their sizes in MiB; in words why there is no list. */
  async #sizes(path: string, signal: AbortSignal): Promise<ReadonlyMap<string, number> | string> {
    const trouble = (text: string): string => `GET ${this.#root}${path}: ${text}`;
    const response = await fetch(this.#root + path, { headers: requestHeaders(this.#options.server), redirect: "manual", signal });
    const text = await boundedText(response, MAX_LIST_BYTES);
    if (response.status !== 200) return trouble(`status ${response.status}; is it an Ollama server?`);
    return (text === null ? null : listedSizes(text)) ?? trouble('the answer is not {"models": [{"name": …}]}');
  }
}

/** By name; null when it is not such a list. */
function listedSizes(text: string): ReadonlyMap<string, number> | null {
  const list = recordIn(text);
  const models = list && (list["models"] ?? []);
  if (!Array.isArray(models)) return null;
  const sizes = models.flatMap((model): [string, number][] => {
    const { name = "", size = 0 } = isRecord(model) ? model : {};
    return typeof name === "string" && name !== "" && typeof size === "number" && size >= 0 ? [[name, Math.ceil(size / 2 ** 20)]] : [];
  });
  return new Map(sizes.slice(0, MAX_MODELS));
}
