// Every capture that we have, replayed: drivers 418 to 610, Linux and Windows, XML schemas 10 to 13, MIG.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, test as always } from "@jest/globals";
import type { GpuSample, ProbedGpu } from "../../../../src/agent/probes/probe.js";
import { RecordedProbe } from "../../../../src/agent/probes/recorded.js";
import { testWith } from "./requirement.js";
import { smiXml, UUID } from "./smi-answers.js";
import { CAPTURES, hasCaptures, MISSING_TRACES } from "./traces.js";

const test = testWith(hasCaptures, MISSING_TRACES);
const EXPORTER = path.join(CAPTURES, "exporter-captures");
const TELEGRAF = path.join(CAPTURES, "telegraf-xml");
const files = hasCaptures ? [EXPORTER, TELEGRAF].flatMap((folder) => readdirSync(folder).map((name) => path.join(folder, name))).filter((name) => /\.(xml|txt\.gz)$/.test(name)) : [];

async function replay(file: string): Promise<{ gpus: readonly ProbedGpu[]; idle: readonly GpuSample[]; load: readonly GpuSample[] }> {
  const probe = await RecordedProbe.open(file);
  return { gpus: await probe.inventory(), idle: await probe.sample(), load: await probe.sample() };
}
const exporter = (name: string): ReturnType<typeof replay> => replay(path.join(EXPORTER, `${name}.txt.gz`));
const telegraf = (name: string): ReturnType<typeof replay> => replay(path.join(TELEGRAF, `${name}.xml`));

function expectSane(gpu: ProbedGpu, sample: GpuSample): void {
  const between = (value: number | undefined, low: number, high: number): void => {
    if (value === undefined) return;
    expect(value).toBeGreaterThanOrEqual(low);
    expect(value).toBeLessThanOrEqual(high);
  };
  expect(sample.gpuId).toBe(gpu.gpuId);
  expect(gpu.gpuId).toMatch(/^(GPU|MIG)-/);
  expect(gpu.name.length).toBeGreaterThan(3);
  expect(gpu.computeCapability).toMatch(/^(\d+\.\d)?$/);
  expect(gpu.driverVersion).toMatch(/^(\d+\.\d+(\.\d+)?)?$/);
  between(gpu.memoryTotalMib, 1000, 200_000);
  // nvidia-smi rounds each figure on its own, so the sum may be 1 MiB above the total.
  between(sample.memoryUsedMib + sample.memoryFreeMib, gpu.memoryTotalMib * 0.9, gpu.memoryTotalMib + 1);
  between(sample.gpuUtilizationPercent, 0, 100);
  between(sample.memoryUtilizationPercent, 0, 100);
  between(sample.temperatureCelsius, 15, 110);
  between(sample.powerUsageWatts, 1, 1500);
  between(sample.powerLimitWatts, 20, 1500);
  between(sample.clockEventReasons, 0, 0x1ff);
  between(sample.eccUncorrected, 0, 10);
  for (const { pid, memoryUsedMib } of sample.processes) {
    expect(pid).toBeGreaterThan(0);
    between(memoryUsedMib, 0, gpu.memoryTotalMib);
  }
}

describe("every capture", () => {
  test("is there", () => {
    expect(files.filter((file) => file.endsWith(".xml"))).toHaveLength(12);
    expect(files.filter((file) => file.endsWith(".gz"))).toHaveLength(10);
  });

  test("gives GPUs with a name, memory and figures within reason, in every state", async () => {
    for (const file of files) {
      const { gpus, idle, load } = await replay(file);
      expect(gpus.length).toBeGreaterThan(0);
      for (const samples of [idle, load]) {
        expect(samples).toHaveLength(gpus.length);
        gpus.forEach((gpu, index) => {
          const sample = samples[index];
          if (sample === undefined) throw new Error(`${file}: no sample of ${gpu.gpuId}`);
          expectSane(gpu, sample);
        });
      }
    }
  });

  test("all of a folder are one node, whose masked ids are kept apart", async () => {
    const probe = await RecordedProbe.open(EXPORTER);
    const ids = (await probe.inventory()).map(({ gpuId }) => gpuId);
    expect(ids).toHaveLength(17);
    expect(new Set(ids).size).toBe(17);
    for (let round = 0; round < 3; round += 1) expect((await probe.sample()).map(({ gpuId }) => gpuId)).toEqual(ids);
  });
});

describe("known captures", () => {
  test("H100, idle and loaded", async () => {
    const { gpus, idle, load } = await exporter("linux-x86_64__nvidia-h100-80gb-hbm3__590.48.01");
    expect(gpus).toEqual([
      {
        gpuId: "GPU-00000000-0000-0000-0000-000000000000",
        name: "NVIDIA H100 80GB HBM3",
        computeCapability: "9.0",
        memoryTotalMib: 81_559,
        multiprocessorCount: 0,
        powerLimitWatts: 700,
        driverVersion: "590.48.01",
        parentGpuId: "",
        simulated: true,
      },
    ]);
    expect(idle[0]).toMatchObject({ memoryUsedMib: 0, memoryFreeMib: 81_081, gpuUtilizationPercent: 0, clockEventReasons: 1, eccCorrected: 0, processes: [] });
    expect(load[0]).toMatchObject({
      memoryUsedMib: 19_818,
      gpuUtilizationPercent: 100,
      memoryUtilizationPercent: 11,
      temperatureCelsius: 59,
      powerUsageWatts: 631.95,
      clockEventReasons: 0,
      processes: [
        { pid: 11_327, memoryUsedMib: 2566 },
        { pid: 11_328, memoryUsedMib: 1542 },
        { pid: 11_345, memoryUsedMib: 15_690 },
      ],
    });
  });

  test("H200 cut into five MIG instances, two of which share a memory", async () => {
    const { gpus, load } = await exporter("linux-x86_64__nvidia-h200-mig__590.48.01");
    expect(gpus.map(({ gpuId, name, memoryTotalMib, multiprocessorCount }) => [gpuId.slice(-1), name, memoryTotalMib, multiprocessorCount])).toEqual([
      ["0", "NVIDIA H200 MIG 1c.3g.71gb", 71_424, 16],
      ["1", "NVIDIA H200 MIG 2c.3g.71gb", 71_424, 32],
      ["2", "NVIDIA H200 MIG 2g.35gb", 33_280, 32],
      ["3", "NVIDIA H200 MIG 1g.18gb", 16_384, 16],
      ["4", "NVIDIA H200 MIG 1g.18gb", 16_384, 16],
    ]);
    for (const gpu of gpus) expect(gpu).toMatchObject({ parentGpuId: "GPU-00000000-0000-0000-0000-000000000000", computeCapability: "9.0", powerLimitWatts: 0 });
    expect(load.map(({ processes }) => processes.map(({ pid }) => pid))).toEqual([[], [12_249, 12_250, 12_267], [], [], []]);
    expect(load[1]).toMatchObject({ gpuUtilizationPercent: undefined, powerUsageWatts: undefined, temperatureCelsius: 36 });
  });

  test("A100 cut into four MIG instances, in XML that does not tell their UUIDs", async () => {
    const { gpus, idle } = await telegraf("a100-sxm4-v12");
    const parent = "GPU-513536b6-7d19-9063-b049-1e69664bb298";
    expect(gpus.map(({ gpuId }) => gpuId)).toEqual([3, 4, 5, 6].map((instance) => `MIG-${parent}/${instance}/0`));
    expect(gpus[0]).toMatchObject({ name: "NVIDIA A100-SXM4-80GB MIG 3/0", memoryTotalMib: 19_968, multiprocessorCount: 14, parentGpuId: parent, driverVersion: "535.54.03" });
    expect(idle[0]).toMatchObject({ memoryUsedMib: 12, memoryFreeMib: 19_955, temperatureCelsius: 27, eccUncorrected: 0 });
  });

  test("T4, with the names of schema 11", async () => {
    const { gpus, idle } = await telegraf("tesla-t4");
    expect(gpus[0]).toMatchObject({ name: "Tesla T4", memoryTotalMib: 15_360, powerLimitWatts: 70, driverVersion: "515.105.01" });
    expect(idle[0]).toMatchObject({ powerUsageWatts: 26.78, eccCorrected: 0, processes: [{ pid: 675, memoryUsedMib: 22 }, { pid: 5762, memoryUsedMib: 1005 }] });
  });

  test("GTX 1070 Ti, which says little", async () => {
    const { gpus, idle } = await telegraf("gtx-1070-ti");
    expect(gpus[0]).toMatchObject({ name: "GeForce GTX 1070 Ti", memoryTotalMib: 4096, powerLimitWatts: 0, driverVersion: "" });
    expect(idle[0]).toMatchObject({ memoryUsedMib: 42, temperatureCelsius: 39, powerUsageWatts: undefined, powerLimitWatts: undefined, eccCorrected: undefined, clockEventReasons: 0, processes: [] });
  });

  test("RTX 3080, with the names of schema 13", async () => {
    const { idle } = await telegraf("rtx-3080-v13");
    expect(idle[0]).toMatchObject({ gpuUtilizationPercent: 65, powerUsageWatts: 139.62, powerLimitWatts: 320 });
  });

  test("RTX 2080 SUPER on Windows, whose driver does not tell the memory of processes", async () => {
    const { gpus, load } = await exporter("windows-x86_64__nvidia-geforce-rtx-2080-super__610.62");
    expect(gpus[0]).toMatchObject({ name: "NVIDIA GeForce RTX 2080 SUPER", computeCapability: "7.5", memoryTotalMib: 8192, driverVersion: "610.62" });
    expect(load[0]).toMatchObject({ memoryUsedMib: 1366, eccUncorrected: undefined });
    expect(load[0]?.processes.length).toBeGreaterThan(10);
    expect(load[0]?.processes[0]).toEqual({ pid: 2140, memoryUsedMib: 0 });
  });
});

describe("a recording of one's own", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "recordings-"));
  const write = (name: string, content: string | Uint8Array): string => {
    writeFileSync(path.join(folder, name), content);
    return path.join(folder, name);
  };
  afterAll(() => rmSync(folder, { recursive: true }));

  always("is read plain or gzipped, and counts as simulated", async () => {
    for (const file of [write("a.xml", smiXml()), write("b.xml.gz", gzipSync(smiXml()))]) {
      const probe = await RecordedProbe.open(file);
      expect(probe.kind).toBe("recorded");
      expect(await probe.inventory()).toMatchObject([{ gpuId: UUID, name: "NVIDIA X & Y", simulated: true }]);
      await probe.close();
    }
  });

  always.each([
    ["is not XML", "broken.xml", "NVIDIA-SMI has failed", /broken\.xml cannot be replayed: nvidia-smi XML, line 1/],
    ["has no GPU", "none.xml", "<nvidia_smi_log></nvidia_smi_log>", /none\.xml cannot be replayed: no GPU in it/],
    ["is no gzip", "plain.xml.gz", smiXml(), /plain\.xml\.gz cannot be replayed: .*incorrect header check/],
    ["is a capture without states", "cut.txt", `${"#".repeat(80)}\n# nvidia_gpu_exporter GPU capture\n`, /neither an "idle" nor a "load" state/],
    ["unpacks to more than a recording has", "bomb.xml.gz", gzipSync(Buffer.alloc(20 * 1024 * 1024)), /bomb\.xml\.gz cannot be replayed: .*larger than/],
  ])("that %s is refused with the reason", async (_, name, content, message) => {
    await expect(RecordedProbe.open(write(name, content))).rejects.toThrow(message);
  });

  always("that does not exist is refused, and so is a folder without any", async () => {
    await expect(RecordedProbe.open(path.join(folder, "nowhere"))).rejects.toThrow("does not exist. Name a recording");
    await expect(RecordedProbe.open(mkdtempSync(path.join(folder, "empty-")))).rejects.toThrow("has no recordings: expected files named *.xml or *.txt");
  });
});
