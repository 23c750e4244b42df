// The sources that scenarios name: public traces, each at its place under a folder of traces, and their synthetic stand-ins.
import { access } from "node:fs/promises";
import path from "node:path";

import { azureCsv } from "./formats/azure-csv.js";
import { readBurstgptReplay } from "./formats/burstgpt-replay.js";
import { fileFormat } from "./formats/detect-format.js";
import { mooncakeJsonl } from "./formats/mooncake-jsonl.js";
import { openbPodsCsv } from "./formats/openb-pods-csv.js";
import { phillyCsv } from "./formats/philly-csv.js";
import { readServegen } from "./formats/servegen.js";
import { vllmBenchJsonl } from "./formats/vllm-bench-jsonl.js";
import { servegenStream } from "./servegen-stream.js";
import type { Stream } from "./stream.js";
import { synthetic, type SyntheticShape } from "./synthetic.js";
import { TraceError } from "./trace-error.js";
import { loadTrace, spanOf, startOf, traceOf, traceStream, type Trace } from "./trace.js";

/** A source that is open: its requests on a clock of its own, or led in so that it shares one with others. */
export interface OpenSource {
  /** As formats are called; "drawn" for requests that no trace has. */
  readonly format: string;
  /** How many it has until it begins again; null when they are drawn, and others each time. */
  readonly requests: number | null;
  /** UTC time of its first request, ms; null without dates. */
  readonly startMs: number | null;
  /** From its first request to where it may begin again, ms. */
  readonly spanMs: number;
  /** Its requests, the first of them `leadMs` after the start of a stream of `durationMs`. */
  stream(leadMs: number, durationMs: number): Stream;
}

interface TraceSource {
  /** Under the folder of traces. */
  readonly file: string;
  /** Where to get it. */
  readonly from: string;
  open(file: string): Promise<OpenSource>;
}

const asSource = (trace: Trace): OpenSource => ({
  format: trace.format,
  requests: trace.rows.length,
  startMs: trace.calendar ? startOf(trace) : null,
  spanMs: spanOf(trace),
  stream: (leadMs, durationMs) => traceStream(trace, leadMs, durationMs),
});
const unled = (stream: Stream): OpenSource => ({ format: "drawn", requests: null, startMs: null, spanMs: stream.durationMs, stream: () => stream });

const azure = (what: string): TraceSource => ({
  file: `azure-llm-2023/AzureLLMInferenceTrace_${what}.csv`,
  from: "Azure/AzurePublicDataset on GitHub, data/ (CC-BY-4.0)",
  open: async (file) => asSource(await loadTrace(file, azureCsv)),
});
const servegen = (size: string): TraceSource => ({
  file: `servegen/m-${size}.clients-10min.csv.gz`,
  from: "alibaba/ServeGen on GitHub, cut to one day and joined into one table of clients and one file of lengths (Apache-2.0)",
  open: async (file) => unled(servegenStream(await readServegen(file))),
});
const burstgpt = (scale: number): TraceSource => ({
  file: `burstgpt-replay-telemetry/detail_log_scale${scale}.json.gz`,
  from: "liao4s/BurstGPT_test on GitHub (MIT)",
  open: async (file) => asSource(traceOf(file, await readBurstgptReplay(file), { name: "BurstGPT replay", calendar: false, gridMs: 0 })),
});
const vllmBench = (run: string): TraceSource => ({
  file: `llmservingsim-vllm/bench/${run}/requests.jsonl`,
  from: "casys-kaist/LLMServingSim on GitHub, bench/ (MIT)",
  open: async (file) => asSource(await loadTrace(file, vllmBenchJsonl)),
});

const TRACES = {
  "azure-conv": azure("conv"),
  "azure-code": azure("code"),
  mooncake: {
    file: "mooncake-fast25/conversation_trace.jsonl.gz",
    from: "kvcache-ai/Mooncake on GitHub, FAST25-release/traces/ (Apache-2.0)",
    open: async (file) => asSource(await loadTrace(file, mooncakeJsonl)),
  },
  "servegen-large": servegen("large"),
  "servegen-mid": servegen("mid"),
  "servegen-small": servegen("small"),
  "burstgpt-100": burstgpt(100),
  "burstgpt-500": burstgpt(500),
  "burstgpt-2000": burstgpt(2000),
  philly: {
    file: "philly/philly-2017-10.csv.gz",
    from: "msr-fiddle/philly-traces through pkusys/ElasticFlow on GitHub, October 2017 sorted by time (CC-BY-4.0)",
    open: async (file) => asSource(await loadTrace(file, phillyCsv)),
  },
  "openb-pods": {
    file: "alibaba-openb-gpu-v2023/openb_pod_list_default.csv",
    from: "hkust-adsl/kubernetes-scheduler-simulator on GitHub, data/csv/ (Apache-2.0)",
    // Pods without a GPU, and those that never ran, are no work for one.
    open: async (file) => asSource(await loadTrace(file, openbPodsCsv, { keep: ({ gpus, workMs }) => gpus !== 0 && workMs !== 0 })),
  },
  "vllm-rtx4090-llama-3.1-8b": vllmBench("RTX4090/Llama-3.1-8B"),
  "vllm-rtxpro6000-llama-3.1-8b": vllmBench("RTXPRO6000/Llama-3.1-8B"),
  "vllm-rtxpro6000-qwen3-30b-a3b": vllmBench("RTXPRO6000/Qwen3-30B-A3B-Instruct-2507"),
  "vllm-rtxpro6000-qwen3-32b": vllmBench("RTXPRO6000/Qwen3-32B"),
} satisfies Readonly<Record<string, TraceSource>>;

const HOUR_MS = 3_600_000;

// Rates, medians and 90th percentiles as measured on the traces, cut at their 99th. Arrivals of conv and batch have the
// traces' variation. That of code is 13.15, which comes of lulls of minutes between bursts: a renewal process with that
// variation sends 170 requests in one instant where the trace has 67 in its worst second, and one with 6 sends as many.
const SYNTHETIC = {
  "synthetic-conv": { ratePerSecond: 5.53, cv: 1.09, input: { p50: 1020, p90: 2735, most: 4142 }, output: { p50: 129, p90: 424, most: 601 } },
  "synthetic-code": { ratePerSecond: 2.57, cv: 6, input: { p50: 1469, p90: 5188, most: 7436 }, output: { p50: 13, p90: 55, most: 251 } },
  "synthetic-batch": { ratePerSecond: 3.4, cv: 1.02, input: { p50: 6909, p90: 27_367, most: 85_400 }, output: { p50: 350, p90: 597, most: 1119 } },
} satisfies Readonly<Record<string, Omit<SyntheticShape, "name" | "durationMs">>>;

/** A trace of the user's own, in a format that is told from its first line: "file:" and its path. */
export type OwnSource = `file:${string}`;

export type SourceName = keyof typeof TRACES | keyof typeof SYNTHETIC | OwnSource;

/** Whether a source needs no file. */
export function isSynthetic(name: SourceName): name is keyof typeof SYNTHETIC {
  return Object.hasOwn(SYNTHETIC, name);
}

/** Whether a source is a trace of the user's own. */
export function isOwnSource(name: string): name is OwnSource {
  return name.startsWith("file:");
}

/** The names of all sources but the user's own. */
export function sourceNames(): SourceName[] {
  return [...Object.keys(TRACES), ...Object.keys(SYNTHETIC)] as SourceName[];
}

/** Opens a source; `folder` is where the traces are, null when the caller has none. Rejects with a `TraceError` that says where to get what is missing. */
export async function openSource(name: SourceName, folder: string | null): Promise<OpenSource> {
  if (isSynthetic(name)) return unled(synthetic({ name, durationMs: HOUR_MS, ...SYNTHETIC[name] }));
  if (isOwnSource(name)) {
    const own = name.slice("file:".length);
    return asSource(await loadTrace(own, await fileFormat(own)));
  }
  const { file, from, open }: TraceSource = TRACES[name];
  return open(await findFile(folder, file, from));
}

/** The path of a file under the folder of traces. Rejects with a `TraceError` that says where to get it when it is not there. */
export async function findFile(folder: string | null, file: string, from: string): Promise<string> {
  const remedy = `get it from ${from}, or take a scenario whose name begins with "synthetic", which needs no traces`;
  if (folder === null) throw new TraceError(`this needs the trace ${file}: give the folder of traces with --traces DIR (${remedy})`);
  const found = path.join(folder, file);
  try {
    await access(found);
  } catch {
    throw new TraceError(`there is no ${found}: give the folder of traces with --traces DIR, and if it is not in it, ${remedy}`);
  }
  return found;
}
