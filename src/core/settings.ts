// Everything about the core that an operator can set. `config/` fills it; the core only reads it.
import { NO_LIMITS, type QuotaSettings } from "./model/quota.js";
import type { StageTimeouts } from "./model/request.js";

/** The pieces of the `hybrid` strategy. Each can be taken out, to see what it is worth. */
export interface HybridSettings {
  /** Requests wait centrally until a GPU can keep its promises with them; false: each goes to the best GPU at once. */
  readonly lateBinding: boolean;
  /** A GPU takes requests while every promise on it holds; false: up to `fixedSlots` of them. */
  readonly slotsBySlo: boolean;
  readonly fixedSlots: number;
  /** A request may not push those that run over their deadline. */
  readonly protectRunning: boolean;
  /** Share of the time per token that interactive requests can bear, up to which batch work may lengthen it, 0..1; 1 for no cap. */
  readonly batchStepShare: number;
  /** Longest prompt of batch work that may stand before an interactive one, ms. */
  readonly batchPrefillMs: number;
  /** Share of the key-value cache that batch work leaves free, 0..1. */
  readonly batchKvHeadroom: number;
  /** Work in the background takes whole GPUs only as far as the models can do without them for whose answers somebody waits. */
  readonly modelRoom: boolean;
  /** A request that cannot be in time leaves the line for those that can. */
  readonly lateExit: boolean;
  /** Loads and unloads models by demand, where runners can. */
  readonly placement: boolean;
  /** Goes where a prompt's beginning was read before, when that saves more than it costs. */
  readonly affinity: boolean;
  /** Higher priorities go first; false: all in one line, the late behind it. */
  readonly bands: boolean;
  /** Within a priority who has had the least GPU time goes first; false: who is due first. */
  readonly fairUsers: boolean;
  /** Lengths and durations are what the likes of a request took; false: what it says itself, else a fixed guess. */
  readonly learnedEstimates: boolean;
  /** Of the GPUs where promises hold the one that costs the fewest predicted seconds; false: the one with the fewest requests for its speed. */
  readonly secondsScore: boolean;
  /**
   * Share of the delay caused to others that counts against a GPU; 1 counts it like one's own. All of it is too much: most of the others have
   * time to spare, and GPUs that are fast would be shunned for what waits there.
   */
  readonly delayWeight: number;
}

/** When work that agreed to it is stopped for more urgent work. */
export interface PreemptionSettings {
  readonly enabled: boolean;
  /** By how much more urgent the other must be. */
  readonly priorityGap: number;
  /** What has begun runs for so long at least, ms. */
  readonly minRunMs: number;
  /** A node is cleared for somebody at most this often, ms. */
  readonly nodeIntervalMs: number;
  /** How long more urgent work without a deadline is expected to wait before anything is stopped for it, ms. */
  readonly patienceMs: number;
}

/** How batches are spread over GPUs. */
export interface BatchSettings {
  /** Whether they go to several GPUs, where they do not say. */
  readonly split: boolean;
  /** Fewest of a batch on each GPU. */
  readonly minPerGpu: number;
  /** How long a batch that is split may stand still beside a free GPU for the sake of that, ms. */
  readonly maxHoldMs: number;
}

/** 0 for none. */
export interface ConfiguredTimeouts extends StageTimeouts {
  /** From acceptance to the end, ms. */
  readonly totalMs?: number;
}

/** When a GPU counts as ill and when as well again, beside its cool-down and the limits of temperature and errors. */
export interface HealthSettings {
  /** Longest cool-down of a GPU that fails again and again, ms. */
  readonly maxCooldownMs: number;
  /** How long a GPU has to be better before it counts as better, ms. */
  readonly recoveryMs: number;
  /** How long a GPU in probation waits for a request that can be its probe, ms. */
  readonly probePatienceMs: number;
  /** From a passed probe to all of its slots, ms. */
  readonly slowStartMs: number;
  /** Share of the connected GPUs, 0..1, that may be out for what outcomes suggest; one always may. What is seen, such as a lost GPU, has no limit. */
  readonly maxEjectedShare: number;
  /** Outcomes before an error rate or a speed is believed. */
  readonly minOutcomes: number;
  /** This close below its limit a GPU is warm; once too hot, it has to cool down by as much, degrees Celsius. */
  readonly temperatureMarginCelsius: number;
  /** A GPU that takes this many times as long as the median of its kind with the same models is degraded. */
  readonly slowRatio: number;
  /** And one that takes this many times as long is taken out. */
  readonly ejectRatio: number;
}

export interface CoreSettings {
  /** Strategy of requests that name none. */
  readonly strategy: string;
  /** Weights of the `weighted` strategy by scorer; a partial set is normalised by its sum. */
  readonly weights: Readonly<Record<string, number>>;
  /** Share of a GPU's slots that `priority_based` keeps from priority 1, 0..1; from the priorities up to 5 less and less. */
  readonly priorityHeadroom: number;
  /** GPUs by request type for `task_specific`, each by its id or as "gpu_3" by its index; a type that is not there goes anywhere. */
  readonly taskMappings: Readonly<Record<string, readonly string[]>>;
  readonly hybrid: HybridSettings;
  /** Request types that have their GPUs to themselves; whatever runs on several GPUs at once has so anyway. */
  readonly exclusiveTypes: readonly string[];
  readonly preemption: PreemptionSettings;
  readonly batch: BatchSettings;
  /** A request that has waited this long goes before all others, whatever its priority, ms; one that wants whole GPUs as far as overdue-share.ts lets it. */
  readonly maxWaitMs: number;
  /** Most requests that one GPU holds at a time. */
  readonly maxConcurrentTasksPerGpu: number;
  /** Share of a GPU's memory that may be in use after a placement, 0..1. */
  readonly memoryThreshold: number;
  /** A GPU that is this busy with work that is not ours gets none of ours, 0..1. */
  readonly utilizationThreshold: number;
  /** A GPU at or above this is critical, degrees Celsius. */
  readonly maxTemperatureCelsius: number;
  /** A GPU whose decayed error rate is above this is critical, 0..1. */
  readonly errorThreshold: number;
  /** How long a GPU that failed stays out, ms. */
  readonly gpuCooldownMs: number;
  readonly health: HealthSettings;
  /** Dispatches after the first before a request fails. */
  readonly maxRetries: number;
  /** Wait before a retry; lost GPUs and nodes are replaced without one, ms. */
  readonly retryDelayMs: number;
  /** Time-out of inference requests that set none, ms; 0 for none. Other types have none by default. */
  readonly requestTimeoutMs: number;
  /** Time-outs of requests that set none, by what they are for; `failover/time-outs.ts` says how they are looked up. */
  readonly timeouts: Readonly<Record<string, ConfiguredTimeouts>>;
  readonly telemetryIntervalMs: number;
  /** A node of which nothing is heard for this long has lost its work, but what must not run twice, ms. */
  readonly nodeLostAfterMs: number;
  /** The same from the cut of its stream on: an agent that lives is back well before that, ms. */
  readonly reconnectGraceMs: number;
  /** How long the nodes have to come back when a router has started, or has stood still itself, ms. */
  readonly takeoverGraceMs: number;
  /** So long after a node was last heard, its agent has certainly stopped what must not run twice, ms. Longer than the agents' lease. */
  readonly fencedAfterMs: number;
  /** A GPU that is gone for so long is forgotten, ms. */
  readonly forgetAfterMs: number;
  readonly maxQueuedRequests: number;
  /** Payload bytes of waiting requests. */
  readonly maxQueuedBytes: number;
  /** Share of both that is kept from priority 1, 0..1; from the priorities up to 5 less and less. */
  readonly queueHeadroom: number;
  /** Share of the router's memory above which nobody comes in for whom nobody makes way, 0..1. */
  readonly shedAboveMemory: number;
  readonly quota: QuotaSettings;
}

/** The requirements' defaults (rows R2-R4, F1, F4). */
export const DEFAULT_CORE_SETTINGS: CoreSettings = {
  strategy: "hybrid",
  weights: { usage: 0.35, priority: 0.25, type_compatibility: 0.15, performance: 0.15, health: 0.1 },
  hybrid: {
    lateBinding: true,
    slotsBySlo: true,
    fixedSlots: 8,
    protectRunning: true,
    batchStepShare: 0.6,
    batchPrefillMs: 1_000,
    batchKvHeadroom: 0.25,
    modelRoom: true,
    lateExit: true,
    placement: true,
    affinity: true,
    bands: true,
    fairUsers: true,
    learnedEstimates: true,
    secondsScore: true,
    delayWeight: 0.5,
  },
  exclusiveTypes: ["training", "fine-tuning"],
  preemption: { enabled: true, priorityGap: 2, minRunMs: 60_000, nodeIntervalMs: 10_000, patienceMs: 10_000 },
  batch: { split: true, minPerGpu: 4, maxHoldMs: 2_000 },
  maxWaitMs: 600_000,
  priorityHeadroom: 0.5,
  taskMappings: {},
  maxConcurrentTasksPerGpu: 8,
  memoryThreshold: 0.9,
  utilizationThreshold: 0.95,
  maxTemperatureCelsius: 85,
  errorThreshold: 0.1,
  gpuCooldownMs: 300_000,
  health: {
    maxCooldownMs: 3_600_000,
    recoveryMs: 10_000,
    probePatienceMs: 30_000,
    slowStartMs: 60_000,
    maxEjectedShare: 0.3,
    minOutcomes: 5,
    temperatureMarginCelsius: 5,
    slowRatio: 1.5,
    ejectRatio: 4,
  },
  maxRetries: 3,
  retryDelayMs: 1_000,
  requestTimeoutMs: 30_000,
  timeouts: {},
  telemetryIntervalMs: 1_000,
  nodeLostAfterMs: 750,
  reconnectGraceMs: 400,
  takeoverGraceMs: 5_000,
  fencedAfterMs: 12_100,
  forgetAfterMs: 86_400_000,
  maxQueuedRequests: 100_000,
  maxQueuedBytes: 512 * 1024 * 1024,
  queueHeadroom: 0.1,
  shedAboveMemory: 0.9,
  quota: {
    mode: "off",
    defaults: { ...NO_LIMITS, concurrentRequests: 100, gpus: 2, priorityRequests: 3 },
    gpuTimePeriodMs: 86_400_000,
    checkIntervalMs: 60_000,
    maxEntries: 100_000,
  },
};
