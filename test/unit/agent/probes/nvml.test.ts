// The NVML probe against a compiled stand-in of the library.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect } from "@jest/globals";
import { NvmlProbe, type NvmlOptions } from "../../../../src/agent/probes/nvml.js";
import type { GpuProbeEvent } from "../../../../src/agent/probes/probe.js";
import { compiler, FakeNvml, MISSING_COMPILER } from "./fake-nvml.js";
import { testWith } from "./requirement.js";

const test = testWith(compiler !== undefined && process.platform === "linux", MISSING_COMPILER);
const GPU_0 = "GPU-fa4e0000-0000-0000-0000-000000000000";
const GPU_1 = "GPU-fa4e0000-0000-0000-0000-000000000001";
const MIG_3G = "MIG-fa4e0000-0000-0000-0000-000000000000";
const MIG_1G = "MIG-fa4e0000-0000-0000-0000-000000000001";

let fake: FakeNvml;
const open: NvmlProbe[] = [];
beforeAll(() => {
  if (compiler !== undefined) fake = new FakeNvml();
});
afterAll(() => fake?.remove());
afterEach(async () => {
  await Promise.all(open.splice(0).map((probe) => probe.close()));
  fake?.clear();
});

/** A probe that is closed after the test, and the events it has told so far. `told` resolves once there are `count`. */
function probeWith(options: NvmlOptions): { probe: NvmlProbe; events: GpuProbeEvent[]; told: (count: number) => Promise<void> } {
  const probe = new NvmlProbe(options);
  open.push(probe);
  const events: GpuProbeEvent[] = [];
  probe.onEvent((event) => events.push(event));
  const told = (count: number): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (events.length < count) return;
        stop();
        resolve();
      };
      const stop = probe.onEvent(look);
      look();
    });
  return { probe, events, told };
}

describe("what it tells", () => {
  test("every figure of every GPU", async () => {
    const { probe } = probeWith(fake.options());
    const [first, second, ...rest] = await probe.inventory();
    expect(rest).toEqual([]);
    expect(first).toEqual({
      gpuId: GPU_0,
      name: "Fake A100-SXM4-80GB",
      computeCapability: "8.0",
      memoryTotalMib: 81_920,
      multiprocessorCount: 108,
      powerLimitWatts: 400,
      driverVersion: "999.10.01",
      parentGpuId: "",
      simulated: false,
    });
    expect(second?.gpuId).toBe(GPU_1);
    const samples = await probe.sample();
    expect(samples.map(({ gpuId }) => gpuId)).toEqual([GPU_0, GPU_1]);
    // Memory by version 2 of the call: what is reserved is neither used nor free, and rounding never adds memory.
    expect(samples[0]).toEqual({
      gpuId: GPU_0,
      memoryUsedMib: 500,
      memoryFreeMib: 80_920,
      gpuUtilizationPercent: 40,
      memoryUtilizationPercent: 20,
      temperatureCelsius: 50,
      powerUsageWatts: 250.5,
      powerLimitWatts: 400,
      clockEventReasons: 0x24,
      eccCorrected: 7,
      eccUncorrected: 1,
      rowRemapPending: false,
      rowRemapFailed: false,
      processes: [
        { pid: 1000, memoryUsedMib: 100 },
        { pid: 1001, memoryUsedMib: 101 },
        { pid: 77, memoryUsedMib: 31 },
      ],
    });
    expect(samples[1]).toMatchObject({ gpuUtilizationPercent: 41, temperatureCelsius: 51 });
  });

  test("MIG instances in place of their GPU", async () => {
    const { probe } = probeWith(fake.options({ MIG: "1" }));
    const inventory = await probe.inventory();
    expect(inventory.map(({ gpuId, name, parentGpuId, memoryTotalMib, multiprocessorCount }) => [gpuId, name, parentGpuId, memoryTotalMib, multiprocessorCount])).toEqual([
      [MIG_3G, "Fake A100-SXM4-80GB MIG 3g.40gb", GPU_0, 40_192, 42],
      [MIG_1G, "Fake A100-SXM4-80GB MIG 1g.10gb", GPU_0, 9728, 14],
      [GPU_1, "Fake A100-SXM4-80GB", "", 81_920, 108],
    ]);
    const [instance] = await probe.sample();
    expect(instance).toMatchObject({ gpuId: MIG_3G, memoryUsedMib: 500, temperatureCelsius: 50, clockEventReasons: 0x24, eccUncorrected: 1 });
    expect(instance).toMatchObject({ gpuUtilizationPercent: undefined, powerUsageWatts: undefined, powerLimitWatts: undefined });
    expect(instance?.processes).toEqual([{ pid: 1000, memoryUsedMib: 100 }]);
  });

  test("the same of an old driver, by the names and layouts of its time", async () => {
    const { probe } = probeWith(fake.options({}, true));
    expect((await probe.inventory())[0]).toMatchObject({ gpuId: GPU_0, multiprocessorCount: 108, memoryTotalMib: 81_920 });
    const [sample] = await probe.sample();
    expect(sample).toMatchObject({ memoryUsedMib: 1000, memoryFreeMib: 80_920, clockEventReasons: 0x4 });
    expect(sample?.processes).toEqual([
      { pid: 1000, memoryUsedMib: 100 },
      { pid: 1001, memoryUsedMib: 101 },
    ]);
  });

  test("undefined for each figure that the GPU does not support", async () => {
    for (const call of ["UtilizationRates", "Temperature", "PowerUsage", "EnforcedPowerLimit", "CudaComputeCapability", "NumGpuCores", "TotalEccErrors", "RemappedRows", "CurrentClocksEventReasons", "ComputeRunningProcesses_v3", "GraphicsRunningProcesses_v3", "MigMode"]) fake.raise(`unsupported-${call}`);
    const { probe } = probeWith(fake.options({ GPUS: "1" }));
    expect((await probe.inventory())[0]).toMatchObject({ computeCapability: "", multiprocessorCount: 0, powerLimitWatts: 0 });
    expect(await probe.sample()).toEqual([
      {
        gpuId: GPU_0,
        memoryUsedMib: 500,
        memoryFreeMib: 80_920,
        gpuUtilizationPercent: undefined,
        memoryUtilizationPercent: undefined,
        temperatureCelsius: undefined,
        powerUsageWatts: undefined,
        powerLimitWatts: undefined,
        clockEventReasons: 0,
        eccCorrected: undefined,
        eccUncorrected: undefined,
        processes: [],
      },
    ]);
  });

  test("undefined for figures of all ones, NVML's word for not available", async () => {
    fake.raise("sentinel");
    const { probe } = probeWith(fake.options({ GPUS: "1" }));
    const [sample] = await probe.sample();
    expect(sample).toMatchObject({ eccCorrected: undefined, eccUncorrected: undefined, clockEventReasons: 0 });
    expect(sample?.processes.map(({ memoryUsedMib }) => memoryUsedMib)).toEqual([0, 0, 0]);
  });

  test("memory by version 1 where version 2 is not supported, and none at all where the GPU has none of its own", async () => {
    fake.raise("unsupported-MemoryInfo_v2");
    const { probe } = probeWith(fake.options({ GPUS: "1" }));
    expect((await probe.sample())[0]).toMatchObject({ memoryUsedMib: 1000, memoryFreeMib: 80_920 });
    fake.raise("unsupported-MemoryInfo");
    expect((await probe.sample())[0]).toMatchObject({ memoryUsedMib: 0, memoryFreeMib: 0 });
  });

  test("repairs of memory that wait for a reset, of the GPU and of each of its instances", async () => {
    const repairs = async (probe: NvmlProbe): Promise<unknown[]> => (await probe.sample()).map(({ rowRemapPending, rowRemapFailed, retiredPagesPending }) => [rowRemapPending, rowRemapFailed, retiredPagesPending]);
    fake.raise("rows-pending-0");
    fake.raise("rows-failed-1");
    expect(await repairs(probeWith(fake.options()).probe)).toEqual([[true, false, undefined], [false, true, undefined]]);
    expect((await repairs(probeWith(fake.options({ MIG: "1" })).probe)).slice(0, 2)).toEqual([[true, false, undefined], [true, false, undefined]]);
    expect(await repairs(probeWith(fake.options({}, true)).probe)).toEqual([[undefined, undefined, true], [undefined, undefined, false]]);
  });

  test("all processes when there are more than the first guess", async () => {
    const { probe } = probeWith(fake.options({ GPUS: "1", PROCESSES: "1000" }));
    expect((await probe.sample())[0]?.processes).toHaveLength(1001);
  });
});

describe("events", () => {
  test("an Xid of a GPU is told when it happens", async () => {
    const { probe, events, told } = probeWith(fake.options());
    await probe.inventory();
    fake.raise("xid-1", "79");
    await told(1);
    expect(events).toEqual([{ kind: "xid", gpuId: GPU_1, xid: 79 }]);
  });

  test("an Xid of one MIG instance is told of that instance only", async () => {
    const { probe, events, told } = probeWith(fake.options({ MIG: "1" }));
    await probe.inventory();
    fake.raise("xid-0", "63 9");
    await told(1);
    expect(events).toEqual([{ kind: "xid", gpuId: MIG_1G, xid: 63 }]);
  });

  test("an Xid of the whole GPU is told of each of its MIG instances", async () => {
    const { probe, events, told } = probeWith(fake.options({ MIG: "1" }));
    await probe.inventory();
    fake.raise("xid-0", "48");
    await told(2);
    expect(events).toEqual([MIG_3G, MIG_1G].map((gpuId) => ({ kind: "xid", gpuId, xid: 48 })));
  });

  test("a lost GPU is told once, left out of the samples, and back when it answers again", async () => {
    const { probe, events } = probeWith(fake.options());
    await probe.inventory();
    fake.raise("lost-0");
    expect((await probe.sample()).map(({ gpuId }) => gpuId)).toEqual([GPU_1]);
    expect((await probe.sample()).map(({ gpuId }) => gpuId)).toEqual([GPU_1]);
    expect(events).toEqual([{ kind: "lost", gpuId: GPU_0, reason: expect.stringContaining("GPU_IS_LOST. The GPU has fallen off the bus") }]);
    fake.clear("lost-0");
    expect(await probe.sample()).toHaveLength(2);
    expect(events[1]).toEqual({ kind: "restored", gpuId: GPU_0, reason: "it answers again" });
    fake.raise("error-0");
    expect(await probe.sample()).toHaveLength(1);
    expect(events).toHaveLength(3);
    expect(events[2]).toMatchObject({ kind: "lost", gpuId: GPU_0, reason: expect.stringContaining("nvmlDeviceGetMemoryInfo answered UNKNOWN") });
  });
});

describe("a driver that hangs", () => {
  test("costs the GPU whose call hangs, not the others, nor the event loop", async () => {
    const { probe, events } = probeWith({ ...fake.options({ GPUS: "3" }), retryHungAfterMs: 0 });
    await probe.inventory();
    fake.raise("hang-1");
    let ticks = 0;
    const ticker = setInterval(() => (ticks += 1), 20);
    const samples = await probe.sample();
    clearInterval(ticker);
    expect(samples.map(({ gpuId }) => gpuId.slice(-1))).toEqual(["0", "2"]);
    expect(ticks).toBeGreaterThan(5);
    expect(events).toEqual([{ kind: "hangs", gpuId: GPU_1, reason: expect.stringMatching(/did not answer for GPU-\S+1 within 1000 ms\. The NVIDIA driver may hang/) }]);
    fake.clear("hang-1");
    // Its sample says that it is over.
    expect(await probe.sample()).toHaveLength(3);
    expect(events).toHaveLength(1);
  });

  test("is left alone for a while", async () => {
    const { probe } = probeWith({ ...fake.options(), retryHungAfterMs: 3_600_000 });
    await probe.inventory();
    fake.raise("hang-0");
    expect(await probe.sample()).toHaveLength(1);
    fake.clear("hang-0");
    expect(await probe.sample()).toHaveLength(1);
  });

  test("rejects the sample with what to look for when no GPU answers", async () => {
    const { probe } = probeWith(fake.options({ GPUS: "1" }));
    await probe.inventory();
    fake.raise("hang-0");
    await expect(probe.sample()).rejects.toThrow(/did not answer .* within 1000 ms.*kernel log/);
    await expect(probe.sample()).rejects.toThrow("hung on each of them a short while ago");
  });

  test("does not keep the probe from closing", async () => {
    const { probe } = probeWith({ ...fake.options({ GPUS: "1" }), callTimeoutMs: 60_000 });
    await probe.inventory();
    fake.raise("hang-0");
    const sample = expect(probe.sample()).rejects.toThrow("NVML was closed");
    await fake.hanging();
    await probe.close();
    await sample;
    await expect(probe.sample()).rejects.toThrow("NVML is closed");
  });

  test("is told by the inventory when it hangs from the start", async () => {
    fake.raise("hang-open");
    const { probe } = probeWith({ ...fake.options(), openTimeoutMs: 2000 });
    await expect(probe.inventory()).rejects.toThrow("NVML did not open within 2000 ms");
    fake.clear("hang-open");
    expect(await probe.inventory()).toHaveLength(2);
  });

  test("is waited for once when the replaced process does not open either", async () => {
    const { probe, events } = probeWith({ ...fake.options({ GPUS: "8" }), openTimeoutMs: 2000 });
    await probe.inventory();
    fake.raise("hang-open");
    fake.raise("crash-0");
    const startedAt = performance.now();
    await expect(probe.sample()).rejects.toThrow("NVML did not open within 2000 ms");
    expect(performance.now() - startedAt).toBeLessThan(8000);
    expect(events.map(({ kind }) => kind)).toEqual(Array.from({ length: 8 }, () => "hangs"));
  });
});

test("a library that crashes takes neither the agent nor the other GPUs with it", async () => {
  const { probe, events } = probeWith(fake.options());
  await probe.inventory();
  fake.raise("crash-0");
  expect((await probe.sample()).map(({ gpuId }) => gpuId)).toEqual([GPU_1]);
  expect(events).toEqual([{ kind: "hangs", gpuId: GPU_0, reason: expect.stringContaining("ended (SIGSEGV)") }]);
});

/** Whether a process is there and not a zombie that nobody has collected. */
function runs(pid: string | undefined): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

test("the process ends with the agent, even when that is killed", async () => {
  const { library, environment, processEntry } = fake.options();
  const script = `
    const { NvmlProbe } = await import(${JSON.stringify(fake.probeModule.href)});
    const probe = new NvmlProbe({ library: ${JSON.stringify(library)}, processEntry: new URL(${JSON.stringify(processEntry?.href)}) });
    await probe.inventory();
    console.log("ready");
    setInterval(() => {}, 1000);`;
  const agent = spawn(process.execPath, ["--input-type=module", "-e", script], { env: environment, stdio: ["ignore", "pipe", "inherit"] });
  await once(agent.stdout, "data");
  const [child] = readFileSync(`/proc/${agent.pid}/task/${agent.pid}/children`, "utf8").trim().split(" ");
  expect(runs(child)).toBe(true);
  agent.kill("SIGKILL");
  while (runs(child)) await delay(10);
});

test("samples asked for at the same time are one", async () => {
  const { probe } = probeWith(fake.options());
  expect(probe.sample()).toBe(probe.sample());
  await probe.sample();
});

describe("when NVML cannot be used, the inventory says what to do", () => {
  test("without the library", async () => {
    const { probe } = probeWith({ ...fake.options(), library: "libnvidia-ml-nowhere.so.1" });
    await expect(probe.inventory()).rejects.toThrow(/libnvidia-ml-nowhere\.so\.1 cannot be loaded .* comes with the NVIDIA driver/);
  });

  test("without koffi", async () => {
    const { probe } = probeWith({ ...fake.options(), processEntry: fake.processEntryWithoutPackages() });
    await expect(probe.inventory()).rejects.toThrow("run `npm install koffi`");
  });

  test("without the driver's module", async () => {
    const { probe } = probeWith(fake.options({ INIT: "9" }));
    await expect(probe.inventory()).rejects.toThrow("nvmlInit_v2 answered DRIVER_NOT_LOADED. Load the NVIDIA kernel module");
  });

  test("without a GPU", async () => {
    const { probe } = probeWith(fake.options({ GPUS: "0" }));
    await expect(probe.inventory()).rejects.toThrow("there is no NVIDIA GPU on this machine");
  });

  test("with GPUs that are all lost", async () => {
    fake.raise("lost-0");
    const { probe } = probeWith(fake.options({ GPUS: "1" }));
    await expect(probe.inventory()).rejects.toThrow("nvmlDeviceGetUUID answered GPU_IS_LOST");
  });
});
