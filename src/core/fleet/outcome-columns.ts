// What placements and their ends tell of each GPU beside the ledger's counts: whose turn it was, how long it takes, how fast its kind is.
// Columns by GPU index for the strategies that need them. Written by fleet.ts (registrations, placements) and the engine (ends); none
// of it is durable. It decides nothing.
import { wider } from "../../lib/wider.js";
import { relativeSpeed } from "../estimate/gpu-speeds.js";
import { FIRST_CAPACITY } from "./load-columns.js";

/** Time in which a latency loses all but 1/e of its weight, ms; linkerd's. */
const PEAK_EWMA_TAU_MS = 10_000;
/** A failure counts as at least this long, so that a GPU that refuses at once attracts nobody, ms. */
const FAILURE_MS = 5_000;
/** The latency of a GPU that has not ended anything yet, ms. */
export const UNKNOWN_LATENCY_MS = 1_000;
/** Time constants after which the latencies are scaled anew, far from where numbers overflow. */
const RESCALE_AFTER = 300;

export class OutcomeColumns {
  /** Speed of its kind as known beforehand; 1 is an A100. */
  relativeSpeed = new Float64Array(FIRST_CAPACITY);
  /** The highest of them; at least 1. */
  fastest = 1;
  /** Number of the placement that it got last, counted over the fleet; 0 before its first. */
  lastPlacedSequence = new Float64Array(FIRST_CAPACITY);
  /** Placements so far, of all GPUs. */
  placements = 0;
  /**
   * Peak EWMA of latencies, as it would be at `#baseMs`: one factor brings all of them to any other time, so a decision takes one
   * exponential and not one per GPU. 0 for unknown.
   */
  scaledLatency = new Float64Array(FIRST_CAPACITY);
  #baseMs = 0;
  /** As it was when its last attempt ended, and when that was, ms. */
  #latencyMs = new Float64Array(FIRST_CAPACITY);
  #latencyAtMs = new Float64Array(FIRST_CAPACITY);

  /** Enters a GPU, or renames a known one. */
  register(gpu: number, name: string): void {
    if (gpu >= this.relativeSpeed.length) this.#grow();
    this.relativeSpeed[gpu] = relativeSpeed(name);
    this.fastest = Math.max(this.fastest, this.relativeSpeed[gpu]!);
  }

  place(gpu: number): void {
    this.placements += 1;
    this.lastPlacedSequence[gpu] = this.placements;
  }

  /**
   * An attempt ended `latencyMs` after its placement. A longer latency than before counts at once, a shorter one by the time since
   * the last. `fault` when the GPU, its runner or its node was to blame.
   */
  ended(gpu: number, latencyMs: number, fault: boolean, nowMs: number): void {
    const measuredMs = fault ? Math.max(latencyMs, FAILURE_MS) : latencyMs;
    const knownMs = this.#latencyMs[gpu]!;
    const left = Math.exp(Math.min(0, this.#latencyAtMs[gpu]! - nowMs) / PEAK_EWMA_TAU_MS);
    this.#latencyMs[gpu] = measuredMs > knownMs ? measuredMs : knownMs * left + measuredMs * (1 - left);
    this.#latencyAtMs[gpu] = nowMs;
    if (nowMs - this.#baseMs > RESCALE_AFTER * PEAK_EWMA_TAU_MS) this.#rescale(nowMs);
    else this.#scale(gpu);
  }

  /** What `scaledLatency` is to be multiplied with to be ms at `nowMs`. */
  latencyFactor(nowMs: number): number {
    return Math.exp((this.#baseMs - nowMs) / PEAK_EWMA_TAU_MS);
  }

  #scale(gpu: number): void {
    this.scaledLatency[gpu] = this.#latencyMs[gpu]! * Math.exp((this.#latencyAtMs[gpu]! - this.#baseMs) / PEAK_EWMA_TAU_MS);
  }

  /** Moves the base on before the factors become extreme. What is as old as that has decayed to nothing: unknown again. */
  #rescale(nowMs: number): void {
    this.#baseMs = nowMs;
    for (let gpu = 0; gpu < this.scaledLatency.length; gpu += 1) this.#scale(gpu);
  }

  #grow(): void {
    const capacity = this.relativeSpeed.length * 2;
    this.relativeSpeed = wider(this.relativeSpeed, capacity);
    this.lastPlacedSequence = wider(this.lastPlacedSequence, capacity);
    this.scaledLatency = wider(this.scaledLatency, capacity);
    this.#latencyMs = wider(this.#latencyMs, capacity);
    this.#latencyAtMs = wider(this.#latencyAtMs, capacity);
  }
}
