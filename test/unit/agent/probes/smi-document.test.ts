// What is made of nvidia-smi's XML, on documents small enough to see why.
import { describe, expect, test } from "@jest/globals";
import { readSmiDocument } from "../../../../src/agent/probes/smi-document.js";
import { SmiListing } from "../../../../src/agent/probes/smi-listing.js";
import { MIG_LISTING, migXml, smiXml, UUID } from "./smi-answers.js";

describe("a GPU", () => {
  test("has every figure", () => {
    const computeCapabilities = new Map([[UUID, "8.0"]]);
    expect(readSmiDocument(smiXml(), { computeCapabilities })).toEqual([
      {
        gpu: { gpuId: UUID, name: "NVIDIA X & Y", computeCapability: "8.0", memoryTotalMib: 1000, multiprocessorCount: 0, powerLimitWatts: 300, driverVersion: "550.1", parentGpuId: "", simulated: false },
        sample: {
          gpuId: UUID,
          memoryUsedMib: 100,
          memoryFreeMib: 880,
          gpuUtilizationPercent: 65,
          memoryUtilizationPercent: 9,
          temperatureCelsius: 40,
          powerUsageWatts: 120.5,
          powerLimitWatts: 300,
          clockEventReasons: 0x4 | 0x80,
          eccCorrected: 3,
          eccUncorrected: 6,
          processes: [{ pid: 7, memoryUsedMib: 22 }, { pid: 8, memoryUsedMib: 0 }],
        },
      },
    ]);
  });

  test.each(["N/A", "[Unknown Error]", "[Insufficient Permissions]", "[Not Supported]", "Requested functionality has been deprecated"])("has undefined where nvidia-smi says %s", (word) => {
    const [reading] = readSmiDocument(smiXml({ util: word, temperature: word, power: word, limit: word, ecc: word }));
    expect(reading?.gpu.powerLimitWatts).toBe(0);
    expect(reading?.sample).toMatchObject({ gpuUtilizationPercent: undefined, temperatureCelsius: undefined, powerUsageWatts: undefined, powerLimitWatts: undefined, eccCorrected: undefined, eccUncorrected: undefined });
  });

  test.each(["[GPU is lost]", "[Unknown Error]", "[GPU requires reset]"])("is lost when its memory is %s", (word) => {
    const [reading] = readSmiDocument(smiXml({ used: word }));
    expect(reading).toMatchObject({ sample: undefined, lost: word.slice(1, -1) });
  });

  test("without a UUID is refused", () => {
    expect(() => readSmiDocument("<nvidia_smi_log><gpu><product_name>T4</product_name></gpu></nvidia_smi_log>")).toThrow("a GPU without a UUID (T4)");
  });
});

describe("MIG instances", () => {
  test("stand in place of their GPU, with the names of the listing and their own processes", () => {
    const readings = readSmiDocument(migXml(), { listing: new SmiListing(MIG_LISTING) });
    expect(readings.map(({ gpu }) => [gpu.gpuId, gpu.name, gpu.parentGpuId, gpu.memoryTotalMib, gpu.multiprocessorCount, gpu.powerLimitWatts])).toEqual([
      ["MIG-aa", "NVIDIA X & Y MIG 1g.10gb", UUID, 200, 14, 0],
      ["MIG-bb", "NVIDIA X & Y MIG 1c.3g.40gb", UUID, 400, 28, 0],
    ]);
    expect(readings.map(({ sample }) => sample?.processes)).toEqual([[{ pid: 9, memoryUsedMib: 5 }], []]);
    expect(readings[0]?.sample).toMatchObject({ temperatureCelsius: 40, eccUncorrected: 6, powerUsageWatts: undefined, powerLimitWatts: undefined, gpuUtilizationPercent: undefined });
  });

  test("are named by their place when there is no listing", () => {
    expect(readSmiDocument(migXml()).map(({ gpu }) => [gpu.gpuId, gpu.name])).toEqual([
      [`MIG-${UUID}/3/0`, "NVIDIA X & Y MIG 3/0"],
      [`MIG-${UUID}/2/1`, "NVIDIA X & Y MIG 2/1"],
    ]);
  });
});

test("another document is refused", () => {
  expect(() => readSmiDocument("<html></html>")).toThrow("expected <nvidia_smi_log>, found <html>");
});
