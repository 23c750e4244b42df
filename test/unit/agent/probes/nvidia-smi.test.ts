// The nvidia-smi probe against a program in its place, which answers from files.
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeEach, expect } from "@jest/globals";
import { NvidiaSmiProbe } from "../../../../src/agent/probes/nvidia-smi.js";
import type { GpuProbeEvent } from "../../../../src/agent/probes/probe.js";
import { testWith } from "./requirement.js";
import { MIG_LISTING, migXml, smiXml, UUID } from "./smi-answers.js";

const test = testWith(process.platform !== "win32", "a system where a script with #! is a program, to stand in for nvidia-smi");

const folder = mkdtempSync(path.join(tmpdir(), "fake-smi-"));
const command = path.join(folder, "nvidia-smi");
const file = (name: string): string => path.join(folder, name);
let probe: NvidiaSmiProbe;

beforeEach(() => {
  // Answers with the file named after its arguments; without one it fails as nvidia-smi does. With the file "hang" it ignores SIGTERM for good.
  writeFileSync(command, `#!/bin/sh\ncd "${folder}"\necho "$*" >> asked\nif [ -e hang ]; then trap '' TERM; while :; do sleep 0.05; done; fi\nif [ -e "./$1.out" ]; then cat -- "./$1.out"; else echo 'Unable to determine the device handle for GPU0: GPU is lost.'; exit 15; fi\n`);
  chmodSync(command, 0o755);
  writeFileSync(file("-q.out"), smiXml());
  writeFileSync(file("--query-gpu=uuid,compute_cap.out"), `${UUID}, 8.0\n`);
  probe = new NvidiaSmiProbe({ command });
});
afterEach(async () => {
  await probe.close();
  for (const name of ["-q.out", "-L.out", "--query-gpu=uuid,compute_cap.out", "hang", "asked"]) rmSync(file(name), { force: true });
});
afterAll(() => rmSync(folder, { recursive: true }));

test("it tells GPUs, with the compute capability that the XML lacks, and samples", async () => {
  expect(await probe.inventory()).toMatchObject([{ gpuId: UUID, name: "NVIDIA X & Y", computeCapability: "8.0" }]);
  expect(await probe.sample()).toMatchObject([{ gpuId: UUID, memoryUsedMib: 100 }]);
  expect(readFileSync(file("asked"), "utf8").trim().split("\n")).toEqual(["-L", "--query-gpu=uuid,compute_cap --format=csv,noheader", "-q -x", "-q -x"]);
});

test("an old one that knows no compute capability serves as well", async () => {
  rmSync(file("--query-gpu=uuid,compute_cap.out"));
  expect(await probe.inventory()).toMatchObject([{ gpuId: UUID, computeCapability: "" }]);
});

test("MIG instances have the UUIDs of the listing", async () => {
  writeFileSync(file("-q.out"), migXml());
  writeFileSync(file("-L.out"), MIG_LISTING);
  expect((await probe.inventory()).map(({ gpuId }) => gpuId)).toEqual(["MIG-aa", "MIG-bb"]);
  expect((await probe.sample()).map(({ gpuId }) => gpuId)).toEqual(["MIG-aa", "MIG-bb"]);
});

test("a GPU that is lost is told once, and again after it was back", async () => {
  const events: GpuProbeEvent[] = [];
  const stop = probe.onEvent((event) => events.push(event));
  await probe.inventory();
  writeFileSync(file("-q.out"), smiXml({ used: "[GPU is lost]" }));
  expect(await probe.sample()).toEqual([]);
  expect(await probe.sample()).toEqual([]);
  expect(events).toEqual([{ kind: "lost", gpuId: UUID, reason: "nvidia-smi says: GPU is lost" }]);
  writeFileSync(file("-q.out"), smiXml());
  expect(await probe.sample()).toHaveLength(1);
  writeFileSync(file("-q.out"), "<nvidia_smi_log></nvidia_smi_log>");
  expect(await probe.sample()).toEqual([]);
  expect(events.slice(1)).toEqual([{ kind: "restored", gpuId: UUID, reason: "it answers again" }, { kind: "lost", gpuId: UUID, reason: "nvidia-smi no longer shows it" }]);
  stop();
  writeFileSync(file("-q.out"), smiXml());
  await probe.sample();
  writeFileSync(file("-q.out"), smiXml({ used: "[GPU is lost]" }));
  await probe.sample();
  // Nobody listens any more.
  expect(events).toHaveLength(3);
});

test("its failure is told in its own words", async () => {
  rmSync(file("-q.out"));
  await expect(probe.inventory()).rejects.toThrow(`${command} -q -x: Unable to determine the device handle for GPU0: GPU is lost.`);
});

test("an answer without a GPU is refused", async () => {
  writeFileSync(file("-q.out"), "<nvidia_smi_log></nvidia_smi_log>");
  await expect(probe.inventory()).rejects.toThrow("shows no GPU that answers");
});

test("a missing program is told with what to do", async () => {
  await expect(new NvidiaSmiProbe({ command: file("nowhere") }).inventory()).rejects.toThrow("not found. Install the NVIDIA driver");
});

test("one that hangs is killed after the time limit, and the next sample may work", async () => {
  await probe.inventory();
  const hasty = new NvidiaSmiProbe({ command, timeoutMs: 300 });
  writeFileSync(file("hang"), "");
  await expect(hasty.sample()).rejects.toThrow("-q -x: no answer within 300 ms. The driver may hang");
  rmSync(file("hang"));
  await hasty.close();
  expect(await probe.sample()).toHaveLength(1);
});

test("closing ends a call that is under way", async () => {
  writeFileSync(file("hang"), "");
  const sample = expect(probe.sample()).rejects.toThrow("the probe was closed");
  while (!existsSync(file("asked"))) await delay(5);
  await probe.close();
  await sample;
  await expect(probe.sample()).rejects.toThrow("the probe is closed");
});

test("samples asked for at the same time are one", async () => {
  expect(probe.sample()).toBe(probe.sample());
  await probe.sample();
});
