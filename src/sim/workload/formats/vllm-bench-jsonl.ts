// LLMServingSim's recordings of real vLLM runs: when each request was sent and its tokens. What the engine then did with it
// (queued, scheduled, first and last token) checks service-time models and is read where those are.
import { parseObject } from "./parse-object.js";
import { isTokenCount, type TraceFormat } from "./trace-format.js";

/** One row a request, from `requests.jsonl`. `arrival_time` is UTC in seconds. */
export const vllmBenchJsonl: TraceFormat = {
  name: "vLLM bench JSONL",
  calendar: true,
  gridMs: 0,
  ordered: true,
  heading: null,
  parse(line) {
    const row = parseObject(line);
    if (row === null) return null;
    const { arrival_time: atSeconds, input_toks: inputTokens, output_toks: outputTokens } = row;
    if (typeof atSeconds !== "number" || !Number.isFinite(atSeconds) || !isTokenCount(inputTokens) || !isTokenCount(outputTokens)) return null;
    return { atMs: atSeconds * 1000, inputTokens, outputTokens };
  },
};
