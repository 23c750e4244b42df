// Collects a simulated run in columns as it happens. Written by simulation.ts and simulated-fleet.ts; what it gives is all that reports see.
import type { Phase } from "../core/model/request.js";
import type { State } from "../core/state.js";
import { wider } from "../lib/wider.js";
import { OUTCOMES, type SimulatedRun } from "./result.js";
import type { SimulationOptions } from "./simulation.js";
import type { JobWatcher } from "./simulated-node.js";
import type { Arrival } from "./workload/arrival.js";

const FIRST_CAPACITY = 4096;
const TIMELINE_POINTS_MS = 5_000;
const PRIORITIES = [1, 2, 3, 4, 5] as const;

export class RunRecorder implements JobWatcher {
  readonly #options: SimulationOptions;
  #count = 0;
  #tenant = new Uint16Array(FIRST_CAPACITY);
  #arrivedAtMs = new Float64Array(FIRST_CAPACITY);
  #placedAtMs = new Float64Array(FIRST_CAPACITY);
  #firstOutputAtMs = new Float64Array(FIRST_CAPACITY);
  #endedAtMs = new Float64Array(FIRST_CAPACITY);
  #outcome = new Uint8Array(FIRST_CAPACITY);
  #inSlo = new Uint8Array(FIRST_CAPACITY);
  #attempts = new Uint8Array(FIRST_CAPACITY);
  #inputTokens = new Uint32Array(FIRST_CAPACITY);
  #cachedTokens = new Uint32Array(FIRST_CAPACITY);
  #outputTokens = new Uint32Array(FIRST_CAPACITY);
  #gpu = new Int32Array(FIRST_CAPACITY);
  readonly #busy: number[] = [];
  readonly #running: number[] = [];
  readonly #waiting: number[][] = PRIORITIES.map(() => []);
  #busySum = 0;
  #busySamples = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
  }

  arrived(row: number, arrival: Arrival): void {
    if (row >= this.#tenant.length) this.#grow();
    this.#count = row + 1;
    this.#tenant[row] = arrival.tenant;
    this.#arrivedAtMs[row] = arrival.atMs;
    this.#placedAtMs[row] = this.#firstOutputAtMs[row] = this.#endedAtMs[row] = Number.NaN;
    this.#inputTokens[row] = arrival.inputTokens;
    this.#outputTokens[row] = arrival.outputTokens;
    this.#gpu[row] = -1;
  }

  placed(row: number, atMs: number, gpu: number): void {
    this.#placedAtMs[row] = atMs;
    this.#firstOutputAtMs[row] = Number.NaN;
    this.#gpu[row] = gpu;
  }

  cached(row: number, tokens: number): void {
    this.#cachedTokens[row] = tokens;
  }

  firstOutput(row: number, atMs: number): void {
    this.#firstOutputAtMs[row] = atMs;
  }

  /** NaN before the first output. */
  firstOutputAtMs(row: number): number {
    return this.#firstOutputAtMs[row]!;
  }

  ended(row: number, phase: Phase, atMs: number, attempts: number): void {
    this.#endedAtMs[row] = atMs;
    this.#outcome[row] = OUTCOMES.indexOf(phase as (typeof OUTCOMES)[number]);
    this.#attempts[row] = attempts;
  }

  /** Whether it kept its tenant's SLO; counts only when it was completed. */
  judge(row: number, kept: boolean): void {
    if (kept && OUTCOMES[this.#outcome[row]!] === "completed") this.#inSlo[row] = 1;
  }

  /** The fleet at a tick. */
  sample(nowMs: number, busyShare: number, state: State): void {
    this.#busySum += busyShare;
    this.#busySamples += 1;
    if (nowMs < (this.#busy.length + 1) * TIMELINE_POINTS_MS) return;
    this.#busy.push(this.#busySum / this.#busySamples);
    this.#busySum = 0;
    this.#busySamples = 0;
    this.#running.push(state.requests.size - state.queue.size - state.waitingForRetry);
    PRIORITIES.forEach((priority, index) => this.#waiting[index]!.push(state.queue.counts.bandSize(priority)));
  }

  finish(durationMs: number, busyMs: readonly number[], wallMs: number, events: number): SimulatedRun {
    const { policy, scenario, load, seed, fleet, workload } = this.#options;
    return {
      policy,
      scenario,
      load,
      seed,
      durationMs,
      gpus: fleet.flatMap(({ gpus }) => gpus),
      tenants: workload.tenants,
      requests: {
        count: this.#count,
        tenant: this.#tenant,
        arrivedAtMs: this.#arrivedAtMs,
        placedAtMs: this.#placedAtMs,
        firstOutputAtMs: this.#firstOutputAtMs,
        endedAtMs: this.#endedAtMs,
        outcome: this.#outcome,
        inSlo: this.#inSlo,
        attempts: this.#attempts,
        inputTokens: this.#inputTokens,
        cachedTokens: this.#cachedTokens,
        outputTokens: this.#outputTokens,
        gpu: this.#gpu,
      },
      timeline: { everyMs: TIMELINE_POINTS_MS, busy: this.#busy, running: this.#running, waiting: this.#waiting },
      busyMs,
      wallMs,
      events,
    };
  }

  #grow(): void {
    const capacity = this.#tenant.length * 2;
    this.#tenant = wider(this.#tenant, capacity);
    this.#arrivedAtMs = wider(this.#arrivedAtMs, capacity);
    this.#placedAtMs = wider(this.#placedAtMs, capacity);
    this.#firstOutputAtMs = wider(this.#firstOutputAtMs, capacity);
    this.#endedAtMs = wider(this.#endedAtMs, capacity);
    this.#outcome = wider(this.#outcome, capacity);
    this.#inSlo = wider(this.#inSlo, capacity);
    this.#attempts = wider(this.#attempts, capacity);
    this.#inputTokens = wider(this.#inputTokens, capacity);
    this.#cachedTokens = wider(this.#cachedTokens, capacity);
    this.#outputTokens = wider(this.#outputTokens, capacity);
    this.#gpu = wider(this.#gpu, capacity);
  }
}
