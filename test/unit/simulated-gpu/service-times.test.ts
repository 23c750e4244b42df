import { describe, expect, test } from "@jest/globals";
import { GPU_KIND_NAMES, GPU_KINDS, isGpuKind, OPENB_GPU_KINDS } from "../../../src/simulated-gpu/gpu-kinds.js";
import { MODEL_NAMES, modelShape, weightsMib } from "../../../src/simulated-gpu/models.js";
import { engineMemoryMib, serviceTimes, unloadedMs, WORKSPACE_MIB, workSpeed } from "../../../src/simulated-gpu/service-times.js";

describe("every kind with every model", () => {
  test("has times that are positive and finite, and a cache wherever the weights fit", () => {
    for (const kind of GPU_KIND_NAMES) {
      for (const model of MODEL_NAMES) {
        const { kvCapacityTokens, ...times } = serviceTimes(kind, model);
        expect(Object.values(times).every((value) => value > 0 && Number.isFinite(value))).toBe(true);
        expect(kvCapacityTokens > 0).toBe(weightsMib(modelShape(model)) + WORKSPACE_MIB + 1 < engineMemoryMib(kind));
      }
    }
  });

  test("takes longer for more tokens", () => {
    for (const kind of GPU_KIND_NAMES) {
      const baseMs = unloadedMs(kind, "llama-3.1-8b", 1000, 100);
      expect(unloadedMs(kind, "llama-3.1-8b", 2000, 100)).toBeGreaterThan(baseMs);
      expect(unloadedMs(kind, "llama-3.1-8b", 1000, 101)).toBeGreaterThan(baseMs);
      expect(unloadedMs(kind, "llama-3.1-8b", 1000, 0)).toBe(unloadedMs(kind, "llama-3.1-8b", 1000, 1));
    }
  });
});

test("kinds stand in the order of their memory, which steps follow", () => {
  const steps = GPU_KIND_NAMES.map((kind) => serviceTimes(kind, "llama-3.1-8b").stepBaseMs);
  const bandwidths = GPU_KIND_NAMES.map((kind) => GPU_KINDS[kind].gigabytesPerSecond);
  expect(bandwidths).toEqual(bandwidths.toSorted((a, b) => b - a));
  // GDDR delivers a little more of its sheet to weights than HBM does.
  steps.slice(1).forEach((stepMs, index) => expect(stepMs).toBeGreaterThan(0.85 * steps[index]!));
});

test("a model that the catalogue lacks is taken for one of eight billion parameters, under its own name", () => {
  expect(modelShape("who-knows")).toEqual({ ...modelShape("llama-3.1-8b"), name: "who-knows" });
  expect(serviceTimes("T4", "who-knows")).toEqual(serviceTimes("T4", "llama-3.1-8b"));
});

test("eight bits halve a step where the GPU has them, and a second GPU nearly does", () => {
  const shape = modelShape("qwen3-32b");
  const bf16 = serviceTimes("H100-80GB", shape);
  const fp8 = serviceTimes("H100-80GB", { ...shape, bytesPerWeight: 1 });
  const pair = serviceTimes("H100-80GB", { ...shape, tensorParallel: 2 });
  for (const { stepBaseMs, weightsMib: memory } of [fp8, pair]) {
    expect(stepBaseMs / bf16.stepBaseMs).toBeGreaterThan(0.5);
    expect(stepBaseMs / bf16.stepBaseMs).toBeLessThan(0.65);
    expect(memory).toBeCloseTo(bf16.weightsMib / 2, -1);
  }
  expect(fp8.prefillMsPerToken).toBeLessThan(bf16.prefillMsPerToken);
  expect(serviceTimes("A100-80GB", { ...shape, bytesPerWeight: 1 }).prefillMsPerToken).toBe(serviceTimes("A100-80GB", shape).prefillMsPerToken);
});

test("a mixture of experts reads less than it weighs, and computes far less", () => {
  const [mixture, dense] = [serviceTimes("H200", "qwen3-30b-a3b"), serviceTimes("H200", "qwen3-32b")];
  expect(mixture.stepBaseMs).toBeLessThan(dense.stepBaseMs);
  expect(mixture.prefillMsPerToken).toBeLessThan(0.15 * dense.prefillMsPerToken);
});

test("the GPU models of the openb trace are all kinds of ours", () => {
  expect(Object.keys(OPENB_GPU_KINDS).sort()).toEqual(["A10", "G2", "G3", "P100", "T4", "V100M16", "V100M32"]);
  expect(Object.values(OPENB_GPU_KINDS).every(isGpuKind)).toBe(true);
  expect(isGpuKind("toString")).toBe(false);
});

test("work that is not tokens is measured on an A100", () => {
  expect(workSpeed("A100-80GB")).toBe(1);
  expect(workSpeed("T4")).toBeLessThan(0.2);
});
