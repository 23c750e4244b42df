// Events of simulated GPUs on command.
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import type { GpuProbeEvent } from "../../../../src/agent/probes/probe.js";
import { SimulatedDevices } from "../../../../src/agent/probes/simulated-devices.js";
import { happen } from "../../../../src/agent/probes/simulated-events.js";
import { SimulatedProbe } from "../../../../src/agent/probes/simulated.js";
import { eventually } from "../../eventually.js";

const folder = mkdtempSync(path.join(tmpdir(), "simulated-events-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const devices = new SimulatedDevices("n", ["T4", "T4"]);

test("a line has something happen to the GPU of that index; anything else is none", () => {
  const all = new SimulatedDevices("n", ["A100-80GB", "A100-80GB"]);
  const seen: GpuProbeEvent[] = [];
  all.onEvent((event) => seen.push(event));
  for (const line of ["1 xid 79", "0 lost taken out", "0 restored put back", "1 hangs no answer"]) expect([line, happen(line, all)]).toEqual([line, true]);
  expect(seen).toEqual([
    { kind: "xid", gpuId: "sim-n-1", xid: 79 },
    { kind: "lost", gpuId: "sim-n-0", reason: "taken out" },
    { kind: "restored", gpuId: "sim-n-0", reason: "put back" },
    { kind: "hangs", gpuId: "sim-n-1", reason: "no answer" },
  ]);
  for (const line of ["", "2 xid 79", "0 xid", "0 xid many", "0 burns down", "xid 79", "0 temperature_celsius", "0 temperature_celsius hot", "0 well again"]) expect([line, happen(line, all)]).toEqual([line, false]);
});

test("a GPU that is lost or hangs gives no samples until it is restored or well", async () => {
  const all = new SimulatedDevices("n", ["T4", "T4"]);
  const probe = new SimulatedProbe(all);
  const answering = async (): Promise<string[]> => (await probe.sample()).map(({ gpuId }) => gpuId);
  happen("0 lost taken out", all);
  expect(await answering()).toEqual(["sim-n-1"]);
  happen("1 hangs no answer", all);
  expect(await answering()).toEqual([]);
  happen("0 restored back again", all);
  happen("1 well", all);
  expect(await answering()).toEqual(["sim-n-0", "sim-n-1"]);
});

test("figures show as they are set until the GPU is well; whose memory it is has a process named", () => {
  const all = new SimulatedDevices("n", ["A100-80GB"]);
  const before = all.sample("sim-n-0");
  for (const figure of ["temperature_celsius 95", "clock_event_reasons 64", "ecc_uncorrected 2", "row_remap_pending 1", "row_remap_failed 0", "retired_pages_pending 1", "memory_left_mib 30000"]) expect(happen(`0 ${figure}`, all)).toBe(true);
  expect(all.sample("sim-n-0")).toEqual({
    ...before,
    temperatureCelsius: 95,
    clockEventReasons: 64,
    eccUncorrected: 2,
    rowRemapPending: true,
    rowRemapFailed: false,
    retiredPagesPending: true,
    memoryUsedMib: 30_000,
    memoryFreeMib: 51_920,
    processes: [{ pid: 1, memoryUsedMib: 1 }],
  });
  happen("0 well", all);
  expect(all.sample("sim-n-0")).toEqual({ ...before, processes: [{ pid: 1, memoryUsedMib: 1 }] });
});

test("lines that are appended happen, in order, also in pieces; those before the start do not", async () => {
  const file = path.join(folder, "events");
  writeFileSync(file, "0 xid 13\n");
  const probe = new SimulatedProbe(devices, file);
  const seen: GpuProbeEvent[] = [];
  const stop = probe.onEvent((event) => seen.push(event));
  appendFileSync(file, "0 xid 79\n1 lo");
  appendFileSync(file, "st taken out\n");
  await eventually(() => seen.length === 2, "both events");
  expect(seen).toEqual([
    { kind: "xid", gpuId: "sim-n-0", xid: 79 },
    { kind: "lost", gpuId: "sim-n-1", reason: "taken out" },
  ]);
  stop();
  await probe.close();
});

test("a file that holds something else is refused at the start, with the line", () => {
  const file = path.join(folder, "other");
  writeFileSync(file, "0 xid 79\nhello\n");
  expect(() => new SimulatedProbe(devices, file)).toThrow(/other, line 2: expected an index below 2, then "xid NUMBER", .* it is "hello"/);
});
