// What one look at a GPU gives: who it is, and how it is or why that cannot be told. Made by the readers of nvidia-smi's answers,
// used by the probes on top of them.
import type { GpuSample, ProbedGpu } from "./probe.js";

/** A GPU that answers. */
export interface WholeGpu {
  readonly gpu: ProbedGpu;
  readonly sample: GpuSample;
}

/** `lost` is the driver's word, such as "GPU is lost". */
export type GpuReading = WholeGpu | { readonly gpu: ProbedGpu; readonly sample: undefined; readonly lost: string };

/** An instance by itself, as NVML and nvidia-smi tell it. */
export interface MigInstance {
  /** "" when it is not told; it is then named as drivers before R470 did: "MIG-<GPU UUID>/<gpu instance>/<compute instance>". */
  readonly uuid: string;
  /** Such as "1g.10gb"; "" when it is not told. */
  readonly profile: string;
  /** "<gpu instance>/<compute instance>". */
  readonly place: string;
  readonly multiprocessorCount: number;
  readonly memoryTotalMib: number;
  readonly memoryUsedMib: number;
  readonly memoryFreeMib: number;
  readonly eccUncorrected: number | undefined;
  readonly processes: GpuSample["processes"];
}

/**
 * The instance as a GPU of its own. Temperature, clocks and memory errors and their repairs are the die's; utilisation and power are not told per
 * instance, and the die's power would be counted once for each.
 */
export function migReading({ gpu, sample }: WholeGpu, instance: MigInstance): WholeGpu {
  const gpuId = instance.uuid || `MIG-${gpu.gpuId}/${instance.place}`;
  return {
    gpu: {
      ...gpu,
      gpuId,
      name: `${gpu.name} MIG ${instance.profile || instance.place}`,
      memoryTotalMib: instance.memoryTotalMib,
      multiprocessorCount: instance.multiprocessorCount,
      powerLimitWatts: 0,
      parentGpuId: gpu.gpuId,
    },
    sample: {
      gpuId,
      memoryUsedMib: instance.memoryUsedMib,
      memoryFreeMib: instance.memoryFreeMib,
      gpuUtilizationPercent: undefined,
      memoryUtilizationPercent: undefined,
      temperatureCelsius: sample.temperatureCelsius,
      powerUsageWatts: undefined,
      powerLimitWatts: undefined,
      clockEventReasons: sample.clockEventReasons,
      eccCorrected: sample.eccCorrected,
      ...repairsOf(sample),
      eccUncorrected: sample.eccUncorrected ?? instance.eccUncorrected,
      processes: instance.processes,
    },
  };
}

function repairsOf({ rowRemapPending, rowRemapFailed, retiredPagesPending }: GpuSample): Partial<GpuSample> {
  return {
    ...(rowRemapPending !== undefined && { rowRemapPending }),
    ...(rowRemapFailed !== undefined && { rowRemapFailed }),
    ...(retiredPagesPending !== undefined && { retiredPagesPending }),
  };
}
