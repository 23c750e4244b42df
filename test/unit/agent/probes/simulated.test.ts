// Simulated GPUs: what they are, and telemetry that follows from the work reported to them.
import { describe, expect, test } from "@jest/globals";
import { SimulatedDevices } from "../../../../src/agent/probes/simulated-devices.js";
import { SimulatedProbe } from "../../../../src/agent/probes/simulated.js";
import { GPU_KIND_NAMES, GPU_KINDS } from "../../../../src/simulated-gpu/gpu-kinds.js";

test("are named so everywhere, with the figures of their kind", async () => {
  const probe = new SimulatedProbe(new SimulatedDevices("n1", ["A100-80GB", "T4"]));
  expect(await probe.inventory()).toEqual([
    { gpuId: "sim-n1-0", name: "Simulated A100-SXM4-80GB", computeCapability: "8.0", memoryTotalMib: 81_920, multiprocessorCount: 108, powerLimitWatts: 400, driverVersion: "", parentGpuId: "", simulated: true },
    { gpuId: "sim-n1-1", name: "Simulated T4", computeCapability: "7.5", memoryTotalMib: 15_360, multiprocessorCount: 40, powerLimitWatts: 70, driverVersion: "", parentGpuId: "", simulated: true },
  ]);
});

describe("telemetry", () => {
  test("is that of an idle GPU while nothing runs", async () => {
    const [sample] = await new SimulatedProbe(new SimulatedDevices("n1", ["H200"])).sample();
    expect(sample).toMatchObject({ memoryUsedMib: 0, memoryFreeMib: 143_771, gpuUtilizationPercent: 0, temperatureCelsius: 32, powerUsageWatts: 91, clockEventReasons: 1 });
  });

  test("rises with each job, on its GPU only, and falls back when they end", () => {
    const devices = new SimulatedDevices("n1", ["A100-80GB", "A100-80GB"]);
    const idle = devices.sample("sim-n1-0");
    devices.begin("sim-n1-0", 1000.5);
    const one = devices.sample("sim-n1-0");
    devices.begin("sim-n1-0", 2000);
    const two = devices.sample("sim-n1-0");
    expect([devices.running("sim-n1-0"), devices.running("sim-n1-1")]).toEqual([2, 0]);
    expect(one).toMatchObject({ memoryUsedMib: 1001, memoryFreeMib: 80_919, gpuUtilizationPercent: 100, clockEventReasons: 0 });
    expect(two).toMatchObject({ memoryUsedMib: 3001, gpuUtilizationPercent: 100 });
    for (const figure of ["temperatureCelsius", "powerUsageWatts", "memoryUtilizationPercent"] as const) {
      expect(Number(one[figure])).toBeGreaterThan(Number(idle[figure]));
      expect(Number(two[figure])).toBeGreaterThan(Number(one[figure]));
    }
    expect(devices.sample("sim-n1-1")).toEqual({ ...idle, gpuId: "sim-n1-1" });
    devices.end("sim-n1-0", 1000.5);
    devices.end("sim-n1-0", 2000);
    expect(devices.sample("sim-n1-0")).toEqual(idle);
  });

  test("stays within what the kind can do, however much runs", () => {
    for (const kind of GPU_KIND_NAMES) {
      const devices = new SimulatedDevices("n1", [kind]);
      for (let job = 0; job < 100; job += 1) devices.begin("sim-n1-0", 4096);
      const sample = devices.sample("sim-n1-0");
      expect(sample).toMatchObject({ memoryUsedMib: GPU_KINDS[kind].memoryTotalMib, memoryFreeMib: 0, gpuUtilizationPercent: 100 });
      expect(sample.powerUsageWatts).toBeLessThanOrEqual(GPU_KINDS[kind].powerLimitWatts);
      expect(sample.temperatureCelsius).toBeLessThan(80);
    }
  });
});

test("work that cannot be is a programmer's error", () => {
  const devices = new SimulatedDevices("n1", ["L40S"]);
  expect(() => devices.begin("sim-n2-0", 1)).toThrow("sim-n2-0 is no simulated GPU of this node");
  expect(() => devices.end("sim-n1-0", 1)).toThrow("a job ends on sim-n1-0 that never began there");
  expect(() => devices.begin("sim-n1-0", -1)).toThrow("negative memory");
  expect(() => new SimulatedDevices("n1", [])).toThrow("at least one");
});
