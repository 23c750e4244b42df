import { describe, expect, test } from "@jest/globals";
import { ModelResidency } from "../../../src/simulated-gpu/model-residency.js";
import { engineMemoryMib, serviceTimes, WORKSPACE_MIB } from "../../../src/simulated-gpu/service-times.js";

const LLAMA = serviceTimes("A100-80GB", "llama-3.1-8b");
const QWEN = serviceTimes("A100-80GB", "qwen3-32b");

describe("a model on a GPU", () => {
  test("loads for its time, then takes requests", () => {
    const gpu = new ModelResidency("A100-80GB");
    expect(gpu.state("llama-3.1-8b", 0)).toBe("absent");
    expect(gpu.load("llama-3.1-8b", 0, 1000)).toEqual({ outcome: "loading", readyAtMs: 1000 + LLAMA.loadMs });
    expect(gpu.state("llama-3.1-8b", 999 + LLAMA.loadMs)).toBe("loading");
    expect(gpu.begin("llama-3.1-8b", 999 + LLAMA.loadMs)).toBe(false);
    expect(gpu.state("llama-3.1-8b", 1000 + LLAMA.loadMs)).toBe("ready");
    expect(gpu.begin("llama-3.1-8b", 1000 + LLAMA.loadMs)).toBe(true);
    expect(gpu.load("llama-3.1-8b", 0, 99_000)).toEqual({ outcome: "held", readyAtMs: 1000 + LLAMA.loadMs });
  });

  test("can load faster, and be there from the beginning", () => {
    const gpu = new ModelResidency("A100-80GB", 10);
    expect(gpu.load("llama-3.1-8b", 0, 0)).toEqual({ outcome: "loading", readyAtMs: LLAMA.loadMs / 10 });
    expect(gpu.preload("mistral-7b")).toBe(true);
    expect(gpu.state("mistral-7b", 0)).toBe("ready");
    expect(gpu.modelIds).toEqual(["llama-3.1-8b", "mistral-7b"]);
  });

  test("leaves the others less room for caches", () => {
    const gpu = new ModelResidency("A100-80GB");
    gpu.preload("llama-3.1-8b");
    expect(gpu.times("llama-3.1-8b")).toEqual(LLAMA);
    gpu.preload("qwen3-32b"); // Does not fit beside it.
    expect(gpu.modelIds).toEqual(["llama-3.1-8b"]);
    gpu.preload("mistral-7b");
    const kvMib = engineMemoryMib("A100-80GB") - gpu.weightsMib - 2 * WORKSPACE_MIB;
    expect(gpu.kvMib).toBeCloseTo(kvMib, 6);
    expect(gpu.times("llama-3.1-8b").kvCapacityTokens).toBe(Math.floor(kvMib / LLAMA.kvMibPerToken));
    expect(() => gpu.times("qwen3-32b")).toThrow(/qwen3-32b is not on this GPU/);
  });

  test("that does not fit is refused with what it needs and what there is", () => {
    const gpu = new ModelResidency("A100-80GB");
    gpu.preload("qwen3-32b");
    const freeMib = gpu.kvMib - 5000;
    expect(gpu.load("llama-3.1-8b", 5000, 0)).toEqual({ outcome: "no_room", neededMib: LLAMA.weightsMib + WORKSPACE_MIB, freeMib });
    expect(new ModelResidency("T4").load("llama-3.1-8b", 0, 0).outcome).toBe("no_room");
    expect(QWEN.kvCapacityTokens).toBeGreaterThan(0);
  });

  test("that nobody uses leaves at once, loading or not", () => {
    const gpu = new ModelResidency("A100-80GB");
    const emptyMib = gpu.kvMib;
    gpu.load("llama-3.1-8b", 0, 0);
    expect([gpu.unload("llama-3.1-8b"), gpu.unload("llama-3.1-8b"), gpu.kvMib]).toEqual(["unloaded", "not_held", emptyMib]);
  });

  test("in use drains: takes nothing new, and leaves with its last request", () => {
    const gpu = new ModelResidency("A100-80GB");
    gpu.preload("llama-3.1-8b");
    gpu.begin("llama-3.1-8b", 0);
    gpu.begin("llama-3.1-8b", 0);
    expect(gpu.unload("llama-3.1-8b")).toBe("draining");
    expect([gpu.state("llama-3.1-8b", 0), gpu.begin("llama-3.1-8b", 0)]).toEqual(["draining", false]);
    expect([gpu.end("llama-3.1-8b"), gpu.weightsMib > 0]).toEqual([false, true]);
    expect([gpu.end("llama-3.1-8b"), gpu.weightsMib]).toEqual([true, 0]);
    expect(() => gpu.end("llama-3.1-8b")).toThrow(/never began/);
  });

  test("that drains stays when it is wanted again", () => {
    const gpu = new ModelResidency("A100-80GB");
    gpu.preload("llama-3.1-8b");
    gpu.begin("llama-3.1-8b", 0);
    gpu.unload("llama-3.1-8b");
    expect(gpu.load("llama-3.1-8b", 0, 5).outcome).toBe("held");
    expect([gpu.end("llama-3.1-8b"), gpu.state("llama-3.1-8b", 5)]).toEqual([false, "ready"]);
  });
});
