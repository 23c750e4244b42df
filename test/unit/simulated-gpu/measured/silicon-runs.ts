// Measurements of NVIDIA's aiconfigurator that say what one dense model does on one or two GPUs, and how far the model is from them.
import { deliveryOf, serviceTimes, type Delivery } from "../../../../src/simulated-gpu/service-times.js";
import { GPU_KINDS, type GpuKind } from "../../../../src/simulated-gpu/gpu-kinds.js";
import { modelShape, type ModelShape } from "../../../../src/simulated-gpu/models.js";
import { readCsv } from "./read-csv.js";
import { timePerTokenMs, type Load } from "./closed-loop.js";

const CSV = "aiconfigurator-silicon/silicon_sample.csv";

/** One deployment, measured under several loads. */
export interface SiliconRun {
  readonly name: string;
  readonly kind: GpuKind;
  readonly shape: ModelShape;
  readonly loads: readonly (Load & { readonly timePerTokenMs: number })[];
}

interface Selection {
  readonly path: string;
  readonly model: string;
  readonly system: string;
  readonly kind: GpuKind;
  readonly backend: string;
  readonly precision: "" | "fp8";
  readonly tp: 1 | 2;
}

/**
 * All of vLLM's and TensorRT-LLM's dense runs without data parallelism, but two groups: Llama 8B in FP8 on H200 under vLLM, whose prompts alone
 * would take over 75 % of the sheet's TFLOPS, and SGLang's Qwen3-32B on one H100, which has no room for its sixteen requests.
 */
const SELECTIONS: readonly Selection[] = [
  { path: "meta-llama/Llama-3.1-8B-Instruct", model: "llama-3.1-8b", system: "h100_sxm", kind: "H100-80GB", backend: "trtllm", precision: "", tp: 1 },
  { path: "Qwen/Qwen3-32B", model: "qwen3-32b", system: "h100_sxm", kind: "H100-80GB", backend: "vllm", precision: "", tp: 2 },
  { path: "meta-llama/Llama-3.1-70B", model: "llama-3.1-70b", system: "h100_sxm", kind: "H100-80GB", backend: "vllm", precision: "fp8", tp: 2 },
  { path: "meta-llama/Llama-3.1-70B", model: "llama-3.1-70b", system: "h200_sxm", kind: "H200", backend: "vllm", precision: "fp8", tp: 1 },
  { path: "meta-llama/Llama-3.1-70B", model: "llama-3.1-70b", system: "h200_sxm", kind: "H200", backend: "vllm", precision: "fp8", tp: 2 },
  { path: "meta-llama/Llama-3.1-70B", model: "llama-3.1-70b", system: "b200_sxm", kind: "B200", backend: "vllm", precision: "fp8", tp: 1 },
  { path: "meta-llama/Llama-3.1-70B", model: "llama-3.1-70b", system: "b200_sxm", kind: "B200", backend: "vllm", precision: "fp8", tp: 2 },
];

export function siliconRuns(): SiliconRun[] {
  const rows = readCsv(CSV).filter((row) => row["mode"] === "agg" && row["pp_size"] === "1");
  return SELECTIONS.map(({ path, model, system, kind, backend, precision, tp }) => {
    const wanted = { model_path: path, system, backend, precision, tp_size: String(tp) };
    const loads = rows
      .filter((row) => Object.entries(wanted).every(([column, value]) => row[column] === value))
      .map((row) => ({
        clients: Number(row["batch_size"]),
        inputTokens: Number(row["isl"]),
        outputTokens: Number(row["osl"]),
        timePerTokenMs: Number(row["silicon_tpot_ms"]),
      }));
    const shape = { ...modelShape(model), tensorParallel: tp, bytesPerWeight: precision === "fp8" ? 1 : 2 };
    return { name: `${model}${precision === "fp8" ? " FP8" : ""}, ${tp} x ${kind}, ${backend}`, kind, shape, loads };
  });
}

/** |ln(model / measured)| of the time per token, for each load. */
export function errorsOf({ kind, shape, loads }: SiliconRun, delivery: Delivery = deliveryOf(GPU_KINDS[kind])): number[] {
  const times = serviceTimes(kind, shape, delivery);
  return loads.map((load) => Math.abs(Math.log(timePerTokenMs(times, load) / load.timePerTokenMs)));
}

/** What the fit makes small: the mean over the runs of their mean error. */
export function meanError(runs: readonly SiliconRun[], delivery?: Delivery): number {
  return mean(runs.map((run) => mean(errorsOf(run, delivery))));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
