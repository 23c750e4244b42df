// Xids from recorded kernel logs, as a node with the nvidia-smi probe gets them: from the line to the GPU that is meant.
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeEach, expect, test } from "@jest/globals";
import { XidLog } from "../../../../../src/agent/probes/kernel-log/xid-log.js";
import { NvidiaSmiProbe } from "../../../../../src/agent/probes/nvidia-smi.js";
import type { GpuProbeEvent } from "../../../../../src/agent/probes/probe.js";
import { testWith } from "../requirement.js";
import { CAPTURES, hasCaptures, hasXids, MISSING_TRACES, XIDS } from "../traces.js";
import { eventually } from "../../../eventually.js";

const hasAll = hasCaptures && hasXids && process.platform !== "win32";
const traceTest = testWith(hasAll, MISSING_TRACES);
/** Is the only GPU there, at 0000:01:00, divided into MIG instances. */
const A100 = path.join(CAPTURES, "telegraf-xml/a100-sxm4-v12.xml");

const folder = mkdtempSync(path.join(tmpdir(), "xid-log-"));
const kmsg = path.join(folder, "kmsg");
const open: { close(): unknown }[] = [];

beforeEach(() => writeFileSync(kmsg, ""));
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

async function xidLog(gpuAt: Readonly<Record<string, string>>): Promise<GpuProbeEvent[]> {
  const events: GpuProbeEvent[] = [];
  const log = new XidLog({ source: kmsg }, new Map(Object.entries(gpuAt)), (event) => events.push(event));
  open.push(log);
  await log.start();
  return events;
}

test("an Xid is told of the GPU that sits at the address, with the words behind the number; others, and other lines, are not", async () => {
  const events = await xidLog({ "0000:01:00": "GPU-a", "0000:02:00": "GPU-b" });
  appendFileSync(kmsg, ["usb 1-1: new device", "NVRM: Xid (PCI:0000:09:00): 79, of another", "NVRM: Xid (PCI:0000:02:00): 79, GPU has fallen off the bus.", ""].join("\n"));
  await eventually(() => events.length > 0);
  expect(events).toEqual([{ kind: "xid", gpuId: "GPU-b", xid: 79, detail: "GPU has fallen off the bus." }]);
});

test("a GPU that writes the same Xid again and again is told of once a moment, another Xid or GPU at once", async () => {
  const events = await xidLog({ "0000:01:00": "GPU-a", "0000:02:00": "GPU-b" });
  appendFileSync(kmsg, `${"NVRM: Xid (PCI:0000:01:00): 31, fault\n".repeat(500)}NVRM: Xid (PCI:0000:01:00): 48, ECC\nNVRM: Xid (PCI:0000:02:00): 31, fault\n`);
  await eventually(() => events.length >= 3);
  expect(events.map((event) => event.kind === "xid" && `${event.gpuId} ${event.xid}`)).toEqual(["GPU-a 31", "GPU-a 48", "GPU-b 31"]);
});

traceTest("the recorded logs give the Xids of their GPUs, each with its number and words", async () => {
  const events = await xidLog({ "0000:9b:00": "GPU-a", "0000:04:00": "GPU-b" });
  appendFileSync(kmsg, readFileSync(path.join(XIDS, "dmesg-with-xid-119.log")));
  appendFileSync(kmsg, readFileSync(path.join(XIDS, "dmesg-xid-lines.txt")));
  appendFileSync(kmsg, "NVRM: Xid (PCI:0000:04:00): 9999, the last\n");
  await eventually(() => events.some((event) => event.kind === "xid" && event.xid === 9999));
  const told = events.flatMap((event) => (event.kind === "xid" ? [`${event.gpuId} ${event.xid}`] : []));
  expect(new Set(told)).toEqual(new Set(["GPU-a 119", ...[63, 64, 79, 144, 145, 146, 147, 148, 149, 150, 9999].map((xid) => `GPU-b ${xid}`)]));
  expect(told.filter((each) => each === "GPU-a 119").length).toBeGreaterThanOrEqual(5);
  expect(events).toContainEqual({ kind: "xid", gpuId: "GPU-b", xid: 144, detail: expect.stringMatching(/^SAW_MVB Fatal/) });
});

traceTest("the probe that asks nvidia-smi tells the Xids of the kernel's log, those of a divided GPU of the whole of it", async () => {
  const smi = path.join(folder, "nvidia-smi");
  writeFileSync(smi, `#!/bin/sh\nif [ "$1" = -q ]; then cat "${A100}"; else exit 1; fi\n`, { mode: 0o755 });
  const notes: string[] = [];
  const probe = new NvidiaSmiProbe({ command: smi, kernelLog: { source: kmsg, note: (text) => notes.push(text) } });
  open.push(probe);
  const events: GpuProbeEvent[] = [];
  probe.onEvent((event) => events.push(event));
  const gpus = await probe.inventory();
  expect(notes).toEqual([expect.stringContaining(`read from ${kmsg}`)]);
  expect(gpus.every(({ parentGpuId }) => parentGpuId !== "")).toBe(true);
  const line = readFileSync(path.join(XIDS, "dmesg-xid-lines.txt"), "utf8").split("\n").find((each) => each.includes("PCI:0000:01:00): 79"));
  appendFileSync(kmsg, `${line}\nNVRM: Xid (PCI:0000:01:00 GPU-I:05 GPU-CI:00): 43, pid=1, name=x, Ch 1\n`);
  await eventually(() => events.length >= 2);
  const gpuId = gpus[0]?.parentGpuId;
  expect(events).toEqual([
    { kind: "xid", gpuId, xid: 79, detail: "GPU has fallen off the bus." },
    { kind: "xid", gpuId, xid: 43, detail: "Ch 1" },
  ]);
});
