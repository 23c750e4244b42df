// The structures of NVML's interface that this project reads, as koffi lays them out for this platform's C.
// Used by `nvml-library.ts`. Layouts as of NVML 13; a structure that has grown since has a versioned successor of its own.
import type koffiModule from "koffi";

export type Koffi = typeof koffiModule;
export type NvmlLayouts = ReturnType<typeof nvmlLayouts>;

/** Version field of nvmlMemory_v2_t: its size and 2 in the top byte. */
export const MEMORY_V2_VERSION = 0x02000028;

/** Makes the types anew; they have no names in koffi, so that this can be called twice. */
export function nvmlLayouts(koffi: Koffi) {
  return {
    nvmlMemory_t: koffi.struct({ total: "uint64", free: "uint64", used: "uint64" }),
    nvmlMemory_v2_t: koffi.struct({ version: "uint32", total: "uint64", reserved: "uint64", free: "uint64", used: "uint64" }),
    nvmlUtilization_t: koffi.struct({ gpu: "uint32", memory: "uint32" }),
    nvmlProcessInfo_v1_t: koffi.struct({ pid: "uint32", usedGpuMemory: "uint64" }),
    /** Of the _v2 and _v3 calls. */
    nvmlProcessInfo_t: koffi.struct({ pid: "uint32", usedGpuMemory: "uint64", gpuInstanceId: "uint32", computeInstanceId: "uint32" }),
    nvmlEventData_t: koffi.struct({
      device: "uintptr_t",
      eventType: "uint64",
      eventData: "uint64",
      gpuInstanceId: "uint32",
      computeInstanceId: "uint32",
    }),
    nvmlDeviceAttributes_t: koffi.struct({
      multiprocessorCount: "uint32",
      sharedCopyEngineCount: "uint32",
      sharedDecoderCount: "uint32",
      sharedEncoderCount: "uint32",
      sharedJpegCount: "uint32",
      sharedOfaCount: "uint32",
      gpuInstanceSliceCount: "uint32",
      computeInstanceSliceCount: "uint32",
      memorySizeMB: "uint64",
    }),
  };
}
