// What GPUs hold and what they last said of themselves, in columns indexed by a small dense integer (the GPU's stable index).
// The ledger half (active, reserved) is a fold of records; the telemetry half is pushed by agents and never recorded. The part of the
// fleet that counts load; fleet.ts builds on it. It decides nothing.
import { assert } from "../../lib/assert.js";
import { wider } from "../../lib/wider.js";
import type { GpuInventory, GpuTelemetry } from "../model/gpu.js";

/** What a full GPU is; part of the core's settings. */
export interface LoadLimits {
  /** How many requests make a GPU count as fully busy. */
  readonly maxConcurrentTasksPerGpu: number;
  /** Share of its memory that may be in use, 0..1. */
  readonly memoryThreshold: number;
}

export const FIRST_CAPACITY = 64;

export class LoadColumns {
  readonly #limits: LoadLimits;

  // Facts of the hardware.
  memoryTotalMib = new Float64Array(FIRST_CAPACITY);
  computeCapability = new Int32Array(FIRST_CAPACITY);
  multiprocessorCount = new Int32Array(FIRST_CAPACITY);
  powerLimitWatts = new Float64Array(FIRST_CAPACITY);
  // The ledger.
  active = new Int32Array(FIRST_CAPACITY);
  /** Requests that have the GPU to themselves; more than 1 only after the setting changed while they ran. */
  exclusive = new Int32Array(FIRST_CAPACITY);
  reservedMib = new Float64Array(FIRST_CAPACITY);
  // The last sample; NaN for what the device cannot say. Time 0 means that there is none.
  sampleAtMs = new Float64Array(FIRST_CAPACITY);
  usedMib = new Float64Array(FIRST_CAPACITY);
  utilizationPercent = new Float64Array(FIRST_CAPACITY);
  temperatureCelsius = new Float64Array(FIRST_CAPACITY);
  powerUsageWatts = new Float64Array(FIRST_CAPACITY);
  // What was placed or released since the sample and so cannot show in it.
  memorySinceMib = new Float64Array(FIRST_CAPACITY);
  activeSince = new Int32Array(FIRST_CAPACITY);
  #activeAtSample = new Int32Array(FIRST_CAPACITY);
  // Attempts whose runner has not begun, and what they reserve: not yet in any sample.
  #notStarted = new Int32Array(FIRST_CAPACITY);
  #notStartedMib = new Float64Array(FIRST_CAPACITY);
  /**
   * Memory in use as far as can be known, MiB: telemetry plus what was placed since, never below what is reserved, never
   * above what there is.
   */
  effectiveUsedMib = new Float64Array(FIRST_CAPACITY);
  /** What may still be reserved below the memory threshold, MiB; negative when it is passed. */
  roomMib = new Float64Array(FIRST_CAPACITY);
  /** Busy share as far as can be known, 0..1: telemetry plus a slot for each request placed since, never below the ledger. */
  effectiveUtilization = new Float64Array(FIRST_CAPACITY);

  constructor(limits: LoadLimits) {
    this.#limits = limits;
  }

  /** Whether the last sample can be explained by our own work: some of it was here when the sample was taken. */
  ownWorkAtSample(gpu: number): boolean {
    return this.#activeAtSample[gpu]! > 0 || this.active[gpu]! > 0;
  }

  protected describe(gpu: number, inventory: GpuInventory): void {
    this.memoryTotalMib[gpu] = inventory.memoryTotalMib;
    this.computeCapability[gpu] = inventory.computeCapability;
    this.multiprocessorCount[gpu] = inventory.multiprocessorCount;
    this.powerLimitWatts[gpu] = inventory.powerLimitWatts;
  }

  protected addLoad(gpu: number, memoryMib: number, exclusive: boolean): void {
    this.active[gpu]! += 1;
    if (exclusive) this.exclusive[gpu]! += 1;
    this.activeSince[gpu]! += 1;
    this.reservedMib[gpu]! += memoryMib;
    this.memorySinceMib[gpu]! += memoryMib;
    this.#notStarted[gpu]! += 1;
    this.#notStartedMib[gpu]! += memoryMib;
  }

  /** The runner of a placed attempt has begun: the next sample shows it. */
  started(gpu: number, memoryMib: number): void {
    this.#notStarted[gpu]! -= 1;
    this.#notStartedMib[gpu]! -= memoryMib;
  }

  protected removeLoad(gpu: number, memoryMib: number, hadStarted: boolean, exclusive: boolean): void {
    assert(this.active[gpu]! > 0, "a GPU releases only what was placed on it");
    this.active[gpu]! -= 1;
    if (exclusive) this.exclusive[gpu]! -= 1;
    this.activeSince[gpu]! -= 1;
    this.reservedMib[gpu]! -= memoryMib;
    this.memorySinceMib[gpu]! -= memoryMib;
    if (!hadStarted) this.started(gpu, memoryMib);
  }

  /** Takes a sample in. Load placed since it was taken stays counted on top of it. */
  protected takeSample(gpu: number, sample: GpuTelemetry, sampledAtMs: number): void {
    this.sampleAtMs[gpu] = sampledAtMs;
    this.usedMib[gpu] = sample.memoryUsedMib;
    this.utilizationPercent[gpu] = sample.gpuUtilizationPercent;
    this.temperatureCelsius[gpu] = sample.temperatureCelsius;
    this.powerUsageWatts[gpu] = sample.powerUsageWatts;
    if (sample.powerLimitWatts > 0) this.powerLimitWatts[gpu] = sample.powerLimitWatts;
    this.memorySinceMib[gpu] = this.#notStartedMib[gpu]!;
    this.activeSince[gpu] = this.#notStarted[gpu]!;
    this.#activeAtSample[gpu] = this.active[gpu]!;
  }

  protected forgetSample(gpu: number): void {
    this.sampleAtMs[gpu] = 0;
    this.usedMib[gpu] = 0;
    this.utilizationPercent[gpu] = Number.NaN;
    this.temperatureCelsius[gpu] = Number.NaN;
    this.powerUsageWatts[gpu] = Number.NaN;
  }

  protected weighLoad(gpu: number): void {
    const sampled = this.sampleAtMs[gpu]! > 0;
    const slots = this.#limits.maxConcurrentTasksPerGpu;
    const reserved = this.reservedMib[gpu]!;
    const usedMib = this.usedMib[gpu]!;
    const used = sampled && usedMib === usedMib ? usedMib + this.memorySinceMib[gpu]! : 0;
    this.effectiveUsedMib[gpu] = Math.min(Math.max(used, reserved), Math.max(this.memoryTotalMib[gpu]!, reserved));
    this.roomMib[gpu] = this.memoryTotalMib[gpu]! * this.#limits.memoryThreshold - this.effectiveUsedMib[gpu]!;
    const ledger = this.active[gpu]! / slots;
    const percent = this.utilizationPercent[gpu]!;
    const busy = sampled && percent === percent ? percent / 100 + this.activeSince[gpu]! / slots : 0;
    this.effectiveUtilization[gpu] = Math.min(1, Math.max(busy, ledger));
  }

  /** Makes room in every column for `capacity` GPUs. */
  protected widen(capacity: number): void {
    this.memoryTotalMib = wider(this.memoryTotalMib, capacity);
    this.powerLimitWatts = wider(this.powerLimitWatts, capacity);
    this.reservedMib = wider(this.reservedMib, capacity);
    this.sampleAtMs = wider(this.sampleAtMs, capacity);
    this.usedMib = wider(this.usedMib, capacity);
    this.utilizationPercent = wider(this.utilizationPercent, capacity);
    this.temperatureCelsius = wider(this.temperatureCelsius, capacity);
    this.powerUsageWatts = wider(this.powerUsageWatts, capacity);
    this.memorySinceMib = wider(this.memorySinceMib, capacity);
    this.#notStartedMib = wider(this.#notStartedMib, capacity);
    this.effectiveUsedMib = wider(this.effectiveUsedMib, capacity);
    this.roomMib = wider(this.roomMib, capacity);
    this.effectiveUtilization = wider(this.effectiveUtilization, capacity);
    this.computeCapability = wider(this.computeCapability, capacity);
    this.multiprocessorCount = wider(this.multiprocessorCount, capacity);
    this.active = wider(this.active, capacity);
    this.exclusive = wider(this.exclusive, capacity);
    this.activeSince = wider(this.activeSince, capacity);
    this.#notStarted = wider(this.#notStarted, capacity);
    this.#activeAtSample = wider(this.#activeAtSample, capacity);
  }
}
