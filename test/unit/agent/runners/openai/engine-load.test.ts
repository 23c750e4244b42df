import { describe, expect, test } from "@jest/globals";
import { engineReadingOf } from "../../../../../src/agent/runners/openai/engine-load.js";

const lines = (...page: string[]): string => `${page.join("\n")}\n`;

describe("The load of", () => {
  test("vLLM: its gauges, its prefix counters, and the size of its cache from the labels of its configuration", () => {
    const page = lines(
      "# HELP vllm:num_requests_running Number of requests in model execution batches.",
      "# TYPE vllm:num_requests_running gauge",
      'vllm:num_requests_running{engine="0",model_name="llama"} 12.0',
      "# TYPE vllm:num_requests_waiting gauge",
      'vllm:num_requests_waiting{engine="0",model_name="llama"} 3.0',
      'vllm:num_requests_waiting_by_reason{engine="0",model_name="llama",reason="capacity"} 3.0',
      'vllm:kv_cache_usage_perc{engine="0",model_name="llama"} 0.47',
      "# TYPE vllm:prefix_cache_queries counter",
      'vllm:prefix_cache_queries_total{engine="0",model_name="llama"} 2000.0',
      'vllm:prefix_cache_queries_created{engine="0",model_name="llama"} 1.7e+09',
      'vllm:prefix_cache_hits_total{engine="0",model_name="llama"} 500.0',
      'vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",num_gpu_blocks="573",num_gpu_blocks_override="None"} 1.0',
      'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="llama"} 0.0',
    );
    expect(engineReadingOf(page)).toEqual({ running: 12, waiting: 3, kvUse: 0.47, prefix: { queries: 2000, hits: 500 }, kvCapacityTokens: 9168 });
  });

  test("vLLM of older days, whose names have gpu_ in them", () => {
    const page = lines(
      'vllm:num_requests_running{model_name="llama"} 1.0',
      'vllm:num_requests_waiting{model_name="llama"} 0.0',
      'vllm:gpu_cache_usage_perc{model_name="llama"} 0.25',
      'vllm:gpu_prefix_cache_queries_total{model_name="llama"} 10.0',
      'vllm:gpu_prefix_cache_hits_total{model_name="llama"} 4.0',
      'vllm:cache_config_info{block_size="16",num_gpu_blocks="None"} 1.0',
    );
    expect(engineReadingOf(page)).toEqual({ running: 1, waiting: 0, kvUse: 0.25, prefix: { queries: 10, hits: 4 } });
  });

  test("data-parallel engines on one page: requests and caches add up, shares are their mean", () => {
    const page = lines(
      'vllm:num_requests_running{engine="0",model_name="llama"} 4.0',
      'vllm:num_requests_running{engine="1",model_name="llama"} 6.0',
      'vllm:num_requests_waiting{engine="0",model_name="llama"} 1.0',
      'vllm:num_requests_waiting{engine="1",model_name="llama"} 0.0',
      'vllm:kv_cache_usage_perc{engine="0",model_name="llama"} 0.2',
      'vllm:kv_cache_usage_perc{engine="1",model_name="llama"} 0.4',
      'vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="100"} 1.0',
      'vllm:cache_config_info{block_size="16",engine="1",kv_cache_size_tokens="1500",num_gpu_blocks="100"} 1.0',
    );
    const reading = engineReadingOf(page);
    expect(reading).toMatchObject({ running: 10, waiting: 1, kvCapacityTokens: 3100 });
    expect(reading?.kvUse).toBeCloseTo(0.3, 10);
  });

  test("SGLang: the ranks of one engine count the same requests", () => {
    const page = lines(
      "# HELP sglang:num_running_reqs The number of running requests",
      'sglang:num_running_reqs{engine_type="unified",model_name="qwen",pp_rank="0",tp_rank="0"} 8.0',
      'sglang:num_running_reqs{engine_type="unified",model_name="qwen",pp_rank="0",tp_rank="1"} 7.0',
      'sglang:num_queue_reqs{engine_type="unified",model_name="qwen",pp_rank="0",tp_rank="0"} 4.0',
      'sglang:num_queue_reqs{engine_type="unified",model_name="qwen",pp_rank="0",tp_rank="1"} 4.0',
      'sglang:token_usage{model_name="qwen"} 0.28',
      'sglang:cache_hit_rate{model_name="qwen"} 0.0075',
      'sglang:max_total_num_tokens{model_name="qwen"} 471258.0',
    );
    expect(engineReadingOf(page)).toEqual({ running: 8, waiting: 4, kvUse: 0.28, prefixHitRatio: 0.0075, kvCapacityTokens: 471_258 });
  });

  test("TGI and llama.cpp, which tell only how many", () => {
    expect(engineReadingOf(lines("# TYPE tgi_batch_current_size gauge", "tgi_batch_current_size 4", "tgi_queue_size 7", "tgi_request_count 44"))).toEqual({ running: 4, waiting: 7 });
    expect(engineReadingOf(lines("llamacpp:requests_processing 2", "llamacpp:requests_deferred 46"))).toEqual({ running: 2, waiting: 46 });
  });

  test("an engine that has not told all: what is missing is left out, what makes no sense too", () => {
    const page = lines("vllm:num_requests_running 1", "vllm:kv_cache_usage_perc NaN", "vllm:num_requests_waiting -1", "vllm:prefix_cache_queries_total 5");
    expect(engineReadingOf(page)).toEqual({ running: 1, waiting: 0, prefix: { queries: 5, hits: 0 } });
    expect(engineReadingOf(lines("vllm:num_requests_running 1", "vllm:kv_cache_usage_perc 1.02"))).toMatchObject({ kvUse: 1 });
  });

  test.each(["", "<html>not found</html>", "process_cpu_seconds_total 5\n", "vllm:num_requests_waiting 5\n"])("nobody: %j is no engine's page", (page) => {
    expect(engineReadingOf(page)).toBeNull();
  });
});
