// A GPU of the simulation: what its prefix cache counts as read, and what its models leave for the key-value cache.
import { describe, expect, test } from "@jest/globals";
import type { ModelId, RequestId } from "../../../src/core/model/ids.js";
import { SimulatedGpuWork } from "../../../src/sim/simulated-node.js";

const MODELS = ["llama-3.1-8b", "mistral-7b"];

/** Begins the same prompt for models, one after the other, and says how much of it was in the cache each time; null when it was not begun. */
class Bench {
  readonly gpu = new SimulatedGpuWork({ gpuId: "g", kind: "A100-80GB", slowdown: 1, types: [], models: MODELS, loaded: MODELS, prefixCacheTokens: 100_000, loadSpeed: 1 });
  #row = 0;
  #nowMs = 0;

  ask(modelId: string): number | null {
    this.#row += 1;
    let cached = 0;
    const job = { ref: { requestId: `r${this.#row}` as RequestId, attempt: 1 }, row: this.#row, modelId, inputTokens: 2_000, outputTokens: 1, prefixHashes: [1, 2, 3], workMs: 0 };
    if (!this.gpu.begin(job, this.#nowMs, { cached: (_, tokens) => (cached = tokens), firstOutput: () => undefined })) return null;
    this.#nowMs += 60_000;
    this.gpu.advance(this.#nowMs);
    this.gpu.ended(this.gpu.jobs.get(this.#row)!, this.#nowMs);
    return cached;
  }

  order(modelId: string, action: "load" | "unload"): void {
    this.gpu.order({ runner: "simulated-g", modelId: modelId as ModelId, action }, this.#nowMs);
    this.#nowMs += 60_000;
    this.gpu.advance(this.#nowMs);
  }

  breakDown(): void {
    this.gpu.breakDown(this.#nowMs);
    this.gpu.broken = false;
  }
}

describe("the prefix cache of a simulated GPU", () => {
  test("knows what was read for the same model, not for another", () => {
    const bench = new Bench();
    expect([bench.ask("llama-3.1-8b"), bench.ask("llama-3.1-8b"), bench.ask("mistral-7b"), bench.ask("mistral-7b")]).toEqual([0, 1_536, 0, 1_536]);
  });

  test("has lost what was read for a model when that has been away, and all of it after a failure", () => {
    const bench = new Bench();
    for (const modelId of MODELS) bench.ask(modelId);
    bench.order("mistral-7b", "unload");
    expect(bench.ask("mistral-7b")).toBeNull();
    bench.order("mistral-7b", "load");
    expect([bench.ask("mistral-7b"), bench.ask("llama-3.1-8b")]).toEqual([0, 1_536]);
    bench.breakDown();
    expect(bench.ask("llama-3.1-8b")).toBe(0);
  });
});

describe("the key-value cache of a simulated GPU", () => {
  test("grows as soon as a model that was ordered to go has ended its last request, also for those that run", () => {
    const gpu = new SimulatedGpuWork({ gpuId: "g", kind: "A100-80GB", slowdown: 1, types: [], models: MODELS, loaded: MODELS, prefixCacheTokens: 0, loadSpeed: 1 });
    const begin = (row: number, modelId: string): boolean =>
      gpu.begin({ ref: { requestId: `r${row}` as RequestId, attempt: 1 }, row, modelId, inputTokens: 10_000, outputTokens: 1_000, prefixHashes: [], workMs: 0 }, 0, { cached: () => undefined, firstOutput: () => undefined });
    expect([begin(1, "llama-3.1-8b"), begin(2, "mistral-7b")]).toEqual([true, true]);
    gpu.advance(5_000);
    gpu.order({ runner: "simulated-g", modelId: "mistral-7b" as ModelId, action: "unload" }, 5_000);
    const [useBefore, roomBefore] = [gpu.engine.kvUse, gpu.residency.kvMib];
    expect(gpu.ended(gpu.jobs.get(2)!, 5_000)).toBe(true);
    expect(gpu.residency.kvMib).toBeGreaterThan(1.2 * roomBefore);
    // The same tokens in a larger cache.
    expect(gpu.engine.kvUse / useBefore).toBeCloseTo(roomBefore / gpu.residency.kvMib, 1);
  });
});
