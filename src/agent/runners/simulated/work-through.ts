// One job on a simulated GPU, from its arrival to its end or to the moment when it is stopped. Called by the simulated runner.
import type { RealTimeGpu, RealTimeJob } from "./real-time-gpu.js";

export interface WorkListener {
  started(): void;
  /** The first token is there; never for work that is not tokens. */
  firstOutput(): void;
  /** Told every `lookEveryMs` from the start on. 0..1. */
  progress(share: number): void;
}

export interface Worked {
  readonly stopped: boolean;
  readonly outputTokens: number;
  /** From arrival to end, in simulated time; 0 when it was stopped. */
  readonly serviceMs: number;
}

/** `lookEveryMs` is real time; Infinity to hear nothing between start and end. */
export function workThrough(gpu: RealTimeGpu, job: RealTimeJob, listener: WorkListener, lookEveryMs: number, stop: AbortSignal): Promise<Worked> {
  return new Promise((resolve) => {
    let look: NodeJS.Timeout | undefined;
    const end = (stopped: boolean, outputTokens: number, serviceMs: number): void => {
      clearInterval(look);
      stop.removeEventListener("abort", onStop);
      resolve({ stopped, outputTokens, serviceMs });
    };
    const onStop = (): void => end(true, gpu.remove(job.id), 0);
    stop.addEventListener("abort", onStop, { once: true });
    gpu.add(job, ({ kind, atMs }, arrivedMs) => {
      if (kind === "first_output") listener.firstOutput();
      if (kind === "ended") end(false, "outputTokens" in job ? job.outputTokens : 0, atMs - arrivedMs);
      if (kind !== "started") return;
      listener.started();
      if (lookEveryMs < Number.POSITIVE_INFINITY) look = setInterval(() => listener.progress(gpu.progress(job.id)), lookEveryMs);
    });
  });
}
