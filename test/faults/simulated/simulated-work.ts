// The runner of a simulated node: work of a drawn length that begins, tells of itself and ends, or fails, or hangs, or is stopped.
import { unsuccessful } from "../../../src/agent/runners/outcome.js";
import { STOP_AT_ONCE, type Job, type JobOutcome, type JobSink, type Runner } from "../../../src/agent/runners/runner.js";
import { Draw } from "./draw.js";
import type { Execution, Executions } from "./executions.js";
import type { SimulatedProcess } from "./virtual-time.js";

/** What may go wrong with work. Read anew for each attempt. */
export interface WorkConduct {
  /** Share of attempts that end as the fault of GPU or runner. */
  badShare: number;
  /** Share of attempts that never end by themselves. */
  hungShare: number;
  /** How long work takes to stop when it is told to, at most, ms. */
  slowestStopMs: number;
  /** Share of restarts after which a GPU is not back. */
  badRestartShare: number;
  slowestRestartMs: number;
}

export interface SimulatedWorkOptions {
  readonly nodeId: string;
  readonly process: SimulatedProcess;
  readonly executions: Executions;
  readonly conduct: WorkConduct;
  /** "*" stands for any. */
  readonly models: readonly string[];
  /** Seeds the fate of each attempt. */
  readonly path: string;
  /** Whether two attempts of a request may run at once. */
  readonly mayRunTwice: (requestId: string) => boolean;
  /** Whether a GPU is there. */
  readonly gpuWorks: (gpuId: string) => boolean;
}

/** The result of an attempt that ran to its end. */
export function resultText(requestId: string, attempt: number, nodeId: string): string {
  return `${requestId} attempt ${attempt} on ${nodeId}`;
}

export class SimulatedWork implements Runner {
  readonly name = "work";
  readonly kind = "simulated";
  readonly #options: SimulatedWorkOptions;
  /** How to end what runs, as unavailable. */
  readonly #running = new Map<Execution, () => void>();
  readonly #hung = new Set<Execution>();

  constructor(options: SimulatedWorkOptions) {
    this.#options = options;
  }

  describe(): { readonly models: readonly string[]; readonly types: readonly string[]; readonly gpuIds: readonly string[] } {
    return { models: this.#options.models, types: [], gpuIds: [] };
  }

  onChange(): () => void {
    return () => {};
  }

  /** The GPU is gone, and so is what ran on it. */
  gpuGone(gpuId: string): void {
    for (const [execution, fail] of this.#running) if (execution.gpuIds.includes(gpuId)) fail();
  }

  endHung(): void {
    for (const execution of this.#hung) this.#running.get(execution)?.();
  }

  run(job: Job, sink: JobSink, _limits: unknown, signal: AbortSignal): Promise<JobOutcome> {
    const { nodeId, process, executions, conduct, path, mayRunTwice, gpuWorks } = this.#options;
    if (signal.aborted) return Promise.resolve(unsuccessful("cancelled", "cancelled", "Cancelled before it began."));
    if (!job.gpuIds.every(gpuWorks)) return Promise.resolve(unsuccessful("unavailable", "no_gpu", "The GPU is not there."));
    const draw = new Draw(`${path}/${job.requestId}/${job.attempt}`);
    const startMs = draw.between(1, 60);
    const runMs = job.expectedDurationMs > 0 ? job.expectedDurationMs * draw.between(0.7, 1.3) : draw.between(20, 400);
    const bad = draw.chance(conduct.badShare);
    const hung = draw.chance(conduct.hungShare);
    const stopMs = draw.between(0, conduct.slowestStopMs);
    const execution: Execution = {
      requestId: job.requestId,
      attempt: job.attempt,
      nodeId,
      gpuIds: job.gpuIds,
      memoryMib: job.memoryMib,
      mustNotRunTwice: !mayRunTwice(job.requestId),
      process,
    };
    executions.begin(execution);
    return new Promise((resolve) => {
      const timers: NodeJS.Timeout[] = [];
      const end = (outcome: JobOutcome): void => {
        for (const timer of timers) clearTimeout(timer);
        executions.end(execution, outcome.outcome === "succeeded");
        this.#running.delete(execution);
        this.#hung.delete(execution);
        resolve(outcome);
      };
      const fail = (): void => end(unsuccessful("unavailable", "gpu_error", "The GPU has failed."));
      const cancelled = (): void => end(unsuccessful("cancelled", "cancelled", "Stopped."));
      this.#running.set(execution, fail);
      if (hung) this.#hung.add(execution);
      timers.push(
        setTimeout(() => {
          sink.started();
          sink.output(new TextEncoder().encode("begun\n"));
        }, startMs),
        setTimeout(() => sink.progress(0.5, "half"), startMs + runMs / 2),
      );
      if (!hung) timers.push(setTimeout(() => (bad ? fail() : end(succeeded(resultText(job.requestId, job.attempt, nodeId), runMs))), startMs + runMs));
      signal.addEventListener("abort", () => (signal.reason === STOP_AT_ONCE || stopMs < 1 ? cancelled() : void timers.push(setTimeout(cancelled, stopMs))), { once: true });
    });
  }

  close(): Promise<void> {
    for (const fail of this.#running.values()) fail();
    return Promise.resolve();
  }
}

function succeeded(text: string, runMs: number): JobOutcome {
  const statistics = { runMs, firstOutputMs: 0, inputTokens: 0, outputTokens: 0, peakMemoryMib: 0 };
  return { outcome: "succeeded", result: new TextEncoder().encode(text), contentType: "text/plain", statistics };
}
