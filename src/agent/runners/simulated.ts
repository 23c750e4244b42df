// The runner without hardware: takes the time and the memory that the work would take, and says so in its result.
// Made by `index.ts`. Tells the simulated GPUs what runs on them; the numbers come from `service-time.ts`.
import { hash32, seededRandom } from "../../lib/random.js";
import { emitOutput, unsuccessful } from "./outcome.js";
import type { Job, JobOutcome, JobSink, JobStatistics, Runner, RunnerDescription } from "./runner.js";
import { KV_MIB_PER_TOKEN, prefillMs, SERVICE_RATES, serviceMs, type GpuKind } from "./service-time.js";

/** The simulated GPUs, as far as a runner is concerned: what runs shows in their telemetry. They throw for a GPU they do not have. */
export interface SimulatedDevices {
  begin(gpuId: string, memoryMib: number): void;
  /** With the same memory as its `begin`. */
  end(gpuId: string, memoryMib: number): void;
  /** Jobs between begin and end. */
  running(gpuId: string): number;
}

export interface SimulatedRunnerOptions {
  readonly devices: SimulatedDevices;
  readonly gpuKind: GpuKind;
  /** Divides every time: 20 is twenty times faster than the real thing. Above 0; Infinity takes no time at all. */
  readonly speed: number;
  /** Share of attempts, 0..1, that end as "unavailable" half-way; which ones depends only on seed, request id and attempt. */
  readonly faults?: { readonly rate: number; readonly seed: number };
}

/** A job as it is going to be. All times are simulated ms, before `speed`. */
interface Plan {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly memoryMib: number;
  readonly concurrency: number;
  readonly firstOutputMs: number;
  readonly totalMs: number;
}

/** Assumed when a request tells neither tokens nor a duration: near the medians of public conversation traces. */
const DEFAULT_INPUT_TOKENS = 1024;
const DEFAULT_OUTPUT_TOKENS = 128;
/** Live outputs per job at most; fewer for short ones, so that a fast replay is not spent on them. */
const MAX_OUTPUTS = 8;
const MIN_OUTPUT_GAP_MS = 250;
/** What setTimeout can hold. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Serves any model on any GPU of the node. */
export class SimulatedRunner implements Runner {
  readonly kind = "simulated";
  readonly name = "simulated";
  readonly #options: SimulatedRunnerOptions;
  readonly #running = new Map<AbortController, Promise<JobOutcome>>();
  #closed = false;

  constructor(options: SimulatedRunnerOptions) {
    this.#options = options;
  }

  describe(): RunnerDescription {
    return { models: ["*"], types: [], gpuIds: [] };
  }

  /** What it serves never changes. */
  onChange(): () => void {
    return () => {};
  }

  async run(job: Job, sink: JobSink, limits: { readonly maxResultBytes: number }, signal: AbortSignal): Promise<JobOutcome> {
    if (signal.aborted) return unsuccessful("cancelled", "cancelled", "Cancelled before it began.");
    if (this.#closed) return unsuccessful("unavailable", "runner_closed", "The agent is stopping.");
    const stop = new AbortController();
    const onAbort = (): void => stop.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    const ended = this.#simulate(job, sink, limits.maxResultBytes, stop.signal);
    this.#running.set(stop, ended);
    const outcome = await ended;
    this.#running.delete(stop);
    signal.removeEventListener("abort", onAbort);
    return outcome;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const stop of this.#running.keys()) stop.abort();
    await Promise.all(this.#running.values());
  }

  async #simulate(job: Job, sink: JobSink, maxResultBytes: number, stop: AbortSignal): Promise<JobOutcome> {
    const { devices, gpuKind, speed } = this.#options;
    let plan: Plan;
    try {
      plan = planOf(job, gpuKind, Math.max(...job.gpuIds.map((gpuId) => devices.running(gpuId))) + 1);
      // All of them are known: what they run was just asked for.
      for (const gpuId of job.gpuIds) devices.begin(gpuId, plan.memoryMib);
    } catch (error) {
      return unsuccessful("unavailable", "unknown_gpu", `No simulated GPU takes the job: ${(error as Error).message}`);
    }
    const startedAt = performance.now();
    const wallMs = plan.totalMs / speed;
    const outputs = Math.max(1, Math.min(MAX_OUTPUTS, plan.outputTokens || MAX_OUTPUTS, Math.floor(wallMs / MIN_OUTPUT_GAP_MS)));
    const faultAfter = this.#faulty(job) ? Math.ceil(outputs / 2) : outputs + 1;
    let firstOutputMs = 0;
    const statistics = (outputTokens: number): JobStatistics => ({
      runMs: performance.now() - startedAt,
      firstOutputMs,
      inputTokens: plan.inputTokens,
      outputTokens,
      peakMemoryMib: plan.memoryMib,
    });
    try {
      sink.started();
      let tokens = 0;
      for (let part = 1; part <= outputs; part += 1) {
        // The first part when the first token is there, the last at the end, the others evenly between.
        const share = outputs === 1 ? 1 : (part - 1) / (outputs - 1);
        const dueMs = plan.firstOutputMs + share * (plan.totalMs - plan.firstOutputMs);
        if (!(await reached(startedAt + dueMs / speed, stop))) {
          const [outcome, code] = this.#closed ? (["unavailable", "runner_closed"] as const) : (["cancelled", "cancelled"] as const);
          return unsuccessful(outcome, code, "Stopped before the simulated work was done.", { statistics: statistics(tokens) });
        }
        if (part === faultAfter) {
          return unsuccessful("unavailable", "simulated_fault", "A fault that the simulation was asked for.", { statistics: statistics(tokens) });
        }
        if (part === 1) firstOutputMs = performance.now() - startedAt;
        tokens = Math.round((plan.outputTokens * part) / outputs);
        const done = plan.outputTokens > 0 ? `${tokens} of ${plan.outputTokens} tokens` : `part ${part} of ${outputs}`;
        emitOutput(sink, new TextEncoder().encode(`[simulated] ${done}\n`));
        sink.progress(dueMs / plan.totalMs, "simulated");
      }
      const result = resultOf(job, gpuKind, plan);
      if (result.length > maxResultBytes) {
        const message = `The result has ${result.length} bytes, more than the router takes (${maxResultBytes}).`;
        return unsuccessful("failed", "result_too_large", message, { statistics: statistics(tokens) });
      }
      return { outcome: "succeeded", result, contentType: "application/json", statistics: statistics(tokens) };
    } finally {
      for (const gpuId of job.gpuIds) devices.end(gpuId, plan.memoryMib);
    }
  }

  #faulty(job: Job): boolean {
    const { faults } = this.#options;
    return faults !== undefined && seededRandom(hash32(`${faults.seed}/${job.requestId}/${job.attempt}`))() < faults.rate;
  }
}

function planOf(job: Job, gpuKind: GpuKind, concurrency: number): Plan {
  const rates = SERVICE_RATES[gpuKind];
  const sized = job.inputTokens > 0 || job.outputTokens > 0;
  // Work that is not measured in tokens, such as training, takes as long as it expects to.
  const timed = !sized && job.expectedDurationMs > 0;
  const inputTokens = sized || timed ? job.inputTokens : DEFAULT_INPUT_TOKENS;
  const outputTokens = sized || timed ? job.outputTokens : DEFAULT_OUTPUT_TOKENS;
  const totalMs = timed ? job.expectedDurationMs : serviceMs(rates, inputTokens, outputTokens, concurrency);
  return {
    inputTokens,
    outputTokens,
    memoryMib: job.memoryMib > 0 ? job.memoryMib : Math.ceil((inputTokens + outputTokens) * KV_MIB_PER_TOKEN),
    concurrency,
    firstOutputMs: timed ? 0 : prefillMs(rates, inputTokens),
    totalMs,
  };
}

function resultOf(job: Job, gpuKind: GpuKind, plan: Plan): Uint8Array {
  const result = {
    simulated: true,
    model: job.modelId,
    gpu_id: job.gpuIds[0],
    ...(job.gpuIds.length > 1 && { gpu_ids: job.gpuIds }),
    gpu_kind: gpuKind,
    input_tokens: plan.inputTokens,
    output_tokens: plan.outputTokens,
    concurrency: plan.concurrency,
    service_ms: plan.totalMs,
  };
  return new TextEncoder().encode(JSON.stringify(result));
}

/** Waits until `atMs` of performance.now(), without a timer when it is there; false when `stop` aborts first. */
async function reached(atMs: number, stop: AbortSignal): Promise<boolean> {
  for (let left = atMs - performance.now(); left > 0 && !stop.aborted; left = atMs - performance.now()) {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        stop.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, Math.min(Math.ceil(left), MAX_TIMER_MS));
      stop.addEventListener("abort", done, { once: true });
    });
  }
  return !stop.aborted;
}
