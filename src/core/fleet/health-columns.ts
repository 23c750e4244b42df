// How well each GPU is, as far as placing work goes: columns by GPU index. Written by the core's health (health/fleet-health.ts) through
// Fleet.judged; read by the filters and scorers. It decides nothing.
import { wider } from "../../lib/wider.js";
import type { GpuHealthState } from "../model/gpu.js";
import { FIRST_CAPACITY } from "./load-columns.js";

/** What a GPU's health means for whoever wants to place work on it. */
export interface HealthVerdict {
  readonly state: GpuHealthState;
  /** Requests that it may hold for its health; Infinity when that does not limit it. */
  readonly slots: number;
  /** The next request decides whether it goes back into service. */
  readonly probing: boolean;
  /** Factor on its health's part of a score, 0..1. */
  readonly factor: number;
}

const STATES: readonly GpuHealthState[] = ["healthy", "degraded", "draining", "quarantined", "probation"];

export class HealthColumns {
  #states = new Uint8Array(FIRST_CAPACITY);
  #probing = new Uint8Array(FIRST_CAPACITY);
  slots = new Float64Array(FIRST_CAPACITY).fill(Number.POSITIVE_INFINITY);
  factor = new Float64Array(FIRST_CAPACITY).fill(1);
  /** Share of attempts that failed by the GPU's fault or nobody knows whose, 0..1, decayed. */
  errorRate = new Float64Array(FIRST_CAPACITY);

  state(gpu: number): GpuHealthState {
    return STATES[this.#states[gpu]!]!;
  }

  /** It takes no new work at all. */
  isOut(gpu: number): boolean {
    return this.slots[gpu] === 0;
  }

  isProbing(gpu: number): boolean {
    return this.#probing[gpu] === 1;
  }

  write(gpu: number, { state, slots, probing, factor }: HealthVerdict): void {
    this.#states[gpu] = STATES.indexOf(state);
    this.#probing[gpu] = probing ? 1 : 0;
    this.slots[gpu] = slots;
    this.factor[gpu] = factor;
  }

  /** Makes room for `capacity` GPUs. */
  widen(capacity: number): void {
    const before = this.slots.length;
    this.#states = wider(this.#states, capacity);
    this.#probing = wider(this.#probing, capacity);
    this.slots = wider(this.slots, capacity).fill(Number.POSITIVE_INFINITY, before);
    this.factor = wider(this.factor, capacity).fill(1, before);
    this.errorRate = wider(this.errorRate, capacity);
  }
}
