// The simulated GPUs of a node: what runs on them and how much memory it holds. One object, shared by the probe that reports it
// and the runner that causes it, and what is made to be wrong with them. Knows nothing of time: how long work takes is the runner's.
import { assert } from "../../lib/assert.js";
import { GPU_KINDS, type GpuKind } from "../../simulated-gpu/gpu-kinds.js";
import type { GpuProbeEvent, GpuSample, ProbedGpu } from "./probe.js";
import type { SimulatedTrouble } from "./simulated-faults.js";

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

interface Device {
  readonly gpu: ProbedGpu;
  memoryUsedMib: number;
  running: number;
  trouble: SimulatedTrouble;
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
    this.#devices = new Map(gpus.map((gpu) => [gpu.gpuId, { gpu, memoryUsedMib: 0, running: 0, trouble: {}, named: false }]));
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

  /** What is wrong from now on, by GPU; with all others nothing is. Ids that are not of this node are ignored. */
  ail(troubles: ReadonlyMap<string, SimulatedTrouble>): void {
    for (const [gpuId, device] of this.#devices) {
      const before = device.trouble;
      const now = troubles.get(gpuId) ?? {};
      device.trouble = now;
      if (now.memory_left_mib !== undefined) device.named = true;
      if (now.xid !== undefined && now.xid !== before.xid) this.#tell({ kind: "xid", gpuId, xid: now.xid });
      if (now.lost !== undefined && before.lost === undefined) this.#tell({ kind: "lost", gpuId, reason: now.lost });
      if (now.lost === undefined && before.lost !== undefined) this.#tell({ kind: "restored", gpuId, reason: "it answers again" });
      if (now.hangs !== undefined && before.hangs === undefined) this.#tell({ kind: "hangs", gpuId, reason: now.hangs });
    }
  }

  /** Whether it gives samples. */
  answers(gpuId: string): boolean {
    const { lost, hangs } = this.#device(gpuId).trouble;
    return lost === undefined && hangs === undefined;
  }

  onEvent(listener: (event: GpuProbeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #tell(event: GpuProbeEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** Telemetry that follows from the load, and from what is wrong: the same again while these are the same. */
  sample(gpuId: string): GpuSample {
    const { gpu, running, trouble, ...device } = this.#device(gpuId);
    const memoryUsedMib = device.memoryUsedMib + (trouble.memory_left_mib ?? 0);
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
      temperatureCelsius: trouble.temperature_celsius ?? Math.round(IDLE_CELSIUS + (FULL_LOAD_CELSIUS - IDLE_CELSIUS) * load),
      powerUsageWatts: Math.round(gpu.powerLimitWatts * (IDLE_POWER + (FULL_LOAD_POWER - IDLE_POWER) * load)),
      powerLimitWatts: gpu.powerLimitWatts,
      clockEventReasons: trouble.clock_event_reasons ?? (running === 0 ? CLOCKS_GPU_IDLE : 0),
      eccCorrected: 0,
      eccUncorrected: trouble.ecc_uncorrected ?? 0,
      ...(trouble.row_remap_pending !== undefined && { rowRemapPending: trouble.row_remap_pending }),
      ...(trouble.row_remap_failed !== undefined && { rowRemapFailed: trouble.row_remap_failed }),
      ...(trouble.retired_pages_pending !== undefined && { retiredPagesPending: trouble.retired_pages_pending }),
      processes: !device.named ? [] : [{ pid: 1, memoryUsedMib: Math.ceil(device.memoryUsedMib) + 1 }],
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
