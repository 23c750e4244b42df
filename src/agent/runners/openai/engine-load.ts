// What the metrics page of an inference engine says of its load, whichever engine it is. Called by `engine-metrics.ts`; pure.
// Names as the engines document them:
//   vLLM       https://docs.vllm.ai/en/stable/usage/metrics/; with gpu_ in the names of its cache in older versions
//   SGLang     https://docs.sglang.io/references/production_metrics.html; needs --enable-metrics
//   TGI        https://huggingface.co/docs/text-generation-inference/reference/metrics
//   llama.cpp  https://github.com/ggml-org/llama.cpp/tree/master/tools/server; needs --metrics
import { samplesOf, type Sample } from "./prometheus-text.js";

/** What a page says. Absent is what it does not say. */
export interface EngineReading {
  /** Requests that it computes. */
  readonly running: number;
  /** Requests that wait inside it. */
  readonly waiting: number;
  /** Share of its key-value cache in use, 0..1. */
  readonly kvUse?: number;
  /** Prompt tokens that it looked up in its prefix cache since it began, and how many it found there. */
  readonly prefix?: { readonly queries: number; readonly hits: number };
  /** The same as a share of late, 0..1, from an engine that gives no counts. */
  readonly prefixHitRatio?: number;
  /** Tokens that its key-value cache holds. */
  readonly kvCapacityTokens?: number;
}

type Figure = "running" | "waiting" | "kvUse" | "prefixQueries" | "prefixHits" | "prefixHitRatio" | "kvCapacityTokens" | "cacheInfo";

/** For each engine its names of a figure, the present one first; the first that is on the page counts. */
const ENGINES: readonly { readonly [figure in Figure]?: readonly string[] }[] = [
  {
    running: ["vllm:num_requests_running"],
    waiting: ["vllm:num_requests_waiting"],
    kvUse: ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"],
    // Documented without _total, which the Python client appends to the name of every counter.
    prefixQueries: ["vllm:prefix_cache_queries_total", "vllm:prefix_cache_queries", "vllm:gpu_prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries"],
    prefixHits: ["vllm:prefix_cache_hits_total", "vllm:prefix_cache_hits", "vllm:gpu_prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits"],
    // Says it in its labels; its value is always 1.
    cacheInfo: ["vllm:cache_config_info"],
  },
  {
    running: ["sglang:num_running_reqs"],
    waiting: ["sglang:num_queue_reqs"],
    kvUse: ["sglang:token_usage"],
    prefixHitRatio: ["sglang:cache_hit_rate"],
    kvCapacityTokens: ["sglang:max_total_num_tokens"],
  },
  { running: ["tgi_batch_current_size"], waiting: ["tgi_queue_size"] },
  { running: ["llamacpp:requests_processing"], waiting: ["llamacpp:requests_deferred"] },
];

const WANTED: ReadonlySet<string> = new Set(ENGINES.flatMap((names) => Object.values(names).flat()));
/** Labels of processes that compute the same requests together: each of them counts all. */
const TOGETHER: ReadonlySet<string> = new Set(["tp_rank", "pp_rank", "moe_ep_rank"]);

/** What the page says; null when none of the engines wrote it. */
export function engineReadingOf(page: string): EngineReading | null {
  const samples = samplesOf(page, WANTED).filter(({ value }) => Number.isFinite(value) && value >= 0);
  const of = (names: readonly string[] = []): readonly Sample[] =>
    names.map((wanted) => samples.filter(({ name }) => name === wanted)).find(({ length }) => length > 0) ?? [];
  const engine = ENGINES.find(({ running }) => of(running).length > 0);
  if (!engine) return null;
  const kvUse = share(of(engine.kvUse));
  const prefixHitRatio = share(of(engine.prefixHitRatio));
  const queries = of(engine.prefixQueries);
  const kvCapacityTokens = total(of(engine.kvCapacityTokens)) + total(of(engine.cacheInfo).map(cacheSize));
  return {
    running: total(of(engine.running)),
    waiting: total(of(engine.waiting)),
    ...(kvUse !== null && { kvUse }),
    ...(queries.length > 0 && { prefix: { queries: total(queries), hits: total(of(engine.prefixHits)) } }),
    ...(prefixHitRatio !== null && { prefixHitRatio }),
    ...(kvCapacityTokens > 0 && { kvCapacityTokens }),
  };
}

/** Over engines that share a page, such as data-parallel ones; each counted once, however many processes it has. */
function total(samples: readonly Sample[]): number {
  const byEngine = new Map<string, number>();
  for (const { labels, value } of samples) {
    const engine = JSON.stringify([...labels].filter(([label]) => !TOGETHER.has(label)).sort());
    byEngine.set(engine, Math.max(byEngine.get(engine) ?? 0, value));
  }
  return [...byEngine.values()].reduce((sum, value) => sum + value, 0);
}

/** The mean, at most 1; null of none. */
function share(samples: readonly Sample[]): number | null {
  if (samples.length === 0) return null;
  return Math.min(1, samples.reduce((sum, { value }) => sum + value, 0) / samples.length);
}

/** The sample with the size of the cache, tokens, as its value; 0 while the engine has not measured it. */
function cacheSize({ name, labels }: Sample): Sample {
  const count = (label: string): number => Number(labels.get(label)) || 0;
  return { name, labels, value: count("kv_cache_size_tokens") || count("block_size") * count("num_gpu_blocks") };
}
