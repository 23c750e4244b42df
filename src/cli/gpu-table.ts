// The fleet as a table for people; `gpus` prints and redraws it.
import { GpuHealthState, GpuState, HealthStatus, type EngineLoad, type Gpu } from "../../gen/gpurouter/v1/gpu_pb.js";
import { countText, durationText, printable } from "./quantity-text.js";
import type { Style } from "./style.js";
import { textTable, truncate } from "./text-table.js";

const COLUMNS = [
  { title: "GPU" },
  { title: "NAME" },
  { title: "NODE" },
  { title: "STATE" },
  { title: "UTIL", align: "right" },
  { title: "MEMORY MIB", align: "right" },
  { title: "RESERVED", align: "right" },
  { title: "TEMP", align: "right" },
  { title: "POWER", align: "right" },
  { title: "ACTIVE", align: "right" },
  { title: "SAMPLE", align: "right" },
  { title: "MODELS" },
] as const;
/** There only when an engine tells of itself. */
const ENGINE_COLUMN = { title: "ENGINE" } as const;

// Older telemetry than this is worth a second look, ms.
const STALE_MS = 10_000;

/** One row per GPU, by node and index, and a line that sums up. */
export function gpuTable(gpus: Iterable<Gpu>, style: Style): string {
  const sorted = Array.from(gpus).sort((one, other) => one.nodeId.localeCompare(other.nodeId) || one.index - other.index);
  if (sorted.length === 0) return "No GPUs: no agent has connected yet. Start one with `gpu-router agent`.\n";
  const active = sorted.filter((gpu) => gpu.state === GpuState.ACTIVE).length;
  const requests = sorted.reduce((sum, gpu) => sum + gpu.activeRequests, 0);
  const summary = `${countText(sorted.length)} GPUs, ${countText(active)} active, ${countText(requests)} requests on them`;
  const engines = sorted.some((gpu) => gpu.engineLoads.length > 0);
  const columns = engines ? [...COLUMNS, ENGINE_COLUMN] : COLUMNS;
  const rows = sorted.map((gpu) => (engines ? [...row(gpu, style), gpu.engineLoads.map(engineText).join("; ") || "-"] : row(gpu, style)));
  return `${textTable(columns, rows, style.bold)}${style.dim(summary)}\n`;
}

/** Such as "12 running, 3 waiting, KV 47%". */
function engineText({ running, waiting, kvUse }: EngineLoad): string {
  const kv = kvUse === undefined ? "" : `, KV ${Math.round(kvUse * 100)}%`;
  return `${countText(running)} running, ${countText(waiting)} waiting${kv}`;
}

function row(gpu: Gpu, style: Style): readonly string[] {
  const { memory, utilization, power, telemetryAgeMs } = gpu;
  const sampled = telemetryAgeMs !== undefined;
  const age = sampled ? Number(telemetryAgeMs) : null;
  return [
    printable(gpu.gpuId) + (gpu.simulated && !/sim/i.test(gpu.gpuId) ? " (sim)" : ""),
    truncate(printable(gpu.name), 28),
    truncate(printable(gpu.nodeId), 20),
    stateText(gpu, style),
    sampled && utilization?.gpuPercent !== undefined ? `${Math.round(utilization.gpuPercent)}%` : "-",
    memory === undefined ? "-" : `${sampled ? memory.usedMib : "?"}/${memory.totalMib}`,
    memory === undefined ? "-" : String(memory.reservedMib),
    sampled && gpu.temperatureCelsius !== undefined ? `${Math.round(gpu.temperatureCelsius)} °C` : "-",
    sampled && power !== undefined && power.usageWatts > 0 ? `${Math.round(power.usageWatts)} W` : "-",
    gpu.exclusive ? `${gpu.activeRequests} alone` : String(gpu.activeRequests),
    age === null ? "never" : age > STALE_MS ? style.yellow(durationText(age)) : durationText(age),
    truncate(printable(gpu.models.join(",")), 32),
  ];
}

function stateText(gpu: Gpu, style: Style): string {
  const state = (GpuState[gpu.state] ?? String(gpu.state)).toLowerCase();
  const reason = gpu.stateReason === "" ? "" : ` (${truncate(printable(gpu.stateReason), 32)})`;
  if (gpu.state === GpuState.ERROR || gpu.health === HealthStatus.CRITICAL) return style.red(state + reason);
  if (gpu.state !== GpuState.ACTIVE) return style.yellow(state + reason);
  if (gpu.health !== HealthStatus.WARNING) return style.green(state);
  // A router of before tells no more than that.
  const health = gpu.healthState === GpuHealthState.UNSPECIFIED ? "warning" : (GpuHealthState[gpu.healthState] ?? "warning").toLowerCase();
  const sign = gpu.healthSigns[0] === undefined ? "" : ` (${truncate(printable(gpu.healthSigns[0]), 32)})`;
  return style.yellow(`${state}, ${health}${sign}`);
}
