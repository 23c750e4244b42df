// Events of simulated GPUs on command.
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import type { GpuProbeEvent } from "../../../../src/agent/probes/probe.js";
import { SimulatedDevices } from "../../../../src/agent/probes/simulated-devices.js";
import { eventOf } from "../../../../src/agent/probes/simulated-events.js";
import { SimulatedProbe } from "../../../../src/agent/probes/simulated.js";
import { eventually } from "../runners/fixtures.js";

const folder = mkdtempSync(path.join(tmpdir(), "simulated-events-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const devices = new SimulatedDevices("n", ["T4", "T4"]);

test("a line is an Xid or a loss of the GPU of that index; anything else is none", () => {
  expect(eventOf("1 xid 79", devices.gpus)).toEqual({ kind: "xid", gpuId: "sim-n-1", xid: 79 });
  expect(eventOf("0 lost taken out", devices.gpus)).toEqual({ kind: "lost", gpuId: "sim-n-0", reason: "taken out" });
  for (const line of ["", "2 xid 79", "0 xid", "0 xid many", "0 burns down", "xid 79"]) expect(eventOf(line, devices.gpus)).toBeNull();
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
  expect(() => new SimulatedProbe(devices, file)).toThrow(/other, line 2: expected "GPU xid NUMBER" or "GPU lost REASON", GPU an index below 2; it is "hello"/);
});
