// The return codes of NVML, by the names that its documentation gives them. Read where a call failed.

export const NVML_SUCCESS = 0;
export const NVML_NOT_SUPPORTED = 3;
export const NVML_INSUFFICIENT_SIZE = 7;
export const NVML_TIMEOUT = 10;
export const NVML_FUNCTION_NOT_FOUND = 13;
const NVML_GPU_IS_LOST = 15;
const NVML_RESET_REQUIRED = 16;

const NAMES: ReadonlyMap<number, string> = new Map([
  [1, "UNINITIALIZED"],
  [2, "INVALID_ARGUMENT"],
  [NVML_NOT_SUPPORTED, "NOT_SUPPORTED"],
  [4, "NO_PERMISSION"],
  [5, "ALREADY_INITIALIZED"],
  [6, "NOT_FOUND"],
  [NVML_INSUFFICIENT_SIZE, "INSUFFICIENT_SIZE"],
  [8, "INSUFFICIENT_POWER"],
  [9, "DRIVER_NOT_LOADED"],
  [NVML_TIMEOUT, "TIMEOUT"],
  [11, "IRQ_ISSUE"],
  [12, "LIBRARY_NOT_FOUND"],
  [NVML_FUNCTION_NOT_FOUND, "FUNCTION_NOT_FOUND"],
  [14, "CORRUPTED_INFOROM"],
  [NVML_GPU_IS_LOST, "GPU_IS_LOST"],
  [NVML_RESET_REQUIRED, "RESET_REQUIRED"],
  [17, "OPERATING_SYSTEM"],
  [18, "LIB_RM_VERSION_MISMATCH"],
  [19, "IN_USE"],
  [20, "MEMORY"],
  [21, "NO_DATA"],
  [22, "VGPU_ECC_NOT_SUPPORTED"],
  [23, "INSUFFICIENT_RESOURCES"],
  [24, "FREQ_NOT_SUPPORTED"],
  [25, "ARGUMENT_VERSION_MISMATCH"],
  [26, "DEPRECATED"],
  [27, "NOT_READY"],
  [28, "GPU_NOT_FOUND"],
  [29, "INVALID_STATE"],
  [30, "RESET_TYPE_NOT_SUPPORTED"],
  [999, "UNKNOWN"],
]);

/** What a person can do about a code, where there is something. */
const ADVICE: ReadonlyMap<number, string> = new Map([
  [4, "Give this user access to the /dev/nvidia* devices."],
  [8, "Check the power cables of the GPU."],
  [9, "Load the NVIDIA kernel module: `modprobe nvidia`."],
  [NVML_GPU_IS_LOST, "The GPU has fallen off the bus: drain the node and reboot it."],
  [NVML_RESET_REQUIRED, "Reset the GPU: `nvidia-smi --gpu-reset`."],
  [17, "A container or cgroup blocks the GPU devices."],
  [18, "The driver was updated while its old module is loaded: reload the module or reboot."],
  [999, "In a container, a reload of systemd may have taken the devices away: restart the container."],
]);

/** Such as "GPU_IS_LOST". */
export function nvmlCodeName(code: number): string {
  return NAMES.get(code) ?? `code ${code}`;
}

/** A call that failed in a way that matters. The message names the call, the code, and what to do where that is known. */
export class NvmlError extends Error {
  override readonly name = "NvmlError";
  readonly code: number;

  constructor(call: string, code: number) {
    super([`${call} answered ${nvmlCodeName(code)}.`, ADVICE.get(code)].filter(Boolean).join(" "));
    this.code = code;
  }

  /** Whether nothing can be asked of the GPU until a person has seen to it. */
  get gpuIsGone(): boolean {
    return this.code === NVML_GPU_IS_LOST || this.code === NVML_RESET_REQUIRED;
  }
}
