// A simulated GPU that holds only some models at a time: what it is told to load and unload, and the work meanwhile.
import { afterEach, describe, expect, test } from "@jest/globals";
import { SimulatedDevices } from "../../../../src/agent/probes/simulated-devices.js";
import { SimulatedRunner } from "../../../../src/agent/runners/simulated.js";
import { serviceTimes } from "../../../../src/simulated-gpu/service-times.js";
import { eventually } from "../../eventually.js";
import { aJob, RecordingSink } from "./fixtures.js";

const LIMITS = { maxResultBytes: 1 << 20 };
const never = new AbortController().signal;
const GPU = "sim-n-0";
/** Room for one of them beside a cache. */
const KIND = "RTX-4090";
const MODELS = ["llama-3.1-8b", "mistral-7b"];
const [LLAMA, MISTRAL] = [serviceTimes(KIND, "llama-3.1-8b"), serviceTimes(KIND, "mistral-7b")];

let runner: SimulatedRunner;
afterEach(() => runner.close());

function start(speed: number): { devices: SimulatedDevices; served: (readonly string[])[] } {
  const devices = new SimulatedDevices("n", [KIND]);
  runner = new SimulatedRunner({ devices, gpuKind: KIND, speed, holder: { gpuId: GPU, index: 0, models: MODELS } });
  const served: (readonly string[])[] = [];
  runner.onChange(() => served.push(runner.describe().models));
  return { devices, served };
}

const serves = (modelId: string): boolean => runner.describe().models.includes(modelId);
const run = (modelId: string, outputTokens: number, sink = new RecordingSink()) => runner.run(aJob({ gpuIds: [GPU], modelId, inputTokens: 10, outputTokens }), sink, LIMITS, never);

describe("A simulated GPU that holds some models at a time", () => {
  test("holds none at first, and tells what it can load with memory, time and what a token takes", () => {
    start(10);
    expect([runner.name, runner.kind]).toEqual(["simulated-0", "simulated"]);
    const loadable = [LLAMA, MISTRAL].map((times, index) => ({ modelId: MODELS[index], memoryMib: times.weightsMib, loadMs: times.loadMs / 10, kvTokenBytes: times.kvMibPerToken * 2 ** 20 }));
    expect(runner.describe()).toEqual({ models: [], types: [], gpuIds: [GPU], loadable, kvCapacityTokens: expect.any(Number) });
  });

  test("serves a model once it is loaded, which takes its time and its memory", async () => {
    const { devices } = start(100);
    const empty = runner.describe().kvCapacityTokens ?? 0;
    expect(await run("llama-3.1-8b", 5)).toMatchObject({ outcome: "unavailable", code: "model_not_loaded", fault: "none" });
    const orderedAtMs = performance.now();
    runner.order?.({ modelId: "llama-3.1-8b", action: "load" });
    expect(await run("llama-3.1-8b", 5)).toMatchObject({ outcome: "unavailable", code: "model_not_loaded" });
    await eventually(() => serves("llama-3.1-8b"), "the model serves");
    expect(performance.now() - orderedAtMs).toBeGreaterThanOrEqual(LLAMA.loadMs / 100);
    expect(devices.sample(GPU).memoryUsedMib).toBe(LLAMA.weightsMib);
    expect(runner.describe().kvCapacityTokens).toBeLessThan(empty);
    expect(await run("llama-3.1-8b", 5)).toMatchObject({ outcome: "succeeded" });
    expect(await run("other", 5)).toMatchObject({ outcome: "unavailable", code: "model_not_loaded" });
  });

  test("lets running work end before a model goes, and what was ordered in its place loads then", async () => {
    const { devices, served } = start(200);
    runner.order?.({ modelId: "llama-3.1-8b", action: "load" });
    await eventually(() => serves("llama-3.1-8b"), "the model serves");
    const sink = new RecordingSink();
    const work = run("llama-3.1-8b", 2_000, sink);
    await sink.until(() => sink.starts === 1);
    runner.order?.({ modelId: "llama-3.1-8b", action: "unload" });
    runner.order?.({ modelId: "mistral-7b", action: "load" });
    expect(runner.describe().models).toEqual([]);
    expect(await run("llama-3.1-8b", 5)).toMatchObject({ code: "model_not_loaded" });
    expect(devices.sample(GPU).memoryUsedMib).toBeGreaterThanOrEqual(LLAMA.weightsMib);
    expect(await work).toMatchObject({ outcome: "succeeded", statistics: { outputTokens: 2_000 } });
    await eventually(() => serves("mistral-7b"), "the other model serves");
    expect(devices.sample(GPU).memoryUsedMib).toBe(MISTRAL.weightsMib);
    expect(await run("mistral-7b", 5)).toMatchObject({ outcome: "succeeded" });
    expect(served.at(-1)).toEqual(["mistral-7b"]);
  });

  test("keeps a model that is ordered again while it is on its way out, and forgets one that is not wanted any more", async () => {
    start(200);
    runner.order?.({ modelId: "llama-3.1-8b", action: "load" });
    await eventually(() => serves("llama-3.1-8b"), "the model serves");
    const sink = new RecordingSink();
    const work = run("llama-3.1-8b", 1_000, sink);
    await sink.until(() => sink.starts === 1);
    runner.order?.({ modelId: "llama-3.1-8b", action: "unload" });
    runner.order?.({ modelId: "mistral-7b", action: "load" });
    runner.order?.({ modelId: "mistral-7b", action: "unload" });
    runner.order?.({ modelId: "llama-3.1-8b", action: "load" });
    await eventually(() => serves("llama-3.1-8b"), "the model serves again");
    expect(await work).toMatchObject({ outcome: "succeeded" });
    expect(runner.describe().models).toEqual(["llama-3.1-8b"]);
  });
});
