import { toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "@jest/globals";
import { GpuSchema, GpuState, HealthStatus } from "../../../gen/gpurouter/v1/gpu_pb.js";
import { RequestInfoSchema, RequestState, RouteStatus } from "../../../gen/gpurouter/v1/router_pb.js";
import type { GpuState as ModelGpuState, HealthStatus as ModelHealth } from "../../../src/core/model/gpu.js";
import type { GpuId, NodeId } from "../../../src/core/model/ids.js";
import { NO_WISHES, type Phase } from "../../../src/core/model/request.js";
import type { Decision } from "../../../src/core/model/decision.js";
import { explainResponse } from "../../../src/api/to-proto/decision.js";
import { gpu, watchGpusResponse } from "../../../src/api/to-proto/gpu.js";
import { requestInfo, requestSummary, routeResponse, watchResponse } from "../../../src/api/to-proto/request.js";
import { timestamp, uint32, uint64 } from "../../../src/api/to-proto/scalars.js";
import { decision, gpuOf, requestId, telemetryOf, viewOf } from "./fake-router.js";

describe("a request", () => {
  test("is shown whole", () => {
    const view = viewOf(
      {
        phase: "failed",
        attempt: 2,
        gpuId: "sim-0" as GpuId,
        nodeId: "n" as NodeId,
        startedAtMs: 2_000,
        endedAtMs: 5_000,
        progress: 0.7,
        error: { code: "runner_failed", message: "exit code 3", exitCode: 3 },
        result: { sizeBytes: 2, contentType: "text/plain" },
        statistics: { runMs: 3_000, firstOutputMs: 10, inputTokens: 5, outputTokens: 6, peakMemoryMib: 70 },
      },
      { result: new Uint8Array([1, 2]), resultUrl: "http://localhost/r" },
    );
    expect(requestInfo(view, 9_000)).toMatchObject({
      requestId: "r-1",
      userId: "ada",
      modelId: "llama",
      type: "inference",
      priority: 3,
      state: RequestState.FAILED,
      assignedGpu: "sim-0",
      assignedGpus: ["sim-0"],
      acceptedTime: timestampFromMs(1_000),
      startTime: timestampFromMs(2_000),
      completionTime: timestampFromMs(5_000),
      durationMs: 3_000n,
      progress: 0.7,
      resultUrl: "http://localhost/r",
      result: new Uint8Array([1, 2]),
      resultContentType: "text/plain",
      resultSize: 2n,
      error: { code: "runner_failed", message: "exit code 3", exitCode: 3 },
      attempts: 2,
      statistics: { runMs: 3_000, firstOutputMs: 10, inputTokens: 5, outputTokens: 6, peakMemoryMib: 70 },
    });
  });

  test("says why its end was asked for, and nothing of the wishes of time-outs", () => {
    const wished = (cause: "cancel" | "timeout") => requestInfo(viewOf({ phase: "cancelled", stop: { cause, reason: "changed my mind", atMs: 1 } }), 9_000).cancelReason;
    expect([wished("cancel"), wished("timeout"), requestInfo(viewOf({}), 9_000).cancelReason]).toEqual(["changed my mind", "", ""]);
  });

  test("that waits has no times and no duration", () => {
    const info = requestInfo(viewOf({}, { queuePosition: 4 }), 9_000);
    expect(info).toMatchObject({ durationMs: 0n, queuePosition: 4, attempts: 0 });
    expect([info.startTime, info.completionTime, info.error, info.statistics]).toEqual([undefined, undefined, undefined, undefined]);
  });

  test("shows what was wished as it was asked, and nothing that was not", () => {
    const { spec } = viewOf().request;
    const wishes = { ...NO_WISHES, firstOutputMs: 500, totalMs: 20_000, deadlineAtMs: 1_900_000_000_000, gpus: 4 };
    const asked = requestInfo(viewOf({ spec: { ...spec, wishes } }), 0);
    expect(asked).toMatchObject({ slo: { firstOutputMs: 500n, totalMs: 20_000n }, deadline: timestampFromMs(1_900_000_000_000), gpus: 4 });
    for (const view of [viewOf(), viewOf({ spec: { ...spec, wishes: { ...NO_WISHES, preemptible: true } } })]) {
      const { slo, deadline, gpus } = requestInfo(view, 0);
      expect([slo, deadline, gpus]).toEqual([undefined, undefined, 1]);
    }
  });

  test("on several GPUs names the first and all, and none while it waits", () => {
    const placed = requestInfo(viewOf({ phase: "placed", gpuId: "sim-1" as GpuId, gpuIds: ["sim-1", "sim-0"] as GpuId[] }), 0);
    expect([placed.assignedGpu, placed.assignedGpus]).toEqual(["sim-1", ["sim-1", "sim-0"]]);
    expect(requestInfo(viewOf({ gpuId: "" }), 0).assignedGpus).toEqual([]);
  });

  test("whose output is void tells which attempt's and why", () => {
    expect(watchResponse({ kind: "output_void", attempt: 2, reason: "node_lost: gone" }, 0).event).toMatchObject({ case: "outputVoid", value: { attempt: 2, reason: "node_lost: gone" } });
  });

  test("that runs has run until now", () => {
    expect(requestInfo(viewOf({ phase: "running", startedAtMs: 2_000 }), 9_000).durationMs).toBe(7_000n);
  });

  test("in a list comes without its result", () => {
    const summary = requestSummary(viewOf({ result: { sizeBytes: 1, contentType: "a/b" } }, { result: new Uint8Array([1]) }), 0);
    expect([summary.result.length, summary.resultSize]).toEqual([0, 1n]);
  });

  test.each<[Phase, RequestState, RouteStatus]>([
    ["queued", RequestState.QUEUED, RouteStatus.QUEUED],
    ["placed", RequestState.PROCESSING, RouteStatus.ACCEPTED],
    ["running", RequestState.PROCESSING, RouteStatus.ACCEPTED],
    ["completed", RequestState.COMPLETED, RouteStatus.ACCEPTED],
    ["failed", RequestState.FAILED, RouteStatus.ACCEPTED],
    ["cancelled", RequestState.CANCELLED, RouteStatus.ACCEPTED],
  ])("that is %s has its state and route status", (phase, state, status) => {
    expect(requestInfo(viewOf({ phase }), 0).state).toBe(state);
    const answer = { gpuIds: ["sim-0", "sim-1"] as GpuId[], estimatedStartAtMs: 0, estimatedCompletionAtMs: 5, queuePosition: 0, message: "" } as const;
    const response = routeResponse({ kind: "accepted", requestId: requestId("r"), phase, ...answer });
    expect(response).toMatchObject({ status, assignedGpu: "sim-0", assignedGpus: ["sim-0", "sim-1"] });
    expect([response.estimatedStartTime, response.estimatedCompletionTime]).toEqual([undefined, timestampFromMs(5)]);
  });
});

describe("a GPU", () => {
  test("is shown with its telemetry", () => {
    expect(gpu(gpuOf("sim-0", { telemetry: telemetryOf("sim-0"), telemetryAgeMs: 40, memoryReservedMib: 9, index: 3, activeRequests: 2, exclusive: true }))).toMatchObject({
      gpuId: "sim-0",
      index: 3,
      nodeId: "node-1",
      computeCapability: "9.0",
      state: GpuState.ACTIVE,
      health: HealthStatus.HEALTHY,
      memory: { totalMib: 81_920, usedMib: 1_000, freeMib: 80_920, reservedMib: 9 },
      utilization: { gpuPercent: 40, memoryPercent: 20 },
      temperatureCelsius: 55,
      power: { usageWatts: 300, limitWatts: 700 },
      telemetryAgeMs: 40n,
      uptimeSeconds: 10n,
      clockEventReasons: 4n,
      activeRequests: 2,
      exclusive: true,
      simulated: true,
      models: ["*"],
      multiprocessorCount: 132,
    });
  });

  test("before its first telemetry shows none", () => {
    const shown = gpu(gpuOf("sim-0"));
    expect([shown.utilization, shown.power, shown.telemetryAgeMs]).toEqual([undefined, undefined, undefined]);
  });

  test("that cannot say much, as a MIG instance, leaves it out and can be encoded", () => {
    const unknown = {
      gpuUtilizationPercent: Number.NaN,
      memoryUtilizationPercent: Number.NaN,
      temperatureCelsius: Number.NaN,
      powerUsageWatts: Number.NaN,
      powerLimitWatts: Number.NaN,
      uptimeSeconds: Number.NaN,
      clockEventReasons: Number.NaN,
      memoryUsedMib: Number.NaN,
    };
    const shown = gpu(gpuOf("sim-0", { telemetry: telemetryOf("sim-0", unknown), telemetryAgeMs: 1.5 }));
    expect([shown.utilization, shown.power, shown.temperatureCelsius]).toEqual([undefined, undefined, undefined]);
    expect(toBinary(GpuSchema, shown).length).toBeGreaterThan(0);
  });

  test("takes the power limit of its inventory when the sample has none", () => {
    expect(gpu(gpuOf("sim-0", { telemetry: telemetryOf("sim-0", { powerLimitWatts: Number.NaN }) })).power?.limitWatts).toBe(700);
  });

  test.each<[ModelGpuState, GpuState]>([
    ["active", GpuState.ACTIVE],
    ["inactive", GpuState.INACTIVE],
    ["maintenance", GpuState.MAINTENANCE],
    ["error", GpuState.ERROR],
  ])("in state %s says so", (state, expected) => expect(gpu(gpuOf("g", { state })).state).toBe(expected));

  test.each<[ModelHealth, HealthStatus]>([
    ["healthy", HealthStatus.HEALTHY],
    ["warning", HealthStatus.WARNING],
    ["critical", HealthStatus.CRITICAL],
  ])("of health %s says so", (health, expected) => expect(gpu(gpuOf("g", { health })).health).toBe(expected));

  test("is shown with the engines on it, as far as they tell", () => {
    const engineLoads = [
      { runner: "vllm", running: 12, waiting: 3, kvUse: 0.5, prefixHitRatio: 0, ageMs: 20.6 },
      { runner: "tgi", running: 1, waiting: 0, ageMs: 0 },
    ];
    const [vllm, tgi] = gpu(gpuOf("sim-0", { engineLoads })).engineLoads;
    expect(vllm).toMatchObject({ runner: "vllm", running: 12, waiting: 3, kvUse: 0.5, prefixHitRatio: 0, ageMs: 20n });
    expect([tgi?.running, tgi?.kvUse, tgi?.prefixHitRatio]).toEqual([1, undefined, undefined]);
    expect(gpu(gpuOf("sim-0")).engineLoads).toEqual([]);
  });

  test("changes carry their sequence and token", () => {
    const changes = { sequence: 7, snapshot: false, gpus: [gpuOf("sim-0")], resumeToken: "t", atMs: 1_500 };
    expect(watchGpusResponse(changes)).toMatchObject({ sequence: 7n, snapshot: false, gpus: [{ gpuId: "sim-0" }], resumeToken: "t", time: timestampFromMs(1_500) });
  });
});

describe("a decision", () => {
  test("is shown as it was made, and in one sentence", () => {
    const shown = explainResponse(decision, true);
    expect(shown).toMatchObject({
      dryRun: true,
      summary: "least_loaded chose sim-1 with score 0.90, ahead of sim-0 with 0.50; 1 of 3 GPUs were ruled out: memory 1 (needs 24000 MiB free)",
      decision: {
        strategy: "least_loaded",
        considered: 3,
        filters: [{ filter: "memory", removed: 1, needed: "24000 MiB free" }],
        candidates: [{ gpuId: "sim-1", score: 0.9, terms: [{ scorer: "usage", value: 0.9, weight: 1 }], telemetryAgeMs: 12n }, { gpuId: "sim-0" }],
        seed: 7,
        estimate: { memoryMib: 1_024, durationMs: 250n, source: "learned", inputTokens: 0, outputTokens: 0 },
      },
    });
  });

  test("of work in tokens shows the tokens, and the time that its strategy has predicted where nothing was learned", () => {
    const tokens = { memoryMib: 0, durationMs: 1_000, source: "default", inputTokens: 4_000, outputTokens: 200 } as const;
    const candidates = [{ gpuId: "sim-1" as GpuId, score: -3.2, values: [0.25, 3.2004], telemetryAgeMs: -1 }];
    const shown = (over: Partial<Decision>) => explainResponse({ ...decision, candidates, ...over }, false).decision?.estimate;
    const hybrid = [{ scorer: "delay_seconds", weight: -1 }, { scorer: "own_seconds", weight: -1 }];
    expect(shown({ estimate: tokens, scorers: hybrid })).toMatchObject({ durationMs: 3_200n, source: "predicted", inputTokens: 4_000, outputTokens: 200 });
    expect(shown({ estimate: { ...tokens, source: "learned" }, scorers: hybrid })).toMatchObject({ durationMs: 1_000n, source: "learned" });
    expect(shown({ estimate: tokens, scorers: [{ scorer: "usage", weight: 1 }] })).toMatchObject({ durationMs: 1_000n, source: "default" });
    expect(shown({ estimate: tokens, scorers: hybrid, candidates: [] })).toMatchObject({ source: "default" });
  });

  test("of two that are as good does not call one better", () => {
    const candidates = ["sim-1", "sim-0"].map((gpuId) => ({ gpuId: gpuId as GpuId, score: 0.9, values: [0.9], telemetryAgeMs: -1 }));
    expect(explainResponse({ ...decision, filters: [], candidates }, false).summary).toBe("least_loaded chose sim-1 with score 0.90, as good as sim-0");
  });

  test("of costs says what it costs, and in seconds where they are that", () => {
    const candidates = [
      { gpuId: "sim-1" as GpuId, score: -1.204, values: [1.5, -0.296], telemetryAgeMs: -1 },
      { gpuId: "sim-0" as GpuId, score: -3.48, values: [3.48, 0], telemetryAgeMs: -1 },
    ];
    const shown = (...scorers: [string, number][]) =>
      explainResponse({ ...decision, strategy: "hybrid", filters: [], scorers: scorers.map(([scorer, weight]) => ({ scorer, weight })), candidates }, false);
    const inSeconds = shown(["finish_seconds", -1], ["reuse_seconds", -1]);
    expect(inSeconds.summary).toBe("hybrid chose sim-1 at a cost of 1.20 s, ahead of sim-0 with 3.48 s");
    expect(inSeconds.decision?.candidates[0]?.terms).toMatchObject([{ scorer: "finish_seconds", value: 1.5, weight: -1 }, { scorer: "reuse_seconds", value: -0.296, weight: -1 }]);
    expect(shown(["outstanding", -1], ["reuse_seconds", -1]).summary).toBe("hybrid chose sim-1 at a cost of 1.20, ahead of sim-0 with 3.48");
    expect(shown(["usage", 1], ["reuse_seconds", -1]).summary).toBe("hybrid chose sim-1 with score -1.20, ahead of sim-0 with -3.48");
  });

  test.each([
    [{ candidates: [] }, "No GPU can take it now; 1 of 3 GPUs were ruled out: memory 1 (needs 24000 MiB free)"],
    [{ candidates: [], filters: [], considered: 0 }, "No GPU is connected"],
    [{ candidates: decision.candidates.slice(0, 1), filters: [] }, "least_loaded chose sim-1 with score 0.90"],
  ])("says what kept it: %j", (overrides, summary) => {
    expect(explainResponse({ ...decision, ...overrides }, false).summary).toBe(summary);
  });
});

describe("numbers that a field cannot hold become the nearest that it can", () => {
  test.each([
    [0, 0],
    [1.6, 2],
    [-1, 0],
    [Number.NaN, 0],
    [2 ** 32, 2 ** 32 - 1],
    [Number.POSITIVE_INFINITY, 2 ** 32 - 1],
  ])("uint32 of %p is %p", (value, expected) => expect(uint32(value)).toBe(expected));

  test.each([
    [0, 0n],
    [1.6, 1n],
    [-1, 0n],
    [Number.NaN, 0n],
    [Number.POSITIVE_INFINITY, 0n],
    [2 ** 53, 2n ** 53n],
  ])("uint64 of %p is %p", (value, expected) => expect(uint64(value)).toBe(expected));

  test("time 0 is no time", () => expect([timestamp(0), timestamp(1)]).toEqual([undefined, timestampFromMs(1)]));

  test("a request of odd figures can still be encoded", () => {
    const view = viewOf({ attempt: 1.2, startedAtMs: 5.5, endedAtMs: 3 }, { queuePosition: -1 });
    expect(toBinary(RequestInfoSchema, requestInfo(view, 0)).length).toBeGreaterThan(0);
  });
});
