// The runner without hardware: takes the time and the memory that the work would take, and says so in its result.
// Made by `index.ts`. Tells the simulated GPUs what runs on them; how long it takes is the batching engine's, which the simulator has too.
import { MAX_TIMER_MS } from "../../lib/max-timer.js";
import { assert } from "../../lib/assert.js";
import { hash32, seededRandom } from "../../lib/random.js";
import type { GpuKind } from "../../simulated-gpu/gpu-kinds.js";
import { serviceTimes, unloadedMs } from "../../simulated-gpu/service-times.js";
import { emitOutput, unsuccessful } from "./outcome.js";
import type { Job, JobOutcome, JobSink, JobStatistics, ModelOrder, Runner, RunnerDescription } from "./runner.js";
import { askedLength } from "./simulated/asked-length.js";
import { RealTimeGpu, type RealTimeJob } from "./simulated/real-time-gpu.js";
import { ResidentModels } from "./simulated/resident-models.js";
import { workThrough, type Worked } from "./simulated/work-through.js";

/** The simulated GPUs, as far as a runner is concerned: what runs shows in their telemetry. They throw for a GPU they do not have. */
export interface SimulatedDevices {
  begin(gpuId: string, memoryMib: number): void;
  /** With the same memory as its `begin`. */
  end(gpuId: string, memoryMib: number): void;
  /** Jobs between begin and end. */
  running(gpuId: string): number;
  /** What the weights of the models on a GPU take now, MiB. */
  hold(gpuId: string, weightsMib: number): void;
}

/** A GPU that holds only some models at a time. */
export interface ModelHolder {
  readonly gpuId: string;
  /** Place in the node's list, from 0. */
  readonly index: number;
  /** What it can be told to load, at least one. */
  readonly models: readonly string[];
}

export interface SimulatedRunnerOptions {
  readonly devices: SimulatedDevices;
  readonly gpuKind: GpuKind;
  /** Divides every time: 20 is twenty times faster than the real thing. Above 0; Infinity takes no time at all. */
  readonly speed: number;
  /** Share of attempts, 0..1, that end as "unavailable" half-way; which ones depends only on seed, request id and attempt. */
  readonly faults?: { readonly rate: number; readonly seed: number };
  /** Serves what that GPU was told to load; any model on any GPU of the node when left out. */
  readonly holder?: ModelHolder;
}

/** What a job asks of its GPU. */
interface Ask {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Work that is not tokens, ms; 0 for tokens. */
  readonly workMs: number;
  readonly memoryMib: number;
  /** Memory of its own, which the next of its like is to be given; 0 for tokens, which lie in the cache that the engine has anyway. */
  readonly peakMemoryMib: number;
  /** Jobs on the GPU when it came, itself included. */
  readonly concurrency: number;
  /** It ends half-way, as a fault. */
  readonly faulty: boolean;
}

/** Assumed when a request tells neither tokens nor a duration: near the medians of public conversation traces. */
const DEFAULT_INPUT_TOKENS = 1024;
const DEFAULT_OUTPUT_TOKENS = 128;
/** How much of a job is done when a fault ends it. */
const FAULT_AT = 0.5;
/** Live outputs per job at most; fewer for short ones, so that a fast replay is not spent on them. */
const MAX_OUTPUTS = 8;
const MIN_OUTPUT_GAP_MS = 250;
/** The first token of an answer that takes longer than this is told when it is there. */
const MIN_STREAMED_MS = 50;
/** How often the progress is looked at, for each output. */
const LOOKS_PER_OUTPUT = 4;

/** Serves any model on any GPU of the node, or those that one GPU was told to load. */
export class SimulatedRunner implements Runner {
  readonly kind = "simulated";
  readonly name: string;
  readonly #options: SimulatedRunnerOptions;
  readonly #gpus = new Map<string, RealTimeGpu>();
  readonly #running = new Map<AbortController, Promise<JobOutcome>>();
  /** null where every model serves at once. */
  readonly #resident: ResidentModels | null;
  readonly #listeners = new Set<() => void>();
  /** Left out where there is nothing to load. */
  readonly order?: (order: ModelOrder) => void;
  /** Ids of the GPUs' jobs. */
  #lastJob = 0;
  #closed = false;

  constructor(options: SimulatedRunnerOptions) {
    this.#options = options;
    const { holder } = options;
    const resident = holder ? this.#residentOn(holder) : null;
    this.name = holder ? `simulated-${holder.index}` : "simulated";
    this.#resident = resident;
    if (resident) this.order = (order) => resident.order(order);
  }

  describe(): RunnerDescription {
    const { holder } = this.#options;
    if (!holder || !this.#resident) return { models: ["*"], types: [], gpuIds: [] };
    return { ...this.#resident.describe(), types: [], gpuIds: [holder.gpuId] };
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async run(job: Job, sink: JobSink, limits: { readonly maxResultBytes: number }, signal: AbortSignal): Promise<JobOutcome> {
    if (signal.aborted) return unsuccessful("cancelled", "cancelled", "Cancelled before it began.");
    if (this.#closed) return unsuccessful("unavailable", "runner_closed", "The agent is stopping.", { fault: "none" });
    if (this.#resident?.begin(job.modelId) === false) return unsuccessful("unavailable", "model_not_loaded", `${job.modelId} is not loaded here.`, { fault: "none" });
    const stop = new AbortController();
    const onAbort = (): void => stop.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    const ended = this.#simulate(job, sink, limits.maxResultBytes, stop.signal);
    this.#running.set(stop, ended);
    const outcome = await ended;
    this.#running.delete(stop);
    this.#resident?.end(job.modelId);
    signal.removeEventListener("abort", onAbort);
    return outcome;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#resident?.close();
    for (const stop of this.#running.keys()) stop.abort();
    await Promise.all(this.#running.values());
  }

  async #simulate(job: Job, sink: JobSink, maxResultBytes: number, stop: AbortSignal): Promise<JobOutcome> {
    const { devices, gpuKind } = this.#options;
    let ask: Ask;
    try {
      ask = askOf(job, gpuKind, Math.max(...job.gpuIds.map((gpuId) => devices.running(gpuId))) + 1, this.#faulty(job));
      // All of them are known: what they run was just asked for.
      for (const gpuId of job.gpuIds) devices.begin(gpuId, ask.memoryMib);
    } catch (error) {
      return unsuccessful("unavailable", "unknown_gpu", `No simulated GPU takes the job: ${(error as Error).message}`);
    }
    const startedAt = performance.now();
    try {
      const { stopped, outputTokens, serviceMs, firstOutputMs } = await this.#work(job, ask, sink, stop);
      const { inputTokens, peakMemoryMib } = ask;
      const statistics: JobStatistics = { runMs: performance.now() - startedAt, firstOutputMs, inputTokens, outputTokens, peakMemoryMib };
      if (stopped) {
        const [outcome, code] = this.#closed ? (["unavailable", "runner_closed"] as const) : (["cancelled", "cancelled"] as const);
        return unsuccessful(outcome, code, "Stopped before the simulated work was done.", { statistics, fault: "none" });
      }
      if (ask.faulty) return unsuccessful("unavailable", "simulated_fault", "A fault that the simulation was asked for.", { statistics });
      const result = resultOf(job, gpuKind, ask, serviceMs);
      if (result.length > maxResultBytes) {
        const message = `The result has ${result.length} bytes, more than the router takes (${maxResultBytes}).`;
        return unsuccessful("failed", "result_too_large", message, { statistics });
      }
      return { outcome: "succeeded", result, contentType: "application/json", statistics };
    } finally {
      for (const gpuId of job.gpuIds) devices.end(gpuId, ask.memoryMib);
    }
  }

  /** Lets the GPU do it and tells the sink how far it is: when the first output is there, at the end, and evenly between. */
  async #work(job: Job, ask: Ask, sink: JobSink, stop: AbortSignal): Promise<Worked & { readonly firstOutputMs: number }> {
    const { gpuKind, speed } = this.#options;
    const startedAt = performance.now();
    const aloneMs = (ask.workMs || unloadedMs(gpuKind, job.modelId, ask.inputTokens, ask.outputTokens)) / speed;
    const fewest = ask.outputTokens > 1 && aloneMs >= MIN_STREAMED_MS ? 2 : 1;
    const outputs = Math.max(fewest, Math.min(MAX_OUTPUTS, ask.outputTokens || MAX_OUTPUTS, Math.floor(aloneMs / MIN_OUTPUT_GAP_MS)));
    let told = 0;
    let firstOutputMs = 0;
    const tell = (progress: number): void => {
      told += 1;
      firstOutputMs ||= performance.now() - startedAt;
      const done = ask.outputTokens > 0 ? `${Math.round(ask.outputTokens * progress)} of ${ask.outputTokens} tokens` : `part ${told} of ${outputs}`;
      emitOutput(sink, new TextEncoder().encode(`[simulated] ${done}\n`));
      sink.progress(progress, "simulated");
    };
    const tellFirst = (): void => {
      firstOutputMs = performance.now() - startedAt;
      if (outputs > 1) tell(ask.outputTokens > 0 ? 1 / ask.outputTokens : 0);
    };
    const share = ask.faulty ? FAULT_AT : 1;
    const listener = {
      started: () => {
        sink.started();
        if (ask.workMs > 0) tellFirst();
      },
      firstOutput: tellFirst,
      progress: (progress: number) => {
        if (told > 0 && told < outputs - 1 && progress * share >= told / (outputs - 1)) tell(progress * share);
      },
    };
    const lookEveryMs = outputs > 1 ? Math.min(MAX_TIMER_MS, aloneMs / (outputs * LOOKS_PER_OUTPUT)) : Number.POSITIVE_INFINITY;
    // All of its GPUs do the same; the first one tells of it.
    const silent = { started: () => {}, firstOutput: () => {}, progress: () => {} };
    const works = job.gpuIds.map((gpuId, index) => {
      this.#lastJob += 1;
      const gpuWork = gpuJob(this.#lastJob, job.modelId, ask, share);
      return workThrough(this.#gpu(gpuId), gpuWork, index === 0 ? listener : silent, index === 0 ? lookEveryMs : Number.POSITIVE_INFINITY, stop);
    });
    const [worked] = await Promise.all(works);
    assert(worked !== undefined, "a job has a GPU");
    if (!worked.stopped && !ask.faulty) tell(1);
    return { ...worked, firstOutputMs };
  }

  #gpu(gpuId: string): RealTimeGpu {
    let gpu = this.#gpus.get(gpuId);
    if (!gpu) {
      const { gpuKind, speed } = this.#options;
      gpu = new RealTimeGpu((modelId) => this.#resident?.times(modelId) ?? serviceTimes(gpuKind, modelId), speed);
      this.#gpus.set(gpuId, gpu);
    }
    return gpu;
  }

  #residentOn({ gpuId, models }: ModelHolder): ResidentModels {
    const { gpuKind: kind, speed, devices } = this.#options;
    const onChange = (): void => {
      this.#gpu(gpuId).retime();
      devices.hold(gpuId, resident.weightsMib);
      for (const listener of this.#listeners) listener();
    };
    const resident = new ResidentModels({ kind, speed, models, kvUse: () => this.#gpu(gpuId).kvUse, onChange });
    return resident;
  }

  #faulty(job: Job): boolean {
    const { faults } = this.#options;
    return faults !== undefined && seededRandom(hash32(`${faults.seed}/${job.requestId}/${job.attempt}`))() < faults.rate;
  }
}

function askOf(job: Job, gpuKind: GpuKind, concurrency: number, faulty: boolean): Ask {
  const sized = job.inputTokens > 0 || job.outputTokens > 0;
  // Work that is not measured in tokens, such as training, takes as long as it expects to on a GPU of its own.
  const timed = !sized && job.expectedDurationMs > 0;
  const inputTokens = sized || timed ? job.inputTokens : DEFAULT_INPUT_TOKENS;
  const outputTokens = timed ? 0 : job.outputTokens || askedLength(job.payload) || (sized ? 0 : DEFAULT_OUTPUT_TOKENS);
  const kvMib = (inputTokens + outputTokens) * serviceTimes(gpuKind, job.modelId).kvMibPerToken;
  const memoryMib = job.memoryMib > 0 ? job.memoryMib : Math.ceil(kvMib);
  return { inputTokens, outputTokens, workMs: timed ? job.expectedDurationMs : 0, memoryMib, peakMemoryMib: job.memoryMib, concurrency, faulty };
}

/** `share` is how much of it is done. */
function gpuJob(id: number, modelId: string, { inputTokens, outputTokens, workMs }: Ask, share: number): RealTimeJob {
  if (workMs > 0) return { id, workMs: workMs * share };
  return { id, modelId, inputTokens, cachedTokens: 0, outputTokens: Math.floor(outputTokens * share) };
}

function resultOf(job: Job, gpuKind: GpuKind, ask: Ask, serviceMs: number): Uint8Array {
  const result = {
    simulated: true,
    model: job.modelId,
    gpu_id: job.gpuIds[0],
    ...(job.gpuIds.length > 1 && { gpu_ids: job.gpuIds }),
    gpu_kind: gpuKind,
    input_tokens: ask.inputTokens,
    output_tokens: ask.outputTokens,
    concurrency: ask.concurrency,
    service_ms: serviceMs,
  };
  return new TextEncoder().encode(JSON.stringify(result));
}
