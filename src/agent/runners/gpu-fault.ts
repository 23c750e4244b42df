// Tells from what a command or a server says whether the GPU is to blame. Called by the runners for work that did not succeed.
// Decides nothing: what the work itself may have caused, such as an illegal address or too little memory, is nobody's for certain.

/** Words of CUDA, the driver and NCCL that no work can cause by itself; names of errors as the runtime and the driver interface have them. */
const GPU_FAULTS: readonly RegExp[] = [
  /uncorrectable (double bit )?ECC error|CUDA_ERROR_ECC_UNCORRECTABLE|cudaErrorECCUncorrectable/i,
  /uncorrectable NVLink error|CUDA_ERROR_NVLINK_UNCORRECTABLE|cudaErrorNvlinkUncorrectable/i,
  /CUDA_ERROR_HARDWARE_STACK_ERROR|cudaErrorHardwareStackError|\bhardware stack error\b/i,
  /GPU has fallen off the bus|\bGPU is lost\b|GPU_IS_LOST/i,
  /no CUDA-capable device is detected|CUDA_ERROR_NO_DEVICE|cudaErrorNoDevice/i,
  /CUDA-capable device\(s\) is\/are busy or unavailable|CUDA_ERROR_DEVICE_UNAVAILABLE|cudaErrorDevicesUnavailable/i,
  /CUDA_ERROR_SYSTEM_NOT_READY|cudaErrorSystemNotReady/i,
  /Unable to determine the device handle for (GPU|gpu)/,
];

/** What of `text` blames the GPU, for people; null when nothing does. */
export function gpuFaultIn(text: string): string | null {
  for (const fault of GPU_FAULTS) {
    const found = fault.exec(text)?.[0];
    if (found) return found;
  }
  return null;
}
