// Builders for the core's tests: valid values with short names, and a small world that steps an engine and keeps what came out.
import { Engine } from "../../../src/core/engine.js";
import type { AttemptEnd, AttemptOutcome, Effect, Event, Step } from "../../../src/core/events.js";
import { Fleet } from "../../../src/core/fleet/fleet.js";
import type { ResourceEstimate } from "../../../src/core/model/decision.js";
import type { HealthVerdict } from "../../../src/core/fleet/health-columns.js";
import type { GpuInventory, GpuTelemetry, RunnerInfo } from "../../../src/core/model/gpu.js";
import type { AttemptRef, GpuId, ModelId, NodeId, RequestId, UserId } from "../../../src/core/model/ids.js";
import { gpusOf, isExclusive, NO_WISHES, wishesOf, type Request, type RequestSpec, type Requirements, type Wishes } from "../../../src/core/model/request.js";
import type { Record } from "../../../src/core/records.js";
import type { Ask } from "../../../src/core/scheduling/contract.js";
import { stateFilters } from "../../../src/core/scheduling/registry.js";
import { DEFAULT_CORE_SETTINGS, type CoreSettings } from "../../../src/core/settings.js";

export const gpuId = (id: string): GpuId => id as GpuId;
export const nodeId = (id: string): NodeId => id as NodeId;
export const requestId = (id: string): RequestId => id as RequestId;
export const modelId = (id: string): ModelId => id as ModelId;
export const ref = (id: string, attempt: number): AttemptRef => ({ requestId: requestId(id), attempt });

export function settings(over: Partial<CoreSettings> = {}): CoreSettings {
  return { ...DEFAULT_CORE_SETTINGS, strategy: "weighted", ...over };
}

type SpecOver = Partial<Omit<RequestSpec, "requirements" | "specificGpuId" | "modelId">> & {
  readonly requirements?: Partial<Requirements>;
  readonly gpu?: string;
  readonly model?: string;
};

export function spec(id: string, over: SpecOver = {}): RequestSpec {
  const { requirements, gpu, model, ...rest } = over;
  return {
    requestId: requestId(id),
    userId: "user" as UserId,
    modelId: modelId(model ?? "m"),
    type: "inference",
    priority: 3,
    requirements: { memoryMib: 0, computeUnits: 0, maxBatchSize: 0, expectedDurationMs: 0, minComputeCapability: 0, inputTokens: 0, outputTokens: 0, ...requirements },
    timeoutMs: 0,
    callbackUrl: "",
    strategy: "",
    specificGpuId: gpuId(gpu ?? ""),
    idempotent: true,
    payload: new Uint8Array(10),
    contentHash: "content",
    ...rest,
  };
}

/** What is wished, the rest being no wish. */
export function wishes(over: Partial<Wishes>): Wishes {
  return { ...NO_WISHES, ...over };
}

export function estimate(over: Partial<ResourceEstimate> = {}): ResourceEstimate {
  return { memoryMib: 0, durationMs: 1_000, source: "default", ...over };
}

type AskOver = SpecOver & {
  readonly memoryMib?: number;
  readonly avoid?: string;
  readonly seed?: number;
  readonly nowMs?: number;
  readonly acceptedAtMs?: number;
  readonly late?: boolean;
  /** Prompt and expected answer; work that is not measured in tokens when left out. */
  readonly tokens?: readonly [input: number, output: number];
};

export function ask(over: AskOver = {}): Ask {
  const { memoryMib = 0, avoid, seed = 1, nowMs = 1_000_000, acceptedAtMs = nowMs, late = false, tokens, ...rest } = over;
  const asked = spec("ask", rest);
  const counted = tokens ? { inputTokens: tokens[0], outputTokens: tokens[1] } : {};
  return {
    spec: asked,
    estimate: estimate({ memoryMib, ...counted }),
    avoidGpuId: gpuId(avoid ?? ""),
    seed,
    acceptedAtMs,
    nowMs,
    late,
    gpus: wishesOf(asked).gpus,
    exclusive: isExclusive(asked, DEFAULT_CORE_SETTINGS.exclusiveTypes),
    band: asked.priority,
    spread: 1,
  };
}

export function inventory(id: string, over: Partial<GpuInventory> = {}): GpuInventory {
  return {
    gpuId: gpuId(id),
    name: "Test GPU",
    computeCapability: 9_000,
    memoryTotalMib: 80_000,
    multiprocessorCount: 132,
    powerLimitWatts: 700,
    driverVersion: "580.1",
    parentGpuId: "",
    simulated: true,
    ...over,
  };
}

export function runner(over: Partial<RunnerInfo> = {}): RunnerInfo {
  return { name: "runner", kind: "simulated", models: ["*"], types: [], gpuIds: [], ...over };
}

export function sample(id: string, over: Partial<GpuTelemetry> = {}): GpuTelemetry {
  return {
    gpuId: gpuId(id),
    memoryUsedMib: 0,
    memoryFreeMib: 80_000,
    gpuUtilizationPercent: 0,
    memoryUtilizationPercent: 0,
    temperatureCelsius: 40,
    powerUsageWatts: 70,
    powerLimitWatts: 700,
    uptimeSeconds: 1_000,
    clockEventReasons: 0,
    eccUncorrected: 0,
    ...over,
  };
}

export function end(outcome: AttemptOutcome = "succeeded", over: Partial<AttemptEnd> = {}): AttemptEnd {
  const error = outcome === "succeeded" ? null : { code: `${outcome}_code`, message: `It ended as ${outcome}.` };
  return { outcome, error, result: new Uint8Array(), resultContentType: "", statistics: null, ...over };
}

/** A fleet of `inventories` on one connected node that serves everything. */
export function fleetOf(inventories: readonly GpuInventory[], over: Partial<CoreSettings> = {}): Fleet {
  const all = settings(over);
  const fleet = new Fleet(stateFilters(all), all);
  inventories.forEach((one, index) => fleet.register(index, nodeId("node"), one));
  fleet.setRunners(nodeId("node"), [runner()]);
  fleet.setConnected(nodeId("node"), true, "first");
  fleet.freed.clear();
  return fleet;
}

/** Verdicts on a GPU's health, for tests of what they mean to others. */
export const OUT: HealthVerdict = { state: "quarantined", slots: 0, probing: false, factor: 0 };
export const WELL: HealthVerdict = { state: "healthy", slots: Number.POSITIVE_INFINITY, probing: false, factor: 1 };
export const DEGRADED: HealthVerdict = { state: "degraded", slots: Number.POSITIVE_INFINITY, probing: false, factor: 0.5 };
export const PROBING: HealthVerdict = { state: "probation", slots: 1, probing: true, factor: 0.25 };

/** An engine with a clock that the test moves; checks the state after every step and collects the records. */
export class World {
  readonly engine: Engine;
  readonly settings: CoreSettings;
  readonly records: Record[] = [];
  nowMs = 1_000_000;

  constructor(over: Partial<CoreSettings> = {}) {
    this.settings = settings(over);
    this.engine = new Engine(this.settings);
    this.step({ kind: "take_over", epoch: 1 });
  }

  step(event: Event): Step {
    const step = this.engine.step(event, this.nowMs);
    this.records.push(...step.records);
    this.engine.state.check();
    return step;
  }

  connect(node: string, gpus: readonly (string | GpuInventory)[], over: { readonly held?: readonly AttemptRef[]; readonly runners?: readonly RunnerInfo[] } = {}): Step {
    return this.step({
      kind: "node_connected",
      nodeId: nodeId(node),
      instanceId: "instance",
      gpus: gpus.map((gpu) => (typeof gpu === "string" ? inventory(gpu) : gpu)),
      runners: over.runners ?? [runner()],
      held: over.held ?? [],
    });
  }

  disconnect(node: string): Step {
    return this.step({ kind: "node_disconnected", nodeId: nodeId(node) });
  }

  submit(id: string, over: SpecOver = {}): Step {
    return this.step({ kind: "submit", spec: spec(id, over) });
  }

  cancel(id: string): Step {
    return this.step({ kind: "cancel", requestId: requestId(id), reason: "not wanted" });
  }

  start(id: string): Step {
    const { nodeId: node, attempt } = this.request(id);
    return this.step({ kind: "attempt_started", nodeId: nodeId(node), ref: ref(id, attempt) });
  }

  /** Ends the live attempt of a request on its node. */
  end(id: string, outcome: AttemptOutcome = "succeeded", over: Partial<AttemptEnd> = {}): Step {
    const { nodeId: node, attempt } = this.request(id);
    return this.step({ kind: "attempt_ended", nodeId: nodeId(node), ref: ref(id, attempt), end: end(outcome, over) });
  }

  observe(node: string, samples: readonly GpuTelemetry[], ageMs = 0): Step {
    return this.step({ kind: "telemetry", nodeId: nodeId(node), samples: samples.map((one) => ({ sample: one, ageMs })) });
  }

  /** Lets time pass, then ticks. */
  pass(milliseconds: number): Step {
    this.nowMs += milliseconds;
    return this.step({ kind: "tick" });
  }

  /** The live request; throws when it has ended. */
  request(id: string): Request {
    const request = this.engine.state.requests.get(requestId(id));
    if (!request) throw new Error(`Request ${id} is not live.`);
    return request;
  }

  isLive(id: string): boolean {
    return this.engine.state.requests.has(requestId(id));
  }

  /** The request as it ended; throws when it has not ended exactly once. */
  ended(id: string): Extract<Record, { kind: "ended" }> {
    const ends = this.records.filter((record) => record.kind === "ended" && record.requestId === id);
    if (ends.length !== 1) throw new Error(`Request ${id} has ended ${ends.length} times.`);
    return ends[0] as Extract<Record, { kind: "ended" }>;
  }
}

/** "dispatch r1#1 to g0" and the like: the effects that agents see, in words that a test can list. */
export function told(step: Step): string[] {
  return step.effects.flatMap((effect: Effect) => {
    switch (effect.kind) {
      case "dispatch":
        return [`dispatch ${effect.request.spec.requestId}#${effect.attempt} to ${gpusOf(effect).join("+")}`];
      case "cancel_attempt":
        return [`cancel ${effect.ref.requestId}#${effect.ref.attempt} on ${effect.nodeId}`];
      case "acknowledge":
        return [`acknowledge ${effect.ref.requestId}#${effect.ref.attempt} on ${effect.nodeId}`];
      case "health_changed":
      case "changed":
        return [];
    }
    return [];
  });
}

/** The kinds of a step's records, in order. */
export function kinds(step: Step): string[] {
  return step.records.map((record) => record.kind);
}
