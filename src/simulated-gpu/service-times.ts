// How fast a kind of GPU serves a model: a roofline over the data sheet, times what the kind was measured to deliver of it.
// Pure; called by the simulator and the simulated runner, which hand the numbers to the batching engine.
import { GPU_KINDS, type GpuKind } from "./gpu-kinds.js";
import { kvBytesPerToken, modelShape, weightsMib, type ModelShape } from "./models.js";

/** The speeds of one model on one GPU. An iteration takes the sum of what its batch needs; all times in ms of the GPU alone. */
export interface ServiceTimes {
  /** For each prompt token that is read. */
  readonly prefillMsPerToken: number;
  /** For each pair of a prompt token that is read and a token before it that it attends to. */
  readonly prefillMsPerTokenPair: number;
  /** For each iteration of the model: its weights, and what launching costs. */
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

/** What a kind delivers in practice. */
interface Delivery {
  /** Share of the sheet's TFLOPS in prompts. */
  readonly compute: number;
  /** Share of the sheet's bandwidth in steps. */
  readonly bandwidth: number;
  /** Launches and scheduling, per iteration. */
  readonly iterationMs: number;
  /** Sampling and bookkeeping, per request in an iteration. */
  readonly requestMs: number;
}

const TYPICAL: Delivery = { compute: 0.55, bandwidth: 0.75, iterationMs: 2, requestMs: 0.03 };
/** Share of the memory that engines take, as vLLM's gpu_memory_utilization. */
const MEMORY_SHARE = 0.9;
/** What an engine needs beside weights and cache, for each model. */
export const WORKSPACE_MIB = 1536;
/** Weights come at this rate from a local disk or page cache; then graphs are captured and memory is profiled. */
const LOAD_MIB_PER_MS = 1.5;
const LOAD_BASE_MS = 8000;
/** Batch whose experts a step of a mixture of experts is taken to read. */
const EXPERT_BATCH = 16;

/** The speeds of `model`, a name of the catalogue or a shape, on a GPU of `kind`. */
export function serviceTimes(kind: GpuKind, model: string | ModelShape): ServiceTimes {
  const shape = typeof model === "string" ? modelShape(model) : model;
  const figures = GPU_KINDS[kind];
  const delivery = TYPICAL;
  const flopsPerMs = figures.tflops * 1e9 * delivery.compute * shape.tensorParallel;
  const bytesPerMs = figures.gigabytesPerSecond * 1e6 * delivery.bandwidth;
  const weights = weightsMib(shape);
  const kvBytes = kvBytesPerToken(shape);
  const cacheMib = engineMemoryMib(kind) - weights - WORKSPACE_MIB;
  return {
    prefillMsPerToken: (2 * shape.activeParameters) / flopsPerMs,
    prefillMsPerTokenPair: (4 * shape.layers * shape.attentionHeads * shape.headDim) / flopsPerMs,
    stepBaseMs: (weights * 2 ** 20 * shareRead(shape)) / bytesPerMs + delivery.iterationMs,
    stepMsPerRequest: (2 * shape.activeParameters) / flopsPerMs + delivery.requestMs,
    stepMsPerKvToken: kvBytes / bytesPerMs,
    kvCapacityTokens: Math.max(0, Math.floor((cacheMib * 2 ** 20) / kvBytes)),
    kvMibPerToken: kvBytes / 2 ** 20,
    weightsMib: weights,
    loadMs: LOAD_BASE_MS + weights / LOAD_MIB_PER_MS,
  };
}

/** Memory that engines share out among weights, cache and workspace, MiB. */
export function engineMemoryMib(kind: GpuKind): number {
  return GPU_KINDS[kind].memoryTotalMib * MEMORY_SHARE;
}

/** Share of the weights that a step reads: each token of a mixture of experts chooses its own. */
function shareRead({ parameters, activeParameters }: ModelShape): number {
  return 1 - (1 - activeParameters / parameters) ** EXPERT_BATCH;
}

/** Time to the first output of a request that has an idle GPU to itself, ms. `inputTokens` without what a cache holds. */
export function unloadedFirstOutputMs(kind: GpuKind, model: string | ModelShape, inputTokens: number, tokenBudget = 2048): number {
  const times = serviceTimes(kind, model);
  const tokens = Math.max(1, inputTokens);
  const iterations = Math.ceil(tokens / tokenBudget);
  return iterations * times.stepBaseMs + tokens * times.prefillMsPerToken + ((tokens * tokens) / 2) * times.prefillMsPerTokenPair;
}

/** Time to the end of a request that has an idle GPU to itself, ms. */
export function unloadedMs(kind: GpuKind, model: string | ModelShape, inputTokens: number, outputTokens: number, tokenBudget = 2048): number {
  const times = serviceTimes(kind, model);
  const steps = Math.max(0, outputTokens - 1);
  const read = steps * inputTokens + (steps * (steps - 1)) / 2;
  return unloadedFirstOutputMs(kind, model, inputTokens, tokenBudget) + steps * (times.stepBaseMs + times.stepMsPerRequest) + read * times.stepMsPerKvToken;
}
