import { describe, expect, test } from "@jest/globals";
import { SimulatedDevices as ProbedDevices } from "../../../../src/agent/probes/simulated-devices.js";
import { SimulatedRunner, type SimulatedDevices, type SimulatedRunnerOptions } from "../../../../src/agent/runners/simulated.js";
import { unloadedMs } from "../../../../src/simulated-gpu/service-times.js";
import { aJob, RecordingSink } from "./fixtures.js";

const LIMITS = { maxResultBytes: 1 << 20 };
const never = new AbortController().signal;

class Devices implements SimulatedDevices {
  readonly calls: string[] = [];
  readonly #running = new Map<string, number>();

  begin(gpuId: string, memoryMib: number): void {
    this.calls.push(`begin ${gpuId} ${memoryMib}`);
    this.#running.set(gpuId, this.running(gpuId) + 1);
  }

  end(gpuId: string, memoryMib: number): void {
    this.calls.push(`end ${gpuId} ${memoryMib}`);
    this.#running.set(gpuId, this.running(gpuId) - 1);
  }

  hold(gpuId: string, weightsMib: number): void {
    this.calls.push(`hold ${gpuId} ${weightsMib}`);
  }

  running(gpuId: string): number {
    return this.#running.get(gpuId) ?? 0;
  }
}

function start(options: Partial<SimulatedRunnerOptions> = {}): { runner: SimulatedRunner; devices: Devices } {
  const devices = new Devices();
  return { devices, runner: new SimulatedRunner({ devices, gpuKind: "A100-80GB", speed: Number.POSITIVE_INFINITY, ...options }) };
}

const resultOf = (outcome: { result: Uint8Array }): Record<string, unknown> => JSON.parse(new TextDecoder().decode(outcome.result)) as Record<string, unknown>;

describe("the simulated runner", () => {
  test("serves any model on any GPU, and says everywhere that it is simulated", async () => {
    const { runner, devices } = start();
    expect(runner.describe()).toEqual({ models: ["*"], types: [], gpuIds: [] });
    expect([runner.name, runner.kind]).toEqual(["simulated", "simulated"]);
    const sink = new RecordingSink();
    const outcome = await runner.run(aJob({ gpuIds: ["sim-0"], inputTokens: 100, outputTokens: 20, memoryMib: 77 }), sink, LIMITS, never);
    expect(outcome).toMatchObject({ outcome: "succeeded", contentType: "application/json", statistics: { inputTokens: 100, outputTokens: 20, peakMemoryMib: 77 } });
    expect(resultOf(outcome)).toEqual({
      simulated: true,
      model: "m",
      gpu_id: "sim-0",
      gpu_kind: "A100-80GB",
      input_tokens: 100,
      output_tokens: 20,
      concurrency: 1,
      service_ms: expect.closeTo(unloadedMs("A100-80GB", "m", 100, 20), 6),
    });
    expect(sink.starts).toBe(1);
    expect(sink.text).toBe("[simulated] 20 of 20 tokens\n");
    expect(devices.calls).toEqual(["begin sim-0 77", "end sim-0 77"]);
  });

  test("takes the time of the model divided by the speed", async () => {
    const expected = unloadedMs("H100-80GB", "m", 1000, 50) / 20;
    const outcome = await start({ gpuKind: "H100-80GB", speed: 20 }).runner.run(aJob({ inputTokens: 1000, outputTokens: 50 }), new RecordingSink(), LIMITS, never);
    expect(outcome.statistics.runMs).toBeGreaterThanOrEqual(expected);
    expect(outcome.statistics.runMs).toBeLessThan(expected + 500);
  });

  test("runs on all its GPUs at once and frees all of them", async () => {
    const { runner, devices } = start({ speed: 1000 });
    const ended = runner.run(aJob({ gpuIds: ["a", "b"], expectedDurationMs: 1_000 }), new RecordingSink(), LIMITS, never);
    expect([devices.running("a"), devices.running("b")]).toEqual([1, 1]);
    expect(resultOf(await ended)).toMatchObject({ gpu_id: "a", gpu_ids: ["a", "b"] });
    expect([devices.running("a"), devices.running("b")]).toEqual([0, 0]);
  });

  test("is slower for those who come later to the same GPU, and only there", async () => {
    const { runner, devices } = start({ speed: 20 });
    const jobs = ["a", "a", "b"].map((gpuId) => runner.run(aJob({ gpuIds: [gpuId], inputTokens: 4000, outputTokens: 100 }), new RecordingSink(), LIMITS, never));
    expect([devices.running("a"), devices.running("b")]).toEqual([2, 1]);
    const results = (await Promise.all(jobs)).map(resultOf);
    expect(results.map((result) => result["concurrency"])).toEqual([1, 2, 1]);
    const aloneMs = unloadedMs("A100-80GB", "m", 4000, 100);
    // The second one on "a" has its prompt read after the first one's.
    expect(results[1]?.["service_ms"]).toBeGreaterThan(1.15 * aloneMs);
    expect(results[2]?.["service_ms"]).toBeCloseTo(aloneMs, 6);
    expect([devices.running("a"), devices.running("b")]).toEqual([0, 0]);
  });

  test("takes the expected duration of work that has no tokens, and a default of work that tells nothing", async () => {
    const { runner, devices } = start();
    const timed = await runner.run(aJob({ expectedDurationMs: 5000 }), new RecordingSink(), LIMITS, never);
    expect(resultOf(timed)).toMatchObject({ service_ms: 5000, input_tokens: 0, output_tokens: 0 });
    const blank = resultOf(await runner.run(aJob(), new RecordingSink(), LIMITS, never));
    expect(blank).toMatchObject({ input_tokens: 1024, output_tokens: 128, service_ms: expect.closeTo(unloadedMs("A100-80GB", "m", 1024, 128), 6) });
    // The KV cache of the tokens stands in for memory that is not told.
    expect(devices.calls.at(-1)).toMatch(/ 144$/);
  });

  test("answers at the length that the payload asks for when the request does not say", async () => {
    const payload = (asked: object): Uint8Array => new TextEncoder().encode(JSON.stringify(asked));
    const tokensOf = async (job: Parameters<typeof aJob>[0]): Promise<unknown> => {
      const { input_tokens: input, output_tokens: output } = resultOf(await start().runner.run(aJob(job), new RecordingSink(), LIMITS, never));
      return [input, output];
    };
    expect(await tokensOf({ inputTokens: 9, payload: payload({ max_tokens: 33 }) })).toEqual([9, 33]);
    expect(await tokensOf({ inputTokens: 9, outputTokens: 5, payload: payload({ max_tokens: 33 }) })).toEqual([9, 5]);
    expect(await tokensOf({ payload: payload({ max_completion_tokens: 7, max_tokens: 33 }) })).toEqual([1024, 7]);
    for (const odd of [{ max_tokens: -1 }, { max_tokens: "9" }, { max_tokens: 1.5 }, {}, []]) expect(await tokensOf({ inputTokens: 9, payload: payload(odd) })).toEqual([9, 0]);
    for (const text of ["null", "{", "\u0000"]) expect(await tokensOf({ inputTokens: 9, payload: new TextEncoder().encode(text) })).toEqual([9, 0]);
  });

  test("tells when its first token was there, however little it streams, and streams that of any answer worth it", async () => {
    const slow = new RecordingSink();
    const streamed = await start({ gpuKind: "T4" , speed: 10 }).runner.run(aJob({ inputTokens: 4000, outputTokens: 10 }), slow, LIMITS, never);
    expect(slow.text).toBe("[simulated] 1 of 10 tokens\n[simulated] 10 of 10 tokens\n");
    const quick = new RecordingSink();
    const whole = await start({ gpuKind: "T4", speed: 100 }).runner.run(aJob({ inputTokens: 4000, outputTokens: 10 }), quick, LIMITS, never);
    expect(quick.text).toBe("[simulated] 10 of 10 tokens\n");
    for (const { statistics } of [streamed, whole]) {
      expect(statistics.firstOutputMs).toBeGreaterThan(0);
      expect(statistics.firstOutputMs).toBeLessThan(statistics.runMs);
    }
  });

  test("has no memory of its own to tell of when it works in the engine's cache", async () => {
    const { statistics } = await start().runner.run(aJob({ inputTokens: 1000, outputTokens: 10 }), new RecordingSink(), LIMITS, never);
    expect(statistics.peakMemoryMib).toBe(0);
  });

  test("a job that takes no time ends without a timer", async () => {
    const { runner } = start();
    let ended = false;
    void runner.run(aJob(), new RecordingSink(), LIMITS, never).then(() => (ended = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(ended).toBe(true);
  });

  test("tells of at most eight outputs, in order, with rising progress that ends at 1", async () => {
    const sink = new RecordingSink();
    await start({ speed: 4 }).runner.run(aJob({ expectedDurationMs: 10_000 }), sink, LIMITS, never);
    expect(sink.outputs.length).toBe(8);
    const fractions = sink.progresses.map(([fraction]) => fraction);
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
    expect(fractions.at(-1)).toBe(1);
    expect(sink.text.split("\n")[0]).toBe("[simulated] part 1 of 8");
  });

  test("a cancel ends it at once and frees the device", async () => {
    const { runner, devices } = start({ speed: 1 });
    const abort = new AbortController();
    const running = runner.run(aJob({ gpuIds: ["a"], expectedDurationMs: 30 * 24 * 3_600_000 }), new RecordingSink(), LIMITS, abort.signal);
    expect(devices.running("a")).toBe(1);
    abort.abort();
    expect(await running).toMatchObject({ outcome: "cancelled", code: "cancelled" });
    expect(devices.running("a")).toBe(0);
    expect(await runner.run(aJob(), new RecordingSink(), LIMITS, AbortSignal.abort())).toMatchObject({ outcome: "cancelled" });
  });

  test("close ends what runs as unavailable and takes no more", async () => {
    const { runner, devices } = start({ speed: 1 });
    const running = runner.run(aJob({ gpuIds: ["a"], expectedDurationMs: 3_600_000 }), new RecordingSink(), LIMITS, never);
    await runner.close();
    expect(await running).toMatchObject({ outcome: "unavailable", code: "runner_closed" });
    expect(devices.running("a")).toBe(0);
    expect(await runner.run(aJob(), new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "unavailable", code: "runner_closed" });
  });

  test("a GPU that the node does not have is an outcome, not an exception", async () => {
    const runner = new SimulatedRunner({ devices: new ProbedDevices("n", ["T4"]), gpuKind: "T4", speed: Number.POSITIVE_INFINITY });
    expect(await runner.run(aJob({ gpuIds: ["sim-n-0"] }), new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "succeeded" });
    expect(await runner.run(aJob({ gpuIds: ["sim-n-1"] }), new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "unavailable", code: "unknown_gpu" });
  });

  test("a result over the limit fails", async () => {
    expect(await start().runner.run(aJob(), new RecordingSink(), { maxResultBytes: 10 }, never)).toMatchObject({ outcome: "failed", code: "result_too_large" });
  });

  test("faults hit the asked share, the same attempts every time, and another attempt may pass", async () => {
    const faults = { rate: 0.25, seed: 7 };
    const outcomes = async (attempt: number): Promise<string[]> => {
      const { runner } = start({ faults });
      const jobs = Array.from({ length: 400 }, (_, index) => runner.run(aJob({ requestId: `r${index}`, attempt }), new RecordingSink(), LIMITS, new AbortController().signal));
      return (await Promise.all(jobs)).map((outcome) => (outcome.outcome === "succeeded" ? "succeeded" : outcome.code));
    };
    const first = await outcomes(1);
    const hit = first.filter((outcome) => outcome === "simulated_fault").length;
    expect(hit).toBeGreaterThan(70);
    expect(hit).toBeLessThan(130);
    expect(await outcomes(1)).toEqual(first);
    expect(await outcomes(2)).not.toEqual(first);
  });
});
