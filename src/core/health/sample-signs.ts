// What the samples of one GPU show of its health, with memory: a figure has to be bad for a while before it is a sign, and good for a
// while before it is none. Called by fleet-health.ts for each sample. A GPU that falls silent keeps the signs of its last sample.
import type { GpuTelemetry } from "../model/gpu.js";
import type { GpuHealth } from "./gpu-health.js";

export interface SampleLimits {
  readonly maxTemperatureCelsius: number;
  readonly temperatureMarginCelsius: number;
}

/** NVML's clock event reasons that mean trouble, by bit. A power cap is ordinary. */
const SLOWDOWNS: readonly (readonly [bit: number, text: string])[] = [
  [0x08, "hardware slowdown"],
  [0x20, "thermal slowdown"],
  [0x40, "hardware thermal slowdown"],
  [0x80, "power brake"],
];
/** Samples in a row that make or end a slowdown. */
const SLOWDOWN_SAMPLES = 3;
/** Samples in a row with memory that nobody owns: what ends may take a while to give its memory back. */
const UNOWNED_SAMPLES = 10;
/** Less than this is the driver's own, MiB and share of all memory. */
const UNOWNED_MIB = 2_048;
const UNOWNED_SHARE = 0.05;
/** How long an event counts that says nothing of how the GPU is now, ms. */
export const EVENT_REMEMBERED_MS = 600_000;
/** So many memory errors within that time ask for a reset. */
const ECC_ERRORS = 3;

export class SampleSigns {
  #slowSamples = 0;
  #unownedSamples = 0;
  /** Of the last sample that told; NaN before the first. */
  #eccUncorrected = Number.NaN;
  /** When it grew, newest last, ms. */
  #eccAtMs: number[] = [];
  #namesProcesses = false;

  /** Notes in `health` what a sample shows, and what it shows no more. `reservedMib` is what our own work on the GPU holds. */
  read(sample: GpuTelemetry, health: GpuHealth, limits: SampleLimits, memory: { readonly totalMib: number; readonly reservedMib: number }, nowMs: number): void {
    this.#temperature(sample.temperatureCelsius, health, limits);
    this.#slowdown(sample.clockEventReasons, health);
    this.#ecc(sample.eccUncorrected, health, nowMs);
    this.#repairs(sample, health);
    this.#unowned(sample, health, memory);
  }

  #temperature(celsius: number, health: GpuHealth, { maxTemperatureCelsius: max, temperatureMarginCelsius: margin }: SampleLimits): void {
    // One that cannot tell now is as it was.
    if (Number.isNaN(celsius)) return;
    const before = health.signs.get("temperature")?.demand;
    const hot = celsius >= max || (before === "draining" && celsius >= max - margin);
    const warm = celsius >= max - margin || (before !== undefined && celsius >= max - 2 * margin);
    const text = `${celsius} °C, the limit is ${max} °C`;
    if (hot) health.raise("temperature", { demand: "draining", text, standing: true });
    else if (warm) health.raise("temperature", { demand: "degraded", text, standing: true });
    else health.clear("temperature");
  }

  #slowdown(reasons: number, health: GpuHealth): void {
    const slow = SLOWDOWNS.filter(([bit]) => Math.floor(reasons / bit) % 2 === 1);
    this.#slowSamples = Math.min(SLOWDOWN_SAMPLES, Math.max(0, this.#slowSamples + (slow.length > 0 ? 1 : -1)));
    if (this.#slowSamples === 0) health.clear("slowdown");
    else if (this.#slowSamples === SLOWDOWN_SAMPLES) health.raise("slowdown", { demand: "degraded", text: `clocks are held down: ${slow.map(([, text]) => text).join(", ")}`, standing: true });
  }

  #ecc(count: number, health: GpuHealth, nowMs: number): void {
    if (Number.isNaN(count)) return;
    const before = this.#eccUncorrected;
    this.#eccUncorrected = count;
    // It counts from the start of the driver.
    if (count < before) {
      this.#eccAtMs = [];
      health.clear("ecc");
      health.restarted("its driver was started anew", nowMs);
    }
    if (!(count > before)) return;
    this.#eccAtMs = [...this.#eccAtMs.filter((atMs) => nowMs - atMs < EVENT_REMEMBERED_MS), nowMs].slice(-ECC_ERRORS);
    const text = `memory errors that are not corrected: ${count} since the driver was started`;
    if (this.#eccAtMs.length >= ECC_ERRORS) health.raise("ecc", { demand: "draining", text, needsReset: true });
    else health.raise("ecc", { demand: "degraded", text, untilMs: nowMs + EVENT_REMEMBERED_MS });
  }

  #repairs({ rowRemapPending, rowRemapFailed, retiredPagesPending }: GpuTelemetry, health: GpuHealth): void {
    if (rowRemapFailed === true) health.raise("row_remap_failed", { demand: "draining", text: "memory has bad rows that cannot be remapped", needsReset: true, standing: true });
    else if (rowRemapFailed === false) health.clear("row_remap_failed");
    if (rowRemapPending === true) health.raise("row_remap", { demand: "degraded", text: "memory rows are to be remapped at the next reset", standing: true });
    else if (rowRemapPending === false) health.clear("row_remap");
    if (retiredPagesPending === true) health.raise("retired_pages", { demand: "degraded", text: "memory pages are to be retired at the next reset", standing: true });
    else if (retiredPagesPending === false) health.clear("retired_pages");
  }

  /** Only where the driver has ever named a process: inside containers it often names none. */
  #unowned({ memoryUsedMib, processMemoryMib }: GpuTelemetry, health: GpuHealth, { totalMib, reservedMib }: { readonly totalMib: number; readonly reservedMib: number }): void {
    if (processMemoryMib !== undefined && processMemoryMib > 0) this.#namesProcesses = true;
    if (!this.#namesProcesses) return;
    const unownedMib = Math.round(memoryUsedMib - Math.max(processMemoryMib ?? 0, reservedMib));
    const unowned = unownedMib > Math.max(UNOWNED_MIB, totalMib * UNOWNED_SHARE);
    this.#unownedSamples = Math.min(UNOWNED_SAMPLES, Math.max(0, this.#unownedSamples + (unowned ? 1 : -1)));
    if (this.#unownedSamples === 0) health.clear("unowned_memory");
    else if (this.#unownedSamples === UNOWNED_SAMPLES) health.raise("unowned_memory", { demand: "degraded", text: `${unownedMib} MiB are in use by nobody: processes may have left them behind`, standing: true });
  }
}
