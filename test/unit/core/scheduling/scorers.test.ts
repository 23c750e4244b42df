// Row R2 by hand: every expected value is worked out from the requirement's formula, not by the code.
import { describe, expect, test } from "@jest/globals";
import { health } from "../../../../src/core/scheduling/scorers/health.js";
import { unwell } from "../../../../src/core/scheduling/scorers/unwell.js";
import { load } from "../../../../src/core/scheduling/scorers/load.js";
import { performance } from "../../../../src/core/scheduling/scorers/performance.js";
import { priority } from "../../../../src/core/scheduling/scorers/priority.js";
import { typeCompatibility } from "../../../../src/core/scheduling/scorers/type-compatibility.js";
import { usage } from "../../../../src/core/scheduling/scorers/usage.js";
import type { Priority } from "../../../../src/core/model/request.js";
import { ask, DEGRADED, fleetOf, inventory, sample, WELL } from "../build.js";

describe("usage: 0.6 (1 − memory used / total) + 0.4 (1 − utilisation)", () => {
  test.each([
    [0, 0, 1],
    [40_000, 50, 0.5],
    [20_000, 25, 0.75],
    [80_000, 100, 0],
    [8_000, 30, 0.82],
  ])("%i of 80,000 MiB used, %i %% busy: %d", (memoryUsedMib, gpuUtilizationPercent, expected) => {
    const fleet = fleetOf([inventory("g0")]);
    fleet.observe(0, sample("g0", { memoryUsedMib, gpuUtilizationPercent }), 1);
    expect(usage.value(fleet, 0, "inference")).toBeCloseTo(expected, 12);
  });

  test("counts what was placed since the sample: 0.6 (1 − 30/80) + 0.4 (1 − (0.25 + 1/8))", () => {
    const fleet = fleetOf([inventory("g0")]);
    fleet.observe(0, sample("g0", { memoryUsedMib: 20_000, gpuUtilizationPercent: 25 }), 1);
    fleet.place(0, 10_000);
    expect(usage.value(fleet, 0, "inference")).toBeCloseTo(0.375 + 0.25, 12);
  });

  test("gives a GPU of unknown memory nothing for memory", () => {
    expect(usage.value(fleetOf([inventory("g0", { memoryTotalMib: 0 })]), 0, "inference")).toBeCloseTo(0.4, 12);
  });

  test("goes by the ledger where the device cannot say", () => {
    const fleet = fleetOf([inventory("g0")]);
    fleet.observe(0, sample("g0", { memoryUsedMib: Number.NaN, gpuUtilizationPercent: Number.NaN }), 1);
    fleet.place(0, 40_000);
    expect(usage.value(fleet, 0, "inference")).toBeCloseTo(0.6 * 0.5 + 0.4 * 0.875, 12);
  });
});

describe("priority: priority / 5", () => {
  test.each<[Priority, number]>([[1, 0.2], [2, 0.4], [3, 0.6], [4, 0.8], [5, 1]])("%i: %d", (value, expected) => {
    expect(priority.valueForAll(ask({ priority: value }))).toBe(expected);
  });
});

describe("type compatibility", () => {
  test.each([
    ["inference", 9_000, 80 * 1024, 1],
    ["inference", 9_000, 1_024, 1],
    ["inference", 6_001, 80 * 1024, 0.5],
    ["training", 9_000, 80 * 1024, 1],
    ["training", 9_000, 160 * 1024, 1],
    ["training", 7_000, 40 * 1024, 0.5],
    ["fine-tuning", 6_001, 20 * 1024, 0.125],
  ])("of %s with capability %i and %i MiB: %d", (type, computeCapability, memoryTotalMib, expected) => {
    expect(typeCompatibility.value(fleetOf([inventory("g0", { computeCapability, memoryTotalMib })]), 0, type)).toBeCloseTo(expected, 12);
  });
});

describe("performance: the learned index", () => {
  test("is 0.5 while unknown, then moves a tenth of the way towards each outcome", () => {
    const fleet = fleetOf([inventory("g0")]);
    expect(performance.value(fleet, 0, "inference")).toBe(0.5);
    fleet.learnSpeed(0, 1);
    expect(performance.value(fleet, 0, "inference")).toBeCloseTo(0.55, 12);
    fleet.learnSpeed(0, 0);
    expect(performance.value(fleet, 0, "inference")).toBeCloseTo(0.495, 12);
  });
});

describe("health: 0.4 temperature + 0.3 power + 0.3 (1 − error rate)", () => {
  test.each([
    [40, 0, 700, 1],
    [50, 0, 700, 1],
    [75, 350, 700, 0.2 + 0.15 + 0.3],
    [100, 700, 700, 0.3],
    [120, 900, 700, 0.3],
    [60, 70, 700, 0.32 + 0.27 + 0.3],
    [Number.NaN, 350, 700, 0.2 + 0.15 + 0.3],
    [40, Number.NaN, 700, 0.4 + 0.15 + 0.3],
  ])("%d °C, %d of %d W: %d", (temperatureCelsius, powerUsageWatts, powerLimitWatts, expected) => {
    const fleet = fleetOf([inventory("g0")]);
    fleet.observe(0, sample("g0", { temperatureCelsius, powerUsageWatts, powerLimitWatts }), 1);
    expect(health.value(fleet, 0, "inference")).toBeCloseTo(expected, 12);
  });

  test("power counts 0.5 without a limit", () => {
    const fleet = fleetOf([inventory("g0", { powerLimitWatts: 0 })]);
    fleet.observe(0, sample("g0", { powerUsageWatts: 100, powerLimitWatts: Number.NaN }), 1);
    expect(health.value(fleet, 0, "inference")).toBeCloseTo(0.4 + 0.15 + 0.3, 12);
  });

  test("before the first sample temperature and power count 0.5", () => {
    expect(health.value(fleetOf([inventory("g0")]), 0, "inference")).toBeCloseTo(0.2 + 0.15 + 0.3, 12);
  });

  test("errors lower it", () => {
    const fleet = fleetOf([inventory("g0")]);
    fleet.observe(0, sample("g0", { temperatureCelsius: 20, powerUsageWatts: 0 }), 1);
    fleet.health.errorRate[0] = 0.05;
    expect(health.value(fleet, 0, "inference")).toBeCloseTo(1 - 0.3 * 0.05, 12);
  });

  test("a degraded GPU has half of it, and is unwell by the other half", () => {
    const fleet = fleetOf([inventory("g0")]);
    fleet.observe(0, sample("g0", { temperatureCelsius: 20, powerUsageWatts: 0 }), 1);
    fleet.judged(0, DEGRADED);
    expect([health.value(fleet, 0, "inference"), unwell.value(fleet, 0, "inference")]).toEqual([0.5, 0.5]);
    fleet.judged(0, WELL);
    expect(unwell.value(fleet, 0, "inference")).toBe(0);
  });
});

describe("load: 1 − utilisation", () => {
  test.each([
    [0, 0, 1],
    [60, 0, 0.4],
    [0, 4, 0.5],
    [60, 2, 0.15],
    [90, 4, 0],
  ])("%i %% busy with %i placed since: %d", (gpuUtilizationPercent, placed, expected) => {
    const fleet = fleetOf([inventory("g0")]);
    fleet.observe(0, sample("g0", { gpuUtilizationPercent }), 1);
    for (let turn = 0; turn < placed; turn += 1) fleet.place(0, 0);
    expect(load.value(fleet, 0, "inference")).toBeCloseTo(expected, 12);
  });
});
