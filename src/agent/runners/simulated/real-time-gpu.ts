// A simulated GPU in real time: the batching engine of the simulator, driven by a timer. Made by the simulated runner, one for each GPU.
import { MAX_TIMER_MS } from "../../../lib/max-timer.js";
import { BatchingEngine, type EngineEvent, type JobId, type TokenJob } from "../../../simulated-gpu/batching-engine.js";
import { MAX_SEQS, TOKEN_BUDGET, type ServiceTimes } from "../../../simulated-gpu/service-times.js";

/** Work in tokens, or work that takes a time of the GPU alone. */
export type RealTimeJob = TokenJob | { readonly id: JobId; readonly workMs: number };

export class RealTimeGpu {
  readonly #engine: BatchingEngine;
  readonly #speed: number;
  readonly #startedAtMs = performance.now();
  readonly #listeners = new Map<JobId, (event: EngineEvent) => void>();
  #timer: NodeJS.Timeout | undefined;
  /** Where the time stands when it takes none. */
  #reachedMs = 0;

  /** `speed` divides every time; Infinity takes none. */
  constructor(times: (modelId: string) => ServiceTimes, speed: number) {
    this.#speed = speed;
    this.#engine = new BatchingEngine({ times, maxSeqs: MAX_SEQS, tokenBudget: TOKEN_BUDGET });
  }

  /** Simulated time, ms. */
  get nowMs(): number {
    return this.#speed === Number.POSITIVE_INFINITY ? this.#reachedMs : (performance.now() - this.#startedAtMs) * this.#speed;
  }

  /** Share of the key-value cache in use, 0..1. */
  get kvUse(): number {
    return this.#engine.kvUse;
  }

  /** Models have other times now. */
  retime(): void {
    this.#engine.retime(this.nowMs);
    this.#drive();
  }

  /** Takes a job and tells what becomes of it, until it has ended or is removed. `listener` is told when it came, in simulated time. */
  add(job: RealTimeJob, listener: (event: EngineEvent, arrivedMs: number) => void): void {
    const arrivedMs = this.nowMs;
    this.#listeners.set(job.id, (event) => listener(event, arrivedMs));
    if ("workMs" in job) this.#engine.addWork(job, arrivedMs);
    else this.#engine.add(job, arrivedMs);
    this.#drive();
  }

  /** How much of a job is done, 0..1; 1 when it is not here. */
  progress(id: JobId): number {
    return this.#engine.progress(id, this.nowMs) ?? 1;
  }

  /** Takes a job out; returns the output tokens that it had got. */
  remove(id: JobId): number {
    this.#listeners.delete(id);
    const removed = this.#engine.remove(id, this.nowMs);
    this.#drive();
    return removed?.outputTokens ?? 0;
  }

  #drive(): void {
    clearTimeout(this.#timer);
    for (let nextAtMs = this.#engine.nextAtMs(); nextAtMs < Number.POSITIVE_INFINITY; nextAtMs = this.#engine.nextAtMs()) {
      const waitMs = (nextAtMs - this.nowMs) / this.#speed;
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#drive(), Math.min(Math.ceil(waitMs), MAX_TIMER_MS));
        return;
      }
      this.#reachedMs = Math.max(nextAtMs, this.nowMs);
      for (const event of this.#engine.advance(this.#reachedMs)) this.#deliver(event);
    }
  }

  #deliver(event: EngineEvent): void {
    const listener = this.#listeners.get(event.id);
    if (event.kind === "ended") this.#listeners.delete(event.id);
    listener?.(event);
  }
}
