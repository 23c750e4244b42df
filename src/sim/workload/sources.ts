// The sources that scenarios name: public traces, each at its place under a folder of traces, and their synthetic stand-ins.
import { access } from "node:fs/promises";
import path from "node:path";

import { cut } from "./cut.js";
import { readBurstgptReplay } from "./formats/burstgpt-replay.js";
import { titlesOf } from "./formats/csv-table.js";
import { fileFormat, type ReadingOptions } from "./formats/detect-format.js";
import { LAYOUTS } from "./formats/layouts.js";
import { isServegen, readServegen } from "./formats/servegen.js";
import { servegenStream } from "./servegen-stream.js";
import type { Stream } from "./stream.js";
import { synthetic, type SyntheticShape } from "./synthetic.js";
import { TraceError } from "./trace-error.js";
import { loadTrace, spanOf, startOf, traceOf, traceStream, type Trace, type TraceWindow } from "./trace.js";

/** A source that is open: its requests on a clock of its own, or led in so that it shares one with others. */
export interface OpenSource {
  /** As formats are called; "drawn" for requests that no trace has. */
  readonly format: string;
  /** How many it has until it begins again; null when they are drawn, and others each time. */
  readonly requests: number | null;
  /** Rows of its file that are no work. */
  readonly leftOut: number;
  /** UTC time of its first request, ms; null without dates. */
  readonly startMs: number | null;
  /** From its first request to where it may begin again, ms. */
  readonly spanMs: number;
  /** Its requests, the first of them `leadMs` after the start of a stream of `durationMs`. */
  stream(leadMs: number, durationMs: number): Stream;
}

/** What is said of a source's file beside its name. */
export interface SourceReading extends ReadingOptions, TraceWindow {}

interface TraceSource {
  /** Under the folder of traces. */
  readonly file: string;
  /** Where to get it. */
  readonly from: string;
  open(file: string, reading: SourceReading): Promise<OpenSource>;
}

const asSource = (trace: Trace): OpenSource => ({
  format: trace.format,
  requests: trace.rows.length,
  leftOut: trace.leftOut,
  startMs: trace.calendar ? startOf(trace) : null,
  spanMs: spanOf(trace),
  stream: (leadMs, durationMs) => traceStream(trace, leadMs, durationMs),
});

function drawn(whole: Stream, { fromMs = 0, toMs = Number.POSITIVE_INFINITY }: TraceWindow, format = "drawn"): OpenSource {
  if (fromMs >= whole.durationMs) throw new TraceError(`from_minutes lies behind the end of the source, which has ${Math.round(whole.durationMs / 60_000)} minutes`);
  const stream = fromMs > 0 || toMs < whole.durationMs ? cut(whole, fromMs, toMs) : whole;
  return { format, requests: null, leftOut: 0, startMs: null, spanMs: stream.durationMs, stream: () => stream };
}

const openTable = async (file: string, reading: SourceReading): Promise<OpenSource> => asSource(await loadTrace(file, await fileFormat(file, reading), reading));
const openServegen = async (file: string, reading: SourceReading): Promise<OpenSource> => drawn(servegenStream(await readServegen(file)), reading, "ServeGen clients");

async function openBurstgptReplay(file: string, { fromMs = 0, toMs = Number.POSITIVE_INFINITY, gridMs = 0 }: SourceReading): Promise<OpenSource> {
  const rows = await readBurstgptReplay(file);
  const startMs = rows[0]?.atMs ?? 0;
  const wanted = rows.filter(({ atMs }) => atMs - startMs >= fromMs && atMs - startMs < toMs);
  return asSource(traceOf(file, wanted, { name: "BurstGPT replay", calendar: false, gridMs }));
}

const table = (file: string, from: string, known: ReadingOptions): TraceSource => ({ file, from, open: (found, reading) => openTable(found, { ...known, ...reading }) });
const azure = (what: string): TraceSource => table(`azure-llm-2023/AzureLLMInferenceTrace_${what}.csv`, "Azure/AzurePublicDataset on GitHub, data/ (CC-BY-4.0)", { format: "azure", gridMs: 0 });
const servegen = (size: string): TraceSource => ({
  file: `servegen/m-${size}.clients-10min.csv.gz`,
  from: "alibaba/ServeGen on GitHub, cut to one day and joined into one table of clients and one file of lengths (Apache-2.0)",
  open: openServegen,
});
const burstgpt = (scale: number): TraceSource => ({
  file: `burstgpt-replay-telemetry/detail_log_scale${scale}.json.gz`,
  from: "liao4s/BurstGPT_test on GitHub (MIT)",
  open: openBurstgptReplay,
});
const vllmBench = (run: string): TraceSource => table(`llmservingsim-vllm/bench/${run}/requests.jsonl`, "casys-kaist/LLMServingSim on GitHub, bench/ (MIT)", { format: "vllm-bench", gridMs: 0 });

const TRACES = {
  "azure-conv": azure("conv"),
  "azure-code": azure("code"),
  // Its times lie about 3 s apart.
  mooncake: table("mooncake-fast25/conversation_trace.jsonl.gz", "kvcache-ai/Mooncake on GitHub, FAST25-release/traces/ (Apache-2.0)", { format: "mooncake", gridMs: 3000 }),
  "servegen-large": servegen("large"),
  "servegen-mid": servegen("mid"),
  "servegen-small": servegen("small"),
  "burstgpt-100": burstgpt(100),
  "burstgpt-500": burstgpt(500),
  "burstgpt-2000": burstgpt(2000),
  philly: table("philly/philly-2017-10.csv.gz", "msr-fiddle/philly-traces through pkusys/ElasticFlow on GitHub, October 2017 sorted by time (CC-BY-4.0)", { format: "philly" }),
  "openb-pods": table("alibaba-openb-gpu-v2023/openb_pod_list_default.csv", "hkust-adsl/kubernetes-scheduler-simulator on GitHub, data/csv/ (Apache-2.0)", { format: "openb-pods" }),
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

/** A trace of the user's own: "file:" and its path. */
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

/** The formats that a file of the user's own can have, as they are typed; which one it has is found out. */
export const FORMAT_NAMES: readonly string[] = [...LAYOUTS.map(({ key }) => key), "servegen", "burstgpt-replay"];

/**
 * Opens a source as `reading` says; `folder` is where the traces are, null when the caller has none. Rejects with a `TraceError` that says
 * where to get what is missing, or what in a file is wrong.
 */
export async function openSource(name: SourceName, folder: string | null, reading: SourceReading = {}): Promise<OpenSource> {
  if (isSynthetic(name)) return drawn(synthetic({ name, durationMs: HOUR_MS, ...SYNTHETIC[name] }), reading);
  if (isOwnSource(name)) return openOwn(name.slice("file:".length), reading);
  const { file, from, open }: TraceSource = TRACES[name];
  return open(await findFile(folder, file, from), reading);
}

async function openOwn(file: string, reading: SourceReading): Promise<OpenSource> {
  const { format } = reading;
  if (format === "burstgpt-replay" || (format === undefined && /^detail_log.*\.json(\.gz)?$/.test(path.basename(file)))) return openBurstgptReplay(file, reading);
  if (format === "servegen" || (format === undefined && isServegen(await titlesOf(file)))) return openServegen(file, reading);
  return openTable(file, reading);
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
