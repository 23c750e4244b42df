// The simulated GPUs of a node: what runs on them and how much memory it holds. One object, shared by the probe that reports it
// and the runner that causes it, and what is made to be wrong with them. Knows nothing of time: how long work takes is the runner's.
import { assert } from "../../lib/assert.js";
import { GPU_KINDS, type GpuKind } from "../../simulated-gpu/gpu-kinds.js";
import type { GpuProbeEvent, GpuSample, ProbedGpu } from "./probe.js";

/** What one job adds to what is idle: 60 % for the first, 84 % for two, 94 % for three. Shows in power and temperature alone. */
const LOAD_PER_JOB = 0.6;
/** Decoding is bound by memory traffic, so the memory's utilisation follows the multiprocessors' closely. */
const MEMORY_PER_GPU_UTILIZATION = 0.7;
const IDLE_CELSIUS = 32;
const FULL_LOAD_CELSIUS = 74;
/** Shares of the power limit. */
const IDLE_POWER = 0.13;
const FULL_LOAD_POWER = 0.95;
/** NVML's clock event reason "GPU idle". */
const CLOCKS_GPU_IDLE = 0x1;

/** What a simulated GPU can be told to show: figures of its telemetry, 1 for yes, and memory in use that nobody owns. */
export const FIGURES = ["temperature_celsius", "clock_event_reasons", "ecc_uncorrected", "row_remap_pending", "row_remap_failed", "retired_pages_pending", "memory_left_mib"] as const;
export type Figure = (typeof FIGURES)[number];

interface Device {
  readonly gpu: ProbedGpu;
  /** By jobs. */
  memoryUsedMib: number;
  /** By the weights of models, whether anything runs or not. */
  weightsMib: number;
  running: number;
  readonly told: Map<Figure, number>;
  silent: boolean;
  /** The driver names processes: from the first time on that somebody asked whose memory it is. */
  named: boolean;
}

export class SimulatedDevices {
  readonly #devices: ReadonlyMap<string, Device>;
  readonly #listeners = new Set<(event: GpuProbeEvent) => void>();

  /** One GPU per entry of `kinds`, named `sim-<nodeId>-<n>`, n from 0. */
  constructor(nodeId: string, kinds: readonly GpuKind[]) {
    assert(kinds.length > 0, "a node with simulated GPUs has at least one");
    const gpus = kinds.map((kind, index) => describe(`sim-${nodeId}-${index}`, kind));
    this.#devices = new Map(gpus.map((gpu) => [gpu.gpuId, { gpu, memoryUsedMib: 0, weightsMib: 0, running: 0, told: new Map(), silent: false, named: false }]));
  }

  get gpus(): readonly ProbedGpu[] {
    return [...this.#devices.values()].map((device) => device.gpu);
  }

  /** A job starts to run and holds `memoryMib`, 0 or more. */
  begin(gpuId: string, memoryMib: number): void {
    assert(memoryMib >= 0, "a job holds no negative memory");
    const device = this.#device(gpuId);
    device.running += 1;
    device.memoryUsedMib += memoryMib;
  }

  /** The job is done. With the same memory as its `begin`. */
  end(gpuId: string, memoryMib: number): void {
    const device = this.#device(gpuId);
    assert(device.running > 0 && device.memoryUsedMib >= memoryMib, `a job ends on ${gpuId} that never began there`);
    device.running -= 1;
    // Exact again when idle, whatever fractions were added up meanwhile.
    device.memoryUsedMib = device.running === 0 ? 0 : device.memoryUsedMib - memoryMib;
  }

  /** Jobs between begin and end. */
  running(gpuId: string): number {
    return this.#device(gpuId).running;
  }

  /** Models lie on a GPU whose weights take `weightsMib` together. */
  hold(gpuId: string, weightsMib: number): void {
    assert(weightsMib >= 0, "models take no negative memory");
    this.#device(gpuId).weightsMib = weightsMib;
  }

  /** Something happens to one of them. One that is lost or hangs is silent until it is restored. */
  tell(event: GpuProbeEvent): void {
    const device = this.#device(event.gpuId);
    if (event.kind !== "xid") device.silent = event.kind !== "restored";
    for (const listener of this.#listeners) listener(event);
  }

  /** Shows a figure as it is told to be, until it is well again. */
  set(gpuId: string, figure: Figure, value: number): void {
    const device = this.#device(gpuId);
    device.told.set(figure, value);
    if (figure === "memory_left_mib") device.named = true;
  }

  /** Nothing is wrong any more. */
  heal(gpuId: string): void {
    const device = this.#device(gpuId);
    device.told.clear();
    device.silent = false;
  }

  /** Whether it gives samples. */
  answers(gpuId: string): boolean {
    return !this.#device(gpuId).silent;
  }

  onEvent(listener: (event: GpuProbeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Telemetry that follows from the load, and from what is wrong: the same again while these are the same. */
  sample(gpuId: string): GpuSample {
    const { gpu, running, told, named, ...device } = this.#device(gpuId);
    const ownedMib = device.memoryUsedMib + device.weightsMib;
    const memoryUsedMib = ownedMib + (told.get("memory_left_mib") ?? 0);
    const load = 1 - (1 - LOAD_PER_JOB) ** running;
    // What does not fit shows as a full GPU; a real one would have refused it.
    const usedMib = Math.min(gpu.memoryTotalMib, Math.ceil(memoryUsedMib));
    return {
      gpuId,
      memoryUsedMib: usedMib,
      memoryFreeMib: gpu.memoryTotalMib - usedMib,
      // As NVML counts it: any kernel in the sample period makes the GPU busy, so it says nothing of how much runs.
      gpuUtilizationPercent: running > 0 ? 100 : 0,
      memoryUtilizationPercent: Math.round(100 * load * MEMORY_PER_GPU_UTILIZATION),
      temperatureCelsius: told.get("temperature_celsius") ?? Math.round(IDLE_CELSIUS + (FULL_LOAD_CELSIUS - IDLE_CELSIUS) * load),
      powerUsageWatts: Math.round(gpu.powerLimitWatts * (IDLE_POWER + (FULL_LOAD_POWER - IDLE_POWER) * load)),
      powerLimitWatts: gpu.powerLimitWatts,
      clockEventReasons: told.get("clock_event_reasons") ?? (running === 0 ? CLOCKS_GPU_IDLE : 0),
      eccCorrected: 0,
      eccUncorrected: told.get("ecc_uncorrected") ?? 0,
      ...(told.has("row_remap_pending") && { rowRemapPending: told.get("row_remap_pending") === 1 }),
      ...(told.has("row_remap_failed") && { rowRemapFailed: told.get("row_remap_failed") === 1 }),
      ...(told.has("retired_pages_pending") && { retiredPagesPending: told.get("retired_pages_pending") === 1 }),
      processes: !named ? [] : [{ pid: 1, memoryUsedMib: Math.ceil(ownedMib) + 1 }],
    };
  }

  #device(gpuId: string): Device {
    const device = this.#devices.get(gpuId);
    assert(device !== undefined, `${gpuId} is no simulated GPU of this node`);
    return device;
  }
}

function describe(gpuId: string, kind: GpuKind): ProbedGpu {
  const { product, memoryTotalMib, computeCapability, multiprocessorCount, powerLimitWatts } = GPU_KINDS[kind];
  const figures = { memoryTotalMib, computeCapability, multiprocessorCount, powerLimitWatts };
  return { gpuId, name: `Simulated ${product}`, ...figures, driverVersion: "", parentGpuId: "", simulated: true };
}
