import { describe, expect, test } from "@jest/globals";
import { GpuHealth } from "../../../../src/core/health/gpu-health.js";
import { SampleSigns } from "../../../../src/core/health/sample-signs.js";
import type { GpuTelemetry } from "../../../../src/core/model/gpu.js";
import { DEFAULT_CORE_SETTINGS } from "../../../../src/core/settings.js";
import { sample } from "../build.js";

const LIMITS = { maxTemperatureCelsius: 85, temperatureMarginCelsius: 5 };
const MEMORY = { totalMib: 80_000, reservedMib: 0 };

/** The demands of a GPU's signs after each of some samples, a second apart. */
function demandsOf(samples: readonly Partial<GpuTelemetry>[], memory = MEMORY): string[] {
  const health = new GpuHealth({ cooldownMs: 300_000, ...DEFAULT_CORE_SETTINGS.health });
  const signs = new SampleSigns();
  return samples.map((over, index) => {
    signs.read(sample("g0", over), health, LIMITS, memory, 1_000_000 + 1_000 * index);
    return [...health.signs].map(([name, { demand }]) => `${name} ${demand}`).join(", ");
  });
}

const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

describe("temperature", () => {
  const at = (...celsius: readonly number[]): string[] => demandsOf(celsius.map((temperatureCelsius) => ({ temperatureCelsius })));

  test("at the limit is hot, just below it is warm, five below that is neither", () => {
    expect([at(85), at(84.9), at(80), at(79.9)]).toEqual([["temperature draining"], ["temperature degraded"], ["temperature degraded"], [""]]);
  });

  test("stays hot until it is the margin below the limit, and warm until it is two below", () => {
    expect(at(86, 80, 79, 75, 74)).toEqual(["temperature draining", "temperature draining", "temperature degraded", "temperature degraded", ""]);
  });

  test("that is not told any more is as it was: a hot GPU does not cool by falling silent", () => {
    expect(at(90, Number.NaN, Number.NaN)).toEqual(times(3, "temperature draining"));
    expect(at(Number.NaN)).toEqual([""]);
  });
});

describe("slowdown", () => {
  const reasons = (...masks: readonly number[]): string[] => demandsOf(masks.map((clockEventReasons) => ({ clockEventReasons })));

  test.each([
    ["hardware slowdown", 0x08],
    ["software thermal slowdown", 0x20],
    ["hardware thermal slowdown", 0x40],
    ["power brake", 0x80],
    ["one of them among others", 0x1a5],
  ])("by %s for three samples degrades", (_, mask) => {
    expect(reasons(mask, mask, mask)).toEqual(["", "", "slowdown degraded"]);
  });

  test.each([
    ["idle", 0x01],
    ["clocks that were set", 0x02],
    ["the power cap", 0x04],
    ["sync boost", 0x10],
    ["the display's clocks", 0x100],
  ])("by %s is ordinary", (_, mask) => {
    expect(reasons(...times(10, mask)).at(-1)).toBe("");
  });

  test("is over after three samples without", () => {
    expect(reasons(0x40, 0x40, 0x40, 0, 0, 0)).toEqual(["", "", ...times(3, "slowdown degraded"), ""]);
  });
});

describe("memory errors that are not corrected", () => {
  const counts = (...eccUncorrected: readonly number[]): string[] => demandsOf(eccUncorrected.map((count) => ({ eccUncorrected: count })));

  test("of before the first sample say nothing: nobody knows when they were", () => {
    expect(counts(7, 7, 7)).toEqual(["", "", ""]);
  });

  test("degrade when they grow, and ask for a reset when they grow a third time", () => {
    expect(counts(0, 1, 1, 2, 5)).toEqual(["", "ecc degraded", "ecc degraded", "ecc degraded", "ecc draining"]);
  });

  test("are forgotten when the driver was started anew, which counts from 0", () => {
    expect(counts(3, 4, 0, 0)).toEqual(["", "ecc degraded", "", ""]);
  });

  test("that are not told now and then are neither errors nor a new start", () => {
    expect(counts(3, Number.NaN, 3, 4)).toEqual(["", "", "", "ecc degraded"]);
  });
});

describe("repairs of memory", () => {
  test("that wait for a reset degrade until they are done", () => {
    expect(demandsOf([{ rowRemapPending: true }, { rowRemapPending: false }])).toEqual(["row_remap degraded", ""]);
    expect(demandsOf([{ retiredPagesPending: true }, {}, { retiredPagesPending: false }])).toEqual(["retired_pages degraded", "retired_pages degraded", ""]);
  });

  test("that are not possible any more ask for the GPU to be taken out", () => {
    expect(demandsOf([{ rowRemapFailed: true }])).toEqual(["row_remap_failed draining"]);
  });
});

describe("memory that nobody owns", () => {
  const LEFT: Partial<GpuTelemetry> = { memoryUsedMib: 30_000, processMemoryMib: 10_000 };

  test("for ten samples degrades, and is over after as many without", () => {
    const demands = demandsOf([...times(10, LEFT), ...times(10, { memoryUsedMib: 10_500, processMemoryMib: 10_000 })]);
    expect(demands).toEqual([...times(9, ""), ...times(10, "unowned_memory degraded"), ""]);
  });

  test("is not what the driver itself takes, nor what our own work holds", () => {
    expect(demandsOf(times(20, { memoryUsedMib: 13_000, processMemoryMib: 10_000 })).at(-1)).toBe("");
    expect(demandsOf(times(20, LEFT), { totalMib: 80_000, reservedMib: 29_000 }).at(-1)).toBe("");
  });

  test("is seen when the process that left it behind has gone", () => {
    const demands = demandsOf([{ memoryUsedMib: 30_000, processMemoryMib: 30_000 }, ...times(10, { memoryUsedMib: 30_000 })]);
    expect(demands.at(-1)).toBe("unowned_memory degraded");
  });

  test("is not told from that of processes where the driver names none, as inside containers", () => {
    expect(demandsOf(times(20, { memoryUsedMib: 70_000 })).at(-1)).toBe("");
  });
});
