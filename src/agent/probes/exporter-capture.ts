// Reads the captures of nvidia_gpu_exporter: one text file with a section per nvidia-smi command, taken idle and under load.
// Called by the recorded probe. The GPUs come from the CSV of --query-gpu, MIG instances and processes from the text of -q.
import type { GpuReading } from "./gpu-reading.js";
import type { GpuSample, ProbedGpu } from "./probe.js";
import { lostReason } from "./smi-document.js";
import { SmiListing } from "./smi-listing.js";
import { readMigDevices, type SmiProcess } from "./smi-mig.js";
import { all, find, numberIn, readSmiText, textOf, type SmiNode } from "./smi-tree.js";

const RULE = "#".repeat(80);

export function isExporterCapture(text: string): boolean {
  return text.startsWith(`${RULE}\n# nvidia_gpu_exporter GPU capture\n`);
}

/** One list of readings per state that was captured: idle, then under load. Throws when a needed section is missing or broken. */
export function readExporterCapture(text: string): readonly (readonly GpuReading[])[] {
  const sections = readSections(text);
  const listing = new SmiListing(sections.get("capabilities :: list (-L)") ?? "");
  const states = ["idle", "load"].filter((state) => sections.has(`${state} :: query (-q)`));
  if (states.length === 0) throw new Error('The capture has neither an "idle" nor a "load" state.');
  return states.map((state) => {
    const rows = readCsv(sections, `${state} :: query-gpu (csv, what the exporter parses)`);
    const details = readSmiText(sections.get(`${state} :: query (-q)`) ?? "");
    return rows.flatMap((row) => readGpu(row, find(details, `gpu_${row("pci.bus_id").toLowerCase()}`), listing));
  });
}

/** The value of a column, without its unit's brackets in the header; "" when the driver has no such column. */
type Row = (column: string) => string;

function readSections(text: string): ReadonlyMap<string, string> {
  // Each section is rule, "# state :: name", "# $ command", rule, answer.
  const parts = text.split(`${RULE}\n`);
  const sections = new Map<string, string>();
  for (let at = 1; at + 1 < parts.length; at += 2) {
    const name = /^# (.*)\n/.exec(parts[at] ?? "")?.[1];
    if (name) sections.set(name, parts[at + 1] ?? "");
  }
  return sections;
}

function readCsv(sections: ReadonlyMap<string, string>, name: string): readonly Row[] {
  const [header, ...lines] = (sections.get(name) ?? "").split("\n").filter((line) => line.trim() !== "");
  if (!header || lines.length === 0) throw new Error(`The capture has no GPU in its section "${name}".`);
  const columns = header.split(", ").map((column) => column.replace(/ \[.*\]$/, ""));
  return lines.map((line) => {
    const values = line.split(", ");
    if (values.length !== columns.length) throw new Error(`The capture's section "${name}" has ${columns.length} columns, but a row of ${values.length}.`);
    const byColumn = new Map(columns.map((column, index) => [column, values[index] ?? ""]));
    return (column) => byColumn.get(column) ?? "";
  });
}

function readGpu(row: Row, details: SmiNode | undefined, listing: SmiListing): readonly GpuReading[] {
  const gpuId = row("uuid");
  const powerLimitWatts = numberIn(row("enforced.power.limit")) ?? numberIn(row("power.limit"));
  const gpu: ProbedGpu = {
    gpuId,
    name: row("name"),
    computeCapability: /^\d+\.\d+$/.test(row("compute_cap")) ? row("compute_cap") : "",
    memoryTotalMib: numberIn(row("memory.total")) ?? 0,
    multiprocessorCount: 0,
    powerLimitWatts: powerLimitWatts ?? 0,
    driverVersion: row("driver_version"),
    parentGpuId: "",
    simulated: false,
  };
  const lost = lostReason(row("memory.used"));
  if (lost !== "") return [{ gpu, sample: undefined, lost }];
  const processes = readProcesses(find(details, "processes"));
  const sample: GpuSample = {
    gpuId,
    memoryUsedMib: numberIn(row("memory.used")) ?? 0,
    memoryFreeMib: numberIn(row("memory.free")) ?? 0,
    gpuUtilizationPercent: numberIn(row("utilization.gpu")),
    memoryUtilizationPercent: numberIn(row("utilization.memory")),
    temperatureCelsius: numberIn(row("temperature.gpu")),
    powerUsageWatts: numberIn(row("power.draw")),
    powerLimitWatts,
    clockEventReasons: Number(row("clocks_event_reasons.active") || row("clocks_throttle_reasons.active")) || 0,
    eccCorrected: numberIn(row("ecc.errors.corrected.volatile.total")),
    eccUncorrected: numberIn(row("ecc.errors.uncorrected.volatile.total")),
    processes: processes.map(({ pid, memoryUsedMib }) => ({ pid, memoryUsedMib })),
  };
  if (row("mig.mode.current") !== "Enabled") return [{ gpu, sample }];
  return readMigDevices({ gpu, sample }, all(details, "mig_device"), processes, listing);
}

/** In the text, the instances stand before each process and not around it. */
function readProcesses(node: SmiNode | undefined): readonly SmiProcess[] {
  const place = { gpu_instance_id: "", compute_instance_id: "" };
  const processes: SmiProcess[] = [];
  for (const child of node?.children ?? []) {
    if (child.name === "gpu_instance_id" || child.name === "compute_instance_id") place[child.name] = child.text;
    const pid = child.name === "process_id" ? numberIn(child.text) : undefined;
    if (pid === undefined) continue;
    processes.push({ pid, memoryUsedMib: numberIn(textOf(child, "used_gpu_memory")) ?? 0, place: `${place.gpu_instance_id}/${place.compute_instance_id}` });
  }
  return processes;
}
