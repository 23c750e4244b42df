// BurstGPT's replay against one vLLM: `detail_log_*.json` with a request a key, and `vllm_log_*.json` with the engine's state
// twice a second. Not line by line: each file is one object.
// The log writes an entry when a request ends, so it was sent `total_chunk_time` before its `record_time`. `out_len` counts
// characters of prompt and answer, not tokens. The answer's tokens are therefore what the engine made in the meantime: its
// generation rate shared by the requests that ran, from the first output to the end. That puts the median of all three runs
// within 1 % of the 1,024 tokens to which most answers were cut, and none above 1,155.
import path from "node:path";

import { TraceError } from "../trace-error.js";
import { isTokenCount } from "./cells.js";
import { isRecord, readJson } from "./read-json.js";
import type { TraceRow } from "./trace-format.js";

interface LoggedRequest {
  readonly sentSeconds: number;
  readonly firstSeconds: number;
  readonly endSeconds: number;
  readonly inputTokens: number;
  readonly mostOutputTokens: number;
}

/** The rows of one run in the order of sending; output tokens are estimates, 1 at least. Throws a `TraceError` that names file and entry. */
export async function readBurstgptReplay(detailPath: string): Promise<TraceRow[]> {
  const statePath = path.join(path.dirname(detailPath), path.basename(detailPath).replace(/^detail_log/, "vllm_log"));
  if (statePath === detailPath) throw new TraceError(`${detailPath} is not named detail_log_*: give the log of requests; the vllm_log_* of the same run must lie beside it`);
  const details = Object.entries(await readJson(detailPath)).map(([key, entry]) => loggedRequest(detailPath, key, entry));
  const generated = tokensByTime(statePath, await readJson(statePath));
  return details
    .map(({ sentSeconds, firstSeconds, endSeconds, inputTokens, mostOutputTokens }) => {
      const outputTokens = Math.min(mostOutputTokens, Math.max(1, Math.round(generated(endSeconds) - generated(firstSeconds))));
      return { atMs: sentSeconds * 1000, inputTokens, outputTokens };
    })
    .sort((one, other) => one.atMs - other.atMs);
}

function loggedRequest(file: string, key: string, entry: unknown): LoggedRequest {
  if (isRecord(entry)) {
    const { in_len: inputTokens, sampled_out_len: mostOutputTokens, record_time: end, first_chunk_time: first, total_chunk_time: total } = entry;
    const isTime = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
    if (isTokenCount(inputTokens) && isTokenCount(mostOutputTokens) && isTime(end) && isTime(first) && isTime(total)) {
      return { sentSeconds: end - total, firstSeconds: end - total + first, endSeconds: end, inputTokens, mostOutputTokens };
    }
  }
  throw new TraceError(`${file}: entry ${JSON.stringify(key)} is not a request of a BurstGPT replay: it needs in_len, sampled_out_len, record_time, first_chunk_time, total_chunk_time`);
}

/** Tokens that a request running all the time would have got by then. */
function tokensByTime(file: string, log: Record<string, unknown>): (seconds: number) => number {
  const samples = Object.entries(log).map(([key, entry]) => {
    if (isRecord(entry)) {
      const { timestamp, generation_throughput: rate, num_running: running } = entry;
      if (typeof timestamp === "number" && typeof rate === "number" && typeof running === "number") return { seconds: timestamp, each: running > 0 ? rate / running : 0 };
    }
    throw new TraceError(`${file}: entry ${JSON.stringify(key)} is not a state of a vLLM log: it needs timestamp, generation_throughput, num_running`);
  });
  samples.sort((one, other) => one.seconds - other.seconds);
  const totals: number[] = [];
  let total = 0;
  for (const [index, sample] of samples.entries()) {
    total += sample.each * (sample.seconds - (samples[index - 1] ?? sample).seconds);
    totals.push(total);
  }
  return (seconds) => {
    const after = samples.findIndex((sample) => sample.seconds >= seconds);
    const sample = samples[after];
    // A sample's rate holds for the time before it.
    return sample === undefined ? total : (totals[after] ?? 0) - (after === 0 ? 0 : sample.each * (sample.seconds - seconds));
  };
}
