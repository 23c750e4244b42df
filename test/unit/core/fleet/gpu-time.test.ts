import { expect, test } from "@jest/globals";
import { gpuTimeMs } from "../../../../src/core/fleet/gpu-time.js";
import { fleetOf, inventory, requestId } from "../build.js";

const fleet = fleetOf([inventory("g0"), inventory("g1")], { maxConcurrentTasksPerGpu: 4 });
const costOf = (inputTokens: number, outputTokens: number): number => gpuTimeMs(fleet.work, [0], "m", { durationMs: 77, inputTokens, outputTokens });

test("work that is not tokens, or on several GPUs, takes its time on each of them", () => {
  expect(gpuTimeMs(fleet.work, [0], "m", { durationMs: 500 })).toBe(500);
  expect(gpuTimeMs(fleet.work, [0, 1], "m", { durationMs: 500, inputTokens: 10, outputTokens: 10 })).toBe(1_000);
});

test("tokens have a price each, whatever else the GPU works on", () => {
  expect(costOf(300, 40)).toBeCloseTo(3 * costOf(100, 0) + 4 * costOf(0, 10), 9);
  const alone = costOf(100, 100);
  fleet.work.place(0, { requestId: requestId("other"), modelId: "m", inputTokens: 1_000, cachedTokens: 0, outputTokens: 500, dueAtMs: Number.POSITIVE_INFINITY, firstDueAtMs: Number.POSITIVE_INFINITY }, 1_000);
  expect(costOf(100, 100)).toBe(alone);
});

test("an answer costs more where fewer are written at a time", () => {
  const wide = fleetOf([inventory("g0")], { maxConcurrentTasksPerGpu: 16 });
  const of = { durationMs: 1, inputTokens: 0, outputTokens: 100 };
  const baseMs = wide.work.times.of("m").stepBaseMs[0]!;
  expect(gpuTimeMs(fleet.work, [0], "m", of) - gpuTimeMs(wide.work, [0], "m", of)).toBeCloseTo(100 * baseMs * (1 / 4 - 1 / 16), 9);
});
