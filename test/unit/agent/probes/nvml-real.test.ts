// The NVML probe against the real library, where there is one. Skips elsewhere, in CI too: a GPU is more than can be required.
import { afterAll, beforeAll, expect, test as jestTest } from "@jest/globals";
import koffi from "koffi";
import { NvmlProbe } from "../../../../src/agent/probes/nvml.js";
import { compileNvmlProcess } from "./fake-nvml.js";

const LIBRARY = process.platform === "win32" ? "nvml.dll" : "libnvidia-ml.so.1";

function missing(): string {
  try {
    koffi.load(LIBRARY);
    return "";
  } catch (error) {
    return String(error);
  }
}

const why = missing();
if (why) process.stderr.write(`Skipped: tests on a real GPU, since ${LIBRARY} does not load (${why})\n`);
const test = why ? jestTest.skip : jestTest;

let compiled: ReturnType<typeof compileNvmlProcess> | undefined;
let probe: NvmlProbe;
beforeAll(() => {
  if (why) return;
  compiled = compileNvmlProcess();
  probe = new NvmlProbe({ processEntry: compiled.entry });
});
afterAll(async () => {
  await probe?.close();
  compiled?.remove();
});

test("a real GPU says who it is", async () => {
  const gpus = await probe.inventory();
  process.stderr.write(`${JSON.stringify(gpus, null, 2)}\n`);
  for (const gpu of gpus) {
    expect(gpu.gpuId).toMatch(/^(GPU|MIG)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(gpu.parentGpuId === "").toBe(gpu.gpuId.startsWith("GPU-"));
    expect(gpu.name).not.toBe("");
    expect(gpu.driverVersion).toMatch(/^\d+\.\d+/);
    expect(gpu.computeCapability).toMatch(/^\d{1,2}\.\d$/);
    expect(gpu.multiprocessorCount).toBeGreaterThan(0);
    expect(gpu.simulated).toBe(false);
  }
});

test("a real GPU says how it is", async () => {
  const gpus = await probe.inventory();
  const samples = await probe.sample();
  process.stderr.write(`${JSON.stringify(samples, null, 2)}\n`);
  expect(samples.map(({ gpuId }) => gpuId)).toEqual(gpus.map(({ gpuId }) => gpuId));
  samples.forEach((sample, index) => {
    expect(sample.memoryUsedMib + sample.memoryFreeMib).toBeLessThanOrEqual((gpus[index]?.memoryTotalMib ?? 0) + 1);
    expect(sample.temperatureCelsius).toBeGreaterThan(0);
    expect(sample.temperatureCelsius).toBeLessThan(120);
    expect(sample.clockEventReasons).toBeLessThan(1 << 16);
  });
});
