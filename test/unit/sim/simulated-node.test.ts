// A GPU of the simulation: what its prefix cache counts as read.
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
