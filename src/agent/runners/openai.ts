// The runner for any OpenAI-compatible server on the node: vLLM, SGLang, Ollama, llama.cpp. Made by `index.ts`.
// Owns the list of models that the server has and the calls in flight. The server owns its GPUs: the GPU that the
// router chose is one of `gpuIds`, and which of them computes is the server's affair.
import { callServer, rootUrl, type Server, type StopReason } from "./openai/call.js";
import { EngineMetrics } from "./openai/engine-metrics.js";
import { listModels, ModelDiscovery } from "./openai/model-discovery.js";
import { OllamaModels } from "./openai/ollama-models.js";
import { completionRequest } from "./openai/payload.js";
import { unsuccessful } from "./outcome.js";
import type { EngineLoad, Job, JobOutcome, JobSink, ModelOrder, Runner, RunnerDescription } from "./runner.js";

export interface OpenAiRunnerOptions {
  readonly name: string;
  /** Such as http://127.0.0.1:8001/v1, without a slash at the end. */
  readonly baseUrl: string;
  /** "" without one. */
  readonly apiKey: string;
  /** GPUs that the server computes on; all of the node when empty. */
  readonly gpuIds: readonly string[];
  /** Request types that it takes; any when empty. */
  readonly types: readonly string[];
  /** How often to ask for the models, ms. */
  readonly discoveryIntervalMs: number;
  /** How long the server may send nothing during a call, ms; at most 300,000, where fetch itself gives up. */
  readonly inactivityTimeoutMs: number;
  /** How it is told to load and unload models; null where what it serves is not ours to change. */
  readonly loads: "ollama" | null;
  /** Told when the server begins to fail its discovery or an order, in words, and with "" when it is well again. */
  readonly onTrouble: (trouble: string) => void;
}

/** Serves what `GET /models` lists, or what an Ollama server has in memory. Payload: an OpenAI request with `messages` or `prompt`. Result: JSON, see `Completion.toJson`. */
export class OpenAiRunner implements Runner {
  readonly kind = "openai";
  readonly name: string;
  readonly #options: OpenAiRunnerOptions;
  readonly #server: Server;
  readonly #discovery: ModelDiscovery;
  /** null where its models are not ours to change. */
  readonly #ollama: OllamaModels | null;
  readonly order?: (order: ModelOrder) => void;
  readonly #metrics: EngineMetrics;
  readonly #listeners = new Set<() => void>();
  /** One for each call in flight. */
  readonly #calls = new Map<AbortController, Promise<JobOutcome>>();
  #closed = false;

  constructor(options: OpenAiRunnerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#server = { name: options.name, baseUrl: options.baseUrl, apiKey: options.apiKey };
    const onChange = (): void => this.#listeners.forEach((listener) => listener());
    const { discoveryIntervalMs: intervalMs, onTrouble, loads } = options;
    const ollama = loads === "ollama" ? new OllamaModels({ server: this.#server, onChange, onOrderEnded: () => this.#discovery.hurry(), onTrouble }) : null;
    this.#ollama = ollama;
    if (ollama) this.order = (order) => ollama.order(order);
    this.#discovery = ollama
      ? new ModelDiscovery({ url: `${rootUrl(options)}/api/ps`, list: (signal) => ollama.list(signal), intervalMs, onModels: () => {}, onTrouble })
      : new ModelDiscovery({ url: `${options.baseUrl}/models`, list: (signal) => listModels(this.#server, signal), intervalMs, onModels: onChange, onTrouble });
    this.#metrics = new EngineMetrics({ server: this.#server, onKvCapacity: onChange });
  }

  describe(): RunnerDescription {
    const { kvCapacityTokens } = this.#metrics;
    const { types, gpuIds } = this.#options;
    const { models, ...loadable } = this.#ollama ? { models: this.#ollama.models, loadable: this.#ollama.loadable } : { models: this.#discovery.models };
    return { models, types, gpuIds, ...loadable, ...(kvCapacityTokens > 0 && { kvCapacityTokens }) };
  }

  /** From the server's metrics page, where it has one that is understood. */
  engineLoad(): Promise<EngineLoad | null> {
    return this.#metrics.read();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async run(job: Job, sink: JobSink, limits: { readonly maxResultBytes: number }, signal: AbortSignal): Promise<JobOutcome> {
    if (signal.aborted) return unsuccessful("cancelled", "cancelled", "Cancelled before it began.");
    if (this.#closed) return unsuccessful("unavailable", "runner_closed", "The agent is stopping.");
    const request = completionRequest(job.payload, job.modelId);
    if (request.kind === "bad_payload") return unsuccessful("failed", "bad_payload", request.message);
    if (this.#ollama?.begin(job.modelId) === false) return unsuccessful("unavailable", "model_not_loaded", `${job.modelId} is not in the memory of server ${this.name}.`, { fault: "none" });
    const stop = new AbortController();
    const onAbort = (): void => stop.abort("cancelled" satisfies StopReason);
    signal.addEventListener("abort", onAbort, { once: true });
    const { inactivityTimeoutMs } = this.#options;
    const ended = callServer({ server: this.#server, request, sink, maxResultBytes: limits.maxResultBytes, inactivityTimeoutMs, stop });
    this.#calls.set(stop, ended);
    const outcome = await ended;
    this.#calls.delete(stop);
    this.#ollama?.end(job.modelId);
    signal.removeEventListener("abort", onAbort);
    if (outcome.outcome === "unavailable") this.#discovery.hurry();
    return outcome;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const stop of this.#calls.keys()) stop.abort("closed" satisfies StopReason);
    await Promise.all([this.#discovery.close(), this.#ollama?.close(), this.#metrics.close(), ...this.#calls.values()]);
  }
}
