// What NVML says of one GPU: who it is, its MIG instances, how it is. Runs inside the NVML process; every function may block.
import { migReading, type MigInstance, type WholeGpu } from "./gpu-reading.js";
import { MEMORY_V2_VERSION } from "./nvml-layouts.js";
import { known, type NvmlCall, type NvmlFields, type NvmlHandle, type NvmlLibrary } from "./nvml-library.js";
import { NVML_INSUFFICIENT_SIZE, NVML_NOT_SUPPORTED, NVML_SUCCESS, NvmlError } from "./nvml-return-codes.js";
import type { GpuSample, ProbedGpu } from "./probe.js";

type Processes = GpuSample["processes"];
interface MemoryMib {
  readonly totalMib: number;
  readonly usedMib: number;
  readonly freeMib: number;
}

/** CUDA cores of one multiprocessor, by compute capability, then by its major version (CUDA C++ Programming Guide). */
const CORES_PER_MULTIPROCESSOR: Readonly<Record<string, number>> = {
  "3": 192, "5": 128, "6": 128, "6.0": 64, "7": 64, "8": 128, "8.0": 64, "9": 128, "10": 128, "11": 128, "12": 128,
};
const TEMPERATURE_GPU = 0;
const [ECC_CORRECTED, ECC_UNCORRECTED] = [0, 1] as const;
/** Since the driver was loaded. */
const ECC_VOLATILE = 0;
const MIG_ENABLED = 1;
const MAX_PROCESSES = 16_384;
const BYTES_PER_MIB = 1 << 20;

/** A MIG instance that was found; `gpu` says who it is, `place` as in `MigInstance`. */
interface FoundInstance {
  readonly handle: NvmlHandle;
  readonly uuid: string;
  readonly profile: string;
  readonly place: string;
  readonly multiprocessorCount: number;
}

/** One physical GPU. MIG instances are looked for once: a change of the partition takes a restart of the agent. */
export class NvmlDevice {
  readonly uuid: string;
  readonly #nvml: NvmlLibrary;
  readonly #handle: NvmlHandle;
  readonly #gpu: ProbedGpu;
  /** undefined unless the GPU is in MIG mode. */
  readonly #instances: readonly FoundInstance[] | undefined;

  /** Throws when the GPU does not answer. */
  constructor(nvml: NvmlLibrary, handle: NvmlHandle, uuid: string) {
    this.#nvml = nvml;
    this.#handle = handle;
    this.uuid = uuid;
    const computeCapability = this.#computeCapability();
    const milliwatts = nvml.number("uint32", "nvmlDeviceGetEnforcedPowerLimit", handle);
    this.#gpu = {
      gpuId: uuid,
      name: nvml.text("nvmlDeviceGetName", handle),
      computeCapability,
      memoryTotalMib: this.#memory(handle).totalMib,
      multiprocessorCount: this.#multiprocessors(handle) ?? this.#multiprocessorsByCores(computeCapability),
      powerLimitWatts: (milliwatts ?? 0) / 1000,
      driverVersion: nvml.text("nvmlSystemGetDriverVersion"),
      parentGpuId: "",
      simulated: false,
    };
    this.#instances = this.#migEnabled() ? this.#findInstances() : undefined;
  }

  /** The GPU, or those of its MIG instances that still exist when it is in MIG mode. Throws when it no longer answers. */
  read(): readonly WholeGpu[] {
    const whole: WholeGpu = { gpu: this.#gpu, sample: this.#sample() };
    return this.#instances?.flatMap((instance) => this.#readInstance(whole, instance)) ?? [whole];
  }

  /** Whom an event is about: one MIG instance, all of them, or the GPU. Ids are all ones where NVML names no instance. */
  gpuIdsOf(gpuInstance: number, computeInstance: number): readonly string[] {
    if (!this.#instances) return [this.uuid];
    const named = this.#instances.filter(({ place }) => place === `${gpuInstance}/${computeInstance}`);
    return (named.length > 0 ? named : this.#instances).map(({ uuid }) => uuid);
  }

  #sample(): GpuSample {
    const nvml = this.#nvml;
    const memory = this.#memory(this.#handle);
    const utilization = nvml.struct("nvmlUtilization_t", "nvmlDeviceGetUtilizationRates", this.#handle);
    const reasons = nvml.firstOf("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons");
    return {
      gpuId: this.uuid,
      memoryUsedMib: memory.usedMib,
      memoryFreeMib: memory.freeMib,
      gpuUtilizationPercent: percent(utilization?.["gpu"]),
      memoryUtilizationPercent: percent(utilization?.["memory"]),
      temperatureCelsius: nvml.number("uint32", "nvmlDeviceGetTemperature", this.#handle, TEMPERATURE_GPU),
      powerUsageWatts: watts(nvml.number("uint32", "nvmlDeviceGetPowerUsage", this.#handle)),
      powerLimitWatts: watts(nvml.number("uint32", "nvmlDeviceGetEnforcedPowerLimit", this.#handle)),
      clockEventReasons: nvml.number("uint64", reasons, this.#handle) ?? 0,
      eccCorrected: nvml.number("uint64", "nvmlDeviceGetTotalEccErrors", this.#handle, ECC_CORRECTED, ECC_VOLATILE),
      eccUncorrected: nvml.number("uint64", "nvmlDeviceGetTotalEccErrors", this.#handle, ECC_UNCORRECTED, ECC_VOLATILE),
      ...this.#repairs(),
      processes: this.#instances ? [] : this.#processes(this.#handle),
    };
  }

  /** Repairs of memory that wait for a reset, or that are not possible any more. GPUs remap rows since Ampere, and retire pages before. */
  #repairs(): Pick<GpuSample, "rowRemapPending" | "rowRemapFailed" | "retiredPagesPending"> {
    const [corrected, uncorrected, pending, failed, pages] = [Buffer.alloc(4), Buffer.alloc(4), Buffer.alloc(4), Buffer.alloc(4), Buffer.alloc(4)];
    const rows = this.#nvml.answered("nvmlDeviceGetRemappedRows", this.#handle, corrected, uncorrected, pending, failed);
    const retires = this.#nvml.answered("nvmlDeviceGetRetiredPagesPendingStatus", this.#handle, pages);
    return {
      ...(rows && { rowRemapPending: pending.readUInt32LE() === 1, rowRemapFailed: failed.readUInt32LE() === 1 }),
      ...(retires && { retiredPagesPending: pages.readUInt32LE() === 1 }),
    };
  }

  #readInstance(whole: WholeGpu, instance: FoundInstance): readonly WholeGpu[] {
    let memory: MemoryMib;
    try {
      memory = this.#memory(instance.handle);
    } catch (error) {
      if (error instanceof NvmlError && !error.gpuIsGone) return [];
      throw error;
    }
    const reading: MigInstance = {
      ...instance,
      memoryTotalMib: memory.totalMib,
      memoryUsedMib: memory.usedMib,
      memoryFreeMib: memory.freeMib,
      eccUncorrected: this.#nvml.number("uint64", "nvmlDeviceGetTotalEccErrors", instance.handle, ECC_UNCORRECTED, ECC_VOLATILE),
      processes: this.#processes(instance.handle),
    };
    return [migReading(whole, reading)];
  }

  /**
   * The figure that tells whether a GPU answers at all. Zeros when the GPU has no memory of its own, as integrated ones; throws
   * on any other failure. Version 2 counts what the driver reserves apart, version 1 as used.
   */
  #memory(handle: NvmlHandle): MemoryMib {
    const v2 = this.#nvml.buffer("nvmlMemory_v2_t", 1);
    v2.writeUInt32LE(MEMORY_V2_VERSION);
    if (this.#nvml.answered("nvmlDeviceGetMemoryInfo_v2", handle, v2)) return memoryMib(this.#nvml.decode("nvmlMemory_v2_t", v2));
    const v1 = this.#nvml.buffer("nvmlMemory_t", 1);
    const code = this.#nvml.call("nvmlDeviceGetMemoryInfo", handle, v1);
    if (code === NVML_SUCCESS) return memoryMib(this.#nvml.decode("nvmlMemory_t", v1));
    if (code !== NVML_NOT_SUPPORTED) throw new NvmlError("nvmlDeviceGetMemoryInfo", code);
    return { totalMib: 0, usedMib: 0, freeMib: 0 };
  }

  #computeCapability(): string {
    const [major, minor] = [Buffer.alloc(4), Buffer.alloc(4)];
    const told = this.#nvml.answered("nvmlDeviceGetCudaComputeCapability", this.#handle, major, minor);
    return told ? `${major.readInt32LE()}.${minor.readInt32LE()}` : "";
  }

  #multiprocessors(handle: NvmlHandle): number | undefined {
    return known(this.#nvml.struct("nvmlDeviceAttributes_t", "nvmlDeviceGetAttributes_v2", handle)?.["multiprocessorCount"]);
  }

  #multiprocessorsByCores(computeCapability: string): number {
    const cores = this.#nvml.number("uint32", "nvmlDeviceGetNumGpuCores", this.#handle) ?? 0;
    const perMultiprocessor = CORES_PER_MULTIPROCESSOR[computeCapability] ?? CORES_PER_MULTIPROCESSOR[computeCapability.split(".")[0] ?? ""];
    return perMultiprocessor === undefined ? 0 : Math.round(cores / perMultiprocessor);
  }

  #migEnabled(): boolean {
    const [current, pending] = [Buffer.alloc(4), Buffer.alloc(4)];
    return this.#nvml.answered("nvmlDeviceGetMigMode", this.#handle, current, pending) && current.readUInt32LE() === MIG_ENABLED;
  }

  #findInstances(): readonly FoundInstance[] {
    const nvml = this.#nvml;
    const places = nvml.number("uint32", "nvmlDeviceGetMaxMigDeviceCount", this.#handle) ?? 0;
    return Array.from({ length: places }, (_, index) => nvml.handle("nvmlDeviceGetMigDeviceHandleByIndex", this.#handle, index)).flatMap((handle) => {
      if (handle === undefined) return [];
      const place = `${nvml.number("uint32", "nvmlDeviceGetGpuInstanceId", handle) ?? ""}/${nvml.number("uint32", "nvmlDeviceGetComputeInstanceId", handle) ?? ""}`;
      // Such as "NVIDIA H100 80GB HBM3 MIG 1g.10gb".
      const profile = / MIG (\S+)$/.exec(nvml.text("nvmlDeviceGetName", handle))?.[1] ?? "";
      const uuid = nvml.text("nvmlDeviceGetUUID", handle) || `MIG-${this.uuid}/${place}`;
      return [{ handle, uuid, profile, place, multiprocessorCount: this.#multiprocessors(handle) ?? 0 }];
    });
  }

  /** A process that both computes and draws counts once. Memory that is not told, as by Windows drivers, counts as 0. */
  #processes(handle: NvmlHandle): Processes {
    const memoryByPid = new Map<number, number>();
    for (const kind of ["Compute", "Graphics"] as const) {
      for (const { pid, usedGpuMemory } of this.#runningProcesses(handle, `nvmlDeviceGet${kind}RunningProcesses`)) {
        memoryByPid.set(Number(pid), Math.max(memoryByPid.get(Number(pid)) ?? 0, Math.ceil((known(usedGpuMemory) ?? 0) / BYTES_PER_MIB)));
      }
    }
    return [...memoryByPid].map(([pid, memoryUsedMib]) => ({ pid, memoryUsedMib }));
  }

  #runningProcesses(handle: NvmlHandle, base: "nvmlDeviceGetComputeRunningProcesses" | "nvmlDeviceGetGraphicsRunningProcesses"): readonly NvmlFields[] {
    const name: NvmlCall = this.#nvml.firstOf(`${base}_v3`, `${base}_v2`, base);
    const layout = name === base ? "nvmlProcessInfo_v1_t" : "nvmlProcessInfo_t";
    const count = Buffer.alloc(4);
    // Processes come and go between two calls, so there is room to spare; it grows until they fit.
    for (let room = 64; room <= MAX_PROCESSES; room *= 4) {
      const infos = this.#nvml.buffer(layout, room);
      count.writeUInt32LE(room);
      const code = this.#nvml.call(name, handle, count, infos);
      if (code === NVML_INSUFFICIENT_SIZE) continue;
      if (code !== NVML_SUCCESS) return [];
      return Array.from({ length: Math.min(room, count.readUInt32LE()) }, (_, index) => this.#nvml.decode(layout, infos, index));
    }
    return [];
  }
}

function memoryMib({ total, used, free }: NvmlFields): MemoryMib {
  // Rounded so that no more is free than there is.
  return {
    totalMib: Math.floor((known(total) ?? 0) / BYTES_PER_MIB),
    usedMib: Math.ceil((known(used) ?? 0) / BYTES_PER_MIB),
    freeMib: Math.floor((known(free) ?? 0) / BYTES_PER_MIB),
  };
}

function percent(value: number | bigint | undefined): number | undefined {
  const told = known(value);
  return told === undefined ? undefined : Math.min(100, told);
}

function watts(milliwatts: number | undefined): number | undefined {
  return milliwatts === undefined ? undefined : milliwatts / 1000;
}
