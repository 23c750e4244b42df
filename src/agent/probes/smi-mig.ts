// MIG instances in the answers of `nvidia-smi -q`, XML or text, and the processes that belong to them.
// Called by the readers of both. What an instance takes over from its GPU is in `gpu-reading.ts`.
import { migReading, type GpuReading, type WholeGpu } from "./gpu-reading.js";
import type { SmiListing } from "./smi-listing.js";
import { find, numberIn, textOf, type SmiNode } from "./smi-tree.js";

/** A process as nvidia-smi tells it. */
export interface SmiProcess {
  readonly pid: number;
  /** 0 when it is not told, as by Windows drivers. */
  readonly memoryUsedMib: number;
  /** "<gpu instance>/<compute instance>"; "N/A/N/A" on a GPU without MIG. */
  readonly place: string;
}

/** The instances of a GPU, in the order of nvidia-smi. `processes` are those of the whole GPU. */
export function readMigDevices(
  parent: WholeGpu,
  nodes: readonly SmiNode[],
  processes: readonly SmiProcess[],
  listing: SmiListing | undefined,
): readonly GpuReading[] {
  return nodes.map((node) => {
    const memory = find(node, "fb_memory_usage") ?? find(node, "shared_fb_memory_usage");
    const errors = find(node, "ecc_error_count", "volatile_count") ?? find(node, "ecc_errors", "volatile");
    const place = `${textOf(node, "gpu_instance_id")}/${textOf(node, "compute_instance_id")}`;
    return migReading(parent, {
      ...(listing?.migDevice(parent.gpu.gpuId, Number(textOf(node, "index"))) ?? { uuid: "", profile: "" }),
      place,
      multiprocessorCount: numberIn(textOf(node, "device_attributes", "shared", "multiprocessor_count")) ?? 0,
      memoryTotalMib: numberIn(textOf(memory, "total")) ?? 0,
      memoryUsedMib: numberIn(textOf(memory, "used")) ?? 0,
      memoryFreeMib: numberIn(textOf(memory, "free")) ?? 0,
      eccUncorrected: numberIn(textOf(errors, "sram_uncorrectable")),
      processes: processes.filter((process) => process.place === place).map(({ pid, memoryUsedMib }) => ({ pid, memoryUsedMib })),
    });
  });
}
