import { describe, expect, test } from "@jest/globals";

import { fluidBound, fluidDemands, fluidFactor, type FluidDemand } from "../../../src/sim/fluid-bound.js";
import { maximum } from "../../../src/sim/simplex.js";
import { workSpeed } from "../../../src/simulated-gpu/service-times.js";
import type { Arrival, Workload } from "../../../src/sim/workload/arrival.js";
import { serviceTimes } from "../../../src/simulated-gpu/service-times.js";
import { TENANTS } from "./made-run.js";

const NONE: FluidDemand = { newTokens: 0, tokenPairs: 0, outputTokens: 0, readTokens: 0, workMs: 0 };

describe("the simplex method", () => {
  test("solves what is in every textbook", () => {
    expect(maximum([3, 5], [[1, 0], [0, 2], [3, 2]], [4, 12, 18])).toBeCloseTo(36, 9);
  });

  test("knows when there is no largest value, and when nothing is allowed", () => {
    expect(maximum([1, 0], [[0, 1]], [5])).toBe(Number.POSITIVE_INFINITY);
    expect(maximum([1], [[1]], [0])).toBe(0);
  });

  test("does not go in circles where pivots gain nothing (Beale)", () => {
    expect(maximum([0.75, -150, 0.02, -6], [[0.25, -60, -0.04, 9], [0.5, -90, -0.02, 3], [0, 0, 1, 0]], [0, 0, 1])).toBeCloseTo(0.05, 9);
  });
});

describe("the fluid bound", () => {
  const job = new Map([["training", { ...NONE, workMs: 1000 }]]);

  test("of jobs is the fleet's arithmetic speed: one second of work a second keeps one reference GPU busy", () => {
    expect(fluidFactor(["A100-80GB"], job)).toBeCloseTo(1, 9);
    expect(fluidFactor(["A100-80GB", "A100-80GB", "L40S"], job)).toBeCloseTo(2 + workSpeed("L40S"), 9);
  });

  test("of prompts is what their tokens take", () => {
    const demand = new Map([["llama-3.1-8b", { ...NONE, newTokens: 1000 }]]);
    expect(fluidFactor(["A100-80GB"], demand)).toBeCloseTo(1 / serviceTimes("A100-80GB", "llama-3.1-8b").prefillMsPerToken, 6);
  });

  test("gives each kind what it is better at", () => {
    // Arithmetic decides prompts, bandwidth decides steps: an L40S is nearer to an A100 in the first.
    const prompts: FluidDemand = { ...NONE, newTokens: 10_000 };
    const steps: FluidDemand = { ...NONE, outputTokens: 1000, readTokens: 1_000_000 };
    const both = fluidFactor(["A100-80GB", "L40S"], new Map([["llama-3.1-8b", prompts], ["mistral-7b", steps]]));
    const cost = (kind: "A100-80GB" | "L40S", modelId: string, demand: FluidDemand): number => 1 / fluidFactor([kind], new Map([[modelId, demand]]));
    // No division by hand does better.
    for (let share = 0; share <= 1; share += 0.05) {
      for (let other = 0; other <= 1; other += 0.05) {
        const onA100 = share * cost("A100-80GB", "llama-3.1-8b", prompts) + other * cost("A100-80GB", "mistral-7b", steps);
        const onL40s = (1 - share) * cost("L40S", "llama-3.1-8b", prompts) + (1 - other) * cost("L40S", "mistral-7b", steps);
        expect(both).toBeGreaterThanOrEqual(1 / Math.max(onA100, onL40s) - 1e-9);
      }
    }
  });

  test("is 0 where a model fits on no GPU, and leaves room for work that does not grow", () => {
    expect(fluidFactor(["T4"], new Map([["qwen3-32b", { ...NONE, newTokens: 1 }]]))).toBe(0);
    expect(fluidBound(["A100-80GB", "A100-80GB"], job, job)).toBeCloseTo(1, 2);
    expect(fluidBound(["A100-80GB"], job, new Map([["training", { ...NONE, workMs: 2000 }]]))).toBe(0);
  });

  test("counts the beginning of a prompt once for each model", () => {
    const arrival = (tenant: number): Arrival => ({ atMs: 0, tenant, inputTokens: 1100, outputTokens: 4, prefixHashes: [1, 2], sessionKey: "", gpus: 1, workMs: 0 });
    const [first, second] = [{ ...TENANTS[0]!, modelId: "a" }, { ...TENANTS[0]!, modelId: "b" }];
    const workload: Workload = { tenants: [first, second], durationMs: 1000, arrivals: () => [arrival(0), arrival(1), arrival(1)] };
    const demands = fluidDemands(workload, 1);
    expect([demands.get("a")?.newTokens, demands.get("b")?.newTokens]).toEqual([1100, 1100 + (1100 - 1024)]);
  });

  test("counts the beginning of a prompt once, whoever sent it", () => {
    const arrival = (prefixHashes: readonly number[]): Arrival => ({ atMs: 0, tenant: 0, inputTokens: 1100, outputTokens: 4, prefixHashes, sessionKey: "", gpus: 1, workMs: 0 });
    const workload: Workload = { tenants: TENANTS, durationMs: 1000, arrivals: () => [arrival([1, 2, 3]), arrival([1, 2, 4]), arrival([])] };
    const demand = fluidDemands(workload, 1).get("llama-3.1-8b");
    expect(demand?.newTokens).toBe(1100 + (1100 - 1024) + 1100);
    expect(demand?.readTokens).toBe(3 * (4 * 1100 + 8));
  });
});
