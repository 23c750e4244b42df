// Four runs of vLLM 0.19 as LLMServingSim recorded them, and the same arrivals through the batching engine.
// Settings as in each run's meta.json: 256 or 128 sequences, 2048 tokens an iteration, chunked prefill, prefix caching.
import { BatchingEngine } from "../../../../src/simulated-gpu/batching-engine.js";
import type { GpuKind } from "../../../../src/simulated-gpu/gpu-kinds.js";
import { modelShape } from "../../../../src/simulated-gpu/models.js";
import { serviceTimes } from "../../../../src/simulated-gpu/service-times.js";
import { readTrace } from "./read-csv.js";

interface VllmRun {
  readonly name: string;
  readonly folder: string;
  readonly kind: GpuKind;
  readonly model: string;
  readonly gpus: 1 | 2;
  readonly maxSeqs: number;
  readonly tokenBudget: number;
}

/**
 * The last one was two engines of 128 sequences in lockstep, their experts spread over both GPUs. That is near one engine over both: the same
 * weights, caches and exchanges for each GPU.
 */
export const VLLM_RUNS: readonly VllmRun[] = [
  { name: "Llama-3.1-8B, RTX 4090", folder: "RTX4090/Llama-3.1-8B", kind: "RTX-4090", model: "llama-3.1-8b", gpus: 1, maxSeqs: 256, tokenBudget: 2048 },
  { name: "Llama-3.1-8B, RTX PRO 6000", folder: "RTXPRO6000/Llama-3.1-8B", kind: "RTX-PRO-6000", model: "llama-3.1-8b", gpus: 1, maxSeqs: 128, tokenBudget: 2048 },
  { name: "Qwen3-32B, 2 x RTX PRO 6000", folder: "RTXPRO6000/Qwen3-32B", kind: "RTX-PRO-6000", model: "qwen3-32b", gpus: 2, maxSeqs: 128, tokenBudget: 2048 },
  { name: "Qwen3-30B-A3B, 2 x RTX PRO 6000", folder: "RTXPRO6000/Qwen3-30B-A3B-Instruct-2507", kind: "RTX-PRO-6000", model: "qwen3-30b-a3b", gpus: 2, maxSeqs: 256, tokenBudget: 4096 },
];

/** Of one request, ms. */
interface Lived {
  readonly firstOutputMs: number;
  readonly totalMs: number;
  readonly timePerTokenMs: number;
  readonly endedAtMs: number;
}

interface Recorded {
  readonly queuedAtMs: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly lived: Lived;
}

/** Of a run; ms. */
export type Figures = Readonly<Record<"firstOutputP50" | "firstOutputP95" | "timePerTokenP50" | "totalP50" | "totalP95" | "makespan", number>>;

export function measuredAndSimulated(run: VllmRun): { readonly measured: Figures; readonly simulated: Figures } {
  const recorded = read(run.folder);
  return { measured: figuresOf(recorded.map(({ lived }) => lived)), simulated: figuresOf(simulate(run, recorded)) };
}

function read(folder: string): Recorded[] {
  const rows = readTrace(`llmservingsim-vllm/bench/${folder}/requests.jsonl`)
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, number>)
    .map((row) => ({ queued: row["queued_ts"]! * 1000, first: row["first_token_ts"]! * 1000, last: row["last_token_ts"]! * 1000, inputTokens: row["input_toks"]!, outputTokens: row["output_toks"]! }))
    .toSorted((a, b) => a.queued - b.queued);
  const startMs = rows[0]!.queued;
  return rows.map(({ queued, first, last, inputTokens, outputTokens }) => {
    return { queuedAtMs: queued - startMs, inputTokens, outputTokens, lived: livedOf(queued - startMs, first - startMs, last - startMs, outputTokens) };
  });
}

function simulate({ kind, model, gpus, maxSeqs, tokenBudget }: VllmRun, recorded: readonly Recorded[]): Lived[] {
  const times = serviceTimes(kind, { ...modelShape(model), tensorParallel: gpus });
  const engine = new BatchingEngine({ times: () => times, maxSeqs, tokenBudget });
  const firstAtMs: number[] = [];
  const lastAtMs: number[] = [];
  const advance = (toMs: number): void => {
    for (const { id, kind: event, atMs } of engine.advance(toMs)) {
      if (event === "first_output") firstAtMs[Number(id)] = atMs;
      else if (event === "ended") lastAtMs[Number(id)] = atMs;
    }
  };
  recorded.forEach(({ queuedAtMs, inputTokens, outputTokens }, id) => {
    while (engine.nextAtMs() < queuedAtMs) advance(engine.nextAtMs());
    engine.add({ id, modelId: model, inputTokens, cachedTokens: 0, outputTokens }, queuedAtMs);
  });
  while (engine.nextAtMs() < Number.POSITIVE_INFINITY) advance(engine.nextAtMs());
  return recorded.map(({ queuedAtMs, outputTokens }, id) => livedOf(queuedAtMs, firstAtMs[id]!, lastAtMs[id]!, outputTokens));
}

function livedOf(queuedAtMs: number, firstAtMs: number, lastAtMs: number, outputTokens: number): Lived {
  const timePerTokenMs = outputTokens > 1 ? (lastAtMs - firstAtMs) / (outputTokens - 1) : Number.NaN;
  return { firstOutputMs: firstAtMs - queuedAtMs, totalMs: lastAtMs - queuedAtMs, timePerTokenMs, endedAtMs: lastAtMs };
}

function figuresOf(lives: readonly Lived[]): Figures {
  const quantile = (share: number, value: (lived: Lived) => number): number => {
    const sorted = lives.map(value).filter((figure) => !Number.isNaN(figure)).toSorted((a, b) => a - b);
    return sorted[Math.floor(share * sorted.length)]!;
  };
  return {
    firstOutputP50: quantile(0.5, ({ firstOutputMs }) => firstOutputMs),
    firstOutputP95: quantile(0.95, ({ firstOutputMs }) => firstOutputMs),
    timePerTokenP50: quantile(0.5, ({ timePerTokenMs }) => timePerTokenMs),
    totalP50: quantile(0.5, ({ totalMs }) => totalMs),
    totalP95: quantile(0.95, ({ totalMs }) => totalMs),
    makespan: Math.max(...lives.map(({ endedAtMs }) => endedAtMs)),
  };
}
