// A RouterPort in memory: it keeps what it was given and answers what a test set. No behaviour of its own.
import type { Decision } from "../../../src/core/model/decision.js";
import type { GpuTelemetry, GpuView } from "../../../src/core/model/gpu.js";
import type { GpuId, ModelId, NodeId, RequestId, UserId } from "../../../src/core/model/ids.js";
import type { Request, RequestSpec } from "../../../src/core/model/request.js";
import type { GpuChanges, ListQuery, RequestView, RouteOutcome, RouterPort, WatchEvent } from "../../../src/api/router-port.js";

export const requestId = (text: string): RequestId => text as RequestId;

export function specOf(overrides: Partial<RequestSpec> = {}): RequestSpec {
  return {
    requestId: requestId("r-1"),
    userId: "ada" as UserId,
    modelId: "llama" as ModelId,
    type: "inference",
    priority: 3,
    requirements: { memoryMib: 0, computeUnits: 0, maxBatchSize: 0, expectedDurationMs: 0, minComputeCapability: 0, inputTokens: 0, outputTokens: 0 },
    timeoutMs: 0,
    callbackUrl: "",
    strategy: "",
    specificGpuId: "",
    idempotent: true,
    payload: new Uint8Array(0),
    contentHash: "",
    ...overrides,
  };
}

export function requestOf(overrides: Partial<Request> = {}): Request {
  return {
    spec: specOf(),
    sequence: 1,
    acceptedAtMs: 1_000,
    deadlineAtMs: 0,
    phase: "queued",
    attempt: 0,
    gpuId: "",
    nodeId: "",
    placedAtMs: 0,
    startedAtMs: 0,
    endedAtMs: 0,
    progress: 0,
    stop: null,
    error: null,
    result: null,
    statistics: null,
    decision: null,
    ...overrides,
  };
}

export function viewOf(overrides: Partial<Request> = {}, view: Partial<RequestView> = {}): RequestView {
  return { request: requestOf(overrides), queuePosition: 0, result: null, resultUrl: "", ...view };
}

export function gpuOf(gpuId: string, overrides: Partial<GpuView> = {}): GpuView {
  return {
    inventory: {
      gpuId: gpuId as GpuId,
      name: "Simulated H100",
      computeCapability: 9_000,
      memoryTotalMib: 81_920,
      multiprocessorCount: 132,
      powerLimitWatts: 700,
      driverVersion: "550.1",
      parentGpuId: "",
      simulated: true,
    },
    index: 0,
    nodeId: "node-1" as NodeId,
    state: "active",
    stateReason: "",
    health: "healthy",
    telemetry: null,
    telemetryAgeMs: -1,
    memoryReservedMib: 0,
    performanceIndex: 0.5,
    errorRate: 0,
    healthDetails: { state: "healthy", sinceMs: 0, untilMs: 0, signs: [], history: [] },
    activeRequests: 0,
    exclusive: false,
    queuedRequests: 0,
    models: ["*"],
    engineLoads: [],
    ...overrides,
  };
}

export function telemetryOf(gpuId: string, overrides: Partial<GpuTelemetry> = {}): GpuTelemetry {
  return {
    gpuId: gpuId as GpuId,
    memoryUsedMib: 1_000,
    memoryFreeMib: 80_920,
    gpuUtilizationPercent: 40,
    memoryUtilizationPercent: 20,
    temperatureCelsius: 55,
    powerUsageWatts: 300,
    powerLimitWatts: 700,
    uptimeSeconds: 10,
    clockEventReasons: 4,
    eccUncorrected: 0,
    ...overrides,
  };
}

export const decision: Decision = {
  strategy: "least_loaded",
  considered: 3,
  filters: [{ filter: "memory", removed: 1, needed: "24000 MiB free" }],
  scorers: [{ scorer: "usage", weight: 1 }],
  candidates: [
    { gpuId: "sim-1" as GpuId, score: 0.9, values: [0.9], telemetryAgeMs: 12 },
    { gpuId: "sim-0" as GpuId, score: 0.5, values: [], telemetryAgeMs: -1 },
  ],
  seed: 7,
  estimate: { memoryMib: 1_024, durationMs: 250, source: "learned" },
};

/** Set a field to change an answer; read `specs`, `queries` and `cancels` for what arrived. */
export class FakeRouter implements RouterPort {
  readonly specs: RequestSpec[] = [];
  readonly queries: ListQuery[] = [];
  readonly cancels: { requestId: string; reason: string }[] = [];
  readonly views = new Map<string, RequestView>();
  readonly results = new Map<string, { bytes: Uint8Array; contentType: string }>();
  fleet: GpuView[] = [];
  outcome: (spec: RequestSpec) => RouteOutcome | Promise<RouteOutcome> = (spec) => ({
    kind: "accepted",
    requestId: spec.requestId,
    phase: "queued",
    gpuIds: [],
    estimatedStartAtMs: 0,
    estimatedCompletionAtMs: 0,
    queuePosition: 1,
    message: "waiting for a GPU",
  });
  events: (requestId: string, signal: AbortSignal) => AsyncIterable<WatchEvent> | null = () => null;
  changes: (resumeToken: string, minIntervalMs: number, signal: AbortSignal) => AsyncIterable<GpuChanges> = () => {
    throw new Error("not set");
  };

  owner(id: RequestId): UserId | null {
    return this.views.get(id)?.request.spec.userId ?? null;
  }
  async route(spec: RequestSpec): Promise<RouteOutcome> {
    this.specs.push(spec);
    return this.outcome(spec);
  }
  async status(id: RequestId): Promise<RequestView | null> {
    return this.views.get(id) ?? null;
  }
  async list(query: ListQuery): ReturnType<RouterPort["list"]> {
    this.queries.push(query);
    if (query.pageToken === "bad") return null;
    return { requests: [...this.views.values()], nextPageToken: "next" };
  }
  async cancel(id: RequestId, reason: string): Promise<RequestView | null> {
    this.cancels.push({ requestId: id, reason });
    return this.views.get(id) ?? null;
  }
  watch(id: RequestId, signal: AbortSignal): AsyncIterable<WatchEvent> | null {
    return this.events(id, signal);
  }
  explainRequest(id: RequestId): ReturnType<RouterPort["explainRequest"]> {
    return this.views.has(id) ? { decision, dryRun: false, endedAs: null } : null;
  }
  explainDryRun(spec: RequestSpec): ReturnType<RouterPort["explainDryRun"]> {
    this.specs.push(spec);
    if (spec.strategy === "nope") return { kind: "unknown_strategy", strategy: spec.strategy, known: ["weighted", "least_loaded"] };
    return { kind: "decision", decision };
  }
  estimates(): ReturnType<RouterPort["estimates"]> {
    return [{ type: "inference", modelId: "llama-2-70b", outcomes: 12, meanRelativeError: 0.25, meanRatio: 1.1, withinP90: 0.92 }];
  }

  gpus(): readonly GpuView[] {
    return this.fleet;
  }
  watchGpus(resumeToken: string, minIntervalMs: number, signal: AbortSignal): AsyncIterable<GpuChanges> {
    return this.changes(resumeToken, minIntervalMs, signal);
  }
  result(id: RequestId): ReturnType<RouterPort["result"]> {
    return this.results.get(id) ?? null;
  }
}

/** Resolves when `signal` aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
