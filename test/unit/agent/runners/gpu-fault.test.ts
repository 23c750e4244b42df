import { expect, test } from "@jest/globals";
import { gpuFaultIn } from "../../../../src/agent/runners/gpu-fault.js";

test.each([
  "RuntimeError: CUDA error: uncorrectable ECC error encountered",
  "CUDA driver error: CUDA_ERROR_ECC_UNCORRECTABLE (214)",
  "torch.AcceleratorError: CUDA error: uncorrectable NVLink error detected during the execution",
  "cudaErrorHardwareStackError",
  "CUDA error: all CUDA-capable device(s) is/are busy or unavailable",
  "RuntimeError: no CUDA-capable device is detected",
  "Unable to determine the device handle for GPU0000:05:00.0: GPU is lost. Reboot the system to recover this GPU",
])("%j blames the GPU", (text) => {
  expect(gpuFaultIn(`Traceback…\n${text}\nmore`)).not.toBeNull();
});

test.each([
  "",
  "CUDA error: an illegal memory access was encountered",
  "CUDA error: device-side assert triggered",
  "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB",
  "CUDA error: unspecified launch failure",
  "CUDA error: no kernel image is available for execution on the device",
  "ValueError: the ECC of this curve is unknown",
])("%j does not: the work may have caused it", (text) => {
  expect(gpuFaultIn(text)).toBeNull();
});
