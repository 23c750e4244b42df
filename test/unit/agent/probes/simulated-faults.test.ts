// Troubles of simulated GPUs that a file asks for.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import type { GpuProbeEvent } from "../../../../src/agent/probes/probe.js";
import { SimulatedDevices } from "../../../../src/agent/probes/simulated-devices.js";
import { followFaults, type SimulatedTrouble } from "../../../../src/agent/probes/simulated-faults.js";
import { SimulatedProbe } from "../../../../src/agent/probes/simulated.js";
import { eventually } from "../runners/fixtures.js";

const GPU = "sim-n-0";
let folder: string;
let file: string;
let unusable: string[];
let events: GpuProbeEvent[];
let probe: SimulatedProbe;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "faults-"));
  file = path.join(folder, "faults.json");
  unusable = [];
  events = [];
  const devices = new SimulatedDevices("n", ["A100-80GB", "A100-80GB"]);
  probe = new SimulatedProbe(devices, () => followFaults(file, devices, (why) => unusable.push(why)));
});
afterEach(async () => {
  await probe.close();
  rmSync(folder, { recursive: true });
});

function write(troubles: Readonly<Record<string, SimulatedTrouble>> | string): void {
  writeFileSync(`${file}.new`, typeof troubles === "string" ? troubles : JSON.stringify(troubles));
  renameSync(`${file}.new`, file);
}

test("what is wrong from the start is told to who listens", () => {
  write({ [GPU]: { xid: 79 } });
  probe.onEvent((event) => events.push(event));
  expect(events).toEqual([{ kind: "xid", gpuId: GPU, xid: 79 }]);
});

test("events come with the file, and a lost GPU is silent until it is restored", async () => {
  probe.onEvent((event) => events.push(event));
  expect(await probe.sample()).toHaveLength(2);
  write({ [GPU]: { lost: "pulled out" } });
  await eventually(() => events.length === 1, "the loss is told");
  expect((await probe.sample()).map(({ gpuId }) => gpuId)).toEqual(["sim-n-1"]);
  rmSync(file);
  await eventually(() => events.length === 2, "the return is told");
  expect(events).toEqual([
    { kind: "lost", gpuId: GPU, reason: "pulled out" },
    { kind: "restored", gpuId: GPU, reason: "it answers again" },
  ]);
  expect(await probe.sample()).toHaveLength(2);
});

test("figures hold while the file says them", async () => {
  write({ [GPU]: { temperature_celsius: 95, clock_event_reasons: 64, ecc_uncorrected: 2, row_remap_pending: true, row_remap_failed: false, retired_pages_pending: true, memory_left_mib: 30_000, hangs: "no answer" } });
  probe.onEvent((event) => events.push(event));
  expect(events).toEqual([{ kind: "hangs", gpuId: GPU, reason: "no answer" }]);
  expect(await probe.sample()).toHaveLength(1);
  write({ [GPU]: { temperature_celsius: 95, clock_event_reasons: 64, ecc_uncorrected: 2, row_remap_pending: true, row_remap_failed: false, retired_pages_pending: true, memory_left_mib: 30_000 } });
  await eventually(async () => (await probe.sample()).length === 2, "the GPU answers");
  const [sample] = await probe.sample();
  expect(sample).toMatchObject({ temperatureCelsius: 95, clockEventReasons: 64, eccUncorrected: 2, rowRemapPending: true, rowRemapFailed: false, retiredPagesPending: true, memoryUsedMib: 30_000, processes: [{ pid: 1, memoryUsedMib: 1 }] });
});

test.each([
  ["no JSON", "{", "JSON"],
  ["a trouble that there is not", '{"sim-n-0": {"pain": 3}}', "pain"],
])("%s is told to who plays with it, and what held before holds on", async (_, text, expected) => {
  write({ [GPU]: { temperature_celsius: 95 } });
  probe.onEvent(() => {});
  write(text);
  await eventually(() => unusable.length > 0, "the trouble with the file is told");
  expect(unusable[0]).toContain(expected);
  expect((await probe.sample())[0]?.temperatureCelsius).toBe(95);
});
