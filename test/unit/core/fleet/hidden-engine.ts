// An engine whose rates nobody tells: iterations over a batch, as continuous batching does them. What a ledger learns is held against it.
import type { RunStatistics } from "../../../../src/core/model/request.js";

export interface HiddenRates {
  readonly prefillMsPerToken: number;
  readonly stepBaseMs: number;
  readonly stepMsPerRequest: number;
  readonly stepMsPerKvToken: number;
}

export interface HiddenJob {
  readonly id: string;
  readonly modelId: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

interface Running {
  readonly job: HiddenJob;
  readonly addedAtMs: number;
  firstOutputAtMs: number;
  written: number;
}

export class HiddenEngine {
  nowMs: number;
  readonly #rates: Readonly<Record<string, HiddenRates>>;
  #running: Running[] = [];

  constructor(rates: Readonly<Record<string, HiddenRates>>, nowMs: number) {
    this.#rates = rates;
    this.nowMs = nowMs;
  }

  add(job: HiddenJob): void {
    this.#running.push({ job, addedAtMs: this.nowMs, firstOutputAtMs: 0, written: 0 });
  }

  /** One iteration: reads the prompts that are new, gives every request a token. Returns what ended with what was measured of it. */
  iterate(): readonly { readonly job: HiddenJob; readonly measured: RunStatistics }[] {
    const models = new Set(this.#running.map(({ job }) => job.modelId));
    let stepMs = 0;
    for (const modelId of models) stepMs += this.#rates[modelId]!.stepBaseMs;
    for (const { job, written } of this.#running) {
      const { prefillMsPerToken, stepMsPerRequest, stepMsPerKvToken } = this.#rates[job.modelId]!;
      stepMs += stepMsPerRequest + (job.inputTokens + job.outputTokens) * stepMsPerKvToken;
      if (written === 0) stepMs += job.inputTokens * prefillMsPerToken;
    }
    this.nowMs += stepMs;
    for (const each of this.#running) {
      each.written += 1;
      if (each.written === 1) each.firstOutputAtMs = this.nowMs;
    }
    const done = this.#running.filter(({ job, written }) => written >= job.outputTokens);
    this.#running = this.#running.filter(({ job, written }) => written < job.outputTokens);
    return done.map(({ job, addedAtMs, firstOutputAtMs }) => ({
      job,
      measured: { runMs: this.nowMs - addedAtMs, firstOutputMs: firstOutputAtMs - addedAtMs, inputTokens: job.inputTokens, outputTokens: job.outputTokens, peakMemoryMib: 0 },
    }));
  }
}
