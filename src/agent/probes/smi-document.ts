// From the XML of `nvidia-smi -q -x` (schemas 10 to 13, drivers 418 to 610) to GPUs and samples; MIG instances stand for their GPU.
// Called by the nvidia-smi probe and by the recordings. Runs nothing.
import { CLOCK_EVENT_REASONS } from "./clock-event-reasons.js";
import type { GpuReading } from "./gpu-reading.js";
import type { GpuSample, ProbedGpu } from "./probe.js";
import type { SmiListing } from "./smi-listing.js";
import { readMigDevices, type SmiProcess } from "./smi-mig.js";
import { all, find, numberIn, readSmiXml, textOf, type SmiNode } from "./smi-tree.js";
import { pciBusIdOf } from "./xid-line.js";

/** What the XML leaves out; both may be absent. */
export interface SmiSupplement {
  /** From `nvidia-smi -L`: UUIDs and profiles of MIG instances. */
  readonly listing?: SmiListing;
  /** Compute capability by UUID, such as "9.0". */
  readonly computeCapabilities?: ReadonlyMap<string, string>;
}

/** One reading per GPU or MIG instance, in the order of the document. Throws, with the reason, when `xml` is not of nvidia-smi. */
export function readSmiDocument(xml: string, supplement: SmiSupplement = {}): readonly GpuReading[] {
  const log = readLog(xml);
  return all(log, "gpu").flatMap((node) => readGpu(node, textOf(log, "driver_version"), supplement));
}

/** UUIDs of the physical GPUs by where they sit, as `pciBusIdOf` writes it: the kernel's log names them by that. Throws as `readSmiDocument`. */
export function readPciBusIds(xml: string): ReadonlyMap<string, string> {
  return new Map(all(readLog(xml), "gpu").map((node) => [pciBusIdOf(textOf(node, "pci", "pci_bus_id")), textOf(node, "uuid")]));
}

function readLog(xml: string): SmiNode {
  const log = readSmiXml(xml);
  if (log.name !== "nvidia_smi_log") throw new Error(`nvidia-smi XML: expected <nvidia_smi_log>, found <${log.name}>. Was it written by \`nvidia-smi -q -x\`?`);
  return log;
}

function readGpu(node: SmiNode, driverVersion: string, { listing, computeCapabilities }: SmiSupplement): readonly GpuReading[] {
  const gpuId = textOf(node, "uuid");
  if (!gpuId.startsWith("GPU-")) throw new Error(`nvidia-smi XML: a GPU without a UUID (${textOf(node, "product_name") || "nameless"}).`);
  const memory = find(node, "fb_memory_usage");
  const power = find(node, "gpu_power_readings") ?? find(node, "power_readings");
  const powerLimitWatts = firstNumber(power, "enforced_power_limit", "current_power_limit", "power_limit");
  const gpu: ProbedGpu = {
    gpuId,
    name: textOf(node, "product_name"),
    computeCapability: computeCapabilities?.get(gpuId) ?? "",
    memoryTotalMib: firstNumber(memory, "total") ?? 0,
    multiprocessorCount: 0,
    powerLimitWatts: powerLimitWatts ?? 0,
    driverVersion,
    parentGpuId: "",
    simulated: false,
  };
  const lost = lostReason(textOf(memory, "used"));
  if (lost !== "") return [{ gpu, sample: undefined, lost }];
  const processes = all(find(node, "processes"), "process_info").flatMap(readProcess);
  const errors = find(node, "ecc_errors", "volatile");
  const sample: GpuSample = {
    gpuId,
    memoryUsedMib: firstNumber(memory, "used") ?? 0,
    memoryFreeMib: firstNumber(memory, "free") ?? 0,
    gpuUtilizationPercent: firstNumber(find(node, "utilization"), "gpu_util"),
    memoryUtilizationPercent: firstNumber(find(node, "utilization"), "memory_util"),
    temperatureCelsius: firstNumber(find(node, "temperature"), "gpu_temp"),
    powerUsageWatts: firstNumber(power, "power_draw", "average_power_draw", "instant_power_draw"),
    powerLimitWatts,
    clockEventReasons: clockEventReasons(find(node, "clocks_event_reasons") ?? find(node, "clocks_throttle_reasons")),
    eccCorrected: numberIn(textOf(errors, "single_bit", "total")) ?? sumOf(errors, /_correctable/),
    eccUncorrected: numberIn(textOf(errors, "double_bit", "total")) ?? sumOf(errors, /_uncorrectable/),
    ...repairsOf(node),
    processes: processes.map(({ pid, memoryUsedMib }) => ({ pid, memoryUsedMib })),
  };
  if (textOf(node, "mig_mode", "current_mig") !== "Enabled") return [{ gpu, sample }];
  return readMigDevices({ gpu, sample }, all(find(node, "mig_devices"), "mig_device"), processes, listing);
}

/** "Yes" or "No"; anything else, such as "N/A", is not told. */
function repairsOf(node: SmiNode): Partial<GpuSample> {
  const told = (...names: readonly string[]): boolean | undefined => ({ Yes: true, No: false })[textOf(node, ...names)];
  const rowRemapPending = told("remapped_rows", "remapped_row_pending");
  const rowRemapFailed = told("remapped_rows", "remapped_row_failure");
  const retiredPagesPending = told("retired_pages", "pending_retirement") ?? told("retired_pages", "pending_blacklist");
  return {
    ...(rowRemapPending !== undefined && { rowRemapPending }),
    ...(rowRemapFailed !== undefined && { rowRemapFailed }),
    ...(retiredPagesPending !== undefined && { retiredPagesPending }),
  };
}

function readProcess(node: SmiNode): readonly SmiProcess[] {
  const pid = numberIn(textOf(node, "pid"));
  const place = `${textOf(node, "gpu_instance_id")}/${textOf(node, "compute_instance_id")}`;
  return pid === undefined ? [] : [{ pid, memoryUsedMib: firstNumber(node, "used_memory") ?? 0, place }];
}

/** Whether the driver answers for memory with an error instead of a figure or "not available"; "" when it does not. */
export function lostReason(memoryUsed: string): string {
  const word = memoryUsed.replaceAll(/^\[|\]$/g, "");
  return /lost|reset|unknown error/i.test(word) ? word : "";
}

function clockEventReasons(node: SmiNode | undefined): number {
  let mask = 0;
  for (const { name, text } of node?.children ?? []) {
    if (text === "Active") mask |= CLOCK_EVENT_REASONS[name.replace(/^clocks_(event|throttle)_reason_/, "")] ?? 0;
  }
  return mask;
}

function firstNumber(node: SmiNode | undefined, ...names: readonly string[]): number | undefined {
  for (const name of names) {
    const value = numberIn(textOf(node, name));
    if (value !== undefined) return value;
  }
  return undefined;
}

function sumOf(node: SmiNode | undefined, name: RegExp): number | undefined {
  const values = node?.children.filter((child) => name.test(child.name)).flatMap((child) => numberIn(child.text) ?? []) ?? [];
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
}
