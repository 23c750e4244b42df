// How fast a kind of GPU serves a model: a roofline over the data sheet, times the share of it that engines get in practice.
// Pure; called by the simulator and the simulated runner, which hand the numbers to the batching engine.
//
// A step of a batch is bound by memory: it reads the weights and the caches of its requests; the arithmetic of a few hundred tokens hides
// behind that. A prompt is bound by arithmetic. Layers and all-reduces cost a launch each, whatever the GPU.
//
// Where the shares come from (test/unit/simulated-gpu/service-times.measured.test.ts does it again and holds the errors):
// * HBM, and all launches: least mean error in the time per token of 147 runs of vLLM and TensorRT-LLM on H100, H200 and B200
//   (aiconfigurator's silicon measurements; 8B, 32B and 70B, 16 and 8 bits, one and two GPUs). One set serves all three generations, so it
//   serves the kinds that nobody measured.
// * GDDR: the decoding seconds of one vLLM run on an RTX 4090, which 0.93 to 0.95 and 0.65 to 0.70 fit alike; PCIe: one run of a 32B model on
//   two RTX PRO 6000. Both are of the four runs of LLMServingSim; their other figures and the other two runs only check.
// * Splitwise's older measurements (llama2-70b, A100 and H100) check the A100 beside the H100; its engine was slower than today's.
import { GPU_KINDS, type GpuKind, type GpuKindFigures } from "./gpu-kinds.js";
import { kvBytesPerToken, modelShape, weightsMib, type ModelShape } from "./models.js";

/** The speeds of one model on one GPU. An iteration takes the sum of what its batch needs; all times in ms of the GPU alone. */
export interface ServiceTimes {
  /** For each prompt token that is read. */
  readonly prefillMsPerToken: number;
  /** For each pair of a prompt token that is read and a token before it that it attends to. */
  readonly prefillMsPerTokenPair: number;
  /** For each iteration of the model: its weights, and its launches. */
  readonly stepBaseMs: number;
  /** For each request that gets a token. */
  readonly stepMsPerRequest: number;
  /** For each token in the key-value cache of a request that gets a token. */
  readonly stepMsPerKvToken: number;
  /** Tokens that the key-value cache holds with the model alone on the GPU; 0 when it does not fit. */
  readonly kvCapacityTokens: number;
  readonly kvMibPerToken: number;
  readonly weightsMib: number;
  /** From the order to load until it serves. */
  readonly loadMs: number;
}

/** What practice leaves of the data sheet. */
export interface Delivery {
  /** Share of the TFLOPS that prompts get; of twice as many in FP8, `fp8Compute` of that. */
  readonly compute: number;
  readonly fp8Compute: number;
  /** Shares of the memory bandwidth that weights and caches get. */
  readonly weightBandwidth: number;
  readonly kvBandwidth: number;
  /** Share of the link's bandwidth that all-reduces get. */
  readonly linkBandwidth: number;
  /** Of an iteration, of each of its layers, of each all-reduce, of each request. */
  readonly iterationMs: number;
  readonly layerMs: number;
  readonly allReduceMs: number;
  readonly requestMs: number;
}

const FITTED = { compute: 0.75, fp8Compute: 0.73, iterationMs: 0.4, layerMs: 0.0375, allReduceMs: 0.0085, requestMs: 0.002 };
const MEMORY_SHARES = {
  HBM: { weightBandwidth: 0.85, kvBandwidth: 0.85 },
  GDDR: { weightBandwidth: 0.94, kvBandwidth: 0.67 },
};
/** PCIe goes through the host's memory. NVLink's share is assumed: in the fit it hides behind the all-reduces' launches. */
const LINK_SHARES = { NVLink: 0.6, PCIe: 0.17 };

/** Share of the memory that engines take, as vLLM's gpu_memory_utilization. */
const MEMORY_SHARE = 0.9;
/** What an engine needs beside weights and cache, for each model: vLLM on the RTX 4090 above left itself 1,614 MiB. */
export const WORKSPACE_MIB = 1600;
/** Assumed: weights from a local disk or the page cache; then graphs are captured and memory is profiled. */
const LOAD_MIB_PER_MS = 1.5;
const LOAD_BASE_MS = 8000;
/** Batch whose experts a step of a mixture of experts is taken to read: the share read grows with the batch, which a constant cannot. */
const EXPERT_BATCH = 32;
const FP8_SINCE_COMPUTE_CAPABILITY = 8.9;
/** The kind that work which is not tokens is measured on. */
const WORK_REFERENCE: GpuKind = "A100-80GB";

export function deliveryOf({ memory, link }: Pick<GpuKindFigures, "memory" | "link">): Delivery {
  return { ...FITTED, ...MEMORY_SHARES[memory], linkBandwidth: LINK_SHARES[link] };
}

/** The speeds of `model`, a name of the catalogue or a shape, on a GPU of `kind`. */
export function serviceTimes(kind: GpuKind, model: string | ModelShape, delivery: Delivery = deliveryOf(GPU_KINDS[kind])): ServiceTimes {
  const shape = typeof model === "string" ? modelShape(model) : model;
  const { gigabytesPerSecond } = GPU_KINDS[kind];
  const tp = shape.tensorParallel;
  const flopsPerMs = GPU_KINDS[kind].tflops * 1e9 * delivery.compute * tp;
  const bytesPerMs = gigabytesPerSecond * 1e6;
  const weights = weightsMib(shape);
  const kvBytes = kvBytesPerToken(shape);
  const linkMsPerToken = allReduceBytes(shape) / (GPU_KINDS[kind].linkGigabytesPerSecond * 1e6 * delivery.linkBandwidth);
  const readBytes = ((shape.parameters - shape.embeddingParameters) * shareRead(shape) * shape.bytesPerWeight) / tp;
  const launchMs = delivery.iterationMs + shape.layers * (delivery.layerMs + (tp > 1 ? 2 * delivery.allReduceMs : 0));
  return {
    prefillMsPerToken: (2 * (shape.activeParameters - shape.embeddingParameters)) / (flopsPerMs * fp8Gain(kind, shape, delivery)) + linkMsPerToken,
    prefillMsPerTokenPair: (4 * shape.layers * shape.attentionHeads * shape.headDim) / flopsPerMs,
    stepBaseMs: readBytes / (bytesPerMs * delivery.weightBandwidth) + launchMs,
    stepMsPerRequest: delivery.requestMs + linkMsPerToken,
    stepMsPerKvToken: kvBytes / (bytesPerMs * delivery.kvBandwidth),
    kvCapacityTokens: Math.max(0, Math.floor(((engineMemoryMib(kind) - weights - WORKSPACE_MIB) * 2 ** 20) / kvBytes)),
    kvMibPerToken: kvBytes / 2 ** 20,
    weightsMib: weights,
    loadMs: LOAD_BASE_MS + weights / LOAD_MIB_PER_MS,
  };
}

/** Requests that an engine computes at once, and tokens of one iteration, at most: as vLLM has them by default. */
export const MAX_SEQS = 256;
export const TOKEN_BUDGET = 2048;

/** Memory that engines share out among weights, cache and workspace, MiB. */
export function engineMemoryMib(kind: GpuKind): number {
  return GPU_KINDS[kind].memoryTotalMib * MEMORY_SHARE;
}

/** `inputTokens` without what a cache holds. */
function firstOutputMs(times: ServiceTimes, inputTokens: number): number {
  const tokens = Math.max(1, inputTokens);
  const iterations = Math.ceil(tokens / TOKEN_BUDGET);
  return iterations * times.stepBaseMs + tokens * times.prefillMsPerToken + ((tokens * tokens) / 2) * times.prefillMsPerTokenPair;
}

/** Time to the end of a request that has an idle GPU to itself, ms. */
export function unloadedMs(kind: GpuKind, model: string | ModelShape, inputTokens: number, outputTokens: number): number {
  return unloadedBy(serviceTimes(kind, model), inputTokens, outputTokens);
}

/** The same for speeds that are at hand. */
export function unloadedBy(times: ServiceTimes, inputTokens: number, outputTokens: number): number {
  const steps = Math.max(0, outputTokens - 1);
  const attended = steps * inputTokens + (steps * (steps - 1)) / 2;
  const stepMs = times.stepBaseMs + times.stepMsPerRequest;
  return firstOutputMs(times, inputTokens) + steps * stepMs + attended * times.stepMsPerKvToken;
}

/**
 * How fast a kind does work that is not tokens, such as training, beside an A100-80GB. It follows the memory bandwidth: over Gavel's 26
 * single-GPU training jobs the medians are V100 : P100 = 1.23 (bandwidth 1.23) and P100 : K80 = 3.3 (3.05); arithmetic would say 5.9 and 4.8.
 */
export function workSpeed(kind: GpuKind): number {
  return GPU_KINDS[kind].gigabytesPerSecond / GPU_KINDS[WORK_REFERENCE].gigabytesPerSecond;
}

/** Share of the weights that a step reads: each token of a mixture of experts chooses its own. */
function shareRead({ parameters, activeParameters }: ModelShape): number {
  return 1 - (1 - activeParameters / parameters) ** EXPERT_BATCH;
}

/** Bytes that each of the GPUs sends for one token: two ring all-reduces in 16 bits per layer. */
function allReduceBytes({ layers, hiddenSize, tensorParallel }: ModelShape): number {
  return 2 * layers * hiddenSize * 2 * ((2 * (tensorParallel - 1)) / tensorParallel);
}

function fp8Gain(kind: GpuKind, { bytesPerWeight }: ModelShape, { fp8Compute }: Delivery): number {
  return bytesPerWeight === 1 && Number(GPU_KINDS[kind].computeCapability) >= FP8_SINCE_COMPUTE_CAPABILITY ? 2 * fp8Compute : 1;
}
