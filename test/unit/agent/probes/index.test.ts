// Which probe a node gets.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { openProbe, type OpenedProbe, type ProbeOptions } from "../../../../src/agent/probes/index.js";
import { compiler, FakeNvml, MISSING_COMPILER } from "./fake-nvml.js";
import { testWith } from "./requirement.js";
import { smiXml } from "./smi-answers.js";

const posixTest = testWith(compiler !== undefined && process.platform === "linux", MISSING_COMPILER);
const OPTIONS: ProbeOptions = { mode: "auto", recordedPath: "", nvmlLibrary: "libnvidia-ml.so.1", kernelLog: "off", simulated: { gpus: 4, kind: "A100-80GB" } };

const folder = mkdtempSync(path.join(tmpdir(), "probes-"));
const smi = path.join(folder, "nvidia-smi");
let fake: FakeNvml | undefined;
beforeAll(() => {
  if (compiler !== undefined) fake = new FakeNvml();
  writeFileSync(path.join(folder, "answer.xml"), smiXml());
  writeFileSync(smi, `#!/bin/sh\nif [ "$1" = -q ]; then cat "${folder}/answer.xml"; else exit 1; fi\n`, { mode: 0o755 });
});
afterAll(() => {
  fake?.remove();
  rmSync(folder, { recursive: true });
});

/** Opens, closes, and answers what was opened. */
async function opened(...args: Parameters<typeof openProbe>): Promise<OpenedProbe> {
  const result = await openProbe(...args);
  await result.probe.close();
  return result;
}

describe("auto", () => {
  const noSmi = { command: path.join(folder, "nowhere") };
  const noNvml = (): object => ({ ...fake?.options(), library: path.join(folder, "nowhere.so") });

  posixTest("takes NVML where it works", async () => {
    const { probe, notes, gpus, devices } = await opened("n1", OPTIONS, { nvml: fake?.options() ?? {}, nvidiaSmi: { command: smi } });
    expect([probe.kind, gpus.length, devices]).toEqual(["nvml", 2, undefined]);
    expect(notes).toEqual(["nvml: 2 x Fake A100-SXM4-80GB"]);
  });

  posixTest("takes nvidia-smi where NVML does not, and says why", async () => {
    const { probe, notes } = await opened("n1", OPTIONS, { nvml: noNvml(), nvidiaSmi: { command: smi } });
    expect(probe.kind).toBe("nvidia-smi");
    expect(notes).toEqual([expect.stringMatching(/^nvml: .*nowhere\.so cannot be loaded/), "nvidia-smi: 1 x NVIDIA X & Y"]);
  });

  posixTest("simulates GPUs where neither works, and says so", async () => {
    const { probe, notes, gpus, devices } = await opened("n1", OPTIONS, { nvml: noNvml(), nvidiaSmi: noSmi });
    expect(probe.kind).toBe("simulated");
    expect(notes).toEqual([
      expect.stringMatching(/^nvml: /),
      expect.stringMatching(/^nvidia-smi: .*not found/),
      "No NVIDIA GPU can be used, so the GPUs of this node are simulated: they do no real work.",
      "simulated: 4 x Simulated A100-SXM4-80GB",
    ]);
    expect(gpus.every(({ simulated }) => simulated)).toBe(true);
    // The same devices that the probe reports: what begins there shows.
    devices?.begin("sim-n1-3", 10);
    expect((await probe.sample())[3]).toMatchObject({ gpuId: "sim-n1-3", memoryUsedMib: 10 });
  });
});

describe("a named mode", () => {
  test("simulated has as many GPUs as asked for", async () => {
    const { gpus, notes } = await opened("n2", { ...OPTIONS, mode: "simulated", simulated: { gpus: 16, kind: "T4" } });
    expect(gpus).toHaveLength(16);
    expect(notes).toEqual(["simulated: 16 x Simulated T4"]);
  });

  test("recorded replays the recording", async () => {
    const { probe, notes, devices } = await opened("n1", { ...OPTIONS, mode: "recorded", recordedPath: path.join(folder, "answer.xml") });
    expect([probe.kind, devices, ...notes]).toEqual(["recorded", undefined, "recorded: 1 x NVIDIA X & Y"]);
  });

  posixTest("nvml takes the library that the configuration names", async () => {
    const { library = "", ...options } = fake?.options({ MIG: "1" }) ?? {};
    const { notes } = await opened("n1", { ...OPTIONS, mode: "nvml", nvmlLibrary: library }, { nvml: options });
    expect(notes).toEqual(["nvml: 1 x Fake A100-SXM4-80GB MIG 3g.40gb, 1 x Fake A100-SXM4-80GB MIG 1g.10gb, 1 x Fake A100-SXM4-80GB"]);
  });

  posixTest("fails where it cannot be had, and falls back to nothing", async () => {
    const nvml = { ...fake?.options(), library: path.join(folder, "nowhere.so") };
    await expect(openProbe("n1", { ...OPTIONS, mode: "nvml" }, { nvml })).rejects.toThrow("nowhere.so cannot be loaded");
    await expect(openProbe("n1", { ...OPTIONS, mode: "nvidia-smi" }, { nvidiaSmi: { command: path.join(folder, "nowhere") } })).rejects.toThrow("not found");
  });
});
